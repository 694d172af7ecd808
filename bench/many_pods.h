/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MANY_PODS_H
#define BENCH_MANY_PODS_H

#include <stddef.h>

#include "pods.h"
#include "report.h"

/*
 * Pods by the thousand: each takes a good deal of the kernel's memory, and making them all takes a while.
 *
 * Both return 0 or -errno, told on stderr.
 */

/* Would so many leave half of the free memory to others? -ENOMEM. */
int bench_many_pods_allow(const char *scenario, size_t count);

/* Make pods until there are `count`, with word on how far it is. */
int bench_many_pods_grow(struct bench_pods *pods, size_t count, const char *scenario,
                         const struct bench_report *report);

#endif

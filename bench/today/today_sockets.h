/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_TODAY_SOCKETS_H
#define BENCH_TODAY_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

/*
 * As agents do it that hear of each namespace's devices in that namespace: its file and a netlink socket made
 * inside, subscribed to links, stay open as long as it is known.
 *
 * How many descriptors a process of its own has that does no more than that, once it knows those of all these
 * pids (threads' ids, too). 0 or -errno.
 */
int today_sockets_count(const uint32_t *pids, size_t count, unsigned *descriptors);

#endif

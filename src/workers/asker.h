/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_ASKER_H
#define NNS_WORKERS_ASKER_H

#include <stdint.h>

#include "core/role.h"

/*
 * Where a path leads, asked of a file system that may never answer: by a thread that does nothing else, so
 * that whoever wants to know waits within bounds (I2). Most paths never need one, as the kernel knows the way
 * by itself (nns_netns_led_to_now). One owner.
 */
struct nns_asker;

/* NULL without memory or thread. The path is copied. */
struct nns_asker *nns_asker_new(const char *path);

/* As nns_netns_led_to; -EAGAIN when no answer has come within patience_ms. From then on nobody waits at all,
 * until there was one; and where answers take their time, a tenth of the time at most. */
int nns_asker_ask(struct nns_asker *asker, uint32_t *inum, unsigned patience_ms) NNS_OWNER_ONLY;

/* One that still waits for an answer is left behind, and frees itself if it ever comes. NULL is fine. */
void nns_asker_free(struct nns_asker *asker);

#endif

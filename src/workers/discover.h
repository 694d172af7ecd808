/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DISCOVER_H
#define NNS_WORKERS_DISCOVER_H

#include <uv.h>

#include "core/params.h"
#include "io/mounts.h"
#include "workers/pool.h"

/*
 * What the loop does to find namespaces by itself: mounts that come, and the first look at everything. Either
 * is a worker's chore. Tasks and devices are the owner's to hear of (workers/trace_feed.h).
 */
struct nns_discover;

/* mounts may be NULL. look: begin with a look at everything, once the loop runs. 0 or -errno. */
int nns_discover_open(uv_loop_t *loop, struct nns_mounts *mounts, enum nns_mounts_way way, bool look,
                      struct nns_pool *pool, struct nns_discover **out);

/* Stop reading; the loop must run once more, and then frees it. NULL is fine. */
void nns_discover_close(struct nns_discover *discover);

#endif

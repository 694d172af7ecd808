/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DISPATCH_H
#define NNS_WORKERS_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "workers/pool.h"

/*
 * Batches on their way to the pool. What does not fit waits here, in order; a feed reads on only while
 * nothing waits, so that this list is bounded by one message of the queue and one request of each client.
 * Loop thread only.
 */
struct nns_dispatch {
    struct nns_pool *pool;
    struct nns_batch *first, **last;
    uint32_t outstanding; /* batches taken over and not back yet */
};

void nns_dispatch_init(struct nns_dispatch *dispatch, struct nns_pool *pool);

/* Take over a batch. */
void nns_dispatch_add(struct nns_dispatch *dispatch, struct nns_batch *batch);

/* The pool has room again: hand on what waits. */
void nns_dispatch_room(struct nns_dispatch *dispatch);

/* Nothing waits: a feed may be read. */
bool nns_dispatch_clear(const struct nns_dispatch *dispatch);

/* A batch came back settled. */
void nns_dispatch_settled(struct nns_dispatch *dispatch);

#endif

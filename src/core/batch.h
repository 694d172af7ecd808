/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_BATCH_H
#define NNS_CORE_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/outcome.h"

/*
 * A batch of sync requests on its way through the daemon, and the answers it collects.
 *
 * The loop thread makes it; a worker takes it; each result is written by exactly one thread (the worker, or
 * whoever completes the claim the pid waits on), which then calls nns_batch_settle. Whoever settles the last
 * one hands the batch back to the loop.
 */
#define NNS_BATCH_MAX 1024 /* as many as one call resolves: larger batches wake fewer threads */

struct nns_batch {
    struct nns_batch *next;     /* in whichever queue holds it */
    void *job;                  /* the loop's: what it belongs to, NULL for the feed */
    bool found;                 /* of what nobody named: who was named goes first, and nobody waits for it */
    uint32_t first;             /* the loop's: where results[0] stands in its job's results */
    _Atomic uint32_t unsettled; /* results still open; starts at count */
    uint32_t count;
    struct nns_result results[]; /* .pid is the request */
};

/* An empty batch with room for capacity pids, or NULL. free() releases it. */
struct nns_batch *nns_batch_new(uint32_t capacity);

/* Add a pid; the caller keeps count below the capacity. */
void nns_batch_add(struct nns_batch *batch, uint32_t pid);

/* Count one result as written. True for exactly one caller: the last. */
static inline int nns_batch_settle(struct nns_batch *batch)
{
    return atomic_fetch_sub_explicit(&batch->unsettled, 1, memory_order_acq_rel) == 1;
}

#endif

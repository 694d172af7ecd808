/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_COMPLETIONS_H
#define NNS_WORKERS_COMPLETIONS_H

#include <uv.h>

#include "core/batch.h"
#include "workers/letters.h"

/*
 * The way back to the loop thread: settled batches, answered orders, and word that the workers' queue has
 * room again.
 *
 * Any thread adds; the loop is woken by uv_async only when there was nothing before, takes everything and
 * works unlocked. A batch that nobody waits for (no job) is freed where it was settled, and counted: a loop
 * woken for every message of the queue would take the processor from the owner.
 */
struct nns_completions {
    uv_mutex_t lock; /* guards all below but the handle */
    struct nns_batch *batches;
    struct nns_order *orders;
    bool room;  /* the pool took a batch from a full queue */
    bool woken; /* the loop has been told and has not taken yet */
    uv_async_t async;

    _Atomic uint32_t freed;  /* batches without a job, settled so far */
    _Atomic bool tell_freed; /* the loop wants to know */
};

/* What the loop takes: lists in no particular order. */
struct nns_completed {
    struct nns_batch *batches;
    struct nns_order *orders;
    bool room;
};

/* wake runs on the loop thread, with handle->data as given. 0 or -errno. */
int nns_completions_init(struct nns_completions *completions, uv_loop_t *loop, uv_async_cb wake, void *data);

/* Close the handle; the loop must run once more before the memory goes. */
void nns_completions_close(struct nns_completions *completions);
void nns_completions_deinit(struct nns_completions *completions);

void nns_completions_add_batch(struct nns_completions *completions, struct nns_batch *batch);
void nns_completions_add_order(struct nns_completions *completions, struct nns_order *order);
void nns_completions_add_room(struct nns_completions *completions);

/* Loop thread. How many batches without a job have been settled so far, wrapping. From the first call on the
 * loop is woken for each. */
uint32_t nns_completions_freed(struct nns_completions *completions);

/* Loop thread. */
struct nns_completed nns_completions_take(struct nns_completions *completions);

#endif

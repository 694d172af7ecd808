/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_POOL_H
#define NNS_WORKERS_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/batch.h"
#include "workers/chores.h"

/*
 * The worker pool: threads of our own that take batches from two bounded queues and run them through sync.h:
 * pids that somebody named, and those that were found, which come after them.
 *
 * They are not libuv's shared work queue: each has its own scratch and epoch reader, and the namespace a
 * thread is in is state. A full queue is not an error. That of the named leaves their feeds unread until the
 * completions say there is room; what was found can be found again.
 */
struct nns_pool;

/* Start `threads` workers with room for `depth` waiting batches of either kind. context outlives the pool. 0
 * or -errno. */
int nns_pool_start(const struct nns_sync_context *context, unsigned threads, uint32_t depth,
                   struct nns_pool **out);

/* Give a batch to the workers. False when the queue of its kind is full: keep it and come back on word of
 * room; so is the one for what was found once the end has begun. Any thread but a worker. */
bool nns_pool_submit(struct nns_pool *pool, struct nns_batch *batch);

/* Have a worker do a chore; one of a kind at a time. Wanted while it is under way it is done once more, as
 * what it looks at may have changed behind it. Any thread. */
void nns_pool_want(struct nns_pool *pool, enum nns_chore chore);

/* From within a chore, between two pieces of it: work off batches of named pids that wait, within bounds. */
void nns_pool_give_way(const struct nns_sync_worker *worker);

uint32_t nns_pool_waiting(struct nns_pool *pool);

/* Have the threads end once the named are served, without waiting for them. What was only found is left. */
void nns_pool_end(struct nns_pool *pool);

/* The same, and wait until none of them does anything any more: what they had for the owner is in its
 * mailbox. The owner must still be running, as they may be waiting for room there. */
void nns_pool_rest(struct nns_pool *pool);

/* Have them end and wait for them; likewise. */
void nns_pool_stop(struct nns_pool *pool);

/* Free a pool whose threads have ended, when the owner no longer asks it anything. NULL is fine. */
void nns_pool_free(struct nns_pool *pool);

#endif

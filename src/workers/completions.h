/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_COMPLETIONS_H
#define NNS_WORKERS_COMPLETIONS_H

#include <stddef.h>
#include <uv.h>

#include "core/batch.h"
#include "core/cache_line.h"
#include "core/news.h"
#include "workers/letters.h"

/*
 * The way back to the loop thread: settled batches, answered orders, word that the workers' queue, or the
 * owner's mailbox, has room again, and news for those who watch.
 *
 * Any thread adds; the loop is woken by uv_async only when there was nothing before, takes everything and
 * works unlocked. Batches that nobody waits for (no job) come back a few
 * at a time: a loop woken for every message of the queue would take the processor from the owner. They do
 * come back: freed where they were settled, they would cost the allocator more than a wake-up.
 */
/* The first line is all that a batch's coming back writes, unless it wakes the loop; the second is for news;
 * the handle is the loop's, save for what wakes it. */
struct nns_completions {
    _Alignas(NNS_CACHE_LINE) uv_mutex_t lock; /* guards all below but the handle */
    struct nns_batch *batches;
    struct nns_order *orders;
    unsigned quiet; /* batches without a job that the loop has not been told of */
    bool room;      /* the pool took a batch from a full queue, or the owner emptied a full mailbox */
    bool woken;     /* the loop has been told and has not taken yet */
    bool eager;     /* the loop wants to know of every batch */
    _Alignas(NNS_CACHE_LINE) struct nns_news_batch *news, **news_end; /* in order */
    uint64_t news_sequence; /* of the last piece that came to be, also when it was dropped */
    unsigned news_waiting;
    _Alignas(NNS_CACHE_LINE) uv_async_t async;
};

_Static_assert(sizeof(uv_mutex_t) > 40 || offsetof(struct nns_completions, news) == NNS_CACHE_LINE,
               "a batch comes back within a line");

/* What the loop takes: lists, all but the news in no particular order. */
struct nns_completed {
    struct nns_batch *batches;
    struct nns_order *orders;
    struct nns_news_batch *news;
    uint64_t news_sequence;
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

/* Is there room for another batch of news? Of those a bounded number waits: a loop that does not come round
 * must not cost memory. One thread asks and adds. */
bool nns_completions_want_news(struct nns_completions *completions);

/* News up to this sequence number; batch is NULL where all of it was dropped. */
void nns_completions_add_news(struct nns_completions *completions, struct nns_news_batch *batch,
                              uint64_t sequence);

/* From now on the loop is woken for every batch, and once now. */
void nns_completions_hurry(struct nns_completions *completions);

/* Loop thread. */
struct nns_completed nns_completions_take(struct nns_completions *completions);

#endif

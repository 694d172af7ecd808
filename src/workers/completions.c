/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/completions.h"

#include <stdlib.h>

/* Settled batches of the feed that may lie there untold: some 400 KiB. */
enum { QUIET_MAX = 16 };

/* Batches of news that may wait: some 700 KiB. */
enum { NEWS_WAITING_MAX = 64 };

int nns_completions_init(struct nns_completions *completions, uv_loop_t *loop, uv_async_cb wake, void *data)
{
    int rc = uv_mutex_init(&completions->lock);

    if (rc)
        return rc;
    completions->batches = NULL;
    completions->orders = NULL;
    completions->room = completions->woken = false;
    completions->eager = false;
    completions->quiet = 0;
    completions->news = NULL;
    completions->news_end = &completions->news;
    completions->news_waiting = 0;
    completions->news_sequence = 0;
    rc = uv_async_init(loop, &completions->async, wake);
    if (rc)
        uv_mutex_destroy(&completions->lock);
    else
        completions->async.data = data;
    return rc;
}

void nns_completions_close(struct nns_completions *completions)
{
    uv_close((uv_handle_t *)&completions->async, NULL);
}

void nns_completions_deinit(struct nns_completions *completions)
{
    while (completions->news) {
        struct nns_news_batch *next = completions->news->next;

        free(completions->news);
        completions->news = next;
    }
    uv_mutex_destroy(&completions->lock);
}

/* Ends the locked part of an addition. */
static void unlock_and_wake(struct nns_completions *completions)
{
    bool wake = !completions->woken;

    completions->woken = true;
    uv_mutex_unlock(&completions->lock);
    if (wake)
        uv_async_send(&completions->async);
}

void nns_completions_add_batch(struct nns_completions *completions, struct nns_batch *batch)
{
    uv_mutex_lock(&completions->lock);
    batch->next = completions->batches;
    completions->batches = batch;
    if (batch->job || completions->eager || ++completions->quiet == QUIET_MAX)
        unlock_and_wake(completions);
    else
        uv_mutex_unlock(&completions->lock);
}

void nns_completions_hurry(struct nns_completions *completions)
{
    uv_mutex_lock(&completions->lock);
    completions->eager = true;
    unlock_and_wake(completions);
}

void nns_completions_add_order(struct nns_completions *completions, struct nns_order *order)
{
    uv_mutex_lock(&completions->lock);
    order->next = completions->orders;
    completions->orders = order;
    unlock_and_wake(completions);
}

void nns_completions_add_room(struct nns_completions *completions)
{
    uv_mutex_lock(&completions->lock);
    completions->room = true;
    unlock_and_wake(completions);
}

bool nns_completions_want_news(struct nns_completions *completions)
{
    bool want;

    uv_mutex_lock(&completions->lock);
    want = completions->news_waiting < NEWS_WAITING_MAX;
    uv_mutex_unlock(&completions->lock);
    return want;
}

void nns_completions_add_news(struct nns_completions *completions, struct nns_news_batch *batch,
                              uint64_t sequence)
{
    uv_mutex_lock(&completions->lock);
    completions->news_sequence = sequence;
    if (batch) {
        batch->next = NULL;
        *completions->news_end = batch;
        completions->news_end = &batch->next;
        completions->news_waiting++;
    }
    unlock_and_wake(completions);
}

struct nns_completed nns_completions_take(struct nns_completions *completions)
{
    struct nns_completed taken;

    uv_mutex_lock(&completions->lock);
    taken = (struct nns_completed){.batches = completions->batches,
                                   .orders = completions->orders,
                                   .news = completions->news,
                                   .news_sequence = completions->news_sequence,
                                   .room = completions->room};
    completions->batches = NULL;
    completions->orders = NULL;
    completions->news = NULL;
    completions->news_end = &completions->news;
    completions->news_waiting = 0;
    completions->room = completions->woken = false;
    completions->quiet = 0;
    uv_mutex_unlock(&completions->lock);
    return taken;
}

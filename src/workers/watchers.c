/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/watchers.h"

#include <stdlib.h>

#include "core/counters.h"
#include "core/protocol.h"

/* Lines sent between two looks at whether the client takes them. */
enum { LINES_AT_ONCE = 64 };

/* A number that no known namespace had is that of the first one met under it: the next to have the inum is
 * another (I5). */
static bool wants(struct nns_watcher *watcher, const struct nns_news *news)
{
    struct nns_selector *only = &watcher->only;
    bool its_own = news->cookie == only->cookie || (only->inum && news->inum == only->inum);

    if (!only->cookie || news->kind == NNS_NEWS_LOST)
        return true;
    if (its_own)
        *only = (struct nns_selector){.cookie = news->cookie};
    return its_own;
}

static void send_on(struct nns_watcher *watcher)
{
    struct nns_news news;
    int lines = 0;

    while (lines < LINES_AT_ONCE && nns_news_read(&watcher->watchers->log, &watcher->reader, &news)) {
        if (!wants(watcher, &news))
            continue;
        if (news.kind == NNS_NEWS_LOST)
            nns_count(NNS_COUNT_WATCH_LOST, news.amount);
        nns_control_send(watcher->client, nns_answer_news(&news));
        lines++;
    }
    watcher->sending = lines > 0;
}

void nns_watcher_drained(struct nns_watcher *watcher)
{
    send_on(watcher);
}

static void enlist(struct nns_watchers *watchers, struct nns_watcher *watcher)
{
    watcher->watchers = watchers;
    watcher->next = watchers->first;
    watcher->link = &watchers->first;
    if (watcher->next)
        watcher->next->link = &watcher->next;
    watchers->first = watcher;
    watchers->count++;
}

struct nns_watcher *nns_watchers_add(struct nns_watchers *watchers, struct nns_control_client *client,
                                     struct nns_selector only, uint64_t sequence, const char *instance)
{
    const struct nns_news greeting = {
        .sequence = sequence, .time_ms = nns_news_time_ms(), .text = instance, .kind = NNS_NEWS_WATCHING};
    struct nns_watcher *watcher = malloc(sizeof(*watcher));

    if (!watcher)
        return NULL;
    if (!watchers->log.items && nns_news_log_init(&watchers->log, sequence)) {
        free(watcher);
        return NULL;
    }
    *watcher = (struct nns_watcher){.client = client, .only = only, .sending = true};
    watcher->reader = nns_news_reader_at(&watchers->log, sequence);
    enlist(watchers, watcher);
    nns_control_send(client, nns_answer_news(&greeting));
    return watcher;
}

void nns_watchers_remove(struct nns_watcher *watcher)
{
    struct nns_watchers *watchers = watcher->watchers;

    *watcher->link = watcher->next;
    if (watcher->next)
        watcher->next->link = watcher->link;
    free(watcher);
    if (--watchers->count == 0)
        nns_news_log_deinit(&watchers->log);
}

static void keep(struct nns_watchers *watchers, const struct nns_news_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        nns_news_log_add(&watchers->log, &batch->items[i]);
}

void nns_watchers_take(struct nns_watchers *watchers, struct nns_news_batch *batches, uint64_t sequence)
{
    while (batches) {
        struct nns_news_batch *next = batches->next;

        if (watchers->first)
            keep(watchers, batches);
        free(batches);
        batches = next;
    }
    if (watchers->first)
        nns_news_log_reach(&watchers->log, sequence);
    for (struct nns_watcher *watcher = watchers->first; watcher; watcher = watcher->next)
        if (!watcher->sending)
            send_on(watcher);
}

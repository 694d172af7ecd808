/* SPDX-License-Identifier: Apache-2.0 */
#include "core/news.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static const char *const names[NNS_NEWS_KINDS] = {
    [NNS_NEWS_WATCHING] = "watching",
    [NNS_NEWS_LOST] = "lost",
    [NNS_NEWS_NAMESPACE_NEW] = "namespace.new",
    [NNS_NEWS_NAMESPACE_FAILED] = "namespace.failed",
    [NNS_NEWS_NAMESPACE_GONE] = "namespace.gone",
    [NNS_NEWS_DEVICE_ATTACHED] = "device.attached",
    [NNS_NEWS_DEVICE_RESTORED] = "device.restored",
    [NNS_NEWS_DEVICE_FAILED] = "device.failed",
    [NNS_NEWS_DEVICE_DETACHED] = "device.detached",
    [NNS_NEWS_DEVICE_RENAMED] = "device.renamed",
    [NNS_NEWS_DEVICE_EXCLUDED] = "device.excluded",
    [NNS_NEWS_DEVICE_GONE] = "device.gone",
};

const char *nns_news_name(enum nns_news_kind kind)
{
    return kind < NNS_NEWS_KINDS ? names[kind] : "invalid";
}

uint64_t nns_news_time_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int nns_news_log_init(struct nns_news_log *log, uint64_t last)
{
    struct nns_news *items = calloc(NNS_NEWS_KEPT, sizeof(*items));

    if (!items)
        return -ENOMEM;
    *log = (struct nns_news_log){.items = items, .last = last};
    return 0;
}

void nns_news_log_deinit(struct nns_news_log *log)
{
    free(log->items);
    *log = (struct nns_news_log){0};
}

void nns_news_log_add(struct nns_news_log *log, const struct nns_news *news)
{
    log->items[log->added++ % NNS_NEWS_KEPT] = *news;
    nns_news_log_reach(log, news->sequence);
}

void nns_news_log_reach(struct nns_news_log *log, uint64_t last)
{
    if (log->last < last)
        log->last = last;
}

static uint64_t oldest_place(const struct nns_news_log *log)
{
    return log->added > NNS_NEWS_KEPT ? log->added - NNS_NEWS_KEPT : 0;
}

static const struct nns_news *at(const struct nns_news_log *log, uint64_t place)
{
    return &log->items[place % NNS_NEWS_KEPT];
}

struct nns_news_reader nns_news_reader_at(const struct nns_news_log *log, uint64_t sequence)
{
    return (struct nns_news_reader){.place = oldest_place(log), .sequence = sequence};
}

/* To the first piece that is there and that it does not know of. */
static void move_on(const struct nns_news_log *log, struct nns_news_reader *reader)
{
    uint64_t oldest = oldest_place(log);

    if (reader->place < oldest)
        reader->place = oldest;
    while (reader->place < log->added && at(log, reader->place)->sequence <= reader->sequence)
        reader->place++;
}

bool nns_news_read(const struct nns_news_log *log, struct nns_news_reader *reader, struct nns_news *news)
{
    uint64_t before;

    move_on(log, reader);
    /* What came before the next piece that is there, the reader has had or missed. */
    before = reader->place < log->added ? at(log, reader->place)->sequence - 1 : log->last;
    if (before > reader->sequence) {
        *news = (struct nns_news){.sequence = before,
                                  .time_ms = nns_news_time_ms(),
                                  .amount = before - reader->sequence,
                                  .kind = NNS_NEWS_LOST};
        reader->sequence = before;
        return true;
    }
    if (reader->place == log->added)
        return false;
    *news = *at(log, reader->place++);
    reader->sequence = news->sequence;
    return true;
}

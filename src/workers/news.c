/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/news.h"

#include <stdlib.h>
#include <string.h>

/* The batch being filled, or NULL when there is no room for what it would hold. */
NNS_OWNER_ONLY static struct nns_news_batch *batch_under_way(struct nns_owner *owner)
{
    if (!owner->news && nns_completions_want_news(owner->context.completions)) {
        owner->news = malloc(sizeof(*owner->news));
        if (owner->news)
            owner->news->count = 0;
    }
    return owner->news;
}

NNS_OWNER_ONLY static void tell(struct nns_owner *owner, struct nns_news *news)
{
    struct nns_news_batch *batch = batch_under_way(owner);

    news->sequence = ++owner->news_sequence;
    if (!batch)
        return;
    news->time_ms = nns_news_time_ms();
    batch->items[batch->count++] = *news;
    if (batch->count == NNS_NEWS_BATCH)
        nns_news_hand_on(owner);
}

static struct nns_news about(const struct nns_namespace *ns, enum nns_news_kind kind)
{
    return (struct nns_news){.cookie = nns_namespace_cookie(ns),
                             .inum = nns_namespace_inum(ns),
                             .kind = (uint8_t)kind,
                             .handle = ns->handle.kind,
                             .host = ns->host};
}

void nns_news_namespace(struct nns_owner *owner, const struct nns_namespace *ns, enum nns_news_kind kind)
{
    nns_news_namespace_because(owner, ns, kind, NULL, 0);
}

void nns_news_namespace_because(struct nns_owner *owner, const struct nns_namespace *ns,
                                enum nns_news_kind kind, const char *reason, uint64_t retry_ms)
{
    struct nns_news news;

    if (!owner->watchers)
        return;
    news = about(ns, kind);
    news.text = reason;
    news.amount = retry_ms;
    tell(owner, &news);
}

static struct nns_news about_device(const struct nns_namespace *ns, const struct nns_device *device,
                                    enum nns_news_kind kind)
{
    struct nns_news news = about(ns, kind);
    uint64_t now = nns_now_ms();

    news.device = *device;
    if (device->retry_ms)
        news.amount = device->retry_ms > now ? device->retry_ms - now : 1;
    return news;
}

void nns_news_device(struct nns_owner *owner, const struct nns_namespace *ns, const struct nns_device *device,
                     enum nns_news_kind kind)
{
    struct nns_news news;

    if (!owner->watchers)
        return;
    news = about_device(ns, device, kind);
    tell(owner, &news);
}

void nns_news_renamed(struct nns_owner *owner, const struct nns_namespace *ns,
                      const struct nns_device *device, const char *name)
{
    struct nns_news news;

    if (!owner->watchers)
        return;
    news = about_device(ns, device, NNS_NEWS_DEVICE_RENAMED);
    memcpy(news.former, device->link.name, sizeof(news.former));
    memcpy(news.device.link.name, name, sizeof(news.device.link.name));
    tell(owner, &news);
}

void nns_news_hand_on(struct nns_owner *owner)
{
    if (owner->news_sequence == owner->news_handed_on)
        return;
    nns_completions_add_news(owner->context.completions, owner->news, owner->news_sequence);
    owner->news = NULL;
    owner->news_handed_on = owner->news_sequence;
}

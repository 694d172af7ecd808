/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/devices.h"

#include <errno.h>
#include <string.h>

#include "core/counters.h"
#include "workers/exclude.h"
#include "workers/news.h"

NNS_OWNER_ONLY static void forget_device(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex,
                                         enum nns_news_kind why)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);

    if (!device)
        return;
    nns_news_device(owner, ns, device, why);
    nns_trace_uncover(owner->context.trace, nns_namespace_cookie(ns), ifindex);
    nns_device_queue_drop(&ns->queue, ifindex);
    nns_slots_give(&owner->slots, device->slot);
    nns_devices_remove(&ns->devices, ifindex);
}

int nns_queue_device(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_link *link)
{
    int answer = nns_device_queue_push(&ns->queue, link, owner->context.params->devices_queue);

    if (answer == NNS_DEVICE_QUEUED_NEW)
        nns_count(NNS_COUNT_DEVICES_QUEUED, 1);
    else if (answer == NNS_DEVICE_QUEUED_ALREADY)
        nns_count(NNS_COUNT_DEVICES_DUPLICATE, 1);
    else
        nns_count(NNS_COUNT_DEVICES_OVERFLOWED, 1);
    return answer < 0 ? answer : 0;
}

NNS_OWNER_ONLY static bool excludes(struct nns_owner *owner, const struct nns_namespace *ns,
                                    const struct nns_link *link)
{
    return ns->excluded || nns_excludes_device(owner->context.params, link->name);
}

/* A former daemon of the instance may have covered it: nobody can say before the kernel was asked. */
static void suspect(struct nns_device *device)
{
    if (device->link.qdisc == NNS_QDISC_NONE)
        return;
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            device->attachments[set][hook].reason = NNS_REASON_UNKNOWN;
}

/* Queue a device, unless exclude.devices names it; it is then known, but excluded. 0, or -ENOMEM. */
NNS_OWNER_ONLY static int take_device(struct nns_owner *owner, struct nns_namespace *ns,
                                      const struct nns_link *link)
{
    bool added;
    struct nns_device *device = nns_devices_put(&ns->devices, link, &added);

    if (!device)
        return -ENOMEM;
    /* What it may carry, from under its former name or from before this daemon, is taken off at the next
     * visit. */
    if (excludes(owner, ns, link)) {
        if (added)
            suspect(device);
        if (device->state != NNS_DEVICE_EXCLUDED) {
            device->retry_ms = device->tries = 0;
            nns_news_device(owner, ns, device, NNS_NEWS_DEVICE_EXCLUDED);
        }
        device->state = NNS_DEVICE_EXCLUDED;
        nns_device_queue_drop(&ns->queue, link->ifindex);
        return 0;
    }
    if (device->state == NNS_DEVICE_EXCLUDED) {
        device->state = NNS_DEVICE_QUEUED;
        device->retry_ms = device->tries = 0;
    }
    return nns_queue_device(owner, ns, link);
}

/*
 * Is what we know under this ifindex another device (I5)? Ours carried filters, which go only with their
 * qdisc, with their device, or by somebody's hand; and a kind never changes. Counts and retries start afresh
 * then; for a device that only lost its filters that is a small loss.
 */
static bool is_another(const struct nns_device *known, const struct nns_link *link, enum nns_news_kind *why)
{
    bool kinds = known->link.kind[0] && link->kind[0];
    bool differ = kinds && strncmp(known->link.kind, link->kind, sizeof(link->kind)) != 0;

    *why = differ ? NNS_NEWS_DEVICE_GONE : NNS_NEWS_DEVICE_DETACHED;
    return differ || (nns_device_carries(known) && link->qdisc == NNS_QDISC_NONE);
}

/* A failed device comes round by its retry, a given-up one by a new request; neither is news. */
static bool needs_visit(const struct nns_device *device)
{
    if (!device || device->state == NNS_DEVICE_QUEUED || device->state == NNS_DEVICE_EXCLUDED)
        return true;
    return device->state == NNS_DEVICE_ATTACHED && device->doubted;
}

int nns_see_device(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_link *link)
{
    struct nns_device *known = nns_devices_find(&ns->devices, link->ifindex);
    enum nns_news_kind why;

    if (known && is_another(known, link, &why)) {
        forget_device(owner, ns, link->ifindex, why);
        known = NULL;
    }
    /* Nobody saw its clsact; that is not to say that it is gone (I9). */
    if (known && nns_device_carries(known) && link->qdisc == NNS_QDISC_PRESUMED_NONE)
        known->doubted = true;
    /* Renamed, or another that is like it but for the name: the kernel is asked for our filters. */
    if (known && strncmp(known->link.name, link->name, sizeof(link->name)) != 0) {
        known->doubted = true;
        nns_news_renamed(owner, ns, known, link->name);
    }
    if (needs_visit(known) || excludes(owner, ns, link))
        return take_device(owner, ns, link);
    known->link = *link;
    return 0;
}

void nns_see_device_gone(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    forget_device(owner, ns, ifindex, NNS_NEWS_DEVICE_GONE);
    nns_count(NNS_COUNT_DEVICES_GONE, 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/events.h"

#include "core/counters.h"
#include "workers/dequeue.h"

/* A device that is reported although it is covered by our account is checked against the kernel. One that is
 * not known yet is found by the listing; one of a namespace not known yet will be, when that is saved. */
NNS_OWNER_ONLY static void take_event(struct nns_owner *owner, const struct nns_trace_event *event)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, event->cookie);
    struct nns_device *device;

    if (!ns) {
        nns_count(NNS_COUNT_EVENTS_UNKNOWN, 1);
        return;
    }
    device = nns_devices_find(&ns->devices, event->number);
    if (device)
        device->doubted = true;
    nns_look_again(owner, ns, NNS_LOOK_NEWS);
}

/* Anything may have changed anywhere. */
NNS_OWNER_ONLY static void resync(struct nns_owner *owner)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    while ((ns = nns_cache_next(owner->context.cache, &cursor)))
        nns_look_again(owner, ns, NNS_LOOK_AUDIT);
}

void nns_take_events(struct nns_owner *owner, const struct nns_events *events)
{
    for (uint32_t i = 0; i < events->count; i++)
        take_event(owner, &events->items[i]);
    if (events->lost)
        resync(owner);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/events.h"

#include "core/counters.h"
#include "workers/astray.h"
#include "workers/flush.h"
#include "workers/look.h"

/* How long a namespace whose device came up may take to be found by a task in it, and how far apart two looks
 * at everything are: a host that goes on losing events is not to be kept busy with listing. */
enum { PATIENCE_MS = 500, RESYNC_APART_MS = 5000 };

/* Only what comes up is a sign of life: in a namespace that is forgotten already devices still go. */
NNS_OWNER_ONLY static void take_strangers(struct nns_owner *owner, const struct nns_trace_event *event)
{
    const struct nns_owner_context *context = &owner->context;

    nns_count(NNS_COUNT_EVENTS_UNKNOWN, 1);
    if (event->kind != NNS_TRACE_DEVICE_UP || !context->params->discover_enabled ||
        nns_exclusions_have(context->exclusions, event->cookie) ||
        nns_evicted_find(&owner->evicted, event->cookie, 0))
        return;
    nns_strangers_note(&owner->strangers, event->cookie, nns_now_ms(), context->params->audit_interval_ms);
}

/*
 * A new namespace's first devices come up while it is being looked at for the first time, and are attached by
 * the time the news of it is read. The kernel reports nothing of the kind once a device counts as covered,
 * and takes it off its account when it loses its clsact: one that is on it still was attached after it came
 * up.
 */
NNS_OWNER_ONLY static bool comes_late(struct nns_owner *owner, const struct nns_device *device,
                                      const struct nns_trace_event *event)
{
    return event->kind == NNS_TRACE_DEVICE_UP && device && device->state == NNS_DEVICE_ATTACHED &&
           nns_trace_covers(owner->context.trace, event->cookie, event->number);
}

/* Its coming up is told once in a device's life: what failed before was another's, which had its ifindex
 * (I5), or may go well now. */
static void begin_life(struct nns_device *device, const struct nns_trace_event *event)
{
    if (!device || event->kind != NNS_TRACE_DEVICE_UP || device->state != NNS_DEVICE_FAILED)
        return;
    device->tries = 0;
    device->retry_ms = nns_now_ms();
}

/* A device that is reported although it is covered by our account is checked against the kernel. One of a
 * namespace that is not known yet is found when that is saved. */
void nns_take_event(struct nns_owner *owner, const struct nns_trace_event *event)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, event->cookie);
    struct nns_device *device;

    if (!ns) {
        take_strangers(owner, event);
        return;
    }
    /* No handle of any kind could tell it more surely. */
    if (event->kind == NNS_TRACE_DEAD) {
        nns_flush(owner, ns, NNS_FLUSH_DEAD);
        return;
    }
    device = nns_devices_find(&ns->devices, event->number);
    if (comes_late(owner, device, event)) {
        nns_count(NNS_COUNT_EVENTS_LATE, 1);
        return;
    }
    begin_life(device, event);
    nns_look_at(owner, ns, event->number);
}

/* Anything may have changed anywhere. A loss that comes too soon after another is made up for in time. */
NNS_OWNER_ONLY static void resync(struct nns_owner *owner, uint64_t now_ms)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    owner->lost_events = false;
    owner->resynced_ms = now_ms;
    nns_count(NNS_COUNT_EVENTS_RESYNCS, 1);
    while ((ns = nns_cache_next(owner->context.cache, &cursor)))
        nns_look_again(owner, ns, NNS_LOOK_AUDIT);
}

/* Milliseconds until what was done last at this time may be done again. */
static uint64_t rest_after(uint64_t last_ms, uint64_t now_ms)
{
    uint64_t due = last_ms ? last_ms + RESYNC_APART_MS : 0;

    return due > now_ms ? due - now_ms : 0;
}

NNS_OWNER_ONLY static uint64_t until_resync(struct nns_owner *owner, uint64_t now_ms)
{
    uint64_t wait = owner->lost_events ? rest_after(owner->resynced_ms, now_ms) : UINT64_MAX;

    if (!wait)
        resync(owner, now_ms);
    return wait;
}

/* Without discovery tasks tell only where those are that are astray, for whom looks have a pace of their own.
 */
NNS_OWNER_ONLY static uint64_t until_scan(struct nns_owner *owner, uint64_t now_ms)
{
    uint64_t wait = owner->unseen_tasks ? rest_after(owner->scanned_ms, now_ms) : UINT64_MAX;

    if (wait)
        return wait;
    owner->unseen_tasks = false;
    owner->scanned_ms = now_ms;
    if (owner->context.params->discover_enabled)
        nns_pool_want(owner->pool, NNS_CHORE_SCAN);
    else
        nns_astray_hurry(owner);
    return 0;
}

uint64_t nns_events_tick(struct nns_owner *owner, uint64_t now_ms)
{
    uint64_t wait = nns_strangers_wait(&owner->strangers, now_ms, PATIENCE_MS);
    uint64_t resync_wait = until_resync(owner, now_ms), scan_wait = until_scan(owner, now_ms);

    if (!wait) {
        nns_pool_want(owner->pool, NNS_CHORE_SCAN);
        nns_strangers_look(&owner->strangers, now_ms);
        wait = UINT64_MAX;
    }
    wait = scan_wait < wait ? scan_wait : wait;
    return resync_wait < wait ? resync_wait : wait;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/flush.h"
#include "workers/waiters.h"

/* No index holds an inum that nothing pins; of two that had it the younger is alive. */
NNS_OWNER_ONLY static struct nns_namespace *find_youngest(struct nns_owner *owner, uint32_t inum)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns, *youngest = NULL;

    while ((ns = nns_cache_next(owner->context.cache, &cursor)))
        if (nns_namespace_inum(ns) == inum &&
            (!youngest || nns_namespace_cookie(ns) > nns_namespace_cookie(youngest)))
            youngest = ns;
    return youngest;
}

NNS_OWNER_ONLY static struct nns_namespace *find(struct nns_owner *owner, struct nns_selector selector)
{
    struct nns_cache *cache = owner->context.cache;
    struct nns_namespace *ns = selector.cookie ? nns_cache_find(cache, selector.cookie) : NULL;

    if (ns || !selector.inum)
        return ns;
    return nns_weak(owner->context.way) ? find_youngest(owner, selector.inum)
                                        : nns_cache_find_inum(cache, selector.inum);
}

/* When a device that is not covered is looked at next; 0: not before somebody asks. */
static uint64_t next_try_ms(const struct nns_namespace *ns, const struct nns_device *device)
{
    if (device->state == NNS_DEVICE_FAILED)
        return device->retry_ms;
    return device->state == NNS_DEVICE_QUEUED && ns->due_slot >= 0 ? ns->due_ms : 0;
}

NNS_OWNER_ONLY static void fill_device(struct nns_owner *owner, const struct nns_namespace *ns,
                                       const struct nns_device *device, struct nns_device_row *row,
                                       uint64_t now)
{
    uint64_t next = next_try_ms(ns, device);

    *row = (struct nns_device_row){.device = *device};
    row->counted = device->slot && nns_meter_read(owner->context.meter, device->slot, row->traffic) == 0;
    if (next)
        row->retry_in_ms = next > now ? next - now : 1;
}

/* A row of the namespace as it is now. 0 or -ENOMEM. */
NNS_OWNER_ONLY static int fill_row(struct nns_owner *owner, const struct nns_namespace *ns,
                                   struct nns_namespace_row *row)
{
    uint64_t now = nns_now_ms();

    *row = (struct nns_namespace_row){
        .cookie = nns_namespace_cookie(ns),
        .inum = nns_namespace_inum(ns),
        .handle = ns->handle.kind,
        .host = ns->host,
        .list_error = nns_visits_error_text(&ns->visits),
    };
    if (!ns->devices.count)
        return 0;
    row->devices = calloc(ns->devices.count, sizeof(*row->devices));
    if (!row->devices)
        return -ENOMEM;
    row->device_count = ns->devices.count;
    for (uint32_t i = 0; i < ns->devices.count; i++)
        fill_device(owner, ns, &ns->devices.items[i], &row->devices[i], now);
    return 0;
}

static struct nns_namespace_row row_of_evicted(const struct nns_evicted *evicted)
{
    return (struct nns_namespace_row){.cookie = evicted->cookie, .inum = evicted->inum, .evicted = true};
}

NNS_OWNER_ONLY static void list_evicted(struct nns_owner *owner, struct nns_order *order)
{
    while (order->evicted_cursor < NNS_EVICTED_MAX && order->row_count < NNS_ORDER_ROWS) {
        const struct nns_evicted *evicted = &owner->evicted.items[order->evicted_cursor++];

        if (evicted->cookie)
            order->rows[order->row_count++] = row_of_evicted(evicted);
    }
    order->more = order->evicted_cursor < NNS_EVICTED_MAX;
}

NNS_OWNER_ONLY static void list(struct nns_owner *owner, struct nns_order *order)
{
    order->more = true;
    while (order->row_count < NNS_ORDER_ROWS) {
        struct nns_namespace *ns = nns_cache_next(owner->context.cache, &order->cursor);

        if (!ns) {
            list_evicted(owner, order);
            return;
        }
        order->error = fill_row(owner, ns, &order->rows[order->row_count]);
        if (order->error)
            return;
        order->row_count++;
    }
}

NNS_OWNER_ONLY static int get(struct nns_owner *owner, struct nns_order *order)
{
    const struct nns_selector *wanted = &order->selector;
    struct nns_namespace *ns = find(owner, *wanted);
    const struct nns_evicted *evicted;

    if (ns) {
        order->row_count = 1;
        return fill_row(owner, ns, &order->rows[0]);
    }
    /* A bare number may be either; where both were given the cookie decides. */
    evicted =
        nns_evicted_find(&owner->evicted, wanted->cookie, wanted->cookie == wanted->inum ? wanted->inum : 0);
    if (!evicted)
        return -ENOENT;
    order->rows[order->row_count++] = row_of_evicted(evicted);
    return 0;
}

static enum nns_reason reason_of(const struct nns_device *device)
{
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            if (device->attachments[set][hook].reason)
                return device->attachments[set][hook].reason;
    return NNS_REASON_NONE;
}

static void add_device(struct nns_status *status, const struct nns_device *device)
{
    if (device->state == NNS_DEVICE_EXCLUDED) {
        status->devices_excluded++;
        return;
    }
    status->devices_known++;
    if (nns_device_covers(device)) {
        status->devices_covered++;
        return;
    }
    if (device->state == NNS_DEVICE_FAILED)
        status->devices_failed++;
    else
        status->devices_queued++;
    status->missing_by_reason[reason_of(device)]++;
}

NNS_OWNER_ONLY static void add_coverage(struct nns_owner *owner, struct nns_status *status)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    while ((ns = nns_cache_next(owner->context.cache, &cursor))) {
        status->namespaces_unlisted += ns->visits.error != 0;
        for (uint32_t i = 0; i < ns->devices.count; i++)
            add_device(status, &ns->devices.items[i]);
    }
    status->namespaces_evicted_now = owner->evicted.count;
}

NNS_OWNER_ONLY static void fill_status(struct nns_owner *owner, struct nns_status *status)
{
    struct nns_cache_stats stats;

    nns_cache_stats(owner->context.cache, &stats);
    status->version = NNS_VERSION;
    strcpy(status->instance, owner->sets[0].instance);
    status->capabilities = owner->context.capabilities;
    status->namespaces = stats.entries;
    status->namespaces_capacity = stats.capacity;
    status->namespaces_pinned = owner->pinned;
    status->namespaces_astray = owner->astray.count;
    add_coverage(owner, status);
    status->slots_in_use = nns_slots_in_use(&owner->slots);
    status->slots_reserved = nns_slots_reserved(&owner->slots);
    status->slots_limit = owner->slots.limit;
    status->meter_pinned = nns_meter_pinned(owner->context.meter) != NNS_METER_UNPINNED;
    status->meter_bytes = nns_meter_bytes(owner->context.meter);
    status->batches_waiting = nns_pool_waiting(owner->pool);
    status->claims = nns_claims_count(owner->context.claims);
    status->memory = owner->context.weigh ? owner->context.weigh() : NNS_MEMORY_UNSAID;
    status->uptime_ms = nns_now_ms() - owner->started_ms;
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        status->program_ids[hook] = owner->sets[0].programs[hook].id;
}

/* An operator may forget any namespace but the daemon's own, whose devices carry everybody's traffic. */
NNS_OWNER_ONLY static int flush_one(struct nns_owner *owner, struct nns_selector selector)
{
    struct nns_namespace *ns = find(owner, selector);

    if (!ns)
        return -ENOENT;
    if (ns->host)
        return -EPERM;
    return nns_flush(owner, ns, NNS_FLUSH_ORDERED);
}

/* The number may be another's by the time of the first news (I5). */
NNS_OWNER_ONLY static void begin_watch(struct nns_owner *owner, struct nns_order *order)
{
    const struct nns_namespace *ns = find(owner, order->selector);

    owner->watchers++;
    order->news_sequence = owner->news_sequence;
    if (ns)
        order->selector = (struct nns_selector){.cookie = nns_namespace_cookie(ns)};
}

void nns_answer_order(struct nns_owner *owner, struct nns_order *order)
{
    switch (order->kind) {
    case NNS_ORDER_LIST:
        list(owner, order);
        break;
    case NNS_ORDER_GET:
        order->error = get(owner, order);
        break;
    case NNS_ORDER_STATUS:
        fill_status(owner, order->status);
        break;
    case NNS_ORDER_FLUSH:
        order->error = flush_one(owner, order->selector);
        break;
    case NNS_ORDER_DETACH:
        order->error = nns_flush_all(owner, NNS_FLUSH_ORDERED);
        break;
    case NNS_ORDER_WATCH:
        begin_watch(owner, order);
        break;
    case NNS_ORDER_UNWATCH:
        owner->watchers--;
        break;
    case NNS_ORDER_WAIT:
        nns_waiters_add(owner, order);
        return;
    case NNS_ORDER_STOP:
        owner->stop = order;
        return;
    }
    nns_completions_add_order(owner->context.completions, order);
}

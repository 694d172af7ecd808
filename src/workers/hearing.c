/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/hearing.h"

#include <errno.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/look.h"

enum { PARTS = 8, SHARDS_A_PART = NNS_CACHE_SHARDS / PARTS };

/* However many there are, no more than one of them a millisecond is listed for no reason but time. */
enum { LISTING_MS = 1 };

static struct nns_log_limit refused_limit, numbers_limit;

/* ---- numbers ---- */

NNS_OWNER_ONLY static void note_unheard(struct nns_owner *owner, struct nns_namespace *ns)
{
    if (ns->nsid < 0)
        return;
    ns->nsid = NNS_NSID_NONE;
    owner->heard--;
}

/* Whoever had a number that is free, or another's, is dead as a rule; where the number was given to it again
 * meanwhile, its visit asks for it anew. */
NNS_OWNER_ONLY static void look_at_holder(struct nns_owner *owner, uint64_t cookie)
{
    struct nns_namespace *ns = cookie ? nns_cache_find(owner->context.cache, cookie) : NULL;

    if (!ns)
        return;
    note_unheard(owner, ns);
    nns_look_again(owner, ns, NNS_LOOK_NEWS);
}

NNS_OWNER_ONLY static int32_t ask_for_number(struct nns_owner *owner, const struct nns_namespace *ns)
{
    int32_t nsid = NNS_NSID_NONE;
    uint64_t former = 0;
    int rc = nns_link_events_hear(owner->context.link_events, ns->handle.fd, &nsid);

    if (!rc)
        rc = nns_nsids_put(&owner->nsids, nsid, nns_namespace_cookie(ns), &former);
    if (rc) {
        nns_count(NNS_COUNT_EVENTS_REFUSED, 1);
        nns_log_limited(&refused_limit, NNS_LOG_WARNING,
                        "namespace %llu: rtnetlink cannot tell of it, its devices are listed: %s",
                        (unsigned long long)nns_namespace_cookie(ns), strerrordesc_np(-rc));
        return NNS_NSID_NONE;
    }
    nns_count(NNS_COUNT_EVENTS_HEARD, 1);
    look_at_holder(owner, former);
    return nsid;
}

/* The host's own namespace has one end of most devices: there is always room for it. */
NNS_OWNER_ONLY static bool may_have_number(const struct nns_owner *owner, const struct nns_namespace *ns)
{
    return ns->host || owner->nsids.count < owner->context.params->events_nsid_max;
}

void nns_hear(struct nns_owner *owner, struct nns_namespace *ns)
{
    int32_t nsid;

    if (owner->context.telling != NNS_TOLD_BY_RTNETLINK || ns->nsid >= 0 || ns->excluded)
        return;
    nsid = nns_nsids_find(&owner->nsids, nns_namespace_cookie(ns));
    if (nsid < 0 && may_have_number(owner, ns))
        nsid = ask_for_number(owner, ns);
    if (nsid < 0)
        return;
    ns->nsid = nsid;
    nns_visits_owe(&ns->visits);
    owner->heard++;
}

void nns_unhear(struct nns_owner *owner, struct nns_namespace *ns, bool dead)
{
    if (dead)
        nns_nsids_drop(&owner->nsids, ns->nsid);
    note_unheard(owner, ns);
}

/* ---- news ---- */

/* Most of what is told of a device is not that it came or has another name: its state, an address, its
 * carrier. */
static bool is_news(const struct nns_namespace *ns, const struct nns_link_event *event)
{
    const struct nns_device *device = nns_devices_find(&ns->devices, event->number);

    if (event->kind == NNS_LINK_GONE)
        return device;
    return !device || strncmp(device->link.name, event->name, sizeof(event->name)) != 0;
}

NNS_OWNER_ONLY static void take_link(struct nns_owner *owner, const struct nns_link_event *event)
{
    uint64_t cookie = nns_nsids_cookie(&owner->nsids, event->nsid);
    struct nns_namespace *ns = cookie ? nns_cache_find(owner->context.cache, cookie) : NULL;

    if (!ns) {
        nns_count(NNS_COUNT_EVENTS_UNKNOWN, 1);
        return;
    }
    if (is_news(ns, event))
        nns_look_at(owner, ns, event->number);
}

NNS_OWNER_ONLY static void take_event(struct nns_owner *owner, const struct nns_link_event *event)
{
    if (event->kind != NNS_LINK_NSID_GONE)
        take_link(owner, event);
    else if (event->nsid == NNS_NSID_NONE) /* else it is a number in another's table */
        look_at_holder(owner, nns_nsids_drop(&owner->nsids, (int32_t)event->number));
}

static void note_given(void *given, int32_t nsid)
{
    uint64_t former;

    nns_nsids_put(given, nsid, 1, &former);
}

/* Whose number the kernel does not have any more died unheard. */
NNS_OWNER_ONLY static int drop_dead_numbers(struct nns_owner *owner)
{
    struct nns_nsids given = {NULL, 0, 0};
    int rc = nns_nsids_init(&given, owner->nsids.capacity);

    if (!rc)
        rc = nns_link_events_each(owner->context.link_events, note_given, &given);
    for (uint32_t i = 0; i < given.capacity && !rc; i++)
        if (!nns_nsids_cookie(&given, (int32_t)i))
            look_at_holder(owner, nns_nsids_drop(&owner->nsids, (int32_t)i));
    nns_nsids_deinit(&given);
    return rc;
}

void nns_take_link_news(struct nns_owner *owner, const struct nns_link_news *news)
{
    int rc;

    for (uint32_t i = 0; i < news->count; i++)
        take_event(owner, &news->items[i]);
    if (!news->lost)
        return;
    owner->lost_events = true;
    rc = drop_dead_numbers(owner);
    if (rc)
        nns_log_limited(&numbers_limit, NNS_LOG_WARNING, "cannot see which namespaces rtnetlink tells of: %s",
                        strerrordesc_np(-rc));
}

/* ---- listings ---- */

/* One that cannot be visited has retries of its own, and then the audit; one whose listing was interrupted
 * can be. */
static bool wants_listing(const struct nns_namespace *ns)
{
    return ns->nsid < 0 && ns->handle.kind != NNS_HANDLE_NONE && !ns->visits.barred;
}

/* Returns how many were found. */
NNS_OWNER_ONLY static uint64_t list_part(struct nns_owner *owner)
{
    const uint32_t end = (owner->listing_part + 1) * SHARDS_A_PART;
    struct nns_cache_cursor cursor = {.shard = owner->listing_part * SHARDS_A_PART};
    struct nns_namespace *ns;
    uint64_t count = 0;

    while ((ns = nns_cache_next(owner->context.cache, &cursor)) && cursor.shard < end) {
        if (!wants_listing(ns))
            continue;
        nns_look_again(owner, ns, NNS_LOOK_ROUTINE);
        count++;
    }
    nns_count(NNS_COUNT_EVENTS_LISTINGS, count);
    owner->listing_part = (owner->listing_part + 1) % PARTS;
    return count;
}

NNS_OWNER_ONLY static bool all_are_heard(const struct nns_owner *owner)
{
    struct nns_cache_stats stats;

    nns_cache_stats(owner->context.cache, &stats);
    return stats.entries <= owner->heard;
}

static uint64_t part_interval(const struct nns_owner *owner, uint64_t listed)
{
    uint64_t ms = owner->context.params->events_interval_ms / PARTS, least = 1 + listed * LISTING_MS;

    return ms > least ? ms : least;
}

uint64_t nns_listing_tick(struct nns_owner *owner, uint64_t now_ms)
{
    if (owner->context.telling < NNS_TOLD_BY_RTNETLINK || all_are_heard(owner)) {
        owner->next_listing_ms = 0;
        return UINT64_MAX;
    }
    if (!owner->next_listing_ms)
        owner->next_listing_ms = now_ms + part_interval(owner, 0);
    else if (owner->next_listing_ms <= now_ms)
        owner->next_listing_ms = now_ms + part_interval(owner, list_part(owner));
    return owner->next_listing_ms - now_ms;
}

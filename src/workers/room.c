/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/room.h"

#include <errno.h>

#include "core/counters.h"
#include "workers/flush.h"
#include "workers/told.h"

/* Between two offers: where namespaces come and go all the time there is room for a moment again and again.
 */
enum { OFFERS_APART_MS = 5000 };

bool nns_room_is_there(const struct nns_owner *owner)
{
    return !nns_cache_full(owner->context.cache);
}

int nns_room_make(struct nns_owner *owner)
{
    struct nns_cache *cache = owner->context.cache;

    while (nns_cache_full(cache)) {
        struct nns_namespace *victim = nns_cache_victim(cache);

        if (!victim)
            return -ENOSPC;
        nns_flush(owner, victim, NNS_FLUSH_EVICTED);
    }
    return 0;
}

/* ---- who is missed ---- */

/* The tracepoints keep nothing of one that is not remembered here: it would stay hidden for ever. Another may
 * have its inum by now and be missed itself. */
NNS_OWNER_ONLY static void drop(struct nns_owner *owner, uint64_t cookie)
{
    nns_evicted_forget(&owner->evicted, cookie, 0);
    nns_tell_tasks(owner, cookie);
}

void nns_room_miss(struct nns_owner *owner, struct nns_netns_id id)
{
    struct nns_evicted *missed = (struct nns_evicted *)nns_evicted_find(&owner->evicted, id.cookie, 0);
    uint64_t former;

    if (nns_exclusions_have(owner->context.exclusions, id.cookie))
        return; /* it is uncovered by the operator's wish */
    former = missed ? 0 : nns_evicted_add(&owner->evicted, id.cookie, id.inum);
    if (missed)
        missed->offered = false;
    owner->unoffered = true;
    nns_count(NNS_COUNT_EVICTED_UNLISTED, former != 0);
    if (former)
        nns_tell_tasks(owner, former);
    nns_tell_tasks(owner, id.cookie);
}

void nns_room_found(struct nns_owner *owner, struct nns_netns_id id)
{
    for (size_t i = 0; i < NNS_EVICTED_MAX && owner->evicted.count; i++) {
        const struct nns_evicted *missed = &owner->evicted.items[i];

        if (missed->cookie && (missed->cookie == id.cookie || missed->inum == id.inum))
            drop(owner, missed->cookie);
    }
}

NNS_OWNER_ONLY static bool is_dead(struct nns_owner *owner, const struct nns_evicted *missed)
{
    const struct nns_netns_id id = {.cookie = missed->cookie, .inum = missed->inum};

    return owner->context.way == NNS_HANDLES_BY_ID && nns_netns_is_dead(id);
}

void nns_room_drop_dead(struct nns_owner *owner)
{
    for (size_t i = 0; i < NNS_EVICTED_MAX && owner->evicted.count; i++) {
        const struct nns_evicted *missed = &owner->evicted.items[i];

        if (missed->cookie && is_dead(owner, missed))
            drop(owner, missed->cookie);
    }
}

void nns_room_seen(struct nns_owner *owner, struct nns_evicted *evicted, bool inhabited)
{
    uint64_t cookie = evicted->cookie;

    nns_evicted_seen(&owner->evicted, evicted, inhabited);
    if (!evicted->cookie)
        nns_tell_tasks(owner, cookie);
}

void nns_room_forget_all(struct nns_owner *owner)
{
    for (size_t i = 0; i < NNS_EVICTED_MAX && owner->evicted.count; i++)
        if (owner->evicted.items[i].cookie)
            drop(owner, owner->evicted.items[i].cookie);
}

/* ---- when there is room again ---- */

/* Each is offered it once: one that no look finds then is for whatever event tells of it. */
NNS_OWNER_ONLY static bool may_offer(struct nns_owner *owner, const struct nns_evicted *missed)
{
    if (!missed->cookie || missed->offered)
        return false;
    if (!is_dead(owner, missed))
        return true;
    drop(owner, missed->cookie);
    return false;
}

NNS_OWNER_ONLY static size_t offer(struct nns_owner *owner, size_t room)
{
    size_t offered = 0;

    for (size_t i = 0; i < NNS_EVICTED_MAX && owner->evicted.count && offered < room; i++) {
        struct nns_evicted *missed = &owner->evicted.items[i];

        if (!may_offer(owner, missed))
            continue;
        missed->offered = true;
        nns_tell_tasks(owner, missed->cookie);
        offered++;
    }
    return offered;
}

uint64_t nns_room_tick(struct nns_owner *owner, uint64_t now_ms)
{
    uint64_t due = owner->offered_ms ? owner->offered_ms + OFFERS_APART_MS : 0;
    struct nns_cache_stats stats;

    if (!owner->context.params->discover_enabled || !owner->unoffered || !nns_room_is_there(owner))
        return UINT64_MAX;
    if (due > now_ms)
        return due - now_ms;
    nns_cache_stats(owner->context.cache, &stats);
    owner->offered_ms = now_ms;
    owner->unoffered = offer(owner, stats.capacity - stats.entries) != 0;
    if (owner->unoffered)
        nns_pool_want(owner->pool, NNS_CHORE_SCAN);
    return owner->unoffered ? OFFERS_APART_MS : UINT64_MAX;
}

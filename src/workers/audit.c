/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/audit.h"

#include <errno.h>

#include "core/counters.h"
#include "workers/look.h"
#include "workers/room.h"

enum { PARTS = 4, SHARDS_A_PART = NNS_CACHE_SHARDS / PARTS };

static uint64_t interval(const struct nns_owner *owner)
{
    uint64_t ms = owner->context.params->audit_interval_ms / PARTS;

    return ms ? ms : 1;
}

static struct nns_netns_id id_of(const struct nns_namespace *ns)
{
    return (struct nns_netns_id){.cookie = nns_namespace_cookie(ns), .inum = nns_namespace_inum(ns)};
}

NNS_OWNER_ONLY static void audit_part(struct nns_owner *owner)
{
    const uint32_t end = (owner->audit_part + 1) * SHARDS_A_PART;
    struct nns_cache_cursor cursor = {.shard = owner->audit_part * SHARDS_A_PART};
    struct nns_namespace *ns;

    while ((ns = nns_cache_next(owner->context.cache, &cursor)) && cursor.shard < end) {
        ns->remeet = true;
        nns_look_again(owner, ns, NNS_LOOK_AUDIT);
        nns_count(NNS_COUNT_NAMESPACES_AUDITED, 1);
    }
    owner->audit_part = (owner->audit_part + 1) % PARTS;
}

void nns_audit_exclusion(struct nns_owner *owner, struct nns_namespace *ns)
{
    if (!ns->remeet)
        return;
    ns->remeet = false;
    ns->excluded = nns_exclusions_meet_again(owner->context.exclusions, id_of(ns));
}

NNS_OWNER_ONLY static void revisit_asked(struct nns_owner *owner)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    while ((ns = nns_cache_next(owner->context.cache, &cursor))) {
        /* Of most nobody asked: their line is left with those who read it. */
        if (!atomic_load_explicit(&ns->asked, memory_order_relaxed) ||
            !atomic_exchange_explicit(&ns->asked, false, memory_order_acq_rel))
            continue;
        ns->lonely_ms = 0;
        ns->doomed = false;
        nns_look_again(owner, ns, NNS_LOOK_NEWS);
        nns_count(NNS_COUNT_NAMESPACES_RELISTED, 1);
    }
}

static bool discovers(const struct nns_owner *owner)
{
    return owner->context.params->network_enabled && owner->context.params->discover_enabled;
}

/* Where nothing is known yet there is still somebody to be found, of whom nothing may tell. */
NNS_OWNER_ONLY static bool has_work(const struct nns_owner *owner)
{
    struct nns_cache_stats stats;

    nns_cache_stats(owner->context.cache, &stats);
    return stats.entries || owner->evicted.count || discovers(owner) ||
           nns_exclusions_lead(owner->context.exclusions);
}

uint64_t nns_audit_tick(struct nns_owner *owner, uint64_t now_ms)
{
    bool changed;

    if (!has_work(owner)) {
        owner->next_audit_ms = 0;
        return UINT64_MAX;
    }
    if (!owner->next_audit_ms) {
        owner->next_audit_ms = now_ms + interval(owner);
    } else if (owner->next_audit_ms <= now_ms) {
        changed = nns_exclusions_review(owner->context.exclusions);
        if ((owner->audit_part == 0 || changed) && discovers(owner))
            nns_pool_want(owner->pool, NNS_CHORE_SCAN);
        revisit_asked(owner);
        audit_part(owner);
        nns_room_drop_dead(owner);
        owner->next_audit_ms = now_ms + interval(owner);
    }
    return owner->next_audit_ms - now_ms;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/lonely.h"

#include <sched.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/room.h"

static struct nns_log_limit sweep_limit;

enum { LOOKS_A_TIMEOUT = 3, SHORTEST_INTERVAL_MS = 50 };

static uint64_t interval(const struct nns_owner *owner)
{
    uint64_t ms = owner->context.params->lonely_timeout_ms / LOOKS_A_TIMEOUT;

    return ms > SHORTEST_INTERVAL_MS ? ms : SHORTEST_INTERVAL_MS;
}

uint64_t nns_lonely_tick(struct nns_owner *owner, uint64_t now_ms)
{
    if (owner->context.way == NNS_HANDLES_BY_ID || (!owner->pinned && !owner->evicted.count)) {
        owner->next_sweep_ms = 0;
        return UINT64_MAX;
    }
    if (!owner->next_sweep_ms) {
        owner->next_sweep_ms = now_ms + interval(owner);
    } else if (owner->next_sweep_ms <= now_ms) {
        nns_pool_want(owner->pool, NNS_CHORE_SWEEP);
        owner->next_sweep_ms = now_ms + interval(owner);
    }
    return owner->next_sweep_ms - now_ms;
}

bool nns_lonely_still(struct nns_owner *owner, struct nns_namespace *ns)
{
    struct nns_epoch *epoch = nns_cache_epoch(owner->context.cache);
    uint64_t turn;

    /* Out of the index first: whoever finds it after this does so by opening it, and saving finds it by its
     * cookie. Whoever found it before has marked it once all readers have moved on; they do so without a
     * system call. */
    nns_cache_distrust_inum(owner->context.cache, ns);
    turn = nns_epoch_turn(epoch);
    while (!nns_epoch_passed(epoch, turn))
        sched_yield();
    if (!atomic_load_explicit(&ns->asked, memory_order_acquire))
        return true;
    ns->doomed = false;
    ns->lonely_ms = 0;
    /* Nobody else can have come by the inum while we pin it; without memory it is a known namespace that has
     * to be opened to be recognised. */
    if (ns->handle.kind == NNS_HANDLE_PINNED)
        nns_cache_trust_inum(owner->context.cache, ns);
    return false;
}

/* An evicted namespace is shown as uncovered while it lives; two looks in a row that miss it say that it does
 * not. */
NNS_OWNER_ONLY static void judge_evicted(struct nns_owner *owner, const struct nns_inums *inums)
{
    for (size_t i = 0; i < NNS_EVICTED_MAX; i++) {
        struct nns_evicted *evicted = &owner->evicted.items[i];

        if (evicted->cookie)
            nns_room_seen(owner, evicted, nns_inums_has(inums, evicted->inum));
    }
}

/* An entry without a handle pins nothing and carries nothing; it only must not stay for ever. */
static bool inhabited(const struct nns_namespace *ns, const struct nns_inums *inums)
{
    return ns->host || (ns->handle.kind != NNS_HANDLE_NONE && nns_inums_has(inums, nns_namespace_inum(ns)));
}

/* A look can take long, and a namespace come to be known meanwhile: two of them say that nobody was there for
 * the whole timeout only when the second began so long after the first had ended. */
void nns_lonely_judge(struct nns_owner *owner, const struct nns_swept *swept)
{
    uint64_t now = nns_now_ms(), timeout = owner->context.params->lonely_timeout_ms;
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    nns_count(NNS_COUNT_LONELY_SWEEPS, 1);
    if (swept->error) {
        nns_count(NNS_COUNT_LONELY_UNKNOWN, 1);
        nns_log_limited(&sweep_limit, NNS_LOG_WARNING, "cannot see which namespaces are inhabited: %s",
                        strerror(-swept->error));
        return;
    }
    judge_evicted(owner, &swept->inhabited);
    /* Where handles are weak inums tell nothing of those that are known, and we keep none of them alive. */
    if (nns_weak(owner->context.way))
        return;
    while ((ns = nns_cache_next(owner->context.cache, &cursor))) {
        if (inhabited(ns, &swept->inhabited)) {
            ns->lonely_ms = 0;
            ns->doomed = false;
        } else if (!ns->lonely_ms) {
            ns->lonely_ms = now;
        } else if (swept->began_ms >= ns->lonely_ms + timeout) {
            ns->doomed = true;
            nns_due_add(&owner->due, ns, now);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/lonely.h"

#include <string.h>

#include "core/counters.h"
#include "core/log.h"

static struct nns_log_limit sweep_limit;

enum { LOOKS_A_TIMEOUT = 3, SHORTEST_INTERVAL_MS = 50 };

static uint64_t interval(const struct nns_owner *owner)
{
    uint64_t ms = owner->context.params->lonely_timeout_ms / LOOKS_A_TIMEOUT;

    return ms > SHORTEST_INTERVAL_MS ? ms : SHORTEST_INTERVAL_MS;
}

uint64_t nns_lonely_tick(struct nns_owner *owner, uint64_t now_ms)
{
    struct nns_cache_stats stats;

    nns_cache_stats(owner->context.cache, &stats);
    if (!stats.entries) {
        owner->next_sweep_ms = 0;
        return UINT64_MAX;
    }
    if (!owner->next_sweep_ms) {
        owner->next_sweep_ms = now_ms + interval(owner);
    } else if (owner->next_sweep_ms <= now_ms) {
        nns_pool_sweep(owner->pool);
        owner->next_sweep_ms = now_ms + interval(owner);
    }
    return owner->next_sweep_ms - now_ms;
}

/* An entry without a handle pins nothing and carries nothing; it only must not stay for ever. */
static bool inhabited(const struct nns_namespace *ns, const struct nns_inums *inums)
{
    return ns->host || (ns->handle.kind != NNS_HANDLE_NONE && nns_inums_has(inums, nns_namespace_inum(ns)));
}

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
    while ((ns = nns_cache_next(owner->context.cache, &cursor))) {
        if (inhabited(ns, &swept->inhabited)) {
            ns->lonely_ms = 0;
            ns->doomed = false;
        } else if (!ns->lonely_ms) {
            ns->lonely_ms = now;
        } else if (now - ns->lonely_ms >= timeout) {
            ns->doomed = true;
            nns_due_add(&owner->due, ns, 0);
        }
    }
}

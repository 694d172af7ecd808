/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/astray.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/log.h"
#include "io/proc.h"
#include "workers/handle.h"
#include "workers/told.h"
#include "workers/waiters.h"

/* LOOK_SHARE: a look that took a millisecond is the only one in so many. PATIENCE_MS: an answer that has not
 * come by then was lost. */
enum { SOONEST_MS = 1000, SEARCHES_A_TIMEOUT = 3, LOOK_SHARE = 20, PATIENCE_MS = 60000, LAST_LOOKS = 2 };

static struct nns_log_limit astray_limit;

/* ---- who is ---- */

void nns_astray_begin(struct nns_owner *owner, struct nns_namespace *ns)
{
    atomic_store_explicit(&ns->asked, false, memory_order_relaxed);
    /* Released, so that whoever finds it astray asks for it after that. */
    atomic_store_explicit(&ns->astray, true, memory_order_release);
    ns->astray_ms = nns_now_ms();
    ns->lonely_ms = 0;
    ns->doomed = false;
    nns_visits_owe(&ns->visits);
    if (!owner->astray.count++)
        owner->astray.search.had_ms = ns->astray_ms; /* the first one is due after a scan only */
    owner->astray.wanted = true;
    nns_count(NNS_COUNT_NAMESPACES_ASTRAY, 1);
    /* Its tasks are news again, to the tracepoints and to a walk, also those of an excluded one. */
    nns_tell_tasks(owner, nns_namespace_cookie(ns));
}

void nns_astray_forget(struct nns_owner *owner, struct nns_namespace *ns)
{
    if (!nns_is_astray(ns))
        return;
    atomic_store_explicit(&ns->astray, false, memory_order_release);
    owner->astray.count--;
}

void nns_astray_found(struct nns_owner *owner, struct nns_namespace *ns)
{
    if (!nns_is_astray(ns))
        return;
    nns_astray_forget(owner, ns);
    ns->lonely_ms = 0;
    ns->doomed = false;
    nns_visits_begin_anew(&ns->visits);
    nns_count(NNS_COUNT_NAMESPACES_FOUND, 1);
    nns_tell_tasks(owner, nns_namespace_cookie(ns));
}

bool nns_astray_dead(const struct nns_namespace *ns)
{
    return nns_is_astray(ns) && ns->doomed;
}

/* ---- looks by workers ---- */

void nns_astray_hurry(struct nns_owner *owner)
{
    owner->astray.wanted = true;
}

static uint64_t pace_ms(const struct nns_owner *owner)
{
    return owner->context.params->lonely_timeout_ms / SEARCHES_A_TIMEOUT;
}

static uint64_t next_ms(const struct nns_pace *pace, uint64_t interval)
{
    uint64_t rest = pace->cost_ms * LOOK_SHARE;

    if (pace->asked)
        return pace->asked_ms + PATIENCE_MS;
    return pace->had_ms + (interval > rest ? interval : rest);
}

static uint64_t next_scan_ms(const struct nns_owner *owner)
{
    uint64_t interval = pace_ms(owner);

    if (!owner->astray.wanted)
        return UINT64_MAX;
    return next_ms(&owner->astray.scan, interval < SOONEST_MS ? interval : SOONEST_MS);
}

NNS_OWNER_ONLY static void ask(struct nns_owner *owner, struct nns_pace *pace, enum nns_chore chore)
{
    nns_pool_want(owner->pool, chore);
    pace->asked = true;
    pace->asked_ms = nns_now_ms();
}

uint64_t nns_astray_tick(struct nns_owner *owner, uint64_t now_ms)
{
    uint64_t scan, search;

    if (!owner->astray.count)
        return UINT64_MAX;
    if (next_scan_ms(owner) <= now_ms) {
        ask(owner, &owner->astray.scan, NNS_CHORE_SCAN);
        owner->astray.wanted = false;
    }
    if (next_ms(&owner->astray.search, pace_ms(owner)) <= now_ms)
        ask(owner, &owner->astray.search, NNS_CHORE_SEARCH);
    scan = next_scan_ms(owner);
    search = next_ms(&owner->astray.search, pace_ms(owner));
    return (scan < search ? scan : search) - now_ms;
}

/* One that was seen lives, though it could not be opened. A mere scan does not see every mount. */
NNS_OWNER_ONLY static void judge(struct nns_owner *owner, struct nns_namespace *ns,
                                 const struct nns_looked *looked)
{
    uint64_t now = nns_now_ms(), timeout = owner->context.params->lonely_timeout_ms;

    if (atomic_exchange_explicit(&ns->asked, false, memory_order_acq_rel)) {
        ns->lonely_ms = 0;
    } else if (!ns->lonely_ms) {
        ns->lonely_ms = now;
    } else if (looked->searched && looked->began_ms >= ns->lonely_ms + timeout) {
        ns->doomed = true;
        nns_due_add(&owner->due, ns, now);
    }
}

NNS_OWNER_ONLY static void note_had(struct nns_owner *owner, const struct nns_looked *looked)
{
    struct nns_pace *pace = looked->searched ? &owner->astray.search : &owner->astray.scan;

    pace->asked = false;
    pace->had_ms = nns_now_ms();
    pace->cost_ms = looked->ended_ms - looked->began_ms;
}

void nns_astray_judge(struct nns_owner *owner, const struct nns_looked *looked)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    note_had(owner, looked);
    while (owner->astray.count && (ns = nns_cache_next(owner->context.cache, &cursor))) {
        if (!nns_is_astray(ns))
            continue;
        if (ns->astray_ms > looked->began_ms) {
            owner->astray.wanted = true; /* it may have been passed by before it was one of them */
            continue;
        }
        if (!looked->error && !ns->host)
            judge(owner, ns, looked);
        nns_waiters_tell(owner, ns, looked->error ? looked->error : NNS_WAIT_ASTRAY);
    }
}

/* ---- the last look, by the owner ---- */

struct search {
    struct nns_owner *owner;
    int error; /* why not all was seen */
};

/* What is open there: 1 when its fd has become somebody's handle, else 0 or -errno. */
NNS_OWNER_ONLY static int take_fd(struct nns_owner *owner, int fd, const char *path)
{
    struct nns_place place = NNS_PLACE_NULL;
    struct nns_netns_id id;
    struct nns_namespace *ns;
    int rc = nns_netns_identify_fully(fd, &id);

    if (rc)
        return rc;
    ns = nns_cache_find(owner->context.cache, id.cookie);
    if (!ns || !nns_is_astray(ns))
        return 0;
    place.path = strdup(path);
    rc = place.path ? nns_handle_give(owner, ns, fd, &place) : -ENOMEM;
    if (rc)
        return rc;
    nns_handle_done(ns);
    return 1;
}

/* A path that leads elsewhere, or nowhere any more, is no failure: there may be another. */
static int take_path(const char *path, uint32_t inum, void *context)
{
    struct search *search = context;
    int fd = nns_netns_open_meant_now(path, inum), rc;

    nns_role_assert_owner();
    if (fd == -EAGAIN)
        search->error = fd; /* whoever is there may be one of those that are looked for */
    if (fd == -ENOENT || fd == -EAGAIN)
        return -ENOENT;
    rc = fd < 0 ? fd : take_fd(search->owner, fd, path);
    if (fd >= 0 && rc <= 0)
        close(fd);
    if (rc < 0)
        search->error = rc;
    return 0;
}

/* Returns how many have been missed for the first time, and are to have another look. */
NNS_OWNER_ONLY static size_t doom_missed(struct nns_owner *owner)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;
    size_t first = 0;

    while ((ns = nns_cache_next(owner->context.cache, &cursor))) {
        if (!nns_is_astray(ns))
            continue;
        ns->doomed = ns->lonely_ms;
        first += !ns->lonely_ms;
        ns->lonely_ms = nns_now_ms();
    }
    return first;
}

void nns_astray_gather(struct nns_owner *owner)
{
    struct nns_cache_cursor cursor = {0};
    struct search search = {.owner = owner};
    struct nns_namespace *ns;
    size_t left;

    while ((ns = nns_cache_next(owner->context.cache, &cursor)))
        nns_handle_check(owner, ns);
    left = owner->astray.count;
    for (int looks = 0; looks < LAST_LOOKS && left && !search.error; looks++) {
        int rc = nns_proc_each_namespace(take_path, &search);

        search.error = rc ? rc : search.error;
        left = search.error ? left : doom_missed(owner);
    }
    if (owner->astray.count && !search.error)
        nns_info("taken for dead: %zu namespaces that no process and no mount leads to", owner->astray.count);
    if (search.error)
        nns_log_limited(&astray_limit, NNS_LOG_WARNING, "cannot see all namespaces: %s",
                        strerrordesc_np(-search.error));
}

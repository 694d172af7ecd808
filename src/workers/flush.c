/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/flush.h"

#include <errno.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/astray.h"
#include "workers/handle.h"
#include "workers/hearing.h"
#include "workers/look.h"
#include "workers/news.h"
#include "workers/room.h"
#include "workers/told.h"
#include "workers/waiters.h"

static struct nns_log_limit detach_limit;

typedef bool (*device_filter)(const struct nns_device *device);

/* Unknown is not gone (I9): an answer that was lost may have been a yes. */
static bool may_carry(const struct nns_attachment *hook)
{
    return hook->program_id || hook->reason == NNS_REASON_UNKNOWN;
}

static bool device_may_carry(const struct nns_device *device)
{
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            if (may_carry(&device->attachments[set][hook]))
                return true;
    return false;
}

/* One job for each device that is wanted and may carry something of this set. */
NNS_OWNER_ONLY static size_t jobs_of(struct nns_owner *owner, const struct nns_namespace *ns, unsigned set,
                                     device_filter wanted)
{
    size_t count = 0;

    for (uint32_t i = 0; i < ns->devices.count; i++) {
        const struct nns_device *device = &ns->devices.items[i];
        const struct nns_attachment *hooks = device->attachments[set];

        if (!wanted(device) || !(may_carry(&hooks[NNS_INGRESS]) || may_carry(&hooks[NNS_EGRESS])))
            continue;
        owner->jobs[count] = (struct nns_tc_job){.ifindex = device->link.ifindex};
        memcpy(owner->jobs[count++].hooks, hooks, sizeof(owner->jobs[0].hooks));
    }
    return count;
}

/* Take over what the kernel said. Returns how many filters may still be there; *error is why, of one of them.
 */
NNS_OWNER_ONLY static unsigned record_detached(struct nns_owner *owner, struct nns_namespace *ns,
                                               unsigned set, size_t count, int *error)
{
    unsigned left = 0;

    for (size_t i = 0; i < count; i++) {
        struct nns_device *device = nns_devices_find(&ns->devices, owner->jobs[i].ifindex);

        memcpy(device->attachments[set], owner->jobs[i].hooks, sizeof(owner->jobs[i].hooks));
        for (int hook = 0; hook < NNS_HOOKS; hook++) {
            if (!may_carry(&owner->jobs[i].hooks[hook]))
                continue;
            left++;
            *error = owner->jobs[i].hooks[hook].error ? owner->jobs[i].hooks[hook].error : *error;
        }
    }
    return left;
}

static void report_left(const struct nns_namespace *ns, unsigned left, int error)
{
    nns_count(NNS_COUNT_DETACH_FAILED, left);
    if (left)
        nns_log_limited(&detach_limit, NNS_LOG_WARNING, "namespace %llu: %u filters could not be removed: %s",
                        (unsigned long long)nns_namespace_cookie(ns), left,
                        error ? strerror(error) : "the kernel did not say");
}

/* Over a socket inside the namespace. */
NNS_OWNER_ONLY static void detach_over(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                       device_filter wanted)
{
    for (unsigned set = 0; set < owner->set_count; set++) {
        struct nns_tc_stats stats = {0};
        size_t count = jobs_of(owner, ns, set, wanted);
        int rc = count ? nns_tc_detach(socket, &owner->sets[set], owner->jobs, count, &stats) : 0;
        int error = -rc;

        nns_count(NNS_COUNT_DETACH_DONE, stats.removed);
        nns_count(NNS_COUNT_DETACH_FOREIGN, stats.foreign);
        report_left(ns, record_detached(owner, ns, set, count, &error), error);
    }
}

static bool any(const struct nns_device *device)
{
    return true;
}

static bool excluded_and_due(const struct nns_device *device)
{
    return device->state == NNS_DEVICE_EXCLUDED && device->retry_ms <= nns_now_ms();
}

static unsigned count_carrying(const struct nns_namespace *ns, device_filter wanted)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < ns->devices.count; i++)
        count += wanted(&ns->devices.items[i]) && device_may_carry(&ns->devices.items[i]);
    return count;
}

bool nns_is_bare(const struct nns_namespace *ns)
{
    return !count_carrying(ns, any);
}

/*
 * The namespace is no more, and what was there went with it: its slots are free for others. Of one that was
 * astray this is not certain: somebody may hold it by a mere descriptor or socket, out of our reach. Its
 * filters then go on counting in slots that others have by now. To keep those slots for ever would cost far
 * more: where handles are by member and no tracepoint tells of deaths each ends like this.
 */
NNS_OWNER_ONLY static void lose_all(struct nns_namespace *ns)
{
    for (uint32_t i = 0; i < ns->devices.count; i++)
        memset(ns->devices.items[i].attachments, 0, sizeof(ns->devices.items[i].attachments));
}

/* The way there was lost only now, as when it died: it is looked for once more before anything is said of it.
 */
NNS_OWNER_ONLY static bool is_spared(const struct nns_owner *owner, const struct nns_namespace *ns)
{
    return owner->sparing && nns_is_astray(ns);
}

/* True when nothing of ours is left. */
NNS_OWNER_ONLY static bool detach(struct nns_owner *owner, struct nns_namespace *ns)
{
    unsigned carrying = count_carrying(ns, any);
    int rc = carrying ? nns_owner_reserve(owner, ns->devices.count) : 0;
    int socket;

    if (!carrying)
        return true;
    socket = rc ? rc : nns_handle_enter(owner, ns, 2 * NNS_HOOKS * carrying);
    if (socket == -ESTALE) {
        lose_all(ns);
        return true;
    }
    if (socket < 0) {
        if (!is_spared(owner, ns))
            report_left(ns, NNS_HOOKS * carrying, -socket);
        return false;
    }
    detach_over(owner, ns, socket, any);
    nns_handle_leave(owner, ns, socket);
    return nns_is_bare(ns);
}

/* A slot whose filter could not be removed may still be written to: it is nobody else's. */
NNS_OWNER_ONLY static void give_slot_back(struct nns_owner *owner, struct nns_device *device)
{
    if (device_may_carry(device))
        return;
    nns_slots_give(&owner->slots, device->slot);
    device->slot = 0;
}

/* What could not be removed is tried again, within bounds (I10). */
NNS_OWNER_ONLY static void settle_excluded(struct nns_owner *owner, struct nns_device *device)
{
    give_slot_back(owner, device);
    if (device_may_carry(device))
        nns_device_retry(device, nns_now_ms());
    else
        device->retry_ms = device->tries = 0;
}

int nns_detach_excluded(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    int rc;

    if (!count_carrying(ns, excluded_and_due))
        return 0;
    rc = nns_owner_reserve(owner, ns->devices.count);
    if (rc)
        return rc;
    detach_over(owner, ns, socket, excluded_and_due);
    for (uint32_t i = 0; i < ns->devices.count; i++)
        if (excluded_and_due(&ns->devices.items[i]))
            settle_excluded(owner, &ns->devices.items[i]);
    return 0;
}

NNS_OWNER_ONLY static void remember_eviction(struct nns_owner *owner, const struct nns_namespace *ns)
{
    const struct nns_netns_id id = {.cookie = nns_namespace_cookie(ns), .inum = nns_namespace_inum(ns)};

    nns_room_miss(owner, id);
    nns_count(NNS_COUNT_NAMESPACES_EVICTED, 1);
}

NNS_OWNER_ONLY static void uncover_all(struct nns_owner *owner, const struct nns_namespace *ns)
{
    for (uint32_t i = 0; i < ns->devices.count; i++)
        nns_trace_uncover(owner->context.trace, nns_namespace_cookie(ns), ns->devices.items[i].link.ifindex);
}

static const char *reason_name(enum nns_flush_reason reason)
{
    switch (reason) {
    case NNS_FLUSH_EVICTED:
        return "evicted";
    case NNS_FLUSH_LONELY:
        return "lonely";
    case NNS_FLUSH_EXCLUDED:
        return "excluded";
    case NNS_FLUSH_DEAD:
        return "dead";
    case NNS_FLUSH_ORDERED:
        return "flushed";
    case NNS_FLUSH_CLOSED:
        break;
    }
    return "closed";
}

NNS_OWNER_ONLY static void forget(struct nns_owner *owner, struct nns_namespace *ns,
                                  enum nns_flush_reason reason)
{
    const uint64_t cookie = nns_namespace_cookie(ns);

    if (reason == NNS_FLUSH_EVICTED)
        remember_eviction(owner, ns);
    else if (reason == NNS_FLUSH_LONELY)
        nns_count(NNS_COUNT_NAMESPACES_LONELY, 1);
    else if (reason == NNS_FLUSH_DEAD)
        nns_count(NNS_COUNT_NAMESPACES_DEAD, 1);
    else if (reason == NNS_FLUSH_EXCLUDED)
        nns_count(NNS_COUNT_NAMESPACES_WITHDRAWN, 1);
    for (uint32_t i = 0; i < ns->devices.count; i++)
        give_slot_back(owner, &ns->devices.items[i]);
    /* At the end the tracepoints end, too, and those who watch hear that it is the end. */
    if (reason != NNS_FLUSH_CLOSED) {
        uncover_all(owner, ns);
        nns_news_namespace_because(owner, ns, NNS_NEWS_NAMESPACE_GONE, reason_name(reason), 0);
    }
    nns_waiters_tell(owner, ns, reason == NNS_FLUSH_CLOSED ? -ECANCELED : NNS_WAIT_FORGOTTEN);
    nns_due_drop(&owner->due, ns);
    nns_unhear(owner, ns, reason == NNS_FLUSH_DEAD);
    nns_handle_drop(owner, ns);
    nns_cache_remove(owner->context.cache, ns);
    if (reason != NNS_FLUSH_CLOSED)
        nns_tell_tasks(owner, cookie);
    nns_count(NNS_COUNT_NAMESPACES_FLUSHED, 1);
}

/* Is none left of a former daemon's filters either? Then what had them and did not come was deleted
 * meanwhile. Of one that was never listed nobody can say. */
static bool is_settled(const struct nns_namespace *ns)
{
    return !ns->visits.owed && ns->handle.kind != NNS_HANDLE_NONE;
}

int nns_flush(struct nns_owner *owner, struct nns_namespace *ns, enum nns_flush_reason reason)
{
    bool keep = reason == NNS_FLUSH_CLOSED && owner->context.params->keep_attached;
    bool dead = reason == NNS_FLUSH_DEAD || nns_astray_dead(ns), clean = keep || dead || detach(owner, ns);

    if (dead)
        lose_all(ns);
    if (!clean && is_spared(owner, ns))
        return -EAGAIN;
    if (dead || (clean && !keep && is_settled(ns)))
        nns_slots_dismiss(&owner->slots, nns_namespace_cookie(ns));
    if (!clean && (reason == NNS_FLUSH_ORDERED || reason == NNS_FLUSH_EXCLUDED))
        nns_look_again(owner, ns, NNS_LOOK_EVERYWHERE);
    else
        forget(owner, ns, reason);
    return clean ? 0 : -EBUSY;
}

/* 0; -EBUSY when not all could be cleared; else -EAGAIN when some were spared. */
NNS_OWNER_ONLY static int flush_each(struct nns_owner *owner, enum nns_flush_reason reason, bool sparing)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;
    int rc = 0;

    owner->moving_on = true;
    owner->sparing = sparing;
    while ((ns = nns_cache_next(owner->context.cache, &cursor))) {
        int one = nns_flush(owner, ns, reason);

        rc = one && rc != -EBUSY ? one : rc;
    }
    owner->sparing = false;
    owner->moving_on = false;
    nns_netns_leave(-1);
    return rc;
}

int nns_flush_all(struct nns_owner *owner, enum nns_flush_reason reason)
{
    int rc, last;

    if (reason != NNS_FLUSH_CLOSED || !owner->context.params->keep_attached)
        nns_astray_gather(owner);
    rc = flush_each(owner, reason, true);
    if (rc && owner->astray.count) {
        nns_astray_gather(owner);
        last = flush_each(owner, reason, false);
        rc = rc == -EBUSY ? rc : last;
    }
    nns_room_forget_all(owner);
    nns_cache_reclaim(owner->context.cache);
    return rc;
}

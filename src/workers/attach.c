/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/attach.h"

#include <string.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "core/log.h"
#include "workers/devices.h"
#include "workers/news.h"

static struct nns_log_limit netlink_limit, given_up_limit;

/* ---- the meter's slots ---- */

/* What cannot be cleared is another's (I5): better to be counted together with others than for them. */
NNS_OWNER_ONLY static void clear_slot(struct nns_owner *owner, struct nns_device *device)
{
    if (!device->slot || !nns_meter_clear(owner->context.meter, device->slot))
        return;
    nns_count(NNS_COUNT_METER_UNCLEARED, 1);
    nns_slots_give(&owner->slots, device->slot);
    device->slot = 0;
}

/* A slot of its own, with the counts of whoever had it before set to zero. Those of a former daemon's stay,
 * but not where there is no qdisc that could have kept the filters: that is another device (I5). */
NNS_OWNER_ONLY static void give_slot(struct nns_owner *owner, const struct nns_namespace *ns,
                                     struct nns_device *device)
{
    enum nns_slot_past past;

    if (device->slot || !owner->slots.limit || nns_device_carries(device))
        return;
    device->slot = nns_slots_take(&owner->slots, nns_namespace_cookie(ns), device->link.ifindex, &past);
    device->inherited = device->slot && past == NNS_SLOT_KEPT && device->link.qdisc != NNS_QDISC_NONE;
    if (!device->inherited && past != NNS_SLOT_FRESH)
        clear_slot(owner, device);
}

/* ---- one exchange for each set ---- */

static bool retry_is_due(const struct nns_device *device, uint64_t now)
{
    return device->state == NNS_DEVICE_FAILED && device->retry_ms && device->retry_ms <= now;
}

/* The devices of this visit: those that were queued, in their order, then those whose retry is due. Their
 * ifindexes go into the scratch, as every set starts from them. */
NNS_OWNER_ONLY static size_t choose(struct nns_owner *owner, struct nns_namespace *ns,
                                    const struct nns_device_queue *pending)
{
    uint64_t now = nns_now_ms();
    size_t count = 0;

    for (uint32_t i = 0; i < pending->count; i++) {
        struct nns_device *device = nns_devices_find(&ns->devices, pending->items[i].ifindex);

        if (!device || device->state == NNS_DEVICE_EXCLUDED)
            continue;
        device->retry_ms = 0; /* so that it is not chosen twice */
        owner->visited[count++] = device->link.ifindex;
    }
    for (uint32_t i = 0; i < ns->devices.count; i++)
        if (retry_is_due(&ns->devices.items[i], now))
            owner->visited[count++] = ns->devices.items[i].link.ifindex;
    return count;
}

NNS_OWNER_ONLY static void make_job(struct nns_owner *owner, const struct nns_namespace *ns,
                                    struct nns_device *device, unsigned set, struct nns_tc_job *job)
{
    give_slot(owner, ns, device);
    *job = (struct nns_tc_job){.ifindex = device->link.ifindex, .slot = device->slot};
    job->qdisc = device->link.qdisc == NNS_QDISC_PRESUMED_NONE ? NNS_QDISC_NONE : device->link.qdisc;
    /* After a failure the last listing is old, and whose counts they are only a look can tell. */
    if (device->tries || device->inherited)
        job->qdisc = NNS_QDISC_UNKNOWN;
    memcpy(job->hooks, device->attachments[set], sizeof(job->hooks));
}

/* Were all filters that were there by our account made anew? Then somebody took them away, or this is another
 * device of the same kind under the same ifindex (I5). */
static bool was_bare(const struct nns_attachment *before, const struct nns_tc_job *job)
{
    bool remade = false;

    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        if (!nns_attachment_covers(&before[hook]) || !nns_attachment_covers(&job->hooks[hook]))
            continue;
        if (job->found & 1u << hook)
            return false;
        remade = true;
    }
    return remade;
}

/* Of a device that carried all of them by our account: is a filter there that was missing, and all are? */
static bool was_restored(const struct nns_tc_job *job)
{
    bool missed = false;

    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        if (!nns_attachment_covers(&job->hooks[hook]))
            return false;
        missed = missed || !(job->found & 1u << hook);
    }
    return missed;
}

NNS_OWNER_ONLY static void take_answer(struct nns_owner *owner, struct nns_device *device, unsigned set,
                                       const struct nns_tc_job *job)
{
    bool anothers = device->inherited && job->looked && !job->counted;

    /* It begins to count at nothing; what the first moment counted goes along. */
    if (anothers || was_bare(device->attachments[set], job))
        clear_slot(owner, device);
    device->inherited = device->inherited && !job->looked;
    memcpy(device->attachments[set], job->hooks, sizeof(job->hooks));
    device->link.qdisc = job->qdisc;
}

/* It carried filters by our account, and a clsact could be made: they went with theirs, or this is another
 * device (I5). As where a listing tells so, counts start afresh. */
static bool was_laid_bare(const struct nns_device *device, const struct nns_tc_job *job)
{
    return device->link.qdisc == NNS_QDISC_PRESUMED_NONE && nns_device_carries(device) && !job->looked &&
           job->qdisc == NNS_QDISC_CLSACT;
}

NNS_OWNER_ONLY static void begin_afresh(struct nns_owner *owner, const struct nns_namespace *ns,
                                        struct nns_device *device)
{
    nns_news_device(owner, ns, device, NNS_NEWS_DEVICE_DETACHED);
    device->state = NNS_DEVICE_QUEUED;
    clear_slot(owner, device);
}

NNS_OWNER_ONLY static int attach_set(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                     size_t count, unsigned set)
{
    struct nns_tc_stats stats = {0};
    int rc;

    /* Before it is: what takes the filters away again may not go unseen. */
    for (size_t i = 0; i < count; i++)
        nns_trace_cover(owner->context.trace, nns_namespace_cookie(ns), owner->visited[i]);
    for (size_t i = 0; i < count; i++)
        make_job(owner, ns, nns_devices_find(&ns->devices, owner->visited[i]), set, &owner->jobs[i]);
    rc = nns_tc_attach(socket, &owner->sets[set], owner->jobs, count, &stats);
    for (size_t i = 0; i < count; i++) {
        struct nns_device *device = nns_devices_find(&ns->devices, owner->visited[i]);

        if (was_laid_bare(device, &owner->jobs[i]))
            begin_afresh(owner, ns, device);
        take_answer(owner, device, set, &owner->jobs[i]);
        if (device->state == NNS_DEVICE_ATTACHED && was_restored(&owner->jobs[i]))
            nns_news_device(owner, ns, device, NNS_NEWS_DEVICE_RESTORED);
        if (owner->jobs[i].slot != device->slot)
            nns_queue_device(owner, ns, &device->link); /* its filters still count in the slot it lost */
    }
    nns_count(NNS_COUNT_ATTACH_SENDS, stats.sends);
    nns_count(NNS_COUNT_ATTACH_ADOPTED, stats.adopted);
    nns_count(NNS_COUNT_ATTACH_DUMPS, stats.dumps);
    return rc;
}

/* ---- what came of it ---- */

enum verdict { COVERED, GONE, MISSING };

static enum verdict judge(const struct nns_device *device)
{
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            if (device->attachments[set][hook].reason == NNS_REASON_GONE)
                return GONE;
    return nns_device_hooked(device) ? COVERED : MISSING;
}

/* A device that is not covered keeps its place until it is, with a later try while there is one (I6, I10). */
NNS_OWNER_ONLY static void keep_trying(struct nns_owner *owner, struct nns_namespace *ns,
                                       struct nns_device *device)
{
    bool again = device->state == NNS_DEVICE_FAILED, trying;

    device->state = NNS_DEVICE_FAILED;
    nns_count(NNS_COUNT_ATTACH_FAILED, 1);
    trying = nns_device_retry(device, nns_now_ms());
    /* The tries in between are no news, nor are the single ones of audits after the last. */
    if (!again || device->tries == NNS_TRIES_MAX)
        nns_news_device(owner, ns, device, NNS_NEWS_DEVICE_FAILED);
    if (trying)
        return;
    nns_count(NNS_COUNT_ATTACH_GIVEN_UP, 1);
    nns_log_limited(&given_up_limit, NNS_LOG_WARNING, "namespace %llu: giving up on device %s",
                    (unsigned long long)nns_namespace_cookie(ns), device->link.name);
}

NNS_OWNER_ONLY static void settle_attached(struct nns_owner *owner, const struct nns_namespace *ns,
                                           struct nns_device *device)
{
    if (device->state == NNS_DEVICE_ATTACHED)
        return;
    device->state = NNS_DEVICE_ATTACHED;
    nns_count(NNS_COUNT_ATTACH_DONE, 1);
    nns_count(NNS_COUNT_METER_EXHAUSTED, owner->slots.limit && !device->slot);
    nns_news_device(owner, ns, device, NNS_NEWS_DEVICE_ATTACHED);
}

NNS_OWNER_ONLY static void record(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);

    device->doubted = false;
    switch (judge(device)) {
    case COVERED:
        device->tries = 0;
        device->retry_ms = 0;
        settle_attached(owner, ns, device);
        break;
    case GONE:
        nns_count(NNS_COUNT_ATTACH_GONE, 1);
        nns_see_device_gone(owner, ns, ifindex);
        break;
    case MISSING:
        nns_trace_uncover(owner->context.trace, nns_namespace_cookie(ns), ifindex);
        keep_trying(owner, ns, device);
    }
}

int nns_attach_due(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    struct nns_device_queue pending = ns->queue;
    size_t count;
    int rc = nns_owner_reserve(owner, ns->devices.count);

    if (rc)
        return rc;
    ns->queue = (struct nns_device_queue){0};
    count = choose(owner, ns, &pending);
    for (unsigned set = 0; set < owner->set_count && count && !rc; set++)
        rc = attach_set(owner, ns, socket, count, set);
    if (rc)
        nns_log_limited(&netlink_limit, NNS_LOG_WARNING, "namespace %llu: netlink: %s",
                        (unsigned long long)nns_namespace_cookie(ns), strerror(-rc));
    for (size_t i = 0; i < count; i++)
        record(owner, ns, owner->visited[i]);
    /* Some did not fit; those of this round are no news any more, so that the next listing finds room for
     * them. */
    if (pending.overflowed)
        nns_visits_owe(&ns->visits);
    nns_device_queue_clear(&pending);
    return 0;
}

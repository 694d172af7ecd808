/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/dequeue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "core/log.h"
#include "io/links.h"
#include "workers/audit.h"
#include "workers/exclude.h"
#include "workers/flush.h"
#include "workers/handle.h"
#include "workers/hearing.h"
#include "workers/news.h"
#include "workers/waiters.h"

/* A device's clsact and filters, each of which may be refused. */
enum { ANSWERS_EACH = 1 + NNS_HOOKS };

/* So many can be listed in a millisecond. */
enum { DEVICES_A_MS = 128 };

static struct nns_log_limit visit_limit, attach_limit;

/* ---- queueing ---- */

NNS_OWNER_ONLY static void forget_device(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex,
                                         enum nns_news_kind why)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);

    if (!device)
        return;
    nns_news_device(owner, ns, device, why);
    nns_trace_uncover(owner->context.trace, nns_namespace_cookie(ns), ifindex);
    nns_device_queue_drop(&ns->queue, ifindex);
    nns_slots_give(&owner->slots, device->slot);
    nns_devices_remove(&ns->devices, ifindex);
}

NNS_OWNER_ONLY static int push(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_link *link)
{
    int answer = nns_device_queue_push(&ns->queue, link, owner->context.params->devices_queue);

    if (answer == NNS_DEVICE_QUEUED_NEW)
        nns_count(NNS_COUNT_DEVICES_QUEUED, 1);
    else if (answer == NNS_DEVICE_QUEUED_ALREADY)
        nns_count(NNS_COUNT_DEVICES_DUPLICATE, 1);
    else
        nns_count(NNS_COUNT_DEVICES_OVERFLOWED, 1);
    return answer < 0 ? answer : 0;
}

NNS_OWNER_ONLY static bool excludes(struct nns_owner *owner, const struct nns_namespace *ns,
                                    const struct nns_link *link)
{
    return ns->excluded || nns_excludes_device(owner->context.params, link->name);
}

/* A former daemon of the instance may have covered it: nobody can say before the kernel was asked. */
static void suspect(struct nns_device *device)
{
    if (device->link.qdisc == NNS_QDISC_NONE)
        return;
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            device->attachments[set][hook].reason = NNS_REASON_UNKNOWN;
}

/* Queue a device, unless exclude.devices names it; it is then known, but excluded. 0, or -ENOMEM. */
NNS_OWNER_ONLY static int queue_device(struct nns_owner *owner, struct nns_namespace *ns,
                                       const struct nns_link *link)
{
    bool added;
    struct nns_device *device = nns_devices_put(&ns->devices, link, &added);

    if (!device)
        return -ENOMEM;
    /* What it may carry, from under its former name or from before this daemon, is taken off at the next
     * visit. */
    if (excludes(owner, ns, link)) {
        if (added)
            suspect(device);
        if (device->state != NNS_DEVICE_EXCLUDED) {
            device->retry_ms = device->tries = 0;
            nns_news_device(owner, ns, device, NNS_NEWS_DEVICE_EXCLUDED);
        }
        device->state = NNS_DEVICE_EXCLUDED;
        nns_device_queue_drop(&ns->queue, link->ifindex);
        return 0;
    }
    if (device->state == NNS_DEVICE_EXCLUDED) {
        device->state = NNS_DEVICE_QUEUED;
        device->retry_ms = device->tries = 0;
    }
    return push(owner, ns, link);
}

/*
 * Is what we know under this ifindex another device (I5)? Ours carried filters, which go only with their
 * qdisc, with their device, or by somebody's hand; and a kind never changes. Counts and retries start afresh
 * then; for a device that only lost its filters that is a small loss.
 */
static bool is_another(const struct nns_device *known, const struct nns_link *link, enum nns_news_kind *why)
{
    bool kinds = known->link.kind[0] && link->kind[0];
    bool differ = kinds && strncmp(known->link.kind, link->kind, sizeof(link->kind)) != 0;

    *why = differ ? NNS_NEWS_DEVICE_GONE : NNS_NEWS_DEVICE_DETACHED;
    return differ || (nns_device_carries(known) && link->qdisc == NNS_QDISC_NONE);
}

/* A failed device comes round by its retry, a given-up one by a new request; neither is news. */
static bool needs_visit(const struct nns_device *device)
{
    if (!device || device->state == NNS_DEVICE_QUEUED || device->state == NNS_DEVICE_EXCLUDED)
        return true;
    return device->state == NNS_DEVICE_ATTACHED && device->doubted;
}

NNS_OWNER_ONLY static int take_link(struct nns_owner *owner, struct nns_namespace *ns,
                                    const struct nns_link *link)
{
    struct nns_device *known = nns_devices_find(&ns->devices, link->ifindex);
    enum nns_news_kind why;

    if (known && is_another(known, link, &why)) {
        forget_device(owner, ns, link->ifindex, why);
        known = NULL;
    }
    /* Nobody saw its clsact; that is not to say that it is gone (I9). */
    if (known && nns_device_carries(known) && link->qdisc == NNS_QDISC_PRESUMED_NONE)
        known->doubted = true;
    /* Renamed, or another that is like it but for the name: the kernel is asked for our filters. */
    if (known && strncmp(known->link.name, link->name, sizeof(link->name)) != 0) {
        known->doubted = true;
        nns_news_renamed(owner, ns, known, link->name);
    }
    if (needs_visit(known) || excludes(owner, ns, link))
        return queue_device(owner, ns, link);
    known->link = *link;
    return 0;
}

static bool lists(const struct nns_links *links, uint32_t ifindex)
{
    size_t low = 0, high = links->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (links->items[middle].ifindex == ifindex)
            return true;
        if (links->items[middle].ifindex < ifindex)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

NNS_OWNER_ONLY static void take_gone(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    forget_device(owner, ns, ifindex, NNS_NEWS_DEVICE_GONE);
    nns_count(NNS_COUNT_DEVICES_GONE, 1);
}

/* 0, or -ENOMEM with part of it done. */
NNS_OWNER_ONLY static int take_shown(struct nns_owner *owner, struct nns_namespace *ns,
                                     const struct nns_links *links)
{
    int rc = 0;

    for (size_t i = 0; i < links->count && !rc; i++)
        rc = take_link(owner, ns, &links->items[i]);
    return rc;
}

NNS_OWNER_ONLY static void drop_unlisted(struct nns_owner *owner, struct nns_namespace *ns,
                                         const struct nns_links *links)
{
    for (uint32_t i = ns->devices.count; i-- > 0;) {
        uint32_t ifindex = ns->devices.items[i].link.ifindex;

        if (!lists(links, ifindex))
            take_gone(owner, ns, ifindex);
    }
}

/* 0; -errno: nothing is known of these. */
static int get_links(int socket, const uint32_t *ifindexes, uint32_t count, struct nns_links *links)
{
    int rc = nns_links_get(socket, ifindexes, count, links);

    nns_count(rc ? NNS_COUNT_LIST_FAILED : NNS_COUNT_LIST_LOOKS, rc ? 1 : count);
    return rc;
}

/* As above. */
NNS_OWNER_ONLY static int drop_dead_of(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                       const uint32_t *ifindexes, uint32_t count)
{
    struct nns_links links = NNS_LINKS_NULL;
    int rc = get_links(socket, ifindexes, count, &links);

    if (rc)
        return rc;
    for (uint32_t i = 0; i < count; i++)
        if (!lists(&links, ifindexes[i]))
            take_gone(owner, ns, ifindexes[i]);
    nns_links_deinit(&links);
    return 0;
}

/* A listing that was interrupted may have passed over devices that are there: those it misses are asked for
 * one by one (I9). What cannot be asked for is as it was, for the listing that is owed. */
NNS_OWNER_ONLY static void drop_dead(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                     const struct nns_links *links)
{
    uint32_t ifindexes[NNS_LOOKS_MAX], at = ns->devices.count;
    int rc = 0;

    while (at && !rc) {
        uint32_t count = 0;

        for (; at && count < NNS_LOOKS_MAX; at--)
            if (!lists(links, ns->devices.items[at - 1].link.ifindex))
                ifindexes[count++] = ns->devices.items[at - 1].link.ifindex;
        rc = count ? drop_dead_of(owner, ns, socket, ifindexes, count) : 0;
    }
}

/* What leads here is that a device came up, or that its clsact went: as a rule it has none, and where it does
 * the kernel refuses a second one and it is looked at. News of another name say nothing of that. */
NNS_OWNER_ONLY static int take_asked(struct nns_owner *owner, struct nns_namespace *ns, struct nns_link link)
{
    const struct nns_device *known = nns_devices_find(&ns->devices, link.ifindex);

    if (!known || strncmp(known->link.name, link.name, sizeof(link.name)) == 0)
        link.qdisc = NNS_QDISC_PRESUMED_NONE;
    return take_link(owner, ns, &link);
}

/* 0, or -ENOMEM with part of it done. */
NNS_OWNER_ONLY static int take_looks(struct nns_owner *owner, struct nns_namespace *ns,
                                     const uint32_t *ifindexes, uint32_t count, const struct nns_links *links)
{
    int rc = 0;

    for (uint32_t i = 0; i < count; i++)
        if (!lists(links, ifindexes[i]) && nns_devices_find(&ns->devices, ifindexes[i]))
            take_gone(owner, ns, ifindexes[i]);
    for (size_t i = 0; i < links->count && !rc; i++)
        rc = take_asked(owner, ns, links->items[i]);
    return rc;
}

static void look_again_at(struct nns_device *device, enum nns_look look, uint64_t now)
{
    bool failed = device->state == NNS_DEVICE_FAILED;

    if (look == NNS_LOOK_ROUTINE)
        return;
    if (look == NNS_LOOK_AUDIT)
        device->retry_ms = failed && !device->retry_ms ? now : device->retry_ms; /* one try */
    if (look != NNS_LOOK_AUDIT && failed && (look == NNS_LOOK_EVERYWHERE || !device->retry_ms)) {
        device->tries = 0;
        device->retry_ms = now;
    }
    device->doubted = device->doubted || look != NNS_LOOK_NEWS;
}

/*
 * A listing takes some 7 us a device, most of them under RTNL, and a host's own namespace may hold thousands.
 * Where there is news of more of them than can be asked for there is more to come: waiting about as long as
 * the listing will take leaves half of the time for everybody else, and one is for all the news until then.
 */
static uint64_t patience_ms(const struct nns_namespace *ns)
{
    return ns->devices.count / DEVICES_A_MS;
}

/* What failed keeps its backoff whatever the news (I10). What was given up begins again with news, and has a
 * single try at an audit; who asks for everything waits for the answer. */
static void renew_tries(struct nns_namespace *ns, enum nns_look look, uint64_t now)
{
    bool given_up = ns->retry_ms == UINT64_MAX;

    if (look == NNS_LOOK_EVERYWHERE || (look == NNS_LOOK_NEWS && given_up)) {
        ns->tries = 0;
        ns->retry_ms = 0;
    } else if (given_up && (look == NNS_LOOK_AUDIT || (look == NNS_LOOK_ROUTINE && !ns->barred))) {
        ns->retry_ms = now;
    }
}

/* Not before the end of a backoff. */
NNS_OWNER_ONLY static void make_due(struct nns_owner *owner, struct nns_namespace *ns, uint64_t when_ms)
{
    uint64_t due = ns->retry_ms > when_ms ? ns->retry_ms : when_ms;

    if (due != UINT64_MAX)
        nns_due_add(&owner->due, ns, due);
}

void nns_look_again(struct nns_owner *owner, struct nns_namespace *ns, enum nns_look look)
{
    uint64_t now = nns_now_ms();

    ns->relist = true;
    renew_tries(ns, look, now);
    for (uint32_t i = 0; i < ns->devices.count; i++)
        look_again_at(&ns->devices.items[i], look, now);
    make_due(owner, ns, look == NNS_LOOK_NEWS ? now + patience_ms(ns) : now);
}

/* One that lists soon shows all there is news of. */
NNS_OWNER_ONLY static bool notes_look(struct nns_namespace *ns, uint32_t ifindex, uint64_t now)
{
    bool waits = ns->retry_ms > now;

    if (ns->relist && !waits)
        return false;
    return nns_looks_add(&ns->looks, ifindex, waits ? NNS_LOOKS_MOST : NNS_LOOKS_MAX);
}

void nns_look_at(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);
    uint64_t now = nns_now_ms();

    /* Another may have its ifindex by now (I5). */
    if (device) {
        device->doubted = true;
        look_again_at(device, NNS_LOOK_NEWS, now);
    }
    if (ns->barred)
        nns_look_again(owner, ns, NNS_LOOK_NEWS);
    else if (notes_look(ns, ifindex, now))
        nns_due_add(&owner->due, ns, now);
    else
        nns_look_again(owner, ns, NNS_LOOK_NEWS);
}

/* ---- attaching ---- */

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
            push(owner, ns, &device->link); /* its filters still count in the slot it lost */
    }
    nns_count(NNS_COUNT_ATTACH_SENDS, stats.sends);
    nns_count(NNS_COUNT_ATTACH_ADOPTED, stats.adopted);
    nns_count(NNS_COUNT_ATTACH_DUMPS, stats.dumps);
    return rc;
}

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
    nns_log_limited(&attach_limit, NNS_LOG_WARNING, "namespace %llu: giving up on device %s",
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
        take_gone(owner, ns, ifindex);
        break;
    case MISSING:
        nns_trace_uncover(owner->context.trace, nns_namespace_cookie(ns), ifindex);
        keep_trying(owner, ns, device);
    }
}

/* 0 or -ENOMEM, with everything still queued. What the kernel says is recorded device by device. */
NNS_OWNER_ONLY static int attach_due(struct nns_owner *owner, struct nns_namespace *ns, int socket)
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
        nns_log_limited(&visit_limit, NNS_LOG_WARNING, "namespace %llu: netlink: %s",
                        (unsigned long long)nns_namespace_cookie(ns), strerror(-rc));
    for (size_t i = 0; i < count; i++)
        record(owner, ns, owner->visited[i]);
    /* Some did not fit; those of this round are no news any more, so that the next listing finds room for
     * them. */
    ns->relist = ns->relist || pending.overflowed;
    nns_device_queue_clear(&pending);
    return 0;
}

/* ---- visiting ---- */

/* What a visit comes to that did all but see every device for sure. */
enum { VISITED_IN_PART = 1 };

/* 0; VISITED_IN_PART: another listing is owed; -errno. */
NNS_OWNER_ONLY static int list(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    struct nns_links links = NNS_LINKS_NULL;
    int rc = nns_links_list(socket, &links);
    bool part = rc == NNS_LINKS_PART;

    if (rc < 0) {
        nns_count(NNS_COUNT_LIST_FAILED, 1);
        return rc;
    }
    nns_count(part ? NNS_COUNT_LIST_PARTIAL : NNS_COUNT_LIST_DUMPS, 1);
    ns->relist = part;
    if (part)
        drop_dead(owner, ns, socket, &links);
    else
        drop_unlisted(owner, ns, &links);
    rc = take_shown(owner, ns, &links);
    nns_links_deinit(&links);
    return part && !rc ? VISITED_IN_PART : rc;
}

NNS_OWNER_ONLY static int ask_for_some(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                       const uint32_t *ifindexes, uint32_t count)
{
    struct nns_links links = NNS_LINKS_NULL;
    int rc = get_links(socket, ifindexes, count, &links);

    if (rc)
        return rc;
    rc = take_looks(owner, ns, ifindexes, count, &links);
    nns_links_deinit(&links);
    return rc;
}

NNS_OWNER_ONLY static int ask_for(struct nns_owner *owner, struct nns_namespace *ns,
                                  const struct nns_looks *looks, int socket)
{
    int rc = 0;

    for (uint32_t at = 0; at < looks->count && !rc; at += NNS_LOOKS_MAX) {
        uint32_t left = looks->count - at;

        rc = ask_for_some(owner, ns, socket, looks->ifindexes + at,
                          left < NNS_LOOKS_MAX ? left : NNS_LOOKS_MAX);
    }
    return rc;
}

/* A whole listing shows those that were to be asked for, too; so does the one that is owed after a failure.
 * While one has to wait they are asked for. Returns as list. */
NNS_OWNER_ONLY static int look(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    bool listing = ns->relist && (ns->barred || ns->retry_ms <= nns_now_ms());
    struct nns_looks *looks = ns->looks;
    int rc = 0, asked = 0;

    ns->looks = NULL;
    if (listing)
        rc = list(owner, ns, socket);
    if (looks && (!listing || rc == VISITED_IN_PART))
        asked = ask_for(owner, ns, looks, socket);
    free(looks);
    return asked ? asked : rc;
}

/* Returns as list. */
NNS_OWNER_ONLY static int visit(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    int looked, rc;

    nns_audit_exclusion(owner, ns);
    nns_hear(owner, ns); /* first: what changes after the listing is told */
    looked = look(owner, ns, socket);
    if (looked < 0)
        return looked;
    nns_netns_expect(socket, ANSWERS_EACH * ns->devices.count);
    rc = nns_detach_excluded(owner, ns, socket);
    if (!rc)
        rc = attach_due(owner, ns, socket);
    return rc ? rc : looked;
}

/* One more failure in a row: sets when it is tried again, and returns how long that is. 0: it is given up. */
NNS_OWNER_ONLY static uint64_t put_off(struct nns_namespace *ns, int error)
{
    uint64_t wait;

    ns->relist = true;
    ns->list_error = (uint16_t)-error;
    if (ns->tries < UINT8_MAX)
        ns->tries++;
    wait = nns_backoff_ms(ns->tries);
    ns->retry_ms = wait ? nns_now_ms() + wait : UINT64_MAX;
    return wait;
}

/* The namespace could not be entered or listed, or memory was short: a whole visit later, within bounds. */
NNS_OWNER_ONLY static void visit_failed(struct nns_owner *owner, struct nns_namespace *ns, int error)
{
    unsigned long long cookie = nns_namespace_cookie(ns);
    uint64_t wait = put_off(ns, error);

    nns_count(NNS_COUNT_VISITS_FAILED, 1);
    ns->barred = true;
    if (ns->tries == 1 || ns->tries == NNS_TRIES_MAX)
        nns_news_namespace_because(owner, ns, NNS_NEWS_NAMESPACE_FAILED, strerrordesc_np(-error), wait);
    nns_log_limited(&visit_limit, NNS_LOG_WARNING, "namespace %llu: cannot list or reach its devices%s: %s",
                    cookie, wait ? "" : ", giving up", strerror(-error));
    if (wait)
        nns_due_add(&owner->due, ns, ns->retry_ms);
    else
        nns_count(NNS_COUNT_NAMESPACES_GIVEN_UP, 1);
}

NNS_OWNER_ONLY static void schedule(struct nns_owner *owner, struct nns_namespace *ns)
{
    uint64_t now = nns_now_ms(), next = UINT64_MAX;

    if (ns->relist)
        next = ns->retry_ms > now ? ns->retry_ms : now;
    if (ns->queue.count)
        next = now;
    for (uint32_t i = 0; i < ns->devices.count; i++) {
        const struct nns_device *device = &ns->devices.items[i];

        if (device->retry_ms && device->retry_ms < next)
            next = device->retry_ms;
    }
    if (next != UINT64_MAX)
        nns_due_add(&owner->due, ns, next);
}

/* All is done but the listing that is owed, which waits; what there is news of meanwhile does not. */
NNS_OWNER_ONLY static void visited_in_part(struct nns_owner *owner, struct nns_namespace *ns)
{
    ns->barred = false;
    if (!put_off(ns, -EAGAIN))
        nns_count(NNS_COUNT_LIST_GIVEN_UP, 1);
    schedule(owner, ns);
}

/* A listing that has to wait is still owed, and so are its tries. */
NNS_OWNER_ONLY static void visited(struct nns_owner *owner, struct nns_namespace *ns)
{
    ns->barred = false;
    if (!ns->relist) {
        ns->tries = 0;
        ns->retry_ms = 0;
        ns->list_error = 0;
    }
    schedule(owner, ns);
}

void nns_dequeue(struct nns_owner *owner, struct nns_namespace *ns)
{
    int socket = nns_handle_enter(owner, ns, 1);
    int rc = socket < 0 ? socket : visit(owner, ns, socket);

    if (socket == -ESTALE) {
        nns_flush(owner, ns, NNS_FLUSH_DEAD);
        return;
    }
    if (ns->handle.kind == NNS_HANDLE_NONE)
        return; /* astray: the visit is made up for when it is found, and whoever waits does so till then */
    if (socket >= 0)
        nns_handle_leave(owner, ns, socket);
    if (rc < 0) {
        visit_failed(owner, ns, rc);
    } else if (rc == VISITED_IN_PART) {
        visited_in_part(owner, ns);
        rc = NNS_WAIT_INTERRUPTED;
    } else {
        visited(owner, ns);
    }
    /* A listing still owed after an overflow follows at once; whoever waits, waits for that too. */
    if (rc || !ns->relist)
        nns_waiters_visited(owner, ns, rc);
    if (!rc && ns->excluded && !ns->relist && nns_is_bare(ns))
        nns_flush(owner, ns, NNS_FLUSH_EXCLUDED);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/dequeue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "core/log.h"
#include "workers/exclude.h"
#include "workers/save.h"
#include "workers/waiters.h"

static struct nns_log_limit visit_limit, attach_limit;

/* ---- queueing ---- */

NNS_OWNER_ONLY static void forget_device(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);

    if (!device)
        return;
    nns_slots_give(&owner->slots, device->slot);
    nns_devices_remove(&ns->devices, ifindex);
}

NNS_OWNER_ONLY static void push(struct nns_owner *owner, struct nns_namespace *ns,
                                const struct nns_link *link)
{
    switch (nns_device_queue_push(&ns->queue, link, owner->context.params->devices_queue)) {
    case NNS_DEVICE_QUEUED_NEW:
        nns_count(NNS_COUNT_DEVICES_QUEUED, 1);
        break;
    case NNS_DEVICE_QUEUED_ALREADY:
        nns_count(NNS_COUNT_DEVICES_DUPLICATE, 1);
        break;
    default:
        nns_count(NNS_COUNT_DEVICES_OVERFLOWED, 1);
    }
}

void nns_queue_device(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_link *link)
{
    bool added;
    struct nns_device *device = nns_devices_put(&ns->devices, link, &added);

    if (!device) {
        ns->queue.overflowed = true; /* no memory: the listing that follows from it tries again */
        nns_count(NNS_COUNT_DEVICES_OVERFLOWED, 1);
        return;
    }
    if (nns_excludes_device(owner->context.params, link->name)) {
        device->state = NNS_DEVICE_EXCLUDED;
        return;
    }
    if (device->state != NNS_DEVICE_FAILED)
        device->state = NNS_DEVICE_QUEUED;
    push(owner, ns, link);
}

int nns_report_device(struct nns_owner *owner, struct nns_netns_id id, const struct nns_link *link)
{
    struct nns_namespace *ns;
    int rc = nns_save_unopened(owner, id, &ns);

    if (rc)
        return rc;
    nns_queue_device(owner, ns, link);
    if (ns->handle.kind != NNS_HANDLE_NONE)
        nns_due_add(&owner->due, ns, 0);
    return 0;
}

static bool attached(const struct nns_device *device)
{
    return device && device->state == NNS_DEVICE_ATTACHED;
}

/* Does a listed device need a visit? One that we attached but whose qdisc is gone is another by the same
 * ifindex (I5), or somebody removed what was there. */
NNS_OWNER_ONLY static bool needs_visit(struct nns_namespace *ns, const struct nns_link *link)
{
    struct nns_device *device = nns_devices_find(&ns->devices, link->ifindex);

    if (!attached(device) || ns->verify)
        return true;
    if (link->qdisc != NNS_QDISC_NONE)
        return false;
    memset(device->attachments, 0, sizeof(device->attachments));
    return true;
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

void nns_take_listing(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_links *links)
{
    for (uint32_t i = ns->devices.count; i-- > 0;) {
        uint32_t ifindex = ns->devices.items[i].link.ifindex;

        if (lists(links, ifindex))
            continue;
        nns_device_queue_drop(&ns->queue, ifindex);
        forget_device(owner, ns, ifindex);
        nns_count(NNS_COUNT_DEVICES_GONE, 1);
    }
    for (size_t i = 0; i < links->count; i++)
        if (needs_visit(ns, &links->items[i]))
            nns_queue_device(owner, ns, &links->items[i]);
    ns->list_error = 0;
    ns->verify = false;
}

/* ---- attaching ---- */

/* A slot of its own, with the counts of whoever had it before set to zero. */
NNS_OWNER_ONLY static void give_slot(struct nns_owner *owner, struct nns_device *device)
{
    bool used = false;

    if (device->slot || !owner->slots.limit)
        return;
    device->slot = nns_slots_take(&owner->slots, &used);
    if (!device->slot)
        nns_count(NNS_COUNT_METER_EXHAUSTED, 1);
    else if (used)
        nns_meter_clear(owner->context.meter, device->slot);
}

NNS_OWNER_ONLY static size_t make_jobs(struct nns_owner *owner, struct nns_namespace *ns,
                                       const struct nns_device_queue *pending, unsigned set)
{
    size_t count = 0;

    for (uint32_t i = 0; i < pending->count; i++) {
        struct nns_device *device = nns_devices_find(&ns->devices, pending->items[i].ifindex);
        struct nns_tc_job *job = &owner->jobs[count];

        if (!device)
            continue;
        give_slot(owner, device);
        *job = (struct nns_tc_job){.ifindex = device->link.ifindex, .slot = device->slot};
        /* After a failure the last listing is old: have it looked at. */
        job->qdisc = device->tries ? NNS_QDISC_UNKNOWN : device->link.qdisc;
        memcpy(job->hooks, device->attachments[set], sizeof(job->hooks));
        count++;
    }
    return count;
}

NNS_OWNER_ONLY static int attach_set(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                     const struct nns_device_queue *pending, unsigned set)
{
    struct nns_tc_stats stats = {0};
    size_t count = make_jobs(owner, ns, pending, set);
    int rc = nns_tc_attach(socket, &owner->sets[set], owner->jobs, count, &stats);

    for (size_t i = 0; i < count; i++) {
        const struct nns_tc_job *job = &owner->jobs[i];
        struct nns_device *device = nns_devices_find(&ns->devices, job->ifindex);

        memcpy(device->attachments[set], job->hooks, sizeof(job->hooks));
        device->link.qdisc = job->qdisc;
    }
    nns_count(NNS_COUNT_ATTACH_SENDS, stats.sends);
    nns_count(NNS_COUNT_ATTACH_ADOPTED, stats.adopted);
    return rc;
}

enum verdict { COVERED, GONE, MISSING };

static enum verdict judge(const struct nns_device *device, unsigned sets)
{
    enum verdict verdict = COVERED;

    for (unsigned set = 0; set < sets; set++) {
        for (int hook = 0; hook < NNS_HOOKS; hook++) {
            const struct nns_attachment *attachment = &device->attachments[set][hook];

            if (attachment->reason == NNS_REASON_GONE)
                return GONE;
            if (attachment->reason != NNS_REASON_NONE || !attachment->program_id)
                verdict = MISSING;
        }
    }
    return verdict;
}

/* A device that is not covered stays queued, with a later try while there is one (I6, I10). */
NNS_OWNER_ONLY static void keep_trying(struct nns_owner *owner, struct nns_namespace *ns,
                                       struct nns_device *device)
{
    uint64_t wait;

    if (device->tries < UINT8_MAX)
        device->tries++;
    device->state = NNS_DEVICE_FAILED;
    nns_count(NNS_COUNT_ATTACH_FAILED, 1);
    wait = nns_backoff_ms(device->tries);
    if (!wait) {
        nns_count(NNS_COUNT_ATTACH_GIVEN_UP, 1);
        nns_log_limited(&attach_limit, NNS_LOG_WARNING, "namespace %llu: giving up on device %s",
                        (unsigned long long)nns_namespace_cookie(ns), device->link.name);
        return;
    }
    push(owner, ns, &device->link);
    nns_due_add(&owner->due, ns, nns_now_ms() + wait);
}

NNS_OWNER_ONLY static void record(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);

    if (!device)
        return;
    switch (judge(device, owner->set_count)) {
    case COVERED:
        device->state = NNS_DEVICE_ATTACHED;
        device->tries = 0;
        nns_count(NNS_COUNT_ATTACH_DONE, 1);
        break;
    case GONE:
        forget_device(owner, ns, ifindex);
        nns_count(NNS_COUNT_DEVICES_GONE, 1);
        break;
    case MISSING:
        keep_trying(owner, ns, device);
    }
}

NNS_OWNER_ONLY static void attach_queued(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    struct nns_device_queue pending = ns->queue;
    int rc = nns_owner_reserve_jobs(owner, pending.count);

    if (rc) {
        nns_due_add(&owner->due, ns, nns_now_ms() + nns_backoff_ms(1));
        return;
    }
    /* What fails is queued again by record(), into a new queue. */
    ns->queue = (struct nns_device_queue){0};
    for (unsigned set = 0; set < owner->set_count && !rc; set++)
        rc = attach_set(owner, ns, socket, &pending, set);
    if (rc)
        nns_log_limited(&visit_limit, NNS_LOG_WARNING, "namespace %llu: netlink: %s",
                        (unsigned long long)nns_namespace_cookie(ns), strerror(-rc));
    for (uint32_t i = 0; i < pending.count; i++)
        record(owner, ns, pending.items[i].ifindex);
    /* Some did not fit: the devices themselves are listed again, at once. */
    if (pending.overflowed) {
        ns->relist = true;
        nns_due_add(&owner->due, ns, 0);
    }
    nns_device_queue_clear(&pending);
}

/* ---- visiting ---- */

/* The namespace could not be entered or listed: later, within bounds. */
NNS_OWNER_ONLY static void visit_failed(struct nns_owner *owner, struct nns_namespace *ns, int error)
{
    uint64_t wait;

    ns->list_error = (uint16_t)-error;
    if (ns->tries < UINT8_MAX)
        ns->tries++;
    nns_count(NNS_COUNT_LIST_FAILED, 1);
    nns_log_limited(&visit_limit, NNS_LOG_WARNING, "namespace %llu: cannot list or reach its devices: %s",
                    (unsigned long long)nns_namespace_cookie(ns), strerror(-error));
    wait = nns_backoff_ms(ns->tries);
    if (wait)
        nns_due_add(&owner->due, ns, nns_now_ms() + wait);
}

NNS_OWNER_ONLY static void list_again(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    struct nns_links links = NNS_LINKS_NULL;
    int rc = nns_links_list(socket, &links);

    if (rc) {
        visit_failed(owner, ns, rc);
        return;
    }
    nns_count(NNS_COUNT_LIST_DUMPS, 1);
    ns->relist = false;
    ns->tries = 0;
    nns_take_listing(owner, ns, &links);
    nns_links_deinit(&links);
}

void nns_dequeue(struct nns_owner *owner, struct nns_namespace *ns)
{
    unsigned answers = (ns->relist ? 64 : 0) + 3 * ns->queue.count;
    int socket = nns_netns_enter(ns->handle.fd, answers);

    if (socket < 0) {
        visit_failed(owner, ns, socket);
    } else {
        if (ns->relist)
            list_again(owner, ns, socket);
        if (ns->queue.count || ns->queue.overflowed)
            attach_queued(owner, ns, socket);
        nns_netns_leave(socket);
    }
    /* A listing still owed after an overflow follows at once; whoever waits, waits for that too. */
    if (!ns->relist || ns->list_error)
        nns_waiters_tell(owner, ns);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/flush.h"

#include <string.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/waiters.h"

static struct nns_log_limit detach_limit;

static bool carries(const struct nns_attachment hooks[NNS_HOOKS])
{
    return hooks[NNS_INGRESS].program_id || hooks[NNS_EGRESS].program_id;
}

/* One job for each device that carries something of this set. */
NNS_OWNER_ONLY static size_t jobs_of(struct nns_owner *owner, const struct nns_namespace *ns, unsigned set)
{
    size_t count = 0;

    for (uint32_t i = 0; i < ns->devices.count; i++) {
        const struct nns_device *device = &ns->devices.items[i];

        if (!carries(device->attachments[set]))
            continue;
        owner->jobs[count] = (struct nns_tc_job){.ifindex = device->link.ifindex};
        memcpy(owner->jobs[count++].hooks, device->attachments[set], sizeof(owner->jobs[0].hooks));
    }
    return count;
}

static unsigned still_there(const struct nns_tc_job *jobs, size_t count)
{
    unsigned left = 0;

    for (size_t i = 0; i < count; i++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            left += jobs[i].hooks[hook].program_id != 0;
    return left;
}

NNS_OWNER_ONLY static void detach_set(struct nns_owner *owner, struct nns_namespace *ns, unsigned set)
{
    struct nns_tc_stats stats = {0};
    size_t count = jobs_of(owner, ns, set);
    unsigned left;
    int socket, rc;

    if (!count)
        return;
    socket = nns_netns_enter(ns->handle.fd, (unsigned)(2 * NNS_HOOKS * count));
    rc = socket;
    if (socket >= 0) {
        rc = nns_tc_detach(socket, &owner->sets[set], owner->jobs, count, &stats);
        nns_netns_leave(socket);
    }
    left = still_there(owner->jobs, count);
    nns_count(NNS_COUNT_DETACH_DONE, stats.removed);
    nns_count(NNS_COUNT_DETACH_FOREIGN, stats.foreign);
    nns_count(NNS_COUNT_DETACH_FAILED, left);
    if (left)
        nns_log_limited(&detach_limit, NNS_LOG_WARNING, "namespace %llu: %u filters could not be removed: %s",
                        (unsigned long long)nns_namespace_cookie(ns), left, strerror(rc < 0 ? -rc : 0));
}

NNS_OWNER_ONLY static void detach(struct nns_owner *owner, struct nns_namespace *ns)
{
    if (ns->handle.kind == NNS_HANDLE_NONE || !ns->devices.count)
        return;
    if (nns_owner_reserve_jobs(owner, ns->devices.count)) {
        nns_count(NNS_COUNT_DETACH_FAILED, ns->devices.count);
        return;
    }
    for (unsigned set = 0; set < owner->set_count; set++)
        detach_set(owner, ns, set);
}

NNS_OWNER_ONLY static void remember_eviction(struct nns_owner *owner, const struct nns_namespace *ns)
{
    owner->evicted[owner->evicted_next] =
        (struct nns_evicted){.cookie = nns_namespace_cookie(ns), .inum = nns_namespace_inum(ns)};
    owner->evicted_next = (owner->evicted_next + 1) % NNS_EVICTED_MAX;
    nns_count(NNS_COUNT_NAMESPACES_EVICTED, 1);
}

void nns_flush(struct nns_owner *owner, struct nns_namespace *ns, enum nns_flush_reason reason)
{
    int fd = ns->handle.fd;

    if (!(reason == NNS_FLUSH_CLOSED && owner->context.params->keep_attached))
        detach(owner, ns);
    if (reason == NNS_FLUSH_EVICTED)
        remember_eviction(owner, ns);
    else if (reason == NNS_FLUSH_LONELY)
        nns_count(NNS_COUNT_NAMESPACES_LONELY, 1);
    for (uint32_t i = 0; i < ns->devices.count; i++)
        nns_slots_give(&owner->slots, ns->devices.items[i].slot);
    nns_waiters_tell(owner, ns);
    nns_due_drop(&owner->due, ns);
    /* Out of the index first, then the pin: a reader must never trust an inum that can be reused (I5). */
    ns->handle = NNS_HANDLE_NULL;
    nns_cache_remove(owner->context.cache, ns);
    if (fd >= 0) {
        close(fd);
        owner->pinned--;
    }
    nns_count(NNS_COUNT_NAMESPACES_FLUSHED, 1);
}

void nns_flush_all(struct nns_owner *owner, enum nns_flush_reason reason)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    while ((ns = nns_cache_next(owner->context.cache, &cursor)))
        nns_flush(owner, ns, reason);
    memset(owner->evicted, 0, sizeof(owner->evicted));
    nns_cache_reclaim(owner->context.cache);
}

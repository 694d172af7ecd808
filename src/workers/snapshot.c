/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/snapshot.h"

#include <errno.h>
#include <string.h>

#include "core/counters.h"
#include "io/links.h"
#include "workers/devices.h"

/* Devices of a namespace. */
enum { SMALL = 16 };

/* 0, or -ENOMEM with part of it done. */
NNS_OWNER_ONLY static int take_shown(struct nns_owner *owner, struct nns_namespace *ns,
                                     const struct nns_links *links)
{
    int rc = 0;

    for (size_t i = 0; i < links->count && !rc; i++)
        rc = nns_see_device(owner, ns, &links->items[i]);
    return rc;
}

NNS_OWNER_ONLY static void drop_unlisted(struct nns_owner *owner, struct nns_namespace *ns,
                                         const struct nns_links *links)
{
    for (uint32_t i = ns->devices.count; i-- > 0;) {
        uint32_t ifindex = ns->devices.items[i].link.ifindex;

        if (!nns_links_find(links, ifindex))
            nns_see_device_gone(owner, ns, ifindex);
    }
}

/* The program that lists what the kernel has is quicker by far than any question over rtnetlink; but not
 * every kernel lets us have it, and it does not list all that there may be. 0, or -errno with *links
 * untouched. */
NNS_OWNER_ONLY static int walk(struct nns_owner *owner, const struct nns_namespace *ns,
                               struct nns_links *links)
{
    int rc;

    if (!nns_resolver_lists(owner->context.resolver) || ns->devices.count > NNS_RESOLVER_DEVICES_MAX)
        return -EOPNOTSUPP;
    rc = nns_resolver_list(owner->context.resolver, ns->handle.fd, nns_namespace_cookie(ns), links);
    nns_count(NNS_COUNT_LIST_REFUSED, rc != 0);
    return rc;
}

/* Some of a listing. */
static void keep_only(struct nns_links *links, const uint32_t *ifindexes, uint32_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < links->count; i++)
        for (uint32_t j = 0; j < count; j++)
            if (links->items[i].ifindex == ifindexes[j])
                links->items[kept++] = links->items[i];
    links->count = kept;
}

/* A few more than were asked for are listed sooner than one is asked for over rtnetlink. */
static bool is_small(const struct nns_namespace *ns)
{
    return ns->devices.count <= SMALL;
}

/* Ask for some, and drop those that are not there. 0 with *links those that are; -errno: nothing is known of
 * these. */
NNS_OWNER_ONLY static int get(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                              const uint32_t *ifindexes, uint32_t count, struct nns_links *links)
{
    int rc = is_small(ns) ? walk(owner, ns, links) : -EOPNOTSUPP;

    if (rc)
        rc = nns_links_get(socket, ifindexes, count, links);
    else
        keep_only(links, ifindexes, count);
    nns_count(rc ? NNS_COUNT_LIST_FAILED : NNS_COUNT_LIST_LOOKS, rc ? 1 : count);
    for (uint32_t i = 0; i < count && !rc; i++)
        if (!nns_links_find(links, ifindexes[i]) && nns_devices_find(&ns->devices, ifindexes[i]))
            nns_see_device_gone(owner, ns, ifindexes[i]);
    return rc;
}

/* A listing that was interrupted may have passed over devices that are there: those it misses are asked for
 * one by one (I9). What cannot be asked for is as it was, for the listing that is owed. */
NNS_OWNER_ONLY static void drop_dead(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                     const struct nns_links *links)
{
    uint32_t ifindexes[NNS_LOOKS_MAX], at = ns->devices.count;
    int rc = 0;

    while (at && !rc) {
        struct nns_links there = NNS_LINKS_NULL;
        uint32_t count = 0;

        for (; at && count < NNS_LOOKS_MAX; at--)
            if (!nns_links_find(links, ns->devices.items[at - 1].link.ifindex))
                ifindexes[count++] = ns->devices.items[at - 1].link.ifindex;
        rc = count ? get(owner, ns, socket, ifindexes, count, &there) : 0;
        nns_links_deinit(&there);
    }
}

int nns_snapshot_list(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    struct nns_links links = NNS_LINKS_NULL;
    int rc = walk(owner, ns, &links);
    bool part;

    nns_count(NNS_COUNT_LIST_WALKS, rc == 0);
    if (rc)
        rc = nns_links_list(socket, &links);
    part = rc == NNS_LINKS_PART;
    if (rc < 0) {
        nns_count(NNS_COUNT_LIST_FAILED, 1);
        return rc;
    }
    nns_count(part ? NNS_COUNT_LIST_PARTIAL : NNS_COUNT_LIST_DUMPS, 1);
    if (part)
        drop_dead(owner, ns, socket, &links);
    else
        drop_unlisted(owner, ns, &links);
    rc = take_shown(owner, ns, &links);
    nns_links_deinit(&links);
    return part && !rc ? NNS_LINKS_PART : rc;
}

/* What leads here is that a device came up, or that its clsact went: where only news say so it is presumed to
 * have none, and where it does the kernel refuses a second one and it is looked at. News of another name say
 * nothing of that. */
NNS_OWNER_ONLY static int take_asked(struct nns_owner *owner, struct nns_namespace *ns, struct nns_link link)
{
    const struct nns_device *known = nns_devices_find(&ns->devices, link.ifindex);
    bool renamed = known && strncmp(known->link.name, link.name, sizeof(link.name)) != 0;

    if (!renamed && link.qdisc == NNS_QDISC_UNKNOWN)
        link.qdisc = NNS_QDISC_PRESUMED_NONE;
    return nns_see_device(owner, ns, &link);
}

NNS_OWNER_ONLY static int ask_for_some(struct nns_owner *owner, struct nns_namespace *ns, int socket,
                                       const uint32_t *ifindexes, uint32_t count)
{
    struct nns_links links = NNS_LINKS_NULL;
    int rc = get(owner, ns, socket, ifindexes, count, &links);

    for (size_t i = 0; i < links.count && !rc; i++)
        rc = take_asked(owner, ns, links.items[i]);
    nns_links_deinit(&links);
    return rc;
}

int nns_snapshot_ask(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_looks *looks,
                     int socket)
{
    int rc = 0;

    for (uint32_t at = 0; at < looks->count && !rc; at += NNS_LOOKS_MAX) {
        uint32_t left = looks->count - at;

        rc = ask_for_some(owner, ns, socket, looks->ifindexes + at,
                          left < NNS_LOOKS_MAX ? left : NNS_LOOKS_MAX);
    }
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/capabilities.h"

#include <stdio.h>

#define NOTHING "none"

static bool discovers(const struct nns_parts *parts)
{
    return parts->params->network_enabled && parts->params->discover_enabled;
}

static const char *resolver(const struct nns_parts *parts)
{
    bool pidfd = parts->netns.pidfd_ioctl;

    if (parts->resolver)
        return pidfd ? "BPF program for known, pidfd ioctl for new" : "BPF program for known, /proc for new";
    if (nns_weak(parts->way))
        return pidfd ? "pidfd ioctl" : "/proc";
    return pidfd ? "readlink for known, pidfd ioctl for new" : "readlink for known, /proc for new";
}

static const char *identity(const struct nns_parts *parts)
{
    return parts->netns.ns_get_id ? "NS_GET_ID" : "SO_NETNS_COOKIE";
}

static const char *handles(const struct nns_parts *parts)
{
    static const char *const words[] = {
        [NNS_HANDLES_PINNED] = "pinned: an open descriptor",
        [NNS_HANDLES_BY_MEMBER] = "weak: member's pid or mount path",
        [NNS_HANDLES_BY_ID] = "weak: nsfs file handle",
    };

    return words[parts->way];
}

static const char *first_scan(const struct nns_parts *parts)
{
    if (!discovers(parts))
        return NOTHING;
    return parts->trace.walk ? "BPF task iterator" : "/proc walk";
}

static const char *mounts(const struct nns_parts *parts)
{
    if (!parts->mounts)
        return "";
    return parts->mounts_way == NNS_MOUNTS_FANOTIFY ? "fanotify, " : "mountinfo, ";
}

/* The walk is that of the first scan, made again once an audit. */
static void describe_discovery(const struct nns_parts *parts, struct nns_capabilities *capabilities)
{
    const char *tasks = parts->trace.tasks ? "fork, exec and exit tracepoints, " : "";
    const char *devices = parts->trace.devices ? "qdisc tracepoints, " : "";
    size_t size = sizeof(capabilities->discovery);

    if (discovers(parts))
        snprintf(capabilities->discovery, size, "%s%s%speriodic walk", tasks, devices, mounts(parts));
    else
        snprintf(capabilities->discovery, size, "%s",
                 parts->params->network_enabled ? "queue only" : NOTHING);
}

static void describe_device_events(const struct nns_parts *parts, struct nns_capabilities *capabilities)
{
    const uint32_t ms = parts->params->events_interval_ms;
    char *words = capabilities->device_events;
    const size_t size = sizeof(capabilities->device_events);

    switch (parts->telling) {
    case NNS_TOLD_NOTHING:
        snprintf(words, size, NOTHING);
        break;
    case NNS_TOLD_BY_TRACEPOINTS:
        snprintf(words, size, "qdisc tracepoints");
        break;
    case NNS_TOLD_BY_RTNETLINK:
        snprintf(words, size, "rtnetlink, up to %u namespaces", parts->params->events_nsid_max);
        break;
    case NNS_TOLD_BY_LISTINGS:
        snprintf(words, size, "listing every %u%s", ms % 1000 ? ms : ms / 1000, ms % 1000 ? "ms" : "s");
        break;
    }
}

static const char *listing(const struct nns_parts *parts)
{
    if (!parts->params->network_enabled)
        return NOTHING;
    return parts->lists ? "BPF program" : "rtnetlink dump";
}

static const char *attach(const struct nns_parts *parts)
{
    return parts->params->network_enabled ? "clsact" : NOTHING;
}

static const char *meter_key(const struct nns_parts *parts)
{
    return parts->slots ? "attachment slot" : NOTHING;
}

struct nns_capabilities nns_capabilities_of(const struct nns_parts *parts)
{
    struct nns_capabilities capabilities = {
        .resolver = resolver(parts),
        .handles = handles(parts),
        .identity = identity(parts),
        .first_scan = first_scan(parts),
        .listing = listing(parts),
        .attach = attach(parts),
        .meter_key = meter_key(parts),
    };

    describe_discovery(parts, &capabilities);
    describe_device_events(parts, &capabilities);
    return capabilities;
}

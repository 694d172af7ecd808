/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_REPORT_H
#define NNS_CORE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/device.h"
#include "core/instance_name.h"
#include "core/namespace.h"
#include "core/outcome.h"

/*
 * Copies of what the owner knows, made for the operator: plain values, nothing shared. The owner fills them,
 * the loop thread turns them into JSON (core/protocol.h).
 */
struct nns_traffic {
    uint64_t packets, bytes;
};

struct nns_device_row {
    struct nns_device device;
    struct nns_traffic traffic[NNS_HOOKS];
    bool counted;         /* traffic is this device's own (it has a slot and the built-in meter) */
    uint64_t retry_in_ms; /* for a failed or queued device: when it is tried again; 0: not scheduled */
};

struct nns_namespace_row {
    uint64_t cookie;
    uint32_t inum;
    uint8_t handle; /* enum nns_handle_kind */
    bool host;
    bool evicted;           /* no longer kept: uncovered because the cache was full */
    const char *list_error; /* why its devices could not be listed, a constant string, or NULL */
    struct nns_device_row *devices;
    uint32_t device_count;
};

/* Frees the devices of each row; not the rows themselves. */
void nns_namespace_rows_deinit(struct nns_namespace_row *rows, size_t count);

/* Which way the daemon goes on this host, of those it knows: constants, NULL where nobody looked. Of the ways
 * to discover namespaces there are several at a time. */
struct nns_capabilities {
    const char *resolver, *handles, *identity, *first_scan, *listing, *attach, *meter_key;
    char discovery[96], device_events[64];
};

/* What the allocator says of itself, in bytes but for the arenas. NNS_UNSAID: it does not say. */
#define NNS_UNSAID UINT64_MAX

struct nns_memory {
    const char *allocator; /* a constant; NULL: nobody asked it */
    uint64_t arenas;       /* in use: each is a heap with locks of its own */
    uint64_t allocated;    /* what the daemon asked for and has not freed */
    uint64_t active;       /* the pages in which that lies */
    uint64_t metadata;     /* the allocator's own records */
    uint64_t resident;     /* active, metadata, and free pages that are not given back yet; at most */
    uint64_t retained;     /* addresses kept for later, without memory behind them */
};

#define NNS_MEMORY_UNSAID                                                                                    \
    ((struct nns_memory){NULL, NNS_UNSAID, NNS_UNSAID, NNS_UNSAID, NNS_UNSAID, NNS_UNSAID, NNS_UNSAID})

/* What `status` says beside the counters. */
struct nns_status {
    const char *version; /* a constant */
    char instance[NNS_INSTANCE_MAX + 1];
    struct nns_capabilities capabilities;
    uint64_t namespaces, namespaces_capacity, namespaces_pinned, namespaces_astray, namespaces_evicted_now;
    uint64_t devices_known, devices_covered, devices_queued, devices_failed, devices_excluded;
    uint64_t missing_by_reason[NNS_REASON_COUNT]; /* devices not covered, by reason */
    uint64_t namespaces_unlisted; /* whose devices could not be listed: some of them may not be known */
    uint64_t slots_in_use, slots_reserved, slots_limit, meter_bytes;
    bool meter_pinned; /* the counts outlive the daemon */
    uint64_t batches_waiting, claims, watchers, uptime_ms;
    struct nns_memory memory;
    uint32_t program_ids[NNS_HOOKS];
};

#endif

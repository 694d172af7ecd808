/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_NAMESPACE_H
#define NNS_CORE_NAMESPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/device_queue.h"
#include "core/epoch.h"
#include "core/index.h"

/*
 * One network namespace as the daemon knows it: the entry of the cache.
 *
 * Readers may look at the fields of the first group, inside an epoch section. All else is the owner thread's.
 * A namespace is identified by its cookie, which the kernel never reuses; the inum is believed only while a
 * pinned handle keeps it from being reused (I5), which is why only pinned entries stand in the cache's index
 * of inums.
 */

/* What lets us enter a namespace again. PINNED: fd keeps it alive. WEAK: it is opened anew for each piece of
 * work, by cookie and inum, and fd is -1 in between. NONE: not opened yet. */
enum nns_handle_kind { NNS_HANDLE_NONE, NNS_HANDLE_PINNED, NNS_HANDLE_WEAK };

struct nns_handle {
    uint8_t kind; /* enum nns_handle_kind */
    int fd;       /* owned, or -1 */
};

#define NNS_HANDLE_NULL ((struct nns_handle){.kind = NNS_HANDLE_NONE, .fd = -1})

struct nns_namespace {
    /* Shared with readers: one cache line. by_cookie.key and by_inum.key are constant while readable. */
    _Alignas(NNS_CACHE_LINE) struct nns_index_node by_cookie;
    struct nns_index_node by_inum;
    _Atomic bool referenced; /* set by readers, cleared by the eviction hand */
    _Atomic bool asked;      /* set by a request that found it, cleared by the owner's next round */

    /* The owner's. */
    bool host; /* the daemon's own namespace: set right after it is inserted; never evicted, flushed only with
                  all others */
    bool excluded; /* exclude.namespaces names it: what we have there is taken off, then it is forgotten */
    struct nns_handle handle;
    struct nns_devices devices;
    struct nns_device_queue queue;
    bool relist;                /* list the devices again at the next piece of work */
    bool doomed;                /* to be flushed at the next piece of work */
    uint8_t tries;              /* failed visits in a row */
    uint16_t list_error;        /* positive errno of the last listing, 0 when it went well */
    uint32_t shard_slot;        /* place in its shard's eviction ring */
    int32_t due_slot;           /* place in the owner's heap of due namespaces, -1 outside */
    uint64_t due_ms;            /* when work is due, on the monotonic clock */
    uint64_t lonely_ms;         /* since when no process and no mount was found; 0: some were */
    struct nns_waiter *waiters; /* who wants to hear when its devices have been worked off */
    struct nns_retired retired;
};

static inline uint64_t nns_namespace_cookie(const struct nns_namespace *ns)
{
    return ns->by_cookie.key;
}

/* A request found it: the owner's next round looks whether its devices are still those it knows. Written only
 * when not set, so that requests do not pass the cache line around. Readers, inside their section. */
static inline void nns_namespace_ask(struct nns_namespace *ns)
{
    if (!atomic_load_explicit(&ns->asked, memory_order_relaxed))
        atomic_store_explicit(&ns->asked, true, memory_order_release);
}

static inline uint32_t nns_namespace_inum(const struct nns_namespace *ns)
{
    return (uint32_t)ns->by_inum.key;
}

#endif

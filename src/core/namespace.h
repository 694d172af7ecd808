/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_NAMESPACE_H
#define NNS_CORE_NAMESPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/device.h"
#include "core/device_queue.h"
#include "core/epoch.h"
#include "core/index.h"
#include "core/looks.h"
#include "core/nsids.h"
#include "core/visits.h"

/*
 * One network namespace as the daemon knows it: the entry of the cache.
 *
 * Readers may look at the fields of the first group, inside an epoch section. All else is the owner thread's.
 * A namespace is identified by its cookie, which the kernel never reuses; the inum is believed only while a
 * pinned handle keeps it from being reused (I5), which is why only pinned entries stand in the cache's index
 * of inums.
 */

/* How the daemon gets into namespaces again, decided once at start. */
enum nns_handle_way {
    NNS_HANDLES_PINNED,    /* each is held open */
    NNS_HANDLES_BY_MEMBER, /* by a process in it, or a mount of it */
    NNS_HANDLES_BY_ID      /* by its identity alone (nsfs file handles) */
};

/* Do handles keep nothing alive? Then only cookies tell a namespace, never inums (I5). */
static inline bool nns_weak(enum nns_handle_way way)
{
    return way != NNS_HANDLES_PINNED;
}

/* What leads to a namespace as long as it stays there: whatever is opened through it is verified (I5). */
struct nns_place {
    uint32_t pid; /* a process or thread in it; 0: none */
    char *path;   /* owned; NULL: none */
};

/* What lets us enter a namespace again. PINNED: fd keeps it alive. WEAK: it is opened anew for each piece of
 * work, by cookie and inum or by its place, and fd is -1 in between. NONE: astray. */
enum nns_handle_kind { NNS_HANDLE_NONE, NNS_HANDLE_PINNED, NNS_HANDLE_WEAK };

#define NNS_PLACE_NULL ((struct nns_place){.pid = 0, .path = NULL})

struct nns_handle {
    uint8_t kind; /* enum nns_handle_kind */
    int fd;       /* owned, or -1 */
    struct nns_place place;
};

#define NNS_HANDLE_NULL ((struct nns_handle){.kind = NNS_HANDLE_NONE, .fd = -1})

/*
 * Three cache lines, by who touches them when.
 *
 * The first is the readers': a hit reads a key and three flags, of namespaces that many processes live in
 * again and again, on every CPU. Beside them lies only what is constant, or written when a namespace comes,
 * goes, is lost, or is given a number by rtnetlink, so that no visit of the owner takes the line from them.
 * The flags are written only when they change; an audit's round, which goes over all, only reads them.
 *
 * The second says whether there is something to do, and when, for that round and the heap of due namespaces.
 * The third is what a visit needs besides.
 */
struct nns_namespace {
    /* Shared with readers. by_cookie.key and by_inum.key are constant while readable. */
    _Alignas(NNS_CACHE_LINE) struct nns_index_node by_cookie;
    struct nns_index_node by_inum;
    _Atomic bool referenced; /* set by readers, cleared by the eviction hand */
    _Atomic bool asked;      /* set by a request that found it, cleared by the owner's next round */
    _Atomic bool astray;     /* set by the owner: its place leads there no more, and another is wanted */

    /* The owner's, from here on. These hardly change. */
    bool host; /* the daemon's own namespace: set right after it is inserted; never evicted, flushed only with
                  all others */
    uint32_t shard_slot;        /* place in its shard's eviction ring */
    uint64_t astray_ms;         /* since when it is astray */
    int32_t nsid;               /* by which rtnetlink tells of it, or NNS_NSID_NONE */
    struct nns_retired retired; /* when it goes */

    /* Whether, and when, there is something to do. */
    _Alignas(NNS_CACHE_LINE) uint64_t due_ms; /* when work is due, on the monotonic clock */
    int32_t due_slot;                         /* place in the owner's heap of due namespaces, -1 outside */
    bool doomed;                              /* to be flushed at the next piece of work */
    bool remeet;              /* look whether exclude.namespaces still names it, at the next piece of work */
    bool excluded;            /* it does: what we have there is taken off, then it is forgotten */
    struct nns_visits visits; /* when the next is, and what it lists */
    struct nns_devices devices;
    struct nns_looks *looks;    /* devices to be asked for at the next piece of work; owned, or NULL */
    struct nns_waiter *waiters; /* who wants to hear when its devices have been worked off */

    /* To do it. */
    _Alignas(NNS_CACHE_LINE) struct nns_handle handle;
    struct nns_device_queue queue;
    uint64_t lonely_ms; /* since when no process and no mount was found; 0: some were */
};

_Static_assert(offsetof(struct nns_namespace, due_ms) == NNS_CACHE_LINE, "what readers touch is one line");
_Static_assert(offsetof(struct nns_namespace, handle) == 2 * NNS_CACHE_LINE, "so is what there is to do");
_Static_assert(sizeof(struct nns_namespace) == 3 * NNS_CACHE_LINE, "hosts have thousands");

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

/* Any thread; whoever is told so and asks for it does so after it went astray. */
static inline bool nns_is_astray(const struct nns_namespace *ns)
{
    return atomic_load_explicit(&ns->astray, memory_order_acquire);
}

static inline uint32_t nns_namespace_inum(const struct nns_namespace *ns)
{
    return (uint32_t)ns->by_inum.key;
}

#endif

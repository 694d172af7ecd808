/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_OWNER_STATE_H
#define NNS_WORKERS_OWNER_STATE_H

#include "core/due.h"
#include "core/evicted.h"
#include "core/nsids.h"
#include "core/slots.h"
#include "core/strangers.h"
#include "io/tc.h"
#include "workers/letters.h"
#include "workers/owner.h"

/*
 * What the owner thread holds, for the files that are its parts: save and handle (ways into namespaces),
 * dequeue (visits) with snapshot (listing), devices (what is known and queued) and attach, look (what makes
 * visits due), flush (forgetting), lonely (who has left), astray (who is to be found again), heritage
 * (what a former daemon left), events and hearing (what is told of devices), audit (checking), answer
 * (orders), waiters (who waits for devices), told (what the tracepoints are told of namespaces), news
 * (telling those who watch). Nobody else includes this.
 */

/* How long letters are worked off before it is the events' turn, and then that of due namespaces, and so on:
 * where the kernel is slow a single visit may take longer. */
enum { NNS_TURN_MS = 5 };

struct nns_waiter {
    struct nns_waiter *next;
    struct nns_order *order;
    uint64_t until_ms; /* as long as what failed is waited for; 0: nothing has failed yet */
};

/* When looks of a kind were last asked for and had, and how long the last one took. */
struct nns_pace {
    bool asked; /* and not had yet */
    uint64_t asked_ms, had_ms, cost_ms;
};

struct nns_owner {
    struct nns_owner_context context; /* constant */
    struct nns_pool *pool;            /* constant once started */
    struct nns_mailbox mailbox;
    uv_thread_t thread;
    bool started;

    /* The owner thread's alone. */
    struct nns_letter *mail; /* taken out of the mailbox, and not worked off yet */
    struct nns_tc_set sets[NNS_SETS_MAX];
    unsigned set_count;
    struct nns_slots slots;
    struct nns_due due;
    struct nns_tc_job *jobs; /* scratch of one exchange, and the devices it is for */
    uint32_t *visited;
    size_t scratch;      /* how many either holds */
    bool unoffered;      /* some who were evicted may find room by now */
    uint64_t offered_ms; /* 0: never */
    struct {
        bool watched;           /* the mailbox waits for events, too */
        uint64_t lost;          /* by the kernel, as last asked */
        unsigned failures;      /* to read, in a row */
        uint64_t rest_until_ms; /* after one; 0: none */
    } tracing;
    struct {
        struct nns_batch *first, *last; /* the last one is being filled */
        unsigned waiting;
    } found;                          /* pids that the workers had no room for yet */
    bool lost_events;                 /* not made up for yet */
    bool unseen_tasks;                /* likewise: some were lost, or passed over */
    uint64_t resynced_ms, scanned_ms; /* 0: never */
    bool moving_on;                   /* from one namespace straight to the next, not home in between */
    bool sparing;                     /* who goes astray while all are forgotten */
    size_t pinned;                    /* handles that keep a namespace alive */
    struct {
        size_t count; /* namespaces that are astray */
        bool wanted;  /* some for which nobody has looked yet, or somebody waits */
        struct nns_pace scan, search;
    } astray;
    uint64_t next_sweep_ms, next_audit_ms;
    uint32_t audit_part; /* the next */
    struct nns_nsids nsids;
    size_t heard;             /* namespaces in the cache that have one */
    uint64_t next_listing_ms; /* of those that have none */
    uint32_t listing_part;    /* the next */
    uint64_t started_ms, trimmed_ms;
    bool untrimmed;                         /* something was done since then, and so memory freed */
    unsigned watchers;                      /* who want news; while there are none, there is none */
    struct nns_news_batch *news;            /* being filled, or NULL */
    uint64_t news_sequence, news_handed_on; /* of the last piece told, and of the last on its way */
    struct nns_order *stop;                 /* the order that ends the thread, once it came */
    bool leaves_filters;                    /* at the end: some go on counting */
    /* Large, and last, so that they do not part what every round looks at. */
    struct nns_evicted_set evicted;
    struct nns_strangers strangers;
};

/* Milliseconds of the monotonic clock. */
static inline uint64_t nns_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Room in the scratch for count devices. 0 or -ENOMEM. */
int nns_owner_reserve(struct nns_owner *owner, size_t count) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_OWNER_H
#define NNS_WORKERS_OWNER_H

#include "core/cache.h"
#include "core/claims.h"
#include "core/params.h"
#include "core/report.h"
#include "io/link_events.h"
#include "io/meter.h"
#include "io/netns.h"
#include "io/resolve.h"
#include "io/trace.h"
#include "workers/completions.h"
#include "workers/exclude.h"
#include "workers/mailbox.h"
#include "workers/pool.h"

/*
 * The owner thread: the only writer of the cache, the device queues and the attachments (I1).
 *
 * It works off its mailbox (opened namespaces from the workers, orders from the loop thread), then events,
 * then the namespaces that are due, each for some milliseconds so that none starves the others. It waits for
 * nobody but in its mailbox, save within bounds for the answer of a file system (workers/asker.h), and,
 * before it forgets a namespace for good, for readers of the cache, who never wait themselves.
 */
struct nns_owner;

/* Opened namespaces that may wait in its mailbox: each holds an fd. */
#define NNS_OWNER_MAILBOX 256

/* What tells it of devices, the best first. */
enum nns_telling {
    NNS_TOLD_NOTHING, /* who asks, and the audit */
    NNS_TOLD_BY_TRACEPOINTS,
    NNS_TOLD_BY_RTNETLINK, /* of some namespaces; the others are listed */
    NNS_TOLD_BY_LISTINGS
};

/* What the owner is given; all of it outlives it. */
struct nns_owner_context {
    const struct nns_params *params;
    const struct nns_netns_abilities *abilities;
    enum nns_handle_way way;
    struct nns_cache *cache;
    struct nns_claims *claims;
    struct nns_completions *completions;
    struct nns_meter *meter;
    struct nns_resolver *resolver; /* to list devices with; NULL: none */
    struct nns_trace *trace;       /* NULL: none */
    struct nns_exclusions *exclusions;
    enum nns_telling telling;
    struct nns_link_events *link_events; /* with NNS_TOLD_BY_RTNETLINK */
    struct nns_capabilities capabilities;
    void (*trim)(void); /* gives free memory back, when the owner has nothing to do; NULL: nobody does */
    struct nns_memory (*weigh)(void); /* what the allocator holds; NULL: nobody knows */
};

/* 0 or -errno. */
int nns_owner_new(const struct nns_owner_context *context, struct nns_owner **out);

struct nns_mailbox *nns_owner_mailbox(struct nns_owner *owner);

/* Start the thread. It ends after it has answered an NNS_ORDER_STOP. 0 or -errno. */
int nns_owner_start(struct nns_owner *owner, struct nns_pool *pool);

/* Once it has ended: are there filters, this daemon's or a former one's, that go on counting in our slots?
 * Where that is not known it is to be presumed (I9). */
bool nns_owner_leaves_filters(const struct nns_owner *owner) NNS_OWNER_ONLY;

/* Wait for the thread, if started, and free. NULL is fine. */
void nns_owner_free(struct nns_owner *owner) NNS_OWNER_ONLY;

#endif

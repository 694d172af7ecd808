/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_OWNER_H
#define NNS_WORKERS_OWNER_H

#include "core/cache.h"
#include "core/claims.h"
#include "core/params.h"
#include "io/meter.h"
#include "io/netns.h"
#include "io/trace.h"
#include "workers/completions.h"
#include "workers/exclude.h"
#include "workers/mailbox.h"
#include "workers/pool.h"

/*
 * The owner thread: the only writer of the cache, the device queues and the attachments (I1).
 *
 * It works off its mailbox (opened namespaces from the workers, orders from the loop thread), then the
 * namespaces that are due, a few at a time so that neither starves the other. It never waits for another
 * thread but in its mailbox.
 */
struct nns_owner;

/* Opened namespaces that may wait in its mailbox: each holds an fd. */
#define NNS_OWNER_MAILBOX 256

/* What the owner is given; all of it outlives it. */
struct nns_owner_context {
    const struct nns_params *params;
    const struct nns_netns_abilities *abilities;
    bool weak; /* handles pin nothing; then only cookies tell a namespace, never inums (I5) */
    struct nns_cache *cache;
    struct nns_claims *claims;
    struct nns_completions *completions;
    struct nns_meter *meter;
    struct nns_trace *trace; /* NULL: none */
    struct nns_exclusions *exclusions;
};

/* 0 or -errno. */
int nns_owner_new(const struct nns_owner_context *context, struct nns_owner **out);

struct nns_mailbox *nns_owner_mailbox(struct nns_owner *owner);

/* Start the thread. It ends after it has answered an NNS_ORDER_STOP. 0 or -errno. */
int nns_owner_start(struct nns_owner *owner, struct nns_pool *pool);

/* Wait for the thread, if started, and free. NULL is fine. */
void nns_owner_free(struct nns_owner *owner) NNS_OWNER_ONLY;

#endif

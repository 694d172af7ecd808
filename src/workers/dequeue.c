/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/dequeue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "core/log.h"
#include "io/links.h"
#include "workers/attach.h"
#include "workers/audit.h"
#include "workers/flush.h"
#include "workers/handle.h"
#include "workers/hearing.h"
#include "workers/news.h"
#include "workers/snapshot.h"
#include "workers/waiters.h"

/* A device's clsact and filters, each of which may be refused. */
enum { ANSWERS_EACH = 1 + NNS_HOOKS };

static struct nns_log_limit visit_limit;

/* A whole listing shows those that were to be asked for, too; so does the one that is owed after a failure.
 * While one has to wait they are asked for. Returns as nns_snapshot_list. */
NNS_OWNER_ONLY static int look(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    bool listing = nns_visits_lists(&ns->visits, nns_now_ms());
    struct nns_looks *looks = ns->looks;
    int rc = 0, asked = 0;

    ns->looks = NULL;
    if (listing)
        rc = nns_snapshot_list(owner, ns, socket);
    if (listing && !rc)
        nns_visits_listed(&ns->visits);
    if (looks && (!listing || rc == NNS_LINKS_PART))
        asked = nns_snapshot_ask(owner, ns, looks, socket);
    free(looks);
    return asked ? asked : rc;
}

/* Likewise. */
NNS_OWNER_ONLY static int visit(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    int looked, rc;

    nns_audit_exclusion(owner, ns);
    nns_hear(owner, ns); /* first: what changes after the listing is told */
    looked = look(owner, ns, socket);
    if (looked < 0)
        return looked;
    nns_netns_expect(socket, ANSWERS_EACH * ns->devices.count);
    rc = nns_detach_excluded(owner, ns, socket);
    if (!rc)
        rc = nns_attach_due(owner, ns, socket);
    return rc ? rc : looked;
}

/* The namespace could not be entered or listed, or memory was short: a whole visit later. */
NNS_OWNER_ONLY static void visit_failed(struct nns_owner *owner, struct nns_namespace *ns, int error)
{
    uint64_t wait = nns_visits_failed(&ns->visits, error, nns_now_ms());

    nns_count(NNS_COUNT_VISITS_FAILED, 1);
    if (ns->visits.tries == 1 || ns->visits.tries == NNS_TRIES_MAX)
        nns_news_namespace_because(owner, ns, NNS_NEWS_NAMESPACE_FAILED, strerrordesc_np(-error), wait);
    nns_log_limited(&visit_limit, NNS_LOG_WARNING, "namespace %llu: cannot list or reach its devices%s: %s",
                    (unsigned long long)nns_namespace_cookie(ns), wait ? "" : ", giving up",
                    strerror(-error));
    if (wait)
        nns_due_add(&owner->due, ns, ns->visits.retry_ms);
    else
        nns_count(NNS_COUNT_NAMESPACES_GIVEN_UP, 1);
}

/* All is done but the listing that is owed, which waits; what there is news of meanwhile does not. */
NNS_OWNER_ONLY static void visited_in_part(struct nns_namespace *ns)
{
    if (!nns_visits_interrupted(&ns->visits, nns_now_ms()))
        nns_count(NNS_COUNT_LIST_GIVEN_UP, 1);
}

NNS_OWNER_ONLY static void schedule(struct nns_owner *owner, struct nns_namespace *ns)
{
    uint64_t now = nns_now_ms(), next = nns_visits_next(&ns->visits, now);

    if (ns->queue.count)
        next = now;
    for (uint32_t i = 0; i < ns->devices.count; i++) {
        const struct nns_device *device = &ns->devices.items[i];

        if (device->retry_ms && device->retry_ms < next)
            next = device->retry_ms;
    }
    if (next != UINT64_MAX)
        nns_due_add(&owner->due, ns, next);
}

/* Returns what whoever waits is to be told of the visit, as far as that says it. */
NNS_OWNER_ONLY static int conclude(struct nns_owner *owner, struct nns_namespace *ns, int visited)
{
    if (visited < 0) {
        visit_failed(owner, ns, visited);
        return visited;
    }
    if (visited == NNS_LINKS_PART)
        visited_in_part(ns);
    else
        nns_visits_went_well(&ns->visits);
    schedule(owner, ns);
    return visited == NNS_LINKS_PART ? NNS_WAIT_INTERRUPTED : 0;
}

void nns_dequeue(struct nns_owner *owner, struct nns_namespace *ns)
{
    int socket = nns_handle_enter(owner, ns, 1);
    int visited = socket < 0 ? socket : visit(owner, ns, socket), end;

    if (socket == -ESTALE) {
        nns_flush(owner, ns, NNS_FLUSH_DEAD);
        return;
    }
    if (ns->handle.kind == NNS_HANDLE_NONE)
        return; /* astray: the visit is made up for when it is found, and whoever waits does so till then */
    if (socket >= 0)
        nns_handle_leave(owner, ns, socket);
    end = conclude(owner, ns, visited);
    /* A listing still owed after an overflow follows at once; whoever waits, waits for that too. */
    if (end || !ns->visits.owed)
        nns_waiters_visited(owner, ns, end);
    if (!end && ns->excluded && !ns->visits.owed && nns_is_bare(ns))
        nns_flush(owner, ns, NNS_FLUSH_EXCLUDED);
}

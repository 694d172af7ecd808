/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/trace_feed.h"

#include <string.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "core/log.h"
#include "workers/events.h"
#include "workers/tasks.h"

static struct nns_log_limit error_limit, lost_limit;

NNS_OWNER_ONLY static void take(void *context, const struct nns_trace_event *event)
{
    struct nns_owner *owner = context;

    owner->untrimmed = true;
    nns_count(NNS_COUNT_EVENTS_READ, 1);
    if (event->kind == NNS_TRACE_TASK)
        nns_take_task(owner, event);
    else
        nns_take_event(owner, event);
}

NNS_OWNER_ONLY static void look_for_losses(struct nns_owner *owner)
{
    uint64_t lost = nns_trace_lost(owner->context.trace), more = lost - owner->tracing.lost;

    if (!more)
        return;
    nns_count(NNS_COUNT_EVENTS_LOST, more);
    nns_log_limited(&lost_limit, NNS_LOG_WARNING, "%llu events were lost: looking at everything",
                    (unsigned long long)more);
    owner->tracing.lost = lost;
    owner->lost_events = owner->unseen_tasks = true;
}

/* The descriptor stays readable. */
NNS_OWNER_ONLY static void rest(struct nns_owner *owner, int error)
{
    nns_count(NNS_COUNT_EVENTS_ERRORS, 1);
    nns_log_limited(&error_limit, NNS_LOG_ERROR, "cannot read events: %s", strerrordesc_np(-error));
    if (owner->tracing.failures < NNS_TRIES_MAX - 1)
        owner->tracing.failures++;
    owner->tracing.rest_until_ms = nns_now_ms() + nns_backoff_ms(owner->tracing.failures);
    if (owner->tracing.watched)
        nns_mailbox_unwatch(&owner->mailbox, nns_trace_fd(owner->context.trace));
    owner->tracing.watched = false;
}

/* As nns_trace_read. The kernel's buffer may fill as fast as it is read, and each event make a visit. */
NNS_OWNER_ONLY static int read_for_a_turn(struct nns_owner *owner)
{
    uint64_t since = nns_now_ms();
    int rc;

    do
        rc = nns_trace_read(owner->context.trace, 1, take, owner);
    while (rc > 0 && nns_now_ms() - since < NNS_TURN_MS);
    return rc;
}

void nns_trace_feed_read(struct nns_owner *owner)
{
    struct nns_trace *trace = owner->context.trace;
    int rc;

    if (!trace || (owner->tracing.rest_until_ms && nns_now_ms() < owner->tracing.rest_until_ms))
        return;
    rc = read_for_a_turn(owner);
    look_for_losses(owner);
    nns_tasks_hand_on(owner);
    if (rc < 0) {
        rest(owner, rc);
    } else {
        owner->tracing.failures = 0;
        owner->tracing.rest_until_ms = 0;
    }
}

/* What cannot be watched is read now and then. */
uint64_t nns_trace_feed_tick(struct nns_owner *owner, uint64_t now_ms)
{
    struct nns_trace *trace = owner->context.trace;
    int rc;

    if (!trace || nns_trace_fd(trace) < 0)
        return UINT64_MAX;
    if (owner->tracing.rest_until_ms > now_ms)
        return owner->tracing.rest_until_ms - now_ms;
    if (owner->tracing.watched)
        return UINT64_MAX;
    rc = nns_mailbox_watch(&owner->mailbox, nns_trace_fd(trace));
    owner->tracing.watched = rc == 0;
    if (!rc)
        return UINT64_MAX;
    nns_count(NNS_COUNT_EVENTS_ERRORS, 1);
    nns_log_limited(&error_limit, NNS_LOG_ERROR, "cannot wait for events: %s", strerrordesc_np(-rc));
    return nns_backoff_ms(NNS_TRIES_MAX / 2);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/discover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/letters.h"
#include "workers/rest.h"

/* Batches kept for workers who have no room: as many pids as the kernel's buffer holds events. */
enum { WAITING_MAX = 64 };

struct nns_discover {
    uv_poll_t trace_poll, mounts_poll;
    struct nns_rest trace_rest, mounts_rest;
    uv_idle_t first_turns; /* until the first look at everything */
    int turns_left;
    struct nns_trace *trace;   /* borrowed, or NULL */
    struct nns_mounts *mounts; /* likewise */
    struct nns_pool *pool;
    struct nns_mailbox *owner;
    struct nns_batch *first, **end; /* of those found, not with the workers yet */
    struct nns_batch *batch;        /* the last of them, being filled, or NULL */
    unsigned waiting;               /* how many they are */
    struct nns_events *events;      /* being filled */
    uint64_t lost_seen;             /* by the kernel, as last asked */
    bool lost, passed_over;         /* devices, tasks: to be told to the owner */
    enum nns_mounts_way mounts_way;
    unsigned open; /* handles not closed yet */
    bool reading;
};

static struct nns_log_limit error_limit, mounts_limit, lost_limit;

/* ---- events ---- */

/* As many as the workers have room for. */
static void hand_on_tasks(struct nns_discover *discover)
{
    while (discover->first) {
        struct nns_batch *next = discover->first->next;

        if (!nns_pool_submit(discover->pool, discover->first))
            return;
        discover->first = next;
        discover->waiting--;
    }
    discover->end = &discover->first;
    discover->batch = NULL;
}

/* The batch to add to, or NULL. The queue may keep the workers busy for as long as it likes: what was found
 * meanwhile is kept within bounds, and devices do not wait for it. */
static struct nns_batch *batch_under_way(struct nns_discover *discover)
{
    struct nns_batch *batch = discover->batch;

    if (batch && batch->count < NNS_BATCH_MAX)
        return batch;
    batch = discover->waiting < WAITING_MAX ? nns_batch_new(NNS_BATCH_MAX) : NULL;
    if (!batch)
        return NULL;
    batch->found = true;
    *discover->end = batch;
    discover->end = &batch->next;
    discover->batch = batch;
    discover->waiting++;
    return batch;
}

static void hand_on_events(struct nns_discover *discover)
{
    if (discover->events)
        nns_mailbox_post_now(discover->owner, &discover->events->letter);
    discover->events = NULL;
}

static struct nns_events *events_under_way(struct nns_discover *discover)
{
    if (!discover->events) {
        discover->events = calloc(1, sizeof(*discover->events));
        if (discover->events)
            discover->events->letter.kind = NNS_LETTER_EVENTS;
    }
    return discover->events;
}

static void take_task(struct nns_discover *discover, uint32_t pid)
{
    struct nns_batch *batch = batch_under_way(discover);

    nns_count(NNS_COUNT_DISCOVER_PIDS, 1);
    if (!batch) {
        nns_count(NNS_COUNT_DISCOVER_PASSED_OVER, 1);
        discover->passed_over = true;
        return;
    }
    nns_batch_add(batch, pid);
    if (batch->count == NNS_BATCH_MAX)
        hand_on_tasks(discover);
}

/* Without memory an event is lost like one that the kernel had no room for. */
static void take_event(void *context, const struct nns_trace_event *event)
{
    struct nns_discover *discover = context;
    struct nns_events *events;

    nns_count(NNS_COUNT_EVENTS_READ, 1);
    if (event->kind == NNS_TRACE_TASK) {
        take_task(discover, event->number);
        return;
    }
    events = events_under_way(discover);
    if (!events) {
        nns_count(NNS_COUNT_EVENTS_LOST, 1);
        discover->lost = true;
        return;
    }
    events->items[events->count++] = *event;
    if (events->count == NNS_EVENTS_MAX)
        hand_on_events(discover);
}

static void look_for_losses(struct nns_discover *discover)
{
    uint64_t lost = nns_trace_lost(discover->trace);

    if (lost == discover->lost_seen)
        return;
    nns_count(NNS_COUNT_EVENTS_LOST, lost - discover->lost_seen);
    nns_log_limited(&lost_limit, NNS_LOG_WARNING, "%llu events were lost: looking at everything",
                    (unsigned long long)(lost - discover->lost_seen));
    discover->lost_seen = lost;
    discover->lost = true;
}

/* True when the owner will know. */
static bool tell_of_losses(struct nns_discover *discover)
{
    if (!discover->lost && !discover->passed_over)
        return true;
    if (!events_under_way(discover))
        return false;
    discover->events->lost = discover->lost;
    discover->events->passed_over = discover->passed_over;
    discover->lost = discover->passed_over = false;
    return true;
}

static void stop_reading(struct nns_discover *discover)
{
    uv_poll_stop(&discover->trace_poll);
    discover->reading = false;
}

/* True when all that was there is with who is to have it, or will be. */
static bool pass_on(struct nns_discover *discover)
{
    int rc = nns_trace_read(discover->trace, take_event, discover);
    bool told;

    if (rc < 0) {
        nns_count(NNS_COUNT_EVENTS_ERRORS, 1);
        nns_log_limited(&error_limit, NNS_LOG_ERROR, "cannot read events: %s", strerrordesc_np(-rc));
    }
    look_for_losses(discover);
    hand_on_tasks(discover);
    told = tell_of_losses(discover);
    hand_on_events(discover);
    return told && rc >= 0;
}

static void on_rest(uv_timer_t *timer);

static void read_events(struct nns_discover *discover)
{
    if (nns_mailbox_full(discover->owner)) {
        stop_reading(discover);
    } else if (pass_on(discover)) {
        nns_rest_forget(&discover->trace_rest);
        nns_discover_resume(discover);
    } else {
        stop_reading(discover);
        nns_rest_begin(&discover->trace_rest, on_rest);
    }
}

static void on_rest(uv_timer_t *timer)
{
    read_events(timer->data);
}

/* libuv stops a handle that it reports an error on. */
static void on_trace(uv_poll_t *poll, int status, int happened)
{
    struct nns_discover *discover = poll->data;

    discover->reading = discover->reading && status >= 0;
    read_events(discover);
}

/* ---- mounts ---- */

static void retry_mounts(uv_timer_t *timer);

static void hold_off_mounts(struct nns_discover *discover, int error)
{
    nns_count(NNS_COUNT_DISCOVER_FAILED, 1);
    nns_log_limited(&mounts_limit, NNS_LOG_WARNING, "cannot see which mounts come and go: %s",
                    strerrordesc_np(-error));
    /* An error keeps fanotify's descriptor readable. mountinfo has no word of a change that would stay, and
     * to poll anew loses one. */
    if (discover->mounts_way == NNS_MOUNTS_FANOTIFY)
        uv_poll_stop(&discover->mounts_poll);
    nns_rest_begin(&discover->mounts_rest, retry_mounts);
}

static void look_at_mounts(struct nns_discover *discover, int status)
{
    int changed = status < 0 ? status : nns_mounts_changed(discover->mounts);

    if (nns_mounts_has_new(discover->mounts))
        nns_pool_want(discover->pool, NNS_CHORE_MOUNTS);
    if (changed < 0)
        hold_off_mounts(discover, changed);
    else
        nns_rest_forget(&discover->mounts_rest);
}

/* What changes during a rest is seen at its end. */
static void on_mounts(uv_poll_t *poll, int status, int happened)
{
    struct nns_discover *discover = poll->data;

    if (!nns_rest_lasts(&discover->mounts_rest))
        look_at_mounts(discover, status);
}

/* mountinfo is readable always. */
static int poll_mounts(struct nns_discover *discover)
{
    int events = discover->mounts_way == NNS_MOUNTS_FANOTIFY ? UV_READABLE : UV_PRIORITIZED;

    return uv_poll_start(&discover->mounts_poll, events, on_mounts);
}

static void retry_mounts(uv_timer_t *timer)
{
    struct nns_discover *discover = timer->data;

    look_at_mounts(discover, discover->mounts_way == NNS_MOUNTS_FANOTIFY ? poll_mounts(discover) : 0);
}

/* The first look comes after all watches watch: libuv begins to poll in its first turn, and where mounts are
 * polled in /proc that takes away the word of what changed before. */
static void on_first_turns(uv_idle_t *idle)
{
    struct nns_discover *discover = idle->data;

    if (discover->turns_left--)
        return;
    uv_idle_stop(idle);
    nns_pool_want(discover->pool, NNS_CHORE_SCAN);
}

/* ---- opening and closing ---- */

void nns_discover_resume(struct nns_discover *discover)
{
    uv_poll_t *poll = &discover->trace_poll;

    hand_on_tasks(discover);
    if (!discover->trace || discover->reading || uv_is_closing((uv_handle_t *)poll) ||
        nns_rest_lasts(&discover->trace_rest))
        return;
    discover->reading = uv_poll_start(poll, UV_READABLE, on_trace) == 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct nns_discover *discover = handle->data;

    if (--discover->open)
        return;
    while (discover->first) {
        struct nns_batch *next = discover->first->next;

        free(discover->first);
        discover->first = next;
    }
    free(discover->events);
    free(discover);
}

void nns_discover_close(struct nns_discover *discover)
{
    if (!discover)
        return;
    if (!discover->open) {
        free(discover);
        return;
    }
    if (discover->trace) {
        uv_close((uv_handle_t *)&discover->trace_poll, on_closed);
        uv_close((uv_handle_t *)&discover->trace_rest.timer, on_closed);
    }
    if (discover->mounts) {
        uv_close((uv_handle_t *)&discover->mounts_poll, on_closed);
        uv_close((uv_handle_t *)&discover->mounts_rest.timer, on_closed);
    }
    if (discover->first_turns.data)
        uv_close((uv_handle_t *)&discover->first_turns, on_closed);
}

static int watch(struct nns_discover *discover, uv_loop_t *loop, uv_poll_t *poll, struct nns_rest *rest,
                 int fd)
{
    int rc = uv_poll_init(loop, poll, fd);

    if (rc)
        return rc;
    nns_rest_init(rest, loop, discover);
    poll->data = discover;
    discover->open += 2;
    return 0;
}

static int watch_mounts(struct nns_discover *discover, uv_loop_t *loop, struct nns_mounts *mounts,
                        enum nns_mounts_way way)
{
    int rc = watch(discover, loop, &discover->mounts_poll, &discover->mounts_rest, nns_mounts_fd(mounts));

    if (rc)
        return rc;
    discover->mounts = mounts;
    discover->mounts_way = way;
    return poll_mounts(discover);
}

static int watch_both(struct nns_discover *discover, uv_loop_t *loop, struct nns_trace *trace,
                      struct nns_mounts *mounts, enum nns_mounts_way way)
{
    int rc = 0;

    if (trace && nns_trace_fd(trace) >= 0) {
        rc = watch(discover, loop, &discover->trace_poll, &discover->trace_rest, nns_trace_fd(trace));
        discover->trace = rc ? NULL : trace;
        nns_discover_resume(discover);
    }
    return mounts && !rc ? watch_mounts(discover, loop, mounts, way) : rc;
}

static int look_after_first_turn(struct nns_discover *discover, uv_loop_t *loop)
{
    int rc = uv_idle_init(loop, &discover->first_turns);

    if (rc)
        return rc;
    discover->first_turns.data = discover;
    discover->turns_left = 1;
    discover->open++;
    return uv_idle_start(&discover->first_turns, on_first_turns);
}

int nns_discover_open(uv_loop_t *loop, struct nns_trace *trace, struct nns_mounts *mounts,
                      enum nns_mounts_way way, bool look, struct nns_pool *pool, struct nns_mailbox *owner,
                      struct nns_discover **out)
{
    struct nns_discover *discover = calloc(1, sizeof(*discover));
    int rc;

    if (!discover)
        return -ENOMEM;
    discover->pool = pool;
    discover->end = &discover->first;
    discover->owner = owner;
    rc = watch_both(discover, loop, trace, mounts, way);
    if (!rc && look)
        rc = look_after_first_turn(discover, loop);
    if (rc)
        nns_discover_close(discover);
    else
        *out = discover;
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The owner and what the tracepoints have for it, with the kernel's buffer and the workers played by the
 * test; the namespaces are real. */
#include "owner_host.h"

#include <sys/eventfd.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "workers/pool.h"
#include "workers/tasks.h"
#include "workers/trace_feed.h"

enum { PID = 77, KEPT = 16 * NNS_BATCH_MAX, PAUSES = 32, SECOND = 1000 };

static struct {
    int fd;                       /* readable while there is something */
    struct nns_trace_event event; /* that a read hands over */
    unsigned times;               /* yet */
    bool endless;                 /* there are always more, which the test need not see */
    int error;                    /* of each read; 0: none */
    uint64_t lost;                /* as the kernel counts */
    _Atomic unsigned read;        /* how often it was */
    bool busy;                    /* the workers have no room */
    unsigned served;              /* pids that they took */
    unsigned count, failures[PAUSES];
} h;

/* ---- in place of io/trace.c, pool.c and core/backoff.c ---- */

int __wrap_nns_trace_fd(const struct nns_trace *trace);
uint64_t __wrap_nns_trace_lost(const struct nns_trace *trace);
int __wrap_nns_trace_read(struct nns_trace *trace, int most, nns_trace_taker *take, void *context);
bool __wrap_nns_pool_submit(struct nns_pool *pool, struct nns_batch *batch);
uint64_t __wrap_nns_backoff_ms(unsigned tries);

int __wrap_nns_trace_fd(const struct nns_trace *trace)
{
    return h.fd;
}

uint64_t __wrap_nns_trace_lost(const struct nns_trace *trace)
{
    return h.lost;
}

int __wrap_nns_trace_read(struct nns_trace *trace, int most, nns_trace_taker *take, void *context)
{
    eventfd_t value;
    int taken = 0;

    h.read++;
    if (h.error)
        return h.error;
    if (h.endless)
        return most;
    eventfd_read(h.fd, &value);
    for (; taken < most && h.times; taken++, h.times--)
        take(context, &h.event);
    return taken;
}

bool __wrap_nns_pool_submit(struct nns_pool *pool, struct nns_batch *batch)
{
    cr_assert(batch->found);
    if (h.busy)
        return false;
    for (uint32_t i = 0; i < batch->count; i++)
        cr_assert_eq(batch->results[i].pid, PID);
    h.served += batch->count;
    free(batch);
    return true;
}

/* An hour: none ends while a test looks, unless it says so. */
uint64_t __wrap_nns_backoff_ms(unsigned tries)
{
    cr_assert_lt(tries, NNS_TRIES_MAX, "it is given up");
    cr_assert_lt(h.count, PAUSES);
    h.failures[h.count++] = tries;
    return 3600 * SECOND;
}

/* ---- the test's side ---- */

/* The tables are the kernel's, so that what the owner tells them is told. */
NNS_OWNER_ONLY static void set_up(void)
{
    struct nns_trace_abilities can;

    h.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    owner_host_set_up();
    cr_assert_eq(nns_trace_open(16, 16, true, &own.owner->context.trace, &can), 0);
}

NNS_OWNER_ONLY static void tear_down(void)
{
    struct nns_trace *trace = own.owner->context.trace;

    owner_host_tear_down();
    nns_trace_close(trace);
    close(h.fd);
}

TestSuite(trace_feed, .init = set_up, .fini = tear_down, .timeout = 60);

NNS_OWNER_ONLY static void happen(struct nns_trace_event event, unsigned times)
{
    h.event = event;
    h.times = times;
    do
        nns_trace_feed_read(own.owner);
    while (h.times && !h.error);
}

/* ---- tasks, where namespaces are opened by their identity ---- */

static void need_identities(void)
{
    if (!own.abilities.open_by_id)
        cr_skip_test("this kernel opens no namespace by its identity");
}

NNS_OWNER_ONLY static void tell_of(struct nns_netns_id id)
{
    own.owner->context.way = NNS_HANDLES_BY_ID;
    happen(
        (struct nns_trace_event){.kind = NNS_TRACE_TASK, .cookie = id.cookie, .inum = id.inum, .number = PID},
        1);
    cr_assert_eq(h.served, 0, "no worker is needed");
}

Test(trace_feed, a_namespace_is_let_in_and_covered_by_the_event_alone)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    need_identities();
    tell_of(held.id);
    cr_assert_not_null(owner_host_find(&held));
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(nns_counter_read(NNS_COUNT_SYNC_NEW), 1);
    tell_of(held.id);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_NEW), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_KNOWN), 0, "that is no news");
    cr_expect_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), 1);
    owner_host_let_go(&held);
}

Test(trace_feed, one_that_died_meanwhile_is_gone)
{
    struct owner_held held = owner_host_hold();
    time_t deadline = time(NULL) + OWNER_HOST_PATIENCE_S;

    nns_role_assert_owner();
    need_identities();
    owner_host_let_go(&held);
    while (!nns_netns_is_dead(held.id))
        cr_assert_lt(time(NULL), deadline);
    tell_of(held.id);
    cr_expect_null(owner_host_find(&held));
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_GONE), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), 0);
}

Test(trace_feed, torn_news_let_nobody_in)
{
    struct owner_held one = owner_host_hold(), other = owner_host_hold();

    nns_role_assert_owner();
    need_identities();
    tell_of((struct nns_netns_id){.cookie = one.id.cookie, .inum = other.id.inum});
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_GONE), 1);
    owner_host_let_go(&one);
    owner_host_let_go(&other);
}

Test(trace_feed, who_may_not_be_opened_is_an_error_and_not_gone)
{
    struct owner_held held = owner_host_hold();
    struct rlimit before;

    nns_role_assert_owner();
    need_identities();
    owner_host_deny_descriptors(&before);
    tell_of(held.id);
    owner_host_allow_descriptors(&before);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_ERROR), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_GONE), 0);
    cr_expect(own.owner->unseen_tasks, "nobody looks for it again");
    owner_host_let_go(&held);
}

Test(trace_feed, an_excluded_namespace_is_met_once_and_left_alone)
{
    struct owner_held held = owner_host_hold();
    char inum[16];

    nns_role_assert_owner();
    need_identities();
    snprintf(inum, sizeof(inum), "%u", held.id.inum);
    owner_host_exclude(inum);
    for (int i = 0; i < 2; i++)
        tell_of(held.id);
    cr_expect_null(owner_host_find(&held));
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_EXCLUDED), 1);
    cr_expect_eq(owner_host_filters(&held), 0);
    owner_host_let_go(&held);
}

Test(trace_feed, nobody_has_to_go_for_one_that_was_found)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    need_identities();
    for (unsigned i = 1; i <= OWNER_HOST_CAPACITY; i++)
        cr_assert_eq(owner_host_save_as((struct nns_netns_id){.cookie = 1000000 + i, .inum = 1000000 + i},
                                        "/proc/self/ns/net", &ns),
                     NNS_SAVED_NEW);
    tell_of(held.id);
    cr_expect_null(owner_host_find(&held));
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_NO_ROOM), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_EVICTED), 0);
    owner_host_let_go(&held);
}

/* ---- tasks, where their pids are opened ---- */

static const struct nns_trace_event task = {.kind = NNS_TRACE_TASK, .number = PID};
static const struct nns_trace_event device = {.kind = NNS_TRACE_DEVICE_UP, .cookie = 4711, .number = 1};

Test(trace_feed, pids_go_to_the_workers)
{
    nns_role_assert_owner();
    own.owner->context.way = NNS_HANDLES_BY_MEMBER;
    happen(task, NNS_BATCH_MAX + 1);
    cr_expect_eq(h.served, NNS_BATCH_MAX + 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_DISCOVER_PIDS), NNS_BATCH_MAX + 1);
    cr_expect_eq(nns_tasks_tick(own.owner), UINT64_MAX);
}

Test(trace_feed, devices_do_not_wait_for_busy_workers_and_pids_do)
{
    nns_role_assert_owner();
    own.owner->context.way = NNS_HANDLES_PINNED;
    h.busy = true;
    happen(task, NNS_BATCH_MAX + 1);
    happen(device, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_UNKNOWN), 1);
    cr_expect_lt(nns_tasks_tick(own.owner), SECOND, "nobody tells when there is room");
    h.busy = false;
    cr_expect_eq(nns_tasks_tick(own.owner), UINT64_MAX);
    cr_expect_eq(h.served, NNS_BATCH_MAX + 1);
    cr_expect_not(own.owner->unseen_tasks);
}

Test(trace_feed, what_there_is_no_room_for_is_passed_over_and_looked_for)
{
    nns_role_assert_owner();
    own.owner->context.way = NNS_HANDLES_PINNED;
    h.busy = true;
    happen(task, KEPT + 5);
    cr_expect_eq(nns_counter_read(NNS_COUNT_DISCOVER_PASSED_OVER), 5);
    cr_expect(own.owner->unseen_tasks);
    h.busy = false;
    happen(task, 1);
    cr_expect_eq(h.served, KEPT, "the one more was passed over, too");
    happen(task, 1);
    cr_expect_eq(h.served, KEPT + 1);
}

Test(trace_feed, pids_that_nobody_took_are_no_leak)
{
    nns_role_assert_owner();
    own.owner->context.way = NNS_HANDLES_PINNED;
    h.busy = true;
    happen(task, 2 * NNS_BATCH_MAX);
}

/* ---- reading ---- */

Test(trace_feed, losses_are_counted_once_and_made_up_for)
{
    nns_role_assert_owner();
    for (unsigned i = 1; i <= 3; i++) {
        h.lost += 5;
        happen(device, 0);
        cr_expect(own.owner->lost_events && own.owner->unseen_tasks);
        own.owner->lost_events = own.owner->unseen_tasks = false;
        happen(device, 1);
        cr_expect_not(own.owner->lost_events || own.owner->unseen_tasks);
    }
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_LOST), 15);
}

/* The pause is over. */
NNS_OWNER_ONLY static void wake(void)
{
    own.owner->tracing.rest_until_ms = 1;
}

Test(trace_feed, what_cannot_be_read_rests_longer_with_each_failure_in_a_row)
{
    nns_role_assert_owner();
    cr_assert_eq(nns_trace_feed_tick(own.owner, nns_now_ms()), UINT64_MAX);
    cr_assert(own.owner->tracing.watched);
    h.error = -ENOMEM;
    for (unsigned i = 0; i <= NNS_TRIES_MAX; i++) {
        happen(device, 1);
        cr_assert_eq(h.read, i + 1);
        happen(device, 1);
        cr_assert_eq(h.read, i + 1, "it rests");
        cr_assert_not(own.owner->tracing.watched, "which would wake it all the while");
        cr_expect_gt(nns_trace_feed_tick(own.owner, nns_now_ms()), 0);
        cr_expect_eq(h.failures[i], i + 1 < NNS_TRIES_MAX ? i + 1 : NNS_TRIES_MAX - 1);
        wake();
    }
    h.error = 0;
    happen(device, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_READ), 1);
    cr_expect_eq(nns_trace_feed_tick(own.owner, nns_now_ms()), UINT64_MAX);
    cr_expect(own.owner->tracing.watched);
    h.error = -ENOMEM;
    happen(device, 1);
    cr_expect_eq(h.failures[h.count - 1], 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_ERRORS), NNS_TRIES_MAX + 2);
}

Test(trace_feed, what_cannot_be_watched_is_read_now_and_then)
{
    int fd = h.fd;

    nns_role_assert_owner();
    h.fd = 1 << 20; /* the kernel refuses it */
    cr_expect_lt(nns_trace_feed_tick(own.owner, nns_now_ms()), UINT64_MAX);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_ERRORS), 1);
    happen(device, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_READ), 1);
    h.fd = fd;
    cr_expect_eq(nns_trace_feed_tick(own.owner, nns_now_ms()), UINT64_MAX);
    cr_expect(own.owner->tracing.watched);
}

Test(trace_feed, an_event_wakes_the_owner)
{
    time_t deadline = time(NULL) + OWNER_HOST_PATIENCE_S;

    own.params.audit_interval_ms = 3600 * SECOND;
    owner_host_start();
    cr_assert_eq(eventfd_write(h.fd, 1), 0);
    while (!h.read)
        cr_assert_lt(time(NULL), deadline, "it sleeps on");
}

/* Others have their turn, too. */
Test(trace_feed, events_that_never_end_are_read_for_a_while)
{
    nns_role_assert_owner();
    h.endless = true;
    nns_trace_feed_read(own.owner);
    cr_expect_gt(h.read, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner makes of the kernel's events, with the test in the owner's role. */
#include "owner_host.h"

#include <sys/socket.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "workers/events.h"

enum { LOOPBACK = 1 };

/* The kernel had no room for its answers. */
static bool deaf;

ssize_t __real_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    if (!deaf)
        return __real_recv(fd, bytes, length, flags);
    errno = ENOBUFS;
    return -1;
}

/* Looks at all tasks that workers were asked for. */
static unsigned scans;

void __wrap_nns_pool_want(struct nns_pool *pool, enum nns_chore chore);

void __wrap_nns_pool_want(struct nns_pool *pool, enum nns_chore chore)
{
    scans += chore == NNS_CHORE_SCAN;
}

static struct owner_held held;
static struct nns_namespace *ns;

/* A namespace whose loopback is covered, by a daemon that sees devices. */
NNS_OWNER_ONLY static void set_up(void)
{
    struct nns_trace_abilities can;

    owner_host_set_up();
    cr_assert_eq(nns_trace_open(16, 16, false, &own.owner->context.trace, &can), 0);
    cr_assert(can.devices);
    held = owner_host_hold();
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_null(nns_due_take(&own.owner->due, UINT64_MAX));
}

NNS_OWNER_ONLY static void tear_down(void)
{
    struct nns_trace *trace = own.owner->context.trace;

    owner_host_let_go(&held);
    owner_host_tear_down();
    nns_trace_close(trace);
}

TestSuite(events, .init = set_up, .fini = tear_down, .timeout = 60);

NNS_OWNER_ONLY static void tell(enum nns_trace_kind kind, uint32_t ifindex)
{
    const struct nns_trace_event event = {
        .cookie = held.id.cookie, .inum = held.id.inum, .number = ifindex, .kind = (uint8_t)kind};

    nns_take_event(own.owner, &event);
}

Test(events, news_that_comes_after_its_device_was_attached_is_none)
{
    nns_role_assert_owner();
    tell(NNS_TRACE_DEVICE_UP, LOOPBACK);
    cr_assert_null(nns_due_take(&own.owner->due, UINT64_MAX));
    cr_assert_not(owner_host_device(ns, "lo")->doubted);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_LATE), 1);
}

Test(events, a_device_that_lost_its_clsact_is_looked_at_whatever_is_told_of_it)
{
    static const enum nns_trace_kind kinds[] = {NNS_TRACE_DEVICE_UP, NNS_TRACE_DEVICE_BARE};

    nns_role_assert_owner();
    for (int i = 0; i < 2; i++) {
        host_run("nsenter -t %d -n tc qdisc del dev lo clsact", held.pid);
        cr_assert_eq(owner_host_filters(&held), 0);
        tell(kinds[i], LOOPBACK);
        cr_assert_eq(nns_due_take(&own.owner->due, UINT64_MAX), ns);
        nns_dequeue(own.owner, ns);
        cr_assert_eq(owner_host_filters(&held), 2);
    }
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_LATE), 0);
}

Test(events, who_is_told_dead_is_forgotten_at_once)
{
    nns_role_assert_owner();
    tell(NNS_TRACE_DEAD, LOOPBACK);
    cr_assert_null(owner_host_find(&held));
    cr_assert_null(nns_due_take(&own.owner->due, UINT64_MAX));
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_DEAD), 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_DETACH_FAILED), 0);
    tell(NNS_TRACE_DEAD, LOOPBACK);
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_DEAD), 1);
}

/* ---- one look for one device ---- */

/* v0 with ifindex V0, its other end down and of no interest. */
enum { V0 = 7 };

static void in(const char *command)
{
    host_run("nsenter -t %d -n %s", held.pid, command);
}

static void make_pair(void)
{
    in("ip link add v0 index 7 type veth peer name v1");
}

/* News lead to a visit that lists nothing. */
NNS_OWNER_ONLY static void visit_for(enum nns_trace_kind kind, uint32_t ifindex)
{
    uint64_t dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);

    tell(kind, ifindex);
    cr_assert_eq(nns_due_take(&own.owner->due, nns_now_ms()), ns);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps);
    cr_assert_null(ns->looks);
}

NNS_OWNER_ONLY static void expect_v0(enum nns_device_state state, uint32_t program_id_on_egress)
{
    const struct nns_device *v0 = owner_host_device(ns, "v0");

    cr_assert_not_null(v0);
    cr_assert_eq(v0->link.ifindex, V0);
    cr_assert_str_eq(v0->link.kind, "veth");
    cr_assert_eq(v0->state, state);
    cr_assert_not(v0->doubted);
    cr_assert_eq(!!v0->attachments[0][NNS_EGRESS].program_id, program_id_on_egress);
}

static unsigned ours_on_v0(const char *hook)
{
    return host_count(host_ask("nsenter -t %d -n tc filter show dev v0 %s", held.pid, hook),
                      "netnsync:default:");
}

Test(events, a_device_not_known_yet_is_asked_for_alone)
{
    nns_role_assert_owner();
    make_pair();
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_LOOKS), 1);
    expect_v0(NNS_DEVICE_ATTACHED, 1);
    cr_assert_eq(ours_on_v0("ingress"), 1);
    cr_assert_eq(ours_on_v0("egress"), 1);
    cr_assert_null(owner_host_device(ns, "v1"));
    cr_assert_eq(nns_due_next(&own.owner->due), UINT64_MAX);
}

Test(events, a_device_that_is_gone_is_forgotten)
{
    nns_role_assert_owner();
    make_pair();
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    in("ip link del v0");
    visit_for(NNS_TRACE_DEVICE_BARE, V0);
    cr_assert_null(owner_host_device(ns, "v0"));
    cr_assert_eq(ns->devices.count, 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_DEVICES_GONE), 1);
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    cr_assert_eq(nns_counter_read(NNS_COUNT_DEVICES_GONE), 1, "one that was never known");
}

/* The first try is made as if it were bare: the kernel's word leads to a look. */
Test(events, one_with_a_legacy_ingress_gets_no_egress_filter)
{
    nns_role_assert_owner();
    make_pair();
    in("tc qdisc add dev v0 ingress");
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    expect_v0(NNS_DEVICE_FAILED, 0);
    cr_assert_eq(owner_host_device(ns, "v0")->attachments[0][NNS_EGRESS].reason, NNS_REASON_LEGACY_INGRESS);
    cr_assert_eq(ours_on_v0("ingress"), 1);
    cr_assert_eq(host_count(owner_host_filter_text(&held), "default:nns_meter_out:"), 1, "loopback's alone");
}

Test(events, one_with_a_shared_block_is_left_alone)
{
    nns_role_assert_owner();
    make_pair();
    in("tc qdisc add dev v0 ingress_block 1 egress_block 2 clsact");
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    expect_v0(NNS_DEVICE_FAILED, 0);
    cr_assert_eq(owner_host_device(ns, "v0")->attachments[0][NNS_INGRESS].reason, NNS_REASON_SHARED_BLOCK);
    cr_assert_eq(owner_host_filters(&held), 2);
}

Test(events, a_priority_that_another_holds_stays_its)
{
    nns_role_assert_owner();
    make_pair();
    in("tc qdisc add dev v0 clsact");
    in("tc filter add dev v0 egress pref 10 protocol all u32 match u32 0 0 classid 1:1");
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    expect_v0(NNS_DEVICE_ATTACHED, 1);
    cr_assert_eq(owner_host_device(ns, "v0")->attachments[0][NNS_EGRESS].priority, 11);
    cr_assert_eq(ours_on_v0("ingress"), 1);
    cr_assert_eq(ours_on_v0("egress"), 1);
    cr_assert_gt(host_count(host_ask("nsenter -t %d -n tc filter show dev v0 egress", held.pid), " u32 "), 0);
}

Test(events, filters_of_ours_that_are_there_are_adopted)
{
    uint64_t adopted;

    nns_role_assert_owner();
    make_pair();
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    adopted = nns_counter_read(NNS_COUNT_ATTACH_ADOPTED);
    nns_slots_give(&own.owner->slots, owner_host_device(ns, "v0")->slot);
    nns_devices_remove(&ns->devices, V0);
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    expect_v0(NNS_DEVICE_ATTACHED, 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_ATTACH_ADOPTED), adopted + 2);
    cr_assert_eq(ours_on_v0("ingress"), 1);
    cr_assert_eq(ours_on_v0("egress"), 1);
}

/* One of ours that took another priority stays where it is, and alone. */
Test(events, a_known_one_that_is_doubted_for_nothing_keeps_what_it_has)
{
    char *before, *after;

    nns_role_assert_owner();
    make_pair();
    in("tc qdisc add dev v0 clsact");
    in("tc filter add dev v0 egress pref 10 protocol all u32 match u32 0 0 classid 1:1");
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    before = owner_host_filter_text(&held);
    visit_for(NNS_TRACE_DEVICE_BARE, V0);
    after = owner_host_filter_text(&held);
    cr_assert_str_eq(before, after);
    cr_assert_eq(nns_counter_read(NNS_COUNT_ATTACH_DONE), 2);
}

Test(events, one_that_was_given_up_is_tried_again)
{
    struct nns_device *v0;

    nns_role_assert_owner();
    make_pair();
    in("tc qdisc add dev v0 ingress_block 1 egress_block 2 clsact");
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    v0 = owner_host_device(ns, "v0");
    v0->tries = NNS_TRIES_MAX;
    v0->retry_ms = 0;
    nns_due_drop(&own.owner->due, ns);
    in("tc qdisc del dev v0 clsact");
    visit_for(NNS_TRACE_DEVICE_BARE, V0);
    expect_v0(NNS_DEVICE_ATTACHED, 1);
}

/* Its ifindex and kind are those of one that failed and went unseen: that one's wait is not its own (I5). */
Test(events, a_device_that_comes_up_does_not_inherit_a_wait)
{
    struct nns_device *v0;

    nns_role_assert_owner();
    make_pair();
    in("tc qdisc add dev v0 ingress_block 1 egress_block 2 clsact");
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    v0 = owner_host_device(ns, "v0");
    v0->tries = 5;
    v0->retry_ms = nns_now_ms() + 3600 * 1000;
    in("ip link del v0");
    make_pair();
    visit_for(NNS_TRACE_DEVICE_UP, V0);
    expect_v0(NNS_DEVICE_ATTACHED, 1);
    cr_assert_eq(owner_host_device(ns, "v0")->tries, 0);
}

/* ---- when a listing is better ---- */

Test(events, too_many_news_are_a_listing)
{
    uint64_t dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);

    nns_role_assert_owner();
    for (uint32_t i = 0; i < NNS_LOOKS_MAX; i++)
        tell(NNS_TRACE_DEVICE_UP, 100 + i);
    tell(NNS_TRACE_DEVICE_BARE, 100);
    cr_assert_not(ns->visits.owed, "so many are asked for");
    make_pair();
    tell(NNS_TRACE_DEVICE_UP, V0);
    cr_assert(ns->visits.owed);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps + 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_LOOKS), 0);
    cr_assert_eq(owner_host_filters(&held), 2 * 3);
    cr_assert_null(ns->looks);
}

Test(events, what_could_not_be_asked_is_listed)
{
    uint64_t dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);

    nns_role_assert_owner();
    make_pair();
    tell(NNS_TRACE_DEVICE_UP, V0);
    tell(NNS_TRACE_DEVICE_BARE, LOOPBACK);
    nns_due_drop(&own.owner->due, ns);
    deaf = true;
    nns_dequeue(own.owner, ns);
    deaf = false;
    cr_assert_eq(ns->visits.error, ENOBUFS);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_FAILED), 1);
    cr_assert_not_null(owner_host_device(ns, "lo"), "unknown is not gone");
    cr_assert_gt(nns_due_next(&own.owner->due), nns_now_ms(), "at once is no backoff");
    nns_dequeue(own.owner, ns);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps + 1);
    cr_assert_eq(owner_host_filters(&held), 2 * 3);
}

Test(events, a_listing_of_many_devices_waits_for_more_news)
{
    uint64_t before;

    nns_role_assert_owner();
    host_run("for i in $(seq 70); do echo link add a$i type veth peer name b$i; done | nsenter -t %d -n ip "
             "-batch -",
             held.pid);
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms(), "one of few devices waits");
    nns_dequeue(own.owner, ns);
    nns_due_drop(&own.owner->due, ns);
    cr_assert_eq(ns->devices.count, 1 + 2 * 70);
    before = nns_now_ms();
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    tell(NNS_TRACE_DEVICE_UP, 4711);
    cr_assert_gt(nns_due_next(&own.owner->due), before);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms() + 1);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2 * ns->devices.count);
}

/* ---- what was lost ---- */

NNS_OWNER_ONLY static void lose(bool devices, bool tasks)
{
    own.owner->lost_events = own.owner->lost_events || devices;
    own.owner->unseen_tasks = own.owner->unseen_tasks || devices || tasks;
}

/* A minute of it, ten times a second. */
NNS_OWNER_ONLY static void lose_for_a_minute(bool devices, bool tasks)
{
    for (uint64_t ms = 100000; ms < 160000; ms += 100) {
        lose(devices, tasks);
        nns_events_tick(own.owner, ms);
    }
}

Test(events, what_is_lost_all_the_time_is_made_up_for_every_five_seconds)
{
    nns_role_assert_owner();
    lose_for_a_minute(true, false);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_RESYNCS), 12);
    cr_expect_eq(scans, 12);
    cr_expect_eq(nns_due_take(&own.owner->due, UINT64_MAX), ns);
    cr_expect_eq(nns_events_tick(own.owner, 160000), 0, "the last loss as well");
    cr_expect_eq(nns_events_tick(own.owner, 200000), UINT64_MAX);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_RESYNCS), 13);
    cr_expect_eq(scans, 13);
}

Test(events, tasks_that_are_passed_over_make_nobody_look_at_devices)
{
    nns_role_assert_owner();
    lose_for_a_minute(false, true);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_RESYNCS), 0);
    cr_expect_eq(scans, 12);
    lose(true, false);
    nns_events_tick(own.owner, 160000);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_RESYNCS), 1, "devices do not wait for tasks");
}

/* Each would be a search of all of /proc. */
Test(events, without_discovery_nobody_looks_at_tasks)
{
    nns_role_assert_owner();
    own.params.discover_enabled = false;
    lose_for_a_minute(true, true);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_RESYNCS), 12);
    cr_expect_eq(scans, 0);
    cr_expect(own.owner->astray.wanted, "but for those that are astray, in their own time");
}

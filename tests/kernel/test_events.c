/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner makes of the kernel's events, with the test in the owner's role. */
#include "owner_host.h"

#include "core/counters.h"
#include "workers/events.h"

enum { LOOPBACK = 1 };

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
    struct nns_events events = {.count = 1};

    events.items[0] = (struct nns_trace_event){
        .cookie = held.id.cookie, .inum = held.id.inum, .number = ifindex, .kind = (uint8_t)kind};
    nns_take_events(own.owner, &events);
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

Test(events, a_device_not_known_yet_is_listed)
{
    nns_role_assert_owner();
    host_run("nsenter -t %d -n ip link add v0 index 7 type veth peer name v1", held.pid);
    tell(NNS_TRACE_DEVICE_UP, 7);
    cr_assert_eq(nns_due_take(&own.owner->due, UINT64_MAX), ns);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2 * 3);
}

Test(events, a_namespace_of_many_devices_waits_for_more_news)
{
    uint64_t before;

    nns_role_assert_owner();
    tell(NNS_TRACE_DEVICE_BARE, LOOPBACK);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms(), "one of few devices waits");
    host_run("for i in $(seq 70); do echo link add a$i type veth peer name b$i; done | nsenter -t %d -n ip "
             "-batch -",
             held.pid);
    nns_dequeue(own.owner, ns);
    nns_due_drop(&own.owner->due, ns);
    cr_assert_eq(ns->devices.count, 1 + 2 * 70);
    before = nns_now_ms();
    tell(NNS_TRACE_DEVICE_BARE, LOOPBACK);
    tell(NNS_TRACE_DEVICE_UP, 4711);
    cr_assert_gt(nns_due_next(&own.owner->due), before);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms() + 1);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2 * ns->devices.count);
}

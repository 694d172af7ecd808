/* SPDX-License-Identifier: Apache-2.0 */
#include "owner_host.h"

#include "core/counters.h"

/* What the owner does with slots, and with the records of who holds them. */
TestSuite(slots, .init = owner_host_set_up, .fini = owner_host_tear_down);

enum { LIMIT = 2 };

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

static bool deny_bpf;

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (deny_bpf && number == SYS_bpf) {
        errno = EMFILE;
        return -1;
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

static bool deny_clearing;
int __real_nns_meter_clear(struct nns_meter *meter, uint16_t slot);
int __wrap_nns_meter_clear(struct nns_meter *meter, uint16_t slot);

int __wrap_nns_meter_clear(struct nns_meter *meter, uint16_t slot)
{
    return deny_clearing ? -ENOMEM : __real_nns_meter_clear(meter, slot);
}

static struct nns_slot_holder holders[LIMIT + 1];

/* As few as this, with what a former daemon wrote down. */
NNS_OWNER_ONLY static void read_records(void)
{
    nns_slots_deinit(&own.owner->slots);
    cr_assert_eq(nns_slots_init(&own.owner->slots, LIMIT, holders), 0);
}

NNS_OWNER_ONLY static struct nns_namespace *serve(const struct owner_held *held)
{
    struct nns_namespace *ns = owner_host_save(held);

    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(held), 2);
    return ns;
}

/* Counts that only a device with a slot of its own has. */
static uint64_t counted(uint16_t slot)
{
    struct nns_traffic traffic[NNS_HOOKS];

    cr_assert_eq(nns_meter_read(own.context.meter, slot, traffic), 0);
    return traffic[NNS_EGRESS].packets;
}

static void send_packets(const struct owner_held *held)
{
    host_run("nsenter -t %d -n sh -c 'ip link set lo up && ping -q -c 3 -i 0.01 127.0.0.1 >/dev/null'",
             held->pid);
}

Test(slots, who_holds_one_is_written_down_and_struck_out)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    read_records();
    ns = serve(&held);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 1);
    cr_assert_eq(holders[1].cookie, held.id.cookie);
    cr_assert_eq(holders[1].ifindex, 1);
    nns_flush(own.owner, ns, NNS_FLUSH_ORDERED);
    cr_assert_eq(holders[1].cookie, 0);
    owner_host_let_go(&held);
}

Test(slots, filters_that_stay_keep_their_record)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    read_records();
    own.params.keep_attached = true;
    nns_flush(own.owner, serve(&held), NNS_FLUSH_CLOSED);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(holders[1].cookie, held.id.cookie);
    owner_host_let_go(&held);
}

/* The one before this one was killed. */
NNS_OWNER_ONLY static struct nns_namespace *serve_again(const struct owner_held *held)
{
    own.params.keep_attached = true;
    nns_flush(own.owner, owner_host_find(held), NNS_FLUSH_CLOSED);
    own.params.keep_attached = false;
    read_records();
    return serve(held);
}

Test(slots, a_device_found_with_its_filters_goes_on_counting)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    uint64_t before;

    nns_role_assert_owner();
    read_records();
    serve(&held);
    send_packets(&held);
    before = counted(1);
    cr_assert_geq(before, 6);
    ns = serve_again(&held);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 1);
    cr_assert_eq(counted(1), before);
    cr_assert_not(owner_host_device(ns, "lo")->inherited);
    owner_host_let_go(&held);
}

/* Programs that are not the set's own, so that the kernel has to be asked for them. */
NNS_OWNER_ONLY static void be_another_daemon(void)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        own.owner->sets[0].programs[hook].id += 1u << 30;
}

/* Whether the filters are there is not known before somebody looked: until then nothing is cleared, and
 * nothing is believed. */
Test(slots, a_look_that_fails_decides_nothing)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    uint64_t before;

    nns_role_assert_owner();
    read_records();
    serve(&held);
    send_packets(&held);
    before = counted(1);
    be_another_daemon();
    deny_bpf = true;
    ns = serve_again(&held);
    cr_assert(owner_host_device(ns, "lo")->inherited);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_FAILED);
    cr_assert_eq(counted(1), before);
    deny_bpf = false;
    nns_look_again(own.owner, ns, NNS_LOOK_EVERYWHERE);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_ATTACHED);
    cr_assert_not(owner_host_device(ns, "lo")->inherited);
    cr_assert_eq(counted(1), before);
    cr_assert_eq(owner_host_filters(&held), 2);
    owner_host_let_go(&held);
}

Test(slots, a_device_without_its_filters_begins_at_nothing)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    read_records();
    serve(&held);
    send_packets(&held);
    host_run("nsenter -t %d -n sh -c 'tc filter del dev lo ingress && tc filter del dev lo egress'",
             held.pid);
    ns = serve_again(&held);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 1, "it is reserved for it all the same");
    cr_assert_eq(counted(1), 0);
    owner_host_let_go(&held);
}

Test(slots, a_device_whose_filters_counted_elsewhere_begins_at_nothing)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    read_records();
    serve(&held);
    send_packets(&held);
    holders[2] = holders[1];
    holders[1] = (struct nns_slot_holder){0};
    ns = serve_again(&held);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 2);
    cr_assert_eq(counted(2), 0);
    owner_host_let_go(&held);
}

/* Visit for what is queued, until nothing is due. */
NNS_OWNER_ONLY static void work_off(struct nns_namespace *ns)
{
    for (int visits = 0; visits == 0 || nns_due_next(&own.owner->due) <= nns_now_ms(); visits++) {
        cr_assert_lt(visits, 5, "it visits for ever");
        nns_due_drop(&own.owner->due, ns);
        nns_dequeue(own.owner, ns);
    }
}

static unsigned with_classid(const struct owner_held *held)
{
    char *text = owner_host_filter_text(held);
    unsigned count = host_count(text, "flowid");

    return count;
}

/* Another's counts are not to be this one's (I5), nor to go on: its filters lose the slot, too. */
Test(slots, what_cannot_be_cleared_is_given_up)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    read_records();
    ns = serve(&held);
    send_packets(&held);
    cr_assert_eq(with_classid(&held), 2);
    host_run("nsenter -t %d -n tc qdisc del dev lo clsact", held.pid);
    deny_clearing = true;
    nns_look_at(own.owner, ns, 1);
    work_off(ns);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 0);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 0);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(with_classid(&held), 0, "they count together with others");
    cr_assert_eq(nns_counter_read(NNS_COUNT_METER_UNCLEARED), 1);
    owner_host_let_go(&held);
}

Test(slots, those_of_a_dead_namespace_are_free)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    read_records();
    nns_flush(own.owner, serve(&held), NNS_FLUSH_DEAD);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 0);
    cr_assert_eq(holders[1].cookie, 0);
    owner_host_let_go(&held);
}

/* ---- reservations end ---- */

static bool released_after(uint32_t lonely_timeout_ms, uint32_t wait_ms)
{
    own.params.lonely_timeout_ms = lonely_timeout_ms;
    cr_assert_eq(nns_owner_start(own.owner, NULL), 0);
    while (nns_now_ms() - own.owner->started_ms <= wait_ms)
        nns_order_free(owner_host_send(owner_host_order(NNS_ORDER_DETACH)));
    owner_host_stop();
    uv_thread_join(&own.owner->thread);
    own.owner->started = false;
    return own.owner->slots.released;
}

Test(slots, reservations_are_released_after_twice_the_timeout)
{
    nns_role_assert_owner();
    holders[1] = (struct nns_slot_holder){.cookie = 1, .ifindex = 1};
    read_records();
    cr_assert(released_after(10, 20));
}

Test(slots, and_not_before)
{
    nns_role_assert_owner();
    holders[1] = (struct nns_slot_holder){.cookie = 1, .ifindex = 1};
    read_records();
    cr_assert_not(released_after(3600 * 1000, 50));
}

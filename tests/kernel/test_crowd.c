/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that come and go while they are listed, with the test in the owner's role and between it and the
 * kernel's dumps: what was shown is taken, what was not is not gone, and the whole listing that is owed waits
 * its time while news do not. */
#include "dump_host.h"
#include "owner_host.h"

#include <linux/rtnetlink.h>

#include "core/backoff.h"
#include "core/counters.h"
#include "workers/waiters.h"

enum { A = 100, B, C, D };

static struct owner_held held;
static struct nns_namespace *ns;

/* What happens to dumps on their way. */
static struct {
    bool interrupted;
    uint32_t link;  /* a device that is passed over */
    uint32_t qdisc; /* one whose qdiscs are, in one dump */
} dumps;

void dump_host_spoil(struct nlmsghdr *message)
{
    static bool hit;
    const struct ifinfomsg *link = NLMSG_DATA(message);
    const struct tcmsg *tc = NLMSG_DATA(message);

    if (dumps.interrupted && message->nlmsg_type == RTM_NEWLINK)
        message->nlmsg_flags |= NLM_F_DUMP_INTR;
    if (message->nlmsg_type == RTM_NEWLINK && (uint32_t)link->ifi_index == dumps.link)
        message->nlmsg_type = NLMSG_NOOP;
    if (message->nlmsg_type == RTM_NEWQDISC && (uint32_t)tc->tcm_ifindex == dumps.qdisc) {
        message->nlmsg_type = NLMSG_NOOP;
        hit = true;
    }
    if (message->nlmsg_type == NLMSG_DONE && hit)
        dumps.qdisc = 0;
}

static void in(const char *command)
{
    host_run("nsenter -t %d -n %s", held.pid, command);
}

NNS_OWNER_ONLY static void set_up(void)
{
    owner_host_set_up();
    held = owner_host_hold();
    in("ip link add name a index 100 type veth peer name b index 101");
    ns = owner_host_save(&held);
}

NNS_OWNER_ONLY static void tear_down(void)
{
    owner_host_tear_down();
    owner_host_let_go(&held);
}

TestSuite(crowd, .init = set_up, .fini = tear_down, .timeout = 60);

/* As the owner's thread does it when the namespace is due; the time of a retry has come. */
NNS_OWNER_ONLY static void visit(void)
{
    nns_due_drop(&own.owner->due, ns);
    nns_dequeue(own.owner, ns);
}

NNS_OWNER_ONLY static void retry(void)
{
    ns->visits.retry_ms = 1;
    visit();
}

/* So far that no test meets it, however long it takes. */
NNS_OWNER_ONLY static uint64_t put_off_far(void)
{
    nns_due_drop(&own.owner->due, ns);
    ns->visits.retry_ms = nns_now_ms() + 3600 * 1000;
    return ns->visits.retry_ms;
}

NNS_OWNER_ONLY static void expect(uint64_t partial, uint64_t whole)
{
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_PARTIAL), partial);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), whole);
    cr_assert_eq(nns_counter_read(NNS_COUNT_VISITS_FAILED), 0);
    cr_assert_eq(ns->visits.owed, partial != 0 && ns->visits.error != 0);
}

NNS_OWNER_ONLY static bool is_attached(const char *name)
{
    const struct nns_device *device = owner_host_device(ns, name);

    return device && device->state == NNS_DEVICE_ATTACHED;
}

NNS_OWNER_ONLY static void visit_interrupted(void)
{
    dumps.interrupted = true;
    visit();
}

/* ---- what it shows ---- */

Test(crowd, what_an_interrupted_listing_shows_is_attached)
{
    uint64_t before = nns_now_ms();

    nns_role_assert_owner();
    visit_interrupted();
    expect(1, 0);
    cr_assert_eq(owner_host_filters(&held), 2 * 3);
    cr_assert_eq(ns->visits.error, NNS_VISIT_INTERRUPTED);
    cr_assert_eq(nns_due_next(&own.owner->due), ns->visits.retry_ms);
    cr_assert_geq(ns->visits.retry_ms, before + nns_backoff_ms(1), "at once is no backoff");
    dumps.interrupted = false;
    retry();
    expect(1, 1);
    cr_assert_eq(ns->visits.error, 0);
    cr_assert_eq(ns->visits.tries, 0);
    cr_assert_eq(ns->visits.retry_ms, 0);
    cr_assert_eq(nns_due_next(&own.owner->due), UINT64_MAX, "nothing is owed");
}

Test(crowd, one_that_is_passed_over_is_not_gone)
{
    uint16_t slot;

    nns_role_assert_owner();
    visit();
    slot = owner_host_device(ns, "a")->slot;
    in("ip link add name c index 102 type veth peer name d index 103");
    dumps.link = A;
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    visit_interrupted();
    expect(1, 1);
    cr_assert(is_attached("a"));
    cr_assert_eq(owner_host_device(ns, "a")->slot, slot);
    cr_assert(is_attached("c"));
    cr_assert(is_attached("d"));
    cr_assert_eq(nns_counter_read(NNS_COUNT_DEVICES_GONE), 0);
}

Test(crowd, one_that_is_gone_is_found_to_be)
{
    nns_role_assert_owner();
    in("ip link add name c index 102 type veth peer name d index 103");
    visit();
    in("ip link del c");
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    visit_interrupted();
    expect(1, 1);
    cr_assert_null(owner_host_device(ns, "c"));
    cr_assert_null(owner_host_device(ns, "d"));
    cr_assert_eq(nns_counter_read(NNS_COUNT_DEVICES_GONE), 2);
    cr_assert(is_attached("a"));
}

/* A dump of qdiscs goes by position and does not say when it was disturbed. */
Test(crowd, one_whose_qdiscs_are_passed_over_keeps_its_counts)
{
    uint16_t slot;
    char *before, *after;

    nns_role_assert_owner();
    visit();
    slot = owner_host_device(ns, "a")->slot;
    before = owner_host_filter_text(&held);
    dumps.qdisc = A;
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    visit();
    expect(0, 2);
    cr_assert(is_attached("a"));
    cr_assert_eq(owner_host_device(ns, "a")->slot, slot);
    after = owner_host_filter_text(&held);
    cr_assert_str_eq(before, after);
}

/* ---- what there is news of meanwhile ---- */

Test(crowd, news_are_served_while_the_listing_waits)
{
    uint64_t retry_ms;

    nns_role_assert_owner();
    visit_interrupted();
    retry_ms = put_off_far();
    in("ip link add name c index 102 type veth peer name d index 103");
    nns_look_at(own.owner, ns, C);
    nns_look_at(own.owner, ns, D);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms());
    visit();
    expect(1, 0);
    cr_assert(is_attached("c"));
    cr_assert(is_attached("d"));
    cr_assert_eq(ns->visits.tries, 1, "the listing is still owed");
    cr_assert_eq(nns_due_next(&own.owner->due), retry_ms);
    in("ip link del c");
    nns_look_at(own.owner, ns, C);
    visit();
    cr_assert_null(owner_host_device(ns, "c"));
}

Test(crowd, one_there_is_news_of_that_the_listing_missed)
{
    nns_role_assert_owner();
    visit();
    in("ip link add name c index 102 type veth peer name d index 103");
    nns_look_at(own.owner, ns, C);
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    dumps.link = C;
    visit_interrupted();
    expect(1, 1);
    cr_assert(is_attached("c"));
}

Test(crowd, many_news_while_the_listing_waits)
{
    enum { MANY = 5 * NNS_LOOKS_MAX };

    nns_role_assert_owner();
    visit_interrupted();
    put_off_far();
    host_run("for i in $(seq %d); do echo link add x$i index $((1000 + i)) type veth peer name y$i index "
             "$((5000 + i)); done | nsenter -t %d -n ip -batch -",
             MANY, held.pid);
    for (uint32_t i = 1; i <= MANY; i++)
        nns_look_at(own.owner, ns, 1000 + i);
    visit();
    expect(1, 0);
    cr_assert_eq(owner_host_filters(&held), 2 * (3 + MANY));
}

/* ---- its time ---- */

Test(crowd, news_do_not_hurry_a_listing)
{
    uint64_t retry_ms;

    nns_role_assert_owner();
    visit_interrupted();
    retry_ms = put_off_far();
    visit();
    expect(1, 0);
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    nns_look_again(own.owner, ns, NNS_LOOK_AUDIT);
    cr_assert_eq(nns_due_next(&own.owner->due), retry_ms);
    cr_assert_eq(ns->visits.tries, 1);
    nns_look_again(own.owner, ns, NNS_LOOK_EVERYWHERE);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms(), "who waits for it does");
}

Test(crowd, news_do_not_hurry_a_visit_that_failed)
{
    struct rlimit before;
    uint64_t retry_ms;

    nns_role_assert_owner();
    visit();
    owner_host_deny_descriptors(&before);
    visit();
    owner_host_allow_descriptors(&before);
    cr_assert_eq(nns_due_next(&own.owner->due), ns->visits.retry_ms);
    retry_ms = put_off_far();
    nns_due_add(&own.owner->due, ns, retry_ms);
    nns_look_at(own.owner, ns, A);
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    cr_assert_eq(nns_due_next(&own.owner->due), retry_ms);
    cr_assert_eq(ns->visits.tries, 1);
    visit();
    cr_assert_eq(ns->visits.tries, 0);
    cr_assert_not(ns->visits.owed);
}

Test(crowd, a_listing_owed_has_so_many_tries)
{
    nns_role_assert_owner();
    visit_interrupted();
    for (unsigned tries = 1; tries < NNS_TRIES_MAX; tries++) {
        uint64_t before = nns_now_ms();

        cr_assert_eq(ns->visits.tries, tries);
        retry();
        cr_assert_geq(ns->visits.retry_ms, before + nns_backoff_ms(tries + 1));
    }
    expect(NNS_TRIES_MAX, 0);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_GIVEN_UP), 1);
    cr_assert_eq(nns_due_next(&own.owner->due), UINT64_MAX, "given up");
    nns_look_at(own.owner, ns, A);
    visit();
    expect(NNS_TRIES_MAX, 0);
    cr_assert_eq(nns_due_next(&own.owner->due), UINT64_MAX, "news of a device are that device's");

    nns_look_again(own.owner, ns, NNS_LOOK_AUDIT);
    visit();
    expect(NNS_TRIES_MAX + 1, 0);
    cr_assert_eq(nns_due_next(&own.owner->due), UINT64_MAX, "an audit's is a single try");

    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    visit();
    expect(NNS_TRIES_MAX + 2, 0);
    cr_assert_eq(ns->visits.tries, 1, "news begin again");
    dumps.interrupted = false;
    retry();
    expect(NNS_TRIES_MAX + 2, 1);
}

/* Where nothing else tells of devices that is all there is. */
Test(crowd, a_listing_given_up_is_tried_by_routine)
{
    nns_role_assert_owner();
    visit_interrupted();
    nns_due_drop(&own.owner->due, ns);
    ns->visits.retry_ms = UINT64_MAX; /* as given up */
    nns_look_again(own.owner, ns, NNS_LOOK_ROUTINE);
    cr_assert_leq(nns_due_next(&own.owner->due), nns_now_ms());
    visit();
    expect(2, 0);
}

/* It is not astray. */
Test(crowd, who_waits_is_told_that_it_was_interrupted)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_WAIT);

    nns_role_assert_owner();
    order->cookies = malloc(sizeof(*order->cookies));
    cr_assert_not_null(order->cookies);
    order->cookies[0] = held.id.cookie;
    order->cookie_count = 1;
    nns_waiters_add(own.owner, order);
    ns->visits.tries = NNS_TRIES_MAX - 2; /* the next is later than anybody waits */
    visit_interrupted();
    cr_assert_null(ns->waiters);
    cr_assert_eq(order->error, NNS_WAIT_INTERRUPTED);
}

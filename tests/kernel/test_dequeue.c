/* SPDX-License-Identifier: Apache-2.0 */
/* Visiting namespaces, with the test in the owner's role: devices that fail, and what must not suffer by it.
 */
#include "owner_host.h"

#include "core/backoff.h"
#include "core/counters.h"
#include "workers/waiters.h"

TestSuite(dequeue, .init = owner_host_set_up, .fini = owner_host_tear_down);

static void in(const struct owner_held *held, const char *command)
{
    host_run("nsenter -t %d -n %s", held->pid, command);
}

/* An order to wait for one namespace. */
static struct nns_order *wait_for(const struct owner_held *held)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_WAIT);

    order->cookies = malloc(sizeof(*order->cookies));
    cr_assert_not_null(order->cookies);
    order->cookies[0] = held->id.cookie;
    order->cookie_count = 1;
    return order;
}

Test(dequeue, a_queue_full_of_failures_keeps_nobody_out)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    uint64_t dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);

    nns_role_assert_owner();
    own.params.devices_queue = 1;
    in(&held, "tc qdisc add dev lo ingress");
    in(&held, "ip link add name a type veth peer name b");
    ns = owner_host_save(&held);
    /* Five visits are due at once at most: each takes one device in, and the last listing brings nothing. */
    for (int visits = 0; visits == 0 || nns_due_next(&own.owner->due) <= nns_now_ms(); visits++) {
        cr_assert_lt(visits, 5, "it lists for ever");
        nns_due_drop(&own.owner->due, ns);
        nns_dequeue(own.owner, ns);
    }
    cr_assert_eq(owner_host_device(ns, "a")->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(owner_host_device(ns, "b")->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_FAILED);
    cr_assert_geq(owner_host_filters(&held), 4);

    /* Its retries are the failed device's own affair: nothing is listed for them. */
    dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);
    for (int retry = 0; retry < 3; retry++) {
        cr_assert_eq(nns_due_take(&own.owner->due, UINT64_MAX), ns);
        owner_host_device(ns, "lo")->retry_ms = 1;
        nns_dequeue(own.owner, ns);
    }
    cr_assert_geq(owner_host_device(ns, "lo")->tries, 4);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps);
    owner_host_let_go(&held);
}

Test(dequeue, one_given_up_is_tried_again_when_asked_for)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_device *lo;

    nns_role_assert_owner();
    /* Nothing of ours can be there before, which would make it another device after. */
    in(&held, "tc qdisc add dev lo ingress_block 1 egress_block 2 clsact");
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    lo = owner_host_device(ns, "lo");
    cr_assert_eq(lo->state, NNS_DEVICE_FAILED);
    lo->tries = NNS_TRIES_MAX;
    lo->retry_ms = 0;
    nns_due_drop(&own.owner->due, ns);

    in(&held, "tc qdisc del dev lo clsact");
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 0, "given up is given up");
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    cr_assert_eq(nns_due_take(&own.owner->due, nns_now_ms()), ns);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(nns_due_next(&own.owner->due), UINT64_MAX, "nothing is left to try");
    owner_host_let_go(&held);
}

Test(dequeue, news_do_not_use_up_the_tries_of_one_that_waits_for_its_retry)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    uint64_t retry_ms;

    nns_role_assert_owner();
    in(&held, "tc qdisc add dev lo ingress");
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    retry_ms = nns_now_ms() + 3600 * 1000;
    owner_host_device(ns, "lo")->retry_ms = retry_ms;

    in(&held, "ip link add name a type veth peer name b");
    nns_look_again(own.owner, ns, NNS_LOOK_NEWS);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_device(ns, "a")->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(owner_host_device(ns, "lo")->tries, 1);
    cr_assert_eq(owner_host_device(ns, "lo")->retry_ms, retry_ms);
    owner_host_let_go(&held);
}

Test(dequeue, a_failed_visit_says_why_until_the_next_goes_well)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct rlimit before;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    in(&held, "ip link add name a type veth peer name b");
    owner_host_deny_descriptors(&before);
    nns_dequeue(own.owner, ns);
    owner_host_allow_descriptors(&before);
    cr_assert_eq(ns->visits.error, EMFILE);
    cr_assert_gt(nns_due_next(&own.owner->due), nns_now_ms(), "at once is no backoff");
    cr_assert_neq(nns_due_next(&own.owner->due), UINT64_MAX);

    nns_dequeue(own.owner, ns);
    cr_assert_eq(ns->visits.error, 0);
    cr_assert_not(ns->visits.owed);
    cr_assert_eq(ns->visits.tries, 0);
    cr_assert_eq(owner_host_filters(&held), 6, "what has changed since was not looked for");
    owner_host_let_go(&held);
}

/* Does a GET order say that a device's counts are its own? */
NNS_OWNER_ONLY static bool is_counted(const struct owner_held *held, const char *name)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_GET);
    bool counted = false, found = false;

    order->selector.cookie = held->id.cookie;
    nns_answer_order(own.owner, order);
    cr_assert_eq(owner_host_await_order(), order);
    cr_assert_eq(order->error, 0);
    for (uint32_t i = 0; i < order->rows[0].device_count; i++) {
        const struct nns_device_row *row = &order->rows[0].devices[i];

        if (strcmp(row->device.link.name, name) != 0)
            continue;
        found = true;
        counted = row->counted;
    }
    cr_assert(found, "%s is not listed", name);
    nns_order_free(order);
    return counted;
}

/* A filter keeps the slot it was made with: a record that says otherwise would show another's counts. */
Test(dequeue, a_device_attached_without_a_slot_stays_without)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    uint16_t taken;
    char *before, *after;
    enum nns_slot_past past;

    nns_role_assert_owner();
    nns_slots_deinit(&own.owner->slots);
    cr_assert_eq(nns_slots_init(&own.owner->slots, 1, NULL), 0);
    taken = nns_slots_take(&own.owner->slots, 1, 1, &past);
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_not(is_counted(&held, "lo"));
    before = owner_host_filter_text(&held);

    nns_slots_give(&own.owner->slots, taken);
    nns_look_again(own.owner, ns, NNS_LOOK_EVERYWHERE);
    nns_dequeue(own.owner, ns);
    after = owner_host_filter_text(&held);
    cr_assert_str_eq(after, before);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 0);
    cr_assert_not(is_counted(&held, "lo"));
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 0);
    owner_host_let_go(&held);
}

/* Packets are still counted under it, so nobody else may have it. */
Test(dequeue, a_slot_stays_taken_while_its_filter_is_there)
{
    struct owner_held stuck = owner_host_hold(), removed = owner_host_hold();
    struct rlimit before;

    nns_role_assert_owner();
    nns_dequeue(own.owner, owner_host_save(&stuck));
    nns_dequeue(own.owner, owner_host_save(&removed));
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 2);

    owner_host_deny_descriptors(&before);
    cr_assert_eq(nns_flush(own.owner, owner_host_find(&stuck), NNS_FLUSH_EVICTED), -EBUSY);
    owner_host_allow_descriptors(&before);
    cr_assert_eq(owner_host_filters(&stuck), 2, "the filters are still there, or this shows nothing");
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 2);

    cr_assert_eq(nns_flush(own.owner, owner_host_find(&removed), NNS_FLUSH_EVICTED), 0);
    cr_assert_eq(owner_host_filters(&removed), 0);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 1);
    owner_host_let_go(&stuck);
    owner_host_let_go(&removed);
}

/* Its filters would be nobody's otherwise, and the operator would think that they are gone. */
Test(dequeue, a_namespace_that_could_not_be_flushed_as_ordered_stays_covered)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct rlimit before;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    owner_host_deny_descriptors(&before);
    cr_assert_eq(nns_flush_all(own.owner, NNS_FLUSH_ORDERED), -EBUSY);
    owner_host_allow_descriptors(&before);
    cr_assert_eq(owner_host_find(&held), ns);
    cr_assert_eq(nns_due_take(&own.owner->due, nns_now_ms()), ns);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(nns_flush_all(own.owner, NNS_FLUSH_ORDERED), 0);
    cr_assert_eq(owner_host_filters(&held), 0);
    owner_host_let_go(&held);
}

/* Waits for a namespace that is flushed before it was worked off. Returns what it is told. */
NNS_OWNER_ONLY static int wait_through(enum nns_flush_reason reason)
{
    struct owner_held held = owner_host_hold();
    struct nns_order *order = wait_for(&held);
    int told;

    owner_host_save(&held);
    nns_waiters_add(own.owner, order);
    cr_assert_null(nns_completions_take(&own.completions).orders, "nothing was worked off");
    nns_flush_all(own.owner, reason);
    cr_assert_eq(owner_host_await_order(), order);
    told = order->error;
    nns_order_free(order);
    owner_host_let_go(&held);
    return told;
}

Test(dequeue, who_waits_at_the_end_is_told_that_it_is_the_end)
{
    nns_role_assert_owner();
    cr_assert_eq(wait_through(NNS_FLUSH_CLOSED), -ECANCELED);
}

Test(dequeue, who_waits_for_a_namespace_that_is_forgotten_meanwhile_is_answered)
{
    nns_role_assert_owner();
    cr_assert_eq(wait_through(NNS_FLUSH_ORDERED), NNS_WAIT_FORGOTTEN);
}

/* Waits for namespaces; answered orders come back. */
NNS_OWNER_ONLY static struct nns_order *begin_to_wait(uint64_t cookie, uint64_t other)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_WAIT);

    order->cookies = malloc(2 * sizeof(*order->cookies));
    cr_assert_not_null(order->cookies);
    order->cookies[order->cookie_count++] = cookie;
    if (other)
        order->cookies[order->cookie_count++] = other;
    nns_waiters_add(own.owner, order);
    return order;
}

static void expect_none_answered(const char *why)
{
    cr_expect_null(nns_completions_take(&own.completions).orders, "%s", why);
}

NNS_OWNER_ONLY static void expect_answer(struct nns_order *order, int error)
{
    cr_assert_eq(owner_host_await_order(), order);
    cr_expect_eq(order->error, error, "%d", order->error);
    nns_order_free(order);
}

NNS_OWNER_ONLY static void visit_in_vain(struct nns_namespace *ns)
{
    struct rlimit before;

    nns_due_drop(&own.owner->due, ns);
    owner_host_deny_descriptors(&before);
    nns_dequeue(own.owner, ns);
    owner_host_allow_descriptors(&before);
}

Test(dequeue, who_waits_waits_for_the_visit_after_one_that_failed)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_order *order;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    order = begin_to_wait(held.id.cookie, 0);
    visit_in_vain(ns);
    expect_none_answered("nothing has been listed yet");
    nns_dequeue(own.owner, ns);
    cr_expect_eq(owner_host_filters(&held), 2);
    expect_answer(order, 0);
    owner_host_let_go(&held);
}

Test(dequeue, who_waits_is_told_why_when_visits_go_on_failing)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_order *order;
    int visits = 0;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    order = begin_to_wait(held.id.cookie, 0);
    do {
        cr_assert_lt(visits++, NNS_TRIES_MAX, "it waits until the last");
        visit_in_vain(ns);
    } while (ns->waiters);
    cr_expect_gt(visits, 3, "it did not wait for the retries");
    expect_answer(order, -EMFILE);
    owner_host_let_go(&held);
}

Test(dequeue, who_waits_is_not_kept_by_one_that_is_given_up)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_order *order;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    order = begin_to_wait(held.id.cookie, 0);
    ns->visits.tries = NNS_TRIES_MAX - 1;
    nns_due_drop(&own.owner->due, ns);
    visit_in_vain(ns);
    expect_answer(order, -EMFILE);
    owner_host_let_go(&held);
}

Test(dequeue, one_that_is_not_known_does_not_keep_others_from_being_waited_for)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_order *order;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    order = begin_to_wait(1, held.id.cookie);
    expect_none_answered("the other has not been visited");
    nns_dequeue(own.owner, ns);
    cr_expect_eq(owner_host_filters(&held), 2);
    expect_answer(order, NNS_WAIT_FORGOTTEN);
    owner_host_let_go(&held);
}

/* What a visit whose answers were lost leaves behind. */
static void leave_unanswered(struct nns_device *device)
{
    device->state = NNS_DEVICE_FAILED;
    device->retry_ms = 1;
    device->attachments[0][NNS_EGRESS] = (struct nns_attachment){.reason = NNS_REASON_UNKNOWN};
}

Test(dequeue, a_device_the_kernel_did_not_answer_for_is_waited_for)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_order *order;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    order = begin_to_wait(held.id.cookie, 0);
    leave_unanswered(owner_host_device(ns, "lo"));
    nns_waiters_visited(own.owner, ns, 0);
    expect_none_answered("it is to be looked at again at once");

    nns_dequeue(own.owner, ns);
    expect_answer(order, 0);
    cr_expect_eq(owner_host_filters(&held), 2);

    /* No retry comes any more. */
    order = begin_to_wait(held.id.cookie, 0);
    leave_unanswered(owner_host_device(ns, "lo"));
    nns_due_drop(&own.owner->due, ns);
    nns_waiters_visited(own.owner, ns, 0);
    expect_answer(order, NNS_WAIT_UNANSWERED);

    /* A reason is an answer. */
    order = begin_to_wait(held.id.cookie, 0);
    owner_host_device(ns, "lo")->attachments[0][NNS_EGRESS].reason = NNS_REASON_LEGACY_INGRESS;
    nns_waiters_visited(own.owner, ns, 0);
    expect_answer(order, 0);
    owner_host_let_go(&held);
}

NNS_OWNER_ONLY static struct nns_status ask_status(void)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_STATUS);
    struct nns_status status;

    nns_answer_order(own.owner, order);
    cr_assert_eq(owner_host_await_order(), order);
    status = *order->status;
    nns_order_free(order);
    return status;
}

Test(dequeue, coverage_counts_what_carries_its_programs_and_who_is_unseen)
{
    const struct nns_sync_context idle = {.cache = own.context.cache};
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    cr_assert_eq(nns_pool_start(&idle, 1, 1, &own.owner->pool), 0);
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    cr_expect_eq(ask_status().devices_covered, 1);
    cr_expect_eq(ask_status().namespaces_unlisted, 0);
    visit_in_vain(ns);
    cr_expect_eq(ask_status().namespaces_unlisted, 1);

    /* As a flush leaves it that could not remove all. */
    owner_host_device(ns, "lo")->attachments[0][NNS_EGRESS] = (struct nns_attachment){0};
    cr_expect_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_ATTACHED);
    cr_expect_eq(ask_status().devices_covered, 0);
    cr_expect_eq(ask_status().devices_known, 1);
    nns_pool_stop(own.owner->pool);
    nns_pool_free(own.owner->pool);
    own.owner->pool = NULL;
    owner_host_let_go(&held);
}

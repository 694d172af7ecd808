/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's parts, with the test in the owner's role: saving handles, the device queue, eviction. What is
 * attached is asked of tc. */
#include "owner_host.h"

#include "core/counters.h"

TestSuite(owner, .init = owner_host_set_up, .fini = owner_host_tear_down);

Test(owner, nothing_is_saved_without_identity_or_networking)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns = NULL;
    unsigned fds = host_open_fds();

    nns_role_assert_owner();
    cr_assert_eq(owner_host_save_as((struct nns_netns_id){0}, held.path, &ns), NNS_SAVED_NOTHING);
    own.params.network_enabled = false;
    cr_assert_eq(owner_host_save_as(held.id, held.path, &ns), NNS_SAVED_NOTHING);
    cr_assert_null(ns);
    cr_assert_null(owner_host_find(&held));
    cr_assert_eq(host_open_fds(), fds);
    owner_host_let_go(&held);
}

Test(owner, the_unknown_is_added_and_the_known_is_not_new)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns = NULL, *again = NULL;
    struct nns_netns_id found;
    unsigned fds;

    nns_role_assert_owner();
    cr_assert_eq(owner_host_save_as(held.id, held.path, &ns), NNS_SAVED_NEW);
    cr_assert_eq(nns_netns_identify_fully(ns->handle.fd, &found), 0);
    cr_assert_eq(found.cookie, held.id.cookie);
    cr_assert_eq(nns_cache_find_inum(own.context.cache, held.id.inum), ns);
    fds = host_open_fds();
    cr_assert_eq(owner_host_save_as(held.id, held.path, &again), NNS_SAVED_KNOWN);
    cr_assert_eq(again, ns);
    cr_assert_eq(host_open_fds(), fds, "a second descriptor was taken");
    owner_host_let_go(&held);
}

static bool no_memory_for_inums;

int __real_nns_cache_trust_inum(struct nns_cache *cache, struct nns_namespace *ns);
int __wrap_nns_cache_trust_inum(struct nns_cache *cache, struct nns_namespace *ns);

int __wrap_nns_cache_trust_inum(struct nns_cache *cache, struct nns_namespace *ns)
{
    return no_memory_for_inums ? -ENOMEM : __real_nns_cache_trust_inum(cache, ns);
}

static void note_held(void *found, const struct nns_trace_event *event)
{
    if (event->cookie == ((struct owner_held *)found)->id.cookie)
        ((struct owner_held *)found)->pid = (pid_t)event->number;
}

/* Do walks and events tell of its tasks? */
static bool is_news(const struct owner_held *held)
{
    struct owner_held found = {.id = held->id};

    cr_assert_eq(nns_trace_walk(own.owner->context.trace, false, note_held, &found), 0);
    return found.pid == held->pid;
}

Test(owner, who_could_not_be_kept_is_news_still)
{
    struct owner_held held = owner_host_hold();
    struct nns_trace_abilities abilities;
    struct nns_namespace *ns = NULL;

    nns_role_assert_owner();
    cr_assert_eq(
        nns_trace_open(OWNER_HOST_CAPACITY, OWNER_HOST_CAPACITY, true, &own.owner->context.trace, &abilities),
        0);
    if (!abilities.walk)
        cr_skip_test("this kernel shows no tasks to a program");
    no_memory_for_inums = true;
    cr_assert_eq(owner_host_save_as(held.id, held.path, &ns), -ENOMEM);
    no_memory_for_inums = false;
    cr_assert_null(owner_host_find(&held));
    cr_expect(is_news(&held), "nobody would find it again");
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), 0);
    cr_assert_eq(owner_host_save_as(held.id, held.path, &ns), NNS_SAVED_NEW);
    cr_expect_not(is_news(&held));
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), 1);
    nns_trace_close(own.owner->context.trace);
    own.owner->context.trace = NULL;
    owner_host_let_go(&held);
}

Test(owner, more_devices_than_the_queue_holds_are_listed_again_until_all_are_attached)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    int passes = 0;

    nns_role_assert_owner();
    own.params.devices_queue = 4;
    for (int i = 0; i < 6; i++)
        host_run("nsenter -t %d -n ip link add a%d type veth peer name b%d", held.pid, i, i);
    ns = owner_host_save(&held);
    do
        nns_dequeue(own.owner, ns);
    while (nns_due_take(&own.owner->due, UINT64_MAX) && ++passes < 20);
    cr_assert_gt(passes, 1, "the bound was not met");
    cr_assert_eq(owner_host_filters(&held), 2 * 13);
    owner_host_let_go(&held);
}

Test(owner, a_vanished_device_is_forgotten_and_gives_its_slot_back)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    host_run("nsenter -t %d -n ip link add da type veth peer name db", held.pid);
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 3);
    host_run("nsenter -t %d -n ip link del da", held.pid);
    ns->visits.owed = true;
    nns_dequeue(own.owner, ns);
    cr_assert_eq(ns->devices.count, 1);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 1);
    owner_host_let_go(&held);
}

Test(owner, a_full_cache_evicts_and_takes_its_filters_along)
{
    struct owner_held held[OWNER_HOST_CAPACITY + 1];
    unsigned covered = 0, fds = 0;

    nns_role_assert_owner();
    for (int i = 0; i <= OWNER_HOST_CAPACITY; i++) {
        held[i] = owner_host_hold();
        nns_dequeue(own.owner, owner_host_save(&held[i]));
        if (i == OWNER_HOST_CAPACITY - 1)
            fds = host_open_fds();
    }
    nns_cache_reclaim(own.context.cache);
    for (int i = 0; i <= OWNER_HOST_CAPACITY; i++) {
        bool known = owner_host_find(&held[i]);

        cr_assert_eq(owner_host_filters(&held[i]), known ? 2 : 0);
        covered += known;
    }
    cr_assert_eq(covered, OWNER_HOST_CAPACITY);
    cr_assert_eq(host_open_fds(), fds, "an evicted handle was kept");
    nns_flush_all(own.owner, NNS_FLUSH_CLOSED);
    for (int i = 0; i <= OWNER_HOST_CAPACITY; i++) {
        cr_assert_eq(owner_host_filters(&held[i]), 0);
        owner_host_let_go(&held[i]);
    }
}

Test(owner, excluded_devices_are_known_but_left_alone)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    char error[128];

    nns_role_assert_owner();
    cr_assert_eq(nns_params_set(&own.params, "exclude.devices=lo,x*", error, sizeof(error)), 0, "%s", error);
    host_run("nsenter -t %d -n ip link add x0 type veth peer name y0", held.pid);
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(ns->devices.count, 3);
    cr_assert_eq(owner_host_filters(&held), 2);
    owner_host_let_go(&held);
}

Test(owner, a_flush_gives_back_all_it_took)
{
    struct owner_held held[2];
    struct nns_cache_stats left;
    unsigned fds = host_open_fds();

    nns_role_assert_owner();
    for (int i = 0; i < 2; i++) {
        held[i] = owner_host_hold();
        nns_dequeue(own.owner, owner_host_save(&held[i]));
    }
    cr_assert_eq(own.owner->pinned, 2);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 2);
    nns_flush_all(own.owner, NNS_FLUSH_CLOSED);
    nns_cache_stats(own.context.cache, &left);
    cr_assert_eq(left.entries, 0);
    cr_assert_eq(own.owner->pinned, 0);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 0);
    cr_assert_eq(host_open_fds(), fds);
    for (int i = 0; i < 2; i++)
        owner_host_let_go(&held[i]);
}

static _Atomic unsigned trims;

static void count_trim(void)
{
    trims++;
}

static void ask(void)
{
    nns_order_free(owner_host_send(owner_host_order(NNS_ORDER_LIST)));
}

static uint64_t await_trims(unsigned wanted)
{
    uint64_t deadline = nns_now_ms() + OWNER_HOST_PATIENCE_S * 1000;

    while (trims < wanted) {
        cr_assert_lt(nns_now_ms(), deadline, "free memory was not given back");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return nns_now_ms();
}

/* Nothing else wakes this owner: the last trim is one that it waited for. */
Test(owner, free_memory_is_given_back_after_a_busy_time_and_seldom)
{
    uint64_t first, last;

    own.owner->context.trim = count_trim;
    owner_host_start();
    ask();
    first = await_trims(1);
    for (int i = 0; i < 100; i++)
        ask();
    last = await_trims(2);
    cr_assert_leq(trims, 2 + (last - first) / 1000, "%u times", trims);
}

static void post(struct nns_order *order)
{
    nns_mailbox_post_now(nns_owner_mailbox(own.owner), &order->letter);
}

/* The last of them, which all wait before the thread begins, sees what was done meanwhile. */
Test(owner, many_letters_do_not_keep_a_due_namespace_waiting)
{
    enum { LETTERS = 20000 };
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_order *last = owner_host_order(NNS_ORDER_GET), *order, *next;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    nns_due_add(&own.owner->due, ns, nns_now_ms());
    for (int i = 0; i < LETTERS; i++)
        post(owner_host_order(NNS_ORDER_LIST));
    last->selector.cookie = held.id.cookie;
    post(last);
    owner_host_start();
    for (bool done = false; !done;)
        for (order = owner_host_await_orders(); order; order = next) {
            next = order->next;
            done = done || order == last;
            if (order != last)
                nns_order_free(order);
        }
    cr_assert_eq(last->row_count, 1);
    cr_assert_eq(last->rows[0].device_count, 1);
    cr_assert_eq(last->rows[0].devices[0].device.state, NNS_DEVICE_ATTACHED);
    nns_order_free(last);
    owner_host_let_go(&held);
}

/* All that was handed back until the order to stop is answered. */
static struct nns_batch *await_stop(const struct nns_order *stop)
{
    time_t deadline = time(NULL) + OWNER_HOST_PATIENCE_S;
    struct nns_batch *batches = NULL;

    for (;;) {
        struct nns_completed completed = nns_completions_take(&own.completions);

        if (completed.batches)
            batches = completed.batches;
        if (completed.orders == stop)
            return batches;
        cr_assert_lt(time(NULL), deadline, "the owner goes on");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

Test(owner, what_comes_behind_the_order_to_stop_is_refused)
{
    struct owner_held held = owner_host_hold();
    struct nns_order *stop = owner_host_order(NNS_ORDER_STOP);
    struct nns_batch *batch;
    unsigned fds = host_open_fds(), count = 0;

    nns_role_assert_owner();
    post(stop);
    owner_host_post_found(&held, true);
    owner_host_start();
    for (batch = await_stop(stop); batch; count++) {
        struct nns_batch *next = batch->next;

        cr_expect_eq(batch->results[0].outcome, NNS_OUTCOME_ERROR);
        cr_expect_eq(batch->results[0].error, ECANCELED);
        free(batch);
        batch = next;
    }
    cr_expect_eq(count, 2, "the winner of the claim, and who joined it");
    owner_host_join();
    nns_order_free(stop);
    cr_expect_eq(host_open_fds(), fds);
    cr_expect_eq(owner_host_filters(&held), 0, "nobody would take them off");
    owner_host_let_go(&held);
}

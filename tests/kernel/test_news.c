/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner tells those who watch, and how much of it may wait for a loop that does not come round. */
#include "owner_host.h"

#include "core/backoff.h"
#include "workers/news.h"

TestSuite(news, .init = owner_host_set_up, .fini = owner_host_tear_down);

NNS_OWNER_ONLY static void order_now(enum nns_order_kind kind)
{
    struct nns_order *order = owner_host_order(kind);

    nns_answer_order(own.owner, order);
    cr_assert_eq(owner_host_await_order(), order);
    nns_order_free(order);
}

/* What was told since it was last asked: of each kind how many. */
struct told {
    unsigned kinds[NNS_NEWS_KINDS], pieces;
    uint64_t sequence;
    struct nns_news last;
};

NNS_OWNER_ONLY static struct told take_told(void)
{
    struct nns_completed taken;
    struct told told = {.pieces = 0};

    nns_news_hand_on(own.owner);
    taken = nns_completions_take(&own.completions);
    told.sequence = taken.news_sequence;
    while (taken.news) {
        struct nns_news_batch *next = taken.news->next;

        for (uint32_t i = 0; i < taken.news->count; i++) {
            told.last = taken.news->items[i];
            told.kinds[told.last.kind]++;
            told.pieces++;
        }
        free(taken.news);
        taken.news = next;
    }
    return told;
}

/* Namespaces that nobody visits come, and drive the ones before them out: two pieces each once all is full.
 */
NNS_OWNER_ONLY static void crowd(unsigned count)
{
    static uint64_t cookie = (1ull << 40) + 1; /* 0 is no inum */
    struct nns_namespace *ns;

    while (count--) {
        const struct nns_netns_id id = {.cookie = cookie, .inum = (uint32_t)cookie};

        cookie++;
        cr_assert_eq(owner_host_save_as(id, "/proc/self/ns/net", &ns), NNS_SAVED_NEW);
    }
}

Test(news, nothing_is_told_while_nobody_watches)
{
    struct told told;

    nns_role_assert_owner();
    crowd(100);
    told = take_told();
    cr_assert_eq(told.pieces, 0);
    cr_assert_eq(told.sequence, 0);
    order_now(NNS_ORDER_WATCH);
    order_now(NNS_ORDER_WATCH);
    order_now(NNS_ORDER_UNWATCH);
    crowd(1);
    told = take_told();
    cr_assert_eq(told.kinds[NNS_NEWS_NAMESPACE_NEW], 1, "one still watches");
    cr_assert_eq(told.kinds[NNS_NEWS_NAMESPACE_GONE], 1);
    cr_assert_str_eq(told.last.kind == NNS_NEWS_NAMESPACE_NEW ? "evicted" : told.last.text, "evicted");
    order_now(NNS_ORDER_UNWATCH);
    crowd(1);
    cr_assert_eq(take_told().pieces, 0);
}

Test(news, what_waits_is_bounded_and_what_is_dropped_has_its_numbers)
{
    enum { MANY = 20000 };
    struct told told;

    nns_role_assert_owner();
    crowd(OWNER_HOST_CAPACITY);
    order_now(NNS_ORDER_WATCH);
    crowd(MANY);
    told = take_told();
    cr_assert_eq(told.sequence, 2 * MANY);
    cr_assert_eq(told.pieces, told.last.sequence, "the first ones");
    cr_assert_lt(told.pieces, MANY);
    crowd(1);
    told = take_told();
    cr_assert_eq(told.sequence, 2 * MANY + 2);
    cr_assert_eq(told.pieces, 2, "there is room again");
    cr_assert_eq(told.last.sequence, 2 * MANY + 2);
}

/* As if the time of its next try had come. */
NNS_OWNER_ONLY static void try_again(struct nns_namespace *ns, struct nns_device *device)
{
    device->retry_ms = 1;
    nns_dequeue(own.owner, ns);
}

Test(news, a_failure_is_told_at_first_and_at_last)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_device *lo;
    struct told told;

    nns_role_assert_owner();
    host_run("nsenter -t %d -n tc qdisc add dev lo ingress", held.pid);
    order_now(NNS_ORDER_WATCH);
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    told = take_told();
    cr_assert_eq(told.kinds[NNS_NEWS_NAMESPACE_NEW], 1);
    cr_assert_eq(told.kinds[NNS_NEWS_DEVICE_FAILED], 1);
    cr_assert_gt(told.last.amount, 0, "it is tried again");
    lo = owner_host_device(ns, "lo");
    while (lo->tries < NNS_TRIES_MAX - 1)
        try_again(ns, lo);
    cr_assert_eq(take_told().pieces, 0, "the tries in between");
    try_again(ns, lo);
    told = take_told();
    cr_assert_eq(told.kinds[NNS_NEWS_DEVICE_FAILED], 1);
    cr_assert_eq(told.last.amount, 0, "given up");
    try_again(ns, lo);
    cr_assert_eq(take_told().pieces, 0, "an audit's try");
    host_run("nsenter -t %d -n tc qdisc del dev lo ingress", held.pid);
    nns_look_again(own.owner, ns, NNS_LOOK_EVERYWHERE);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(take_told().kinds[NNS_NEWS_DEVICE_ATTACHED], 1);
    owner_host_let_go(&held);
}

/* News of a device lead to a look at it; what is told is what the look found. */
Test(news, a_clsact_that_went_is_a_detachment_and_a_filter_that_went_is_none)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct told told;
    uint16_t slot;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    slot = owner_host_device(ns, "lo")->slot;
    order_now(NNS_ORDER_WATCH);
    host_run("nsenter -t %d -n tc qdisc del dev lo clsact", held.pid);
    nns_look_at(own.owner, ns, 1);
    nns_dequeue(own.owner, ns);
    told = take_told();
    cr_assert_eq(told.pieces, 2);
    cr_assert_eq(told.kinds[NNS_NEWS_DEVICE_DETACHED], 1);
    cr_assert_eq(told.last.kind, NNS_NEWS_DEVICE_ATTACHED);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, slot);
    cr_assert_eq(owner_host_filters(&held), 2);

    host_run("nsenter -t %d -n tc filter del dev lo egress", held.pid);
    nns_look_at(own.owner, ns, 1);
    nns_dequeue(own.owner, ns);
    told = take_told();
    cr_assert_eq(told.pieces, 1);
    cr_assert_eq(told.last.kind, NNS_NEWS_DEVICE_RESTORED);
    cr_assert_eq(owner_host_filters(&held), 2);
    owner_host_let_go(&held);
}

Test(news, a_namespace_that_cannot_be_reached_is_told_at_first_and_at_last)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct rlimit before;
    struct told told;

    nns_role_assert_owner();
    order_now(NNS_ORDER_WATCH);
    ns = owner_host_save(&held);
    take_told();
    owner_host_deny_descriptors(&before);
    nns_dequeue(own.owner, ns);
    told = take_told();
    cr_assert_eq(told.kinds[NNS_NEWS_NAMESPACE_FAILED], 1);
    cr_assert_str_eq(told.last.text, "Too many open files");
    cr_assert_gt(told.last.amount, 0);
    while (ns->visits.tries < NNS_TRIES_MAX - 1)
        nns_dequeue(own.owner, ns);
    cr_assert_eq(take_told().pieces, 0);
    nns_dequeue(own.owner, ns);
    told = take_told();
    cr_assert_eq(told.kinds[NNS_NEWS_NAMESPACE_FAILED], 1);
    cr_assert_eq(told.last.amount, 0, "given up");
    nns_dequeue(own.owner, ns);
    cr_assert_eq(take_told().pieces, 0);
    owner_host_allow_descriptors(&before);
    owner_host_let_go(&held);
}

/* The inum can be another's at any time (I5). */
Test(news, who_watches_a_known_inum_watches_its_cookie)
{
    struct owner_held held = owner_host_hold();
    struct nns_order *order = owner_host_order(NNS_ORDER_WATCH);

    nns_role_assert_owner();
    owner_host_save(&held);
    order->selector = (struct nns_selector){.cookie = held.id.inum, .inum = held.id.inum};
    nns_answer_order(own.owner, order);
    cr_assert_eq(owner_host_await_order(), order);
    cr_expect_eq(order->selector.cookie, held.id.cookie);
    cr_expect_eq(order->selector.inum, 0);
    nns_order_free(order);
    order_now(NNS_ORDER_UNWATCH);
    owner_host_let_go(&held);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What rtnetlink tells, with the test in the owner's role: whose a number is, and who has none. */
#include "owner_host.h"

#include "core/counters.h"
#include "workers/events.h"
#include "workers/hearing.h"
#include "workers/link_feed.h"

enum { BOUND = 2 };

/* An owner that hears rtnetlink, in place of one that hears nothing. */
NNS_OWNER_ONLY static void set_up_telling(enum nns_telling telling)
{
    owner_host_set_up();
    nns_owner_free(own.owner);
    own.params.events_nsid_max = BOUND;
    own.context.way = own.abilities.open_by_id ? NNS_HANDLES_BY_ID : NNS_HANDLES_PINNED;
    own.context.telling = telling;
    if (telling == NNS_TOLD_BY_RTNETLINK)
        cr_assert_eq(nns_link_feed_prepare(&own.context.link_events), 0);
    cr_assert_eq(nns_owner_new(&own.context, &own.owner), 0);
}

NNS_OWNER_ONLY static void set_up(void)
{
    set_up_telling(NNS_TOLD_BY_RTNETLINK);
}

NNS_OWNER_ONLY static void tear_down(void)
{
    owner_host_tear_down();
    nns_link_events_close(own.context.link_events);
}

TestSuite(hearing, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- namespaces ---- */

NNS_OWNER_ONLY static void visit(struct nns_namespace *ns)
{
    nns_due_drop(&own.owner->due, ns);
    nns_dequeue(own.owner, ns);
}

NNS_OWNER_ONLY static struct nns_namespace *visit_new(const struct owner_held *held)
{
    struct nns_namespace *ns = owner_host_save(held);

    visit(ns);
    cr_assert_eq(ns->due_slot, -1);
    return ns;
}

static void mark(void *context, int32_t nsid)
{
    *(uint64_t *)context |= (uint64_t)1 << nsid;
}

static bool kernel_has(int32_t nsid)
{
    uint64_t given = 0;

    cr_assert_eq(nns_link_events_each(own.context.link_events, mark, &given), 0);
    return given >> nsid & 1;
}

/* End one that nothing else holds, and wait until the kernel took its number back. */
static void end(const struct owner_held *held, int32_t nsid)
{
    struct timespec pause = {.tv_nsec = 1000000};
    time_t deadline = time(NULL) + OWNER_HOST_PATIENCE_S;

    owner_host_let_go(held);
    while (kernel_has(nsid)) {
        cr_assert_lt(time(NULL), deadline, "it does not die");
        nanosleep(&pause, NULL);
    }
}

static bool can_die(void)
{
    if (!nns_weak(own.context.way))
        cr_skip_test("handles are pinned here");
    return nns_weak(own.context.way);
}

/* ---- news ---- */

NNS_OWNER_ONLY static void tell(struct nns_link_event event)
{
    struct nns_link_news news = {.count = 1, .items = {event}};

    nns_take_link_news(own.owner, &news);
}

NNS_OWNER_ONLY static void tell_of_losses(void)
{
    struct nns_link_news news = {.lost = true};

    nns_take_link_news(own.owner, &news);
}

static struct nns_link_event number_gone(int32_t nsid)
{
    return (struct nns_link_event){
        .kind = NNS_LINK_NSID_GONE, .nsid = NNS_NSID_NONE, .number = (uint32_t)nsid};
}

static struct nns_link_event about(const struct nns_namespace *ns, uint8_t kind, uint32_t number,
                                   const char *name)
{
    struct nns_link_event event = {.kind = kind, .nsid = ns->nsid, .number = number};

    strcpy(event.name, name);
    return event;
}

static void note_last(void *context, const struct nns_link_event *event)
{
    *(struct nns_link_event *)context = *event;
}

/* What a command made the kernel tell last. */
static struct nns_link_event last_heard(void)
{
    struct nns_link_event event = {0};
    bool lost = false;

    cr_assert_gt(nns_link_events_read(own.context.link_events, note_last, &event, &lost), 0);
    cr_assert_not(lost);
    return event;
}

/* ---- who is heard ---- */

Test(hearing, a_namespace_is_heard_from_its_first_visit_on)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = visit_new(&held);
    cr_assert_geq(ns->nsid, 0);
    cr_assert(kernel_has(ns->nsid));
    cr_assert_eq(own.owner->heard, 1);
    host_run("nsenter -t %d -n ip link add name a type veth peer name b", held.pid);
    tell(last_heard());
    cr_assert_geq(ns->due_slot, 0);
    visit(ns);
    cr_assert_eq(owner_host_device(ns, "a")->state, NNS_DEVICE_ATTACHED);
    owner_host_let_go(&held);
}

/* A known one is not bare, and its filters stay what they are. */
Test(hearing, another_name_is_asked_for_alone)
{
    struct owner_held held = owner_host_hold();
    uint64_t dumps, sends;
    struct nns_namespace *ns;
    char *before, *after;

    nns_role_assert_owner();
    host_run("nsenter -t %d -n ip link add name a type veth peer name b", held.pid);
    ns = visit_new(&held);
    dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);
    sends = nns_counter_read(NNS_COUNT_ATTACH_SENDS);
    before = host_ask("nsenter -t %d -n tc filter show dev a egress", held.pid);
    host_run("nsenter -t %d -n ip link set dev a name c", held.pid);
    tell(last_heard());
    visit(ns);
    cr_assert_not_null(owner_host_device(ns, "c"));
    cr_assert_null(owner_host_device(ns, "a"));
    after = host_ask("nsenter -t %d -n tc filter show dev c egress", held.pid);
    cr_assert_str_eq(before, after);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps);
    cr_assert_eq(nns_counter_read(NNS_COUNT_ATTACH_SENDS), sends + 3, "the qdiscs and two hooks");
    owner_host_let_go(&held);
}

/* What changed before is in no event: a visit for a retry becomes one that lists. */
Test(hearing, one_that_is_heard_late_is_listed_then)
{
    struct owner_held held = owner_host_hold();
    uint64_t dumps;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    own.params.events_nsid_max = 0;
    ns = visit_new(&held);
    cr_assert_eq(ns->nsid, NNS_NSID_NONE);
    host_run("nsenter -t %d -n ip link add name a type veth peer name b", held.pid);
    own.params.events_nsid_max = BOUND;
    dumps = nns_counter_read(NNS_COUNT_LIST_DUMPS);
    visit(ns);
    cr_assert_geq(ns->nsid, 0);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps + 1);
    cr_assert_eq(owner_host_device(ns, "a")->state, NNS_DEVICE_ATTACHED);
    visit(ns);
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_DUMPS), dumps + 1, "once");
    owner_host_let_go(&held);
}

Test(hearing, there_is_a_bound_and_room_for_the_hosts_own)
{
    struct owner_held held[BOUND + 1];
    struct nns_namespace *ns[BOUND + 1], *host = NULL;

    nns_role_assert_owner();
    for (int i = 0; i <= BOUND; i++) {
        held[i] = owner_host_hold();
        ns[i] = visit_new(&held[i]);
        cr_assert_eq(ns[i]->nsid >= 0, i < BOUND, "%d", i);
    }
    cr_assert_eq(owner_host_save_as(nns_netns_own(), "/proc/self/ns/net", &host), NNS_SAVED_NEW);
    cr_assert(host->host);
    visit(host);
    cr_assert_geq(host->nsid, 0);
    cr_assert_eq(own.owner->heard, BOUND + 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_REFUSED), 0);
    for (int i = 0; i <= BOUND; i++)
        owner_host_let_go(&held[i]);
}

Test(hearing, a_number_that_comes_free_is_the_next_ones)
{
    struct owner_held held[BOUND + 1];
    struct nns_namespace *ns[BOUND + 1];
    int32_t nsid;

    nns_role_assert_owner();
    if (!can_die())
        return;
    for (int i = 0; i <= BOUND; i++) {
        held[i] = owner_host_hold();
        ns[i] = visit_new(&held[i]);
    }
    nsid = ns[0]->nsid;
    end(&held[0], nsid);
    visit(ns[BOUND]);
    cr_assert_eq(ns[BOUND]->nsid, NNS_NSID_NONE);
    tell(number_gone(nsid));
    cr_assert_geq(ns[0]->due_slot, 0, "it is looked at");
    visit(ns[0]);
    cr_assert_null(owner_host_find(&held[0]), "and forgotten");
    visit(ns[BOUND]);
    cr_assert_eq(ns[BOUND]->nsid, nsid);
    cr_assert_eq(own.owner->heard, BOUND);
    for (int i = 1; i <= BOUND; i++)
        owner_host_let_go(&held[i]);
}

Test(hearing, an_excluded_one_takes_no_place)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    ns->excluded = true;
    visit(ns);
    cr_assert_null(owner_host_find(&held));
    cr_assert_eq(own.owner->nsids.count, 0);
    owner_host_let_go(&held);
}

/* ---- whose a number is (I5) ---- */

/* Word that a number is free may come when it is another's already. */
Test(hearing, late_word_of_a_free_number)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    int32_t nsid;

    nns_role_assert_owner();
    ns = visit_new(&held);
    nsid = ns->nsid;
    tell(number_gone(nsid));
    cr_assert_eq(own.owner->heard, 0);
    cr_assert_geq(ns->due_slot, 0);
    visit(ns);
    cr_assert_eq(ns->nsid, nsid, "the kernel was asked");
    cr_assert_eq(own.owner->heard, 1);
    tell(about(ns, NNS_LINK_CHANGED, 77, "new"));
    cr_assert_geq(ns->due_slot, 0);
    owner_host_let_go(&held);
}

Test(hearing, word_of_anothers_numbers)
{
    struct owner_held held = owner_host_hold();
    struct nns_link_event event;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = visit_new(&held);
    event = number_gone(ns->nsid);
    event.nsid = ns->nsid; /* in its own table */
    tell(event);
    cr_assert_eq(own.owner->heard, 1);
    cr_assert_eq(ns->due_slot, -1);
    owner_host_let_go(&held);
}

Test(hearing, who_loses_a_number_to_another_is_dead)
{
    struct owner_held held[2] = {owner_host_hold(), owner_host_hold()};
    struct nns_namespace *former, *ns;
    int32_t nsid;

    nns_role_assert_owner();
    if (!can_die())
        return;
    former = visit_new(&held[0]);
    nsid = former->nsid;
    end(&held[0], nsid);
    ns = visit_new(&held[1]);
    cr_assert_eq(ns->nsid, nsid);
    cr_assert_eq(former->nsid, NNS_NSID_NONE);
    cr_assert_geq(former->due_slot, 0);
    visit(former);
    cr_assert_null(owner_host_find(&held[0]));
    cr_assert_eq(own.owner->heard, 1);
    tell(about(ns, NNS_LINK_CHANGED, 77, "new"));
    cr_assert_geq(ns->due_slot, 0);
    owner_host_let_go(&held[1]);
}

/* The kernel keeps the number of one that lives, and we our place for it. */
Test(hearing, one_that_is_forgotten_alive_and_comes_back)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    uint64_t asked;
    int32_t nsid;

    nns_role_assert_owner();
    ns = visit_new(&held);
    nsid = ns->nsid;
    nns_flush(own.owner, ns, NNS_FLUSH_ORDERED);
    cr_assert_eq(own.owner->heard, 0);
    cr_assert_eq(own.owner->nsids.count, 1);
    asked = nns_counter_read(NNS_COUNT_EVENTS_HEARD);
    ns = visit_new(&held);
    cr_assert_eq(ns->nsid, nsid);
    cr_assert_eq(own.owner->heard, 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_HEARD), asked);
    owner_host_let_go(&held);
}

Test(hearing, who_died_unheard_has_no_place_after_a_loss)
{
    struct owner_held held[2] = {owner_host_hold(), owner_host_hold()};
    struct nns_namespace *ns;
    int32_t nsid;

    nns_role_assert_owner();
    ns = visit_new(&held[0]);
    nsid = ns->nsid;
    nns_flush(own.owner, ns, NNS_FLUSH_ORDERED);
    ns = visit_new(&held[1]);
    end(&held[0], nsid);
    cr_assert_eq(own.owner->nsids.count, 2);
    tell_of_losses();
    cr_assert_eq(own.owner->nsids.count, 1);
    nns_events_tick(own.owner, nns_now_ms());
    cr_assert_geq(ns->due_slot, 0);
    cr_assert(owner_host_device(ns, "lo")->doubted, "anything may have happened to it");
    owner_host_let_go(&held[1]);
}

Test(hearing, who_is_found_dead_has_no_place)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    if (!can_die())
        return;
    ns = visit_new(&held);
    end(&held, ns->nsid);
    visit(ns);
    cr_assert_null(owner_host_find(&held));
    cr_assert_eq(own.owner->nsids.count, 0);
    cr_assert_eq(own.owner->heard, 0);
}

/* ---- what is news ---- */

Test(hearing, what_is_news_of_a_device)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct nns_device *lo;
    uint32_t ifindex;

    nns_role_assert_owner();
    ns = visit_new(&held);
    lo = owner_host_device(ns, "lo");
    ifindex = lo->link.ifindex;
    tell(about(ns, NNS_LINK_CHANGED, ifindex, "lo"));
    tell(about(ns, NNS_LINK_GONE, 77, "other"));
    cr_assert_eq(ns->due_slot, -1, "neither is any");
    cr_assert_not(lo->doubted);

    tell(about(ns, NNS_LINK_GONE, ifindex, "lo"));
    cr_assert_geq(ns->due_slot, 0);
    cr_assert(lo->doubted);
    visit(ns);
    tell(about(ns, NNS_LINK_CHANGED, ifindex, "renamed"));
    cr_assert_geq(ns->due_slot, 0);
    visit(ns);
    tell(about(ns, NNS_LINK_CHANGED, 77, "lo"));
    cr_assert_geq(ns->due_slot, 0);
    visit(ns);
    tell(about(ns, NNS_LINK_CHANGED, ifindex, ""));
    cr_assert_geq(ns->due_slot, 0, "without its name it may be a new one");
    owner_host_let_go(&held);
}

/* ---- listings ---- */

NNS_OWNER_ONLY static void set_up_listings(void)
{
    set_up_telling(NNS_TOLD_BY_LISTINGS);
    own.params.events_interval_ms = 800;
}

TestSuite(listings, .init = set_up_listings, .fini = tear_down, .timeout = 60);

/* One after the other, from a time on; returns when the last was. */
NNS_OWNER_ONLY static uint64_t tick(int times, uint64_t now)
{
    for (int i = 0; i < times; i++)
        now += nns_listing_tick(own.owner, now);
    return now;
}

Test(listings, each_namespace_once_an_interval)
{
    enum { MANY = 4, ROUND = 8 };
    struct owner_held held[MANY];
    struct nns_namespace *ns[MANY];

    nns_role_assert_owner();
    cr_assert_eq(nns_listing_tick(own.owner, 1000), UINT64_MAX, "there is nothing to list");
    for (int i = 0; i < MANY; i++) {
        held[i] = owner_host_hold();
        ns[i] = visit_new(&held[i]);
    }
    uint64_t begun = tick(1, 1000), ended = tick(ROUND, begun);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_LISTINGS), MANY);
    cr_assert_eq(ended - begun, own.params.events_interval_ms);
    for (int i = 0; i < MANY; i++) {
        cr_assert(ns[i]->visits.owed);
        visit(ns[i]);
    }
    tick(ROUND, ended);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_LISTINGS), 2 * MANY);
    for (int i = 0; i < MANY; i++)
        owner_host_let_go(&held[i]);
}

/* However short the interval. */
Test(listings, no_more_than_one_a_millisecond)
{
    enum { MANY = 6, ROUND = 8 };
    struct owner_held held[MANY];

    nns_role_assert_owner();
    own.params.events_interval_ms = 1;
    for (int i = 0; i < MANY; i++) {
        held[i] = owner_host_hold();
        visit_new(&held[i]);
    }
    uint64_t begun = tick(1, 1000), ended = tick(10 * ROUND, begun);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_LISTINGS), 10 * MANY);
    cr_assert_eq(ended - begun, 10 * (ROUND + MANY),
                 "a part takes a millisecond, and one for each of its own");
    for (int i = 0; i < MANY; i++)
        owner_host_let_go(&held[i]);
}

Test(listings, what_fails_keeps_to_its_retries)
{
    struct owner_held held[2] = {owner_host_hold(), owner_host_hold()};
    struct nns_namespace *ns[2];
    struct nns_device *lo;

    nns_role_assert_owner();
    host_run("nsenter -t %d -n tc qdisc add dev lo ingress", held[0].pid);
    for (int i = 0; i < 2; i++) {
        ns[i] = owner_host_save(&held[i]);
        visit(ns[i]);
    }
    lo = owner_host_device(ns[0], "lo");
    cr_assert_eq(lo->state, NNS_DEVICE_FAILED);
    lo->tries = 3;
    lo->retry_ms = 0;            /* as given up */
    ns[1]->visits.barred = true; /* as not to be visited */
    tick(9, 1000);
    cr_assert(ns[0]->visits.owed);
    cr_assert_eq(lo->tries, 3);
    cr_assert_eq(lo->retry_ms, 0);
    cr_assert_not(ns[1]->visits.owed);
    for (int i = 0; i < 2; i++)
        owner_host_let_go(&held[i]);
}

/* The audit's single try would be all that is left to it. */
Test(listings, one_that_was_interrupted_is_listed_like_all)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = visit_new(&held);
    ns->visits.error = NNS_VISIT_INTERRUPTED; /* as interrupted, and nothing that bars a visit */
    tick(9, 1000);
    cr_assert(ns->visits.owed);
    owner_host_let_go(&held);
}

Test(hearing, only_who_is_not_heard_is_listed)
{
    struct owner_held held[BOUND + 1];
    struct nns_namespace *ns[BOUND + 1];

    nns_role_assert_owner();
    for (int i = 0; i < BOUND; i++) {
        held[i] = owner_host_hold();
        ns[i] = visit_new(&held[i]);
    }
    cr_assert_eq(nns_listing_tick(own.owner, 1000), UINT64_MAX);
    held[BOUND] = owner_host_hold();
    ns[BOUND] = visit_new(&held[BOUND]);
    tick(9, 1000);
    for (int i = 0; i <= BOUND; i++) {
        cr_assert_eq(ns[i]->visits.owed, i == BOUND);
        owner_host_let_go(&held[i]);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let into a full cache, and what becomes of the others. */
#include "owner_host.h"

#include "core/counters.h"
#include "workers/astray.h"
#include "workers/room.h"

enum { MADE_UP = 1000000, SECOND = 1000 };

/* Looks at all tasks that workers were asked for. */
static unsigned scans;

void __wrap_nns_pool_want(struct nns_pool *pool, enum nns_chore chore);

void __wrap_nns_pool_want(struct nns_pool *pool, enum nns_chore chore)
{
    scans += chore == NNS_CHORE_SCAN;
}

/* What the tracepoints were told last: the first cookies, in the order in which they were first named. */
static struct {
    uint64_t cookie;
    bool known;
} told[2 * NNS_EVICTED_MAX];

static void note_told(uint64_t cookie, bool known)
{
    size_t i = 0;

    while (told[i].cookie && told[i].cookie != cookie)
        i++;
    cr_assert_lt(i, sizeof(told) / sizeof(told[0]) - 1);
    told[i].cookie = cookie;
    told[i].known = known;
}

int __wrap_nns_trace_know(struct nns_trace *trace, uint64_t cookie);
int __wrap_nns_trace_forget(struct nns_trace *trace, uint64_t cookie);

int __wrap_nns_trace_know(struct nns_trace *trace, uint64_t cookie)
{
    note_told(cookie, true);
    return 0;
}

int __wrap_nns_trace_forget(struct nns_trace *trace, uint64_t cookie)
{
    note_told(cookie, false);
    return 0;
}

/* Are its tasks no news to them? */
static bool is_known(uint64_t cookie)
{
    for (size_t i = 0; told[i].cookie; i++)
        if (told[i].cookie == cookie)
            return told[i].known;
    return false;
}

static struct nns_netns_id made_up(unsigned which)
{
    return (struct nns_netns_id){.cookie = MADE_UP + which, .inum = MADE_UP + which};
}

/* Entries that nobody is in. */
NNS_OWNER_ONLY static void fill(void)
{
    struct nns_namespace *ns;

    for (unsigned i = 0; i < OWNER_HOST_CAPACITY; i++)
        cr_assert_eq(owner_host_save_as(made_up(i), "/proc/self/ns/net", &ns), NNS_SAVED_NEW);
    cr_assert_not(nns_room_is_there(own.owner));
}

NNS_OWNER_ONLY static void make_room_for_one(void)
{
    struct nns_cache_cursor cursor = {0};

    nns_flush(own.owner, nns_cache_next(own.context.cache, &cursor), NNS_FLUSH_ORDERED);
    cr_assert(nns_room_is_there(own.owner));
}

TestSuite(room, .init = owner_host_set_up, .fini = owner_host_tear_down, .timeout = 60);

/* ---- who comes in ---- */

static void await_batches(unsigned count)
{
    struct timespec pause = {.tv_nsec = 1000000};
    time_t deadline = time(NULL) + OWNER_HOST_PATIENCE_S;

    while (count) {
        struct nns_batch *batch = nns_completions_take(&own.completions).batches;

        cr_assert_lt(time(NULL), deadline, "%u were not answered", count);
        while (batch) {
            struct nns_batch *next = batch->next;

            free(batch);
            batch = next;
            count--;
        }
        nanosleep(&pause, NULL);
    }
}

Test(room, one_that_is_found_evicts_nobody)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    fill();
    owner_host_post_found(&held, false);
    owner_host_start();
    await_batches(1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_NO_ROOM), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_EVICTED), 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), OWNER_HOST_CAPACITY);
    owner_host_stop();
    owner_host_join();
    cr_expect_eq(owner_host_filters(&held), 0);
    owner_host_let_go(&held);
}

Test(room, one_that_somebody_named_while_it_was_found_does)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    fill();
    owner_host_post_found(&held, true);
    owner_host_start();
    await_batches(2);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_NO_ROOM), 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_EVICTED), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), OWNER_HOST_CAPACITY + 1);
    owner_host_stop();
    owner_host_join();
    owner_host_let_go(&held);
}

/* ---- one that is excluded ---- */

static void exclude(unsigned which)
{
    char number[16];

    nns_role_assert_owner();
    snprintf(number, sizeof(number), "%u", made_up(which).inum);
    owner_host_exclude(number);
    cr_assert(nns_exclusions_meet(own.context.exclusions, made_up(which)));
}

static void exclude_held(const struct owner_held *held)
{
    char number[16];

    nns_role_assert_owner();
    snprintf(number, sizeof(number), "%u", held->id.inum);
    owner_host_exclude(number);
}

/* It comes in for so long as what is to be taken off takes, and nobody looks for it when there is room. */
Test(room, one_that_is_excluded_is_not_missed)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    host_run("nsenter -t %d -n tc qdisc add dev lo clsact", held.pid);
    exclude_held(&held);
    fill();
    owner_host_post_found(&held, false);
    owner_host_start();
    await_batches(1);
    owner_host_stop();
    owner_host_join();
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_NO_ROOM), 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_EVICTED), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_WITHDRAWN), 1);
    cr_expect_null(nns_evicted_find(&own.owner->evicted, held.id.cookie, 0));
    cr_expect(is_known(held.id.cookie));
    owner_host_let_go(&held);
}

Test(room, one_that_was_missed_is_so_no_more_once_it_is_excluded)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    host_run("nsenter -t %d -n ip link set lo up",
             held.pid); /* so that its qdisc is shown, and is not ours */
    exclude_held(&held);
    fill();
    nns_room_miss(own.owner, held.id);
    cr_expect_not_null(nns_evicted_find(&own.owner->evicted, held.id.cookie, 0));
    owner_host_post_found(&held, false);
    owner_host_start();
    await_batches(1);
    cr_expect_eq(own.owner->evicted.count, 0);
    owner_host_stop();
    owner_host_join();
    cr_expect(is_known(held.id.cookie));
    owner_host_let_go(&held);
}

Test(room, what_is_excluded_stays_known_whoever_else_lets_go_of_it)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    cr_assert_eq(owner_host_save_as(made_up(1), "/proc/self/ns/net", &ns), NNS_SAVED_NEW);
    nns_room_miss(own.owner, made_up(2));
    exclude(2);
    nns_room_tick(own.owner, 100 * SECOND);
    cr_expect(is_known(made_up(2).cookie), "offered");
    nns_room_forget_all(own.owner);
    cr_expect(is_known(made_up(2).cookie), "forgotten");
    nns_room_miss(own.owner, made_up(2));
    cr_expect_eq(own.owner->evicted.count, 0);

    exclude(1);
    nns_astray_begin(own.owner, ns);
    cr_expect_not(is_known(made_up(1).cookie), "it is to be found, for what it carries");
    nns_flush(own.owner, ns, NNS_FLUSH_EXCLUDED);
    cr_expect(is_known(made_up(1).cookie));
}

/* ---- what the tracepoints are told ---- */

Test(room, who_is_missed_is_known_until_there_is_room)
{
    nns_role_assert_owner();
    fill();
    cr_expect(is_known(made_up(0).cookie));
    nns_room_miss(own.owner, made_up(100));
    cr_expect(is_known(made_up(100).cookie));
    make_room_for_one();
    nns_room_tick(own.owner, 100 * SECOND);
    cr_expect_not(is_known(made_up(100).cookie), "offered");
    nns_room_miss(own.owner, made_up(100));
    cr_expect(is_known(made_up(100).cookie), "missed again");
    nns_room_forget_all(own.owner);
    cr_expect_not(is_known(made_up(100).cookie));
}

Test(room, whoever_is_evicted_stays_known_and_whoever_is_flushed_does_not)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    cr_assert_eq(owner_host_save_as(made_up(1), "/proc/self/ns/net", &ns), NNS_SAVED_NEW);
    nns_flush(own.owner, ns, NNS_FLUSH_EVICTED);
    cr_expect(is_known(made_up(1).cookie));
    cr_assert_eq(owner_host_save_as(made_up(2), "/proc/self/ns/net", &ns), NNS_SAVED_NEW);
    cr_expect(is_known(made_up(2).cookie));
    nns_flush(own.owner, ns, NNS_FLUSH_ORDERED);
    cr_expect_not(is_known(made_up(2).cookie));
}

/* Two may be missed under one inum: who had it before, and who has it now. */
Test(room, none_that_is_forgotten_stays_hidden)
{
    const struct nns_netns_id dead = made_up(1);
    const struct nns_netns_id heir = {.cookie = made_up(2).cookie, .inum = dead.inum};
    struct nns_netns_id next = {.cookie = made_up(3).cookie, .inum = dead.inum};

    nns_role_assert_owner();
    nns_room_miss(own.owner, dead);
    nns_room_miss(own.owner, heir);
    nns_room_found(own.owner, next);
    cr_expect_eq(own.owner->evicted.count, 0);
    cr_expect_not(is_known(dead.cookie));
    cr_expect_not(is_known(heir.cookie));
}

/* ---- when there is room ---- */

NNS_OWNER_ONLY static unsigned count_offered(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < NNS_EVICTED_MAX; i++)
        count += own.owner->evicted.items[i].cookie && own.owner->evicted.items[i].offered;
    return count;
}

Test(room, as_many_are_looked_for_as_there_is_room_for)
{
    nns_role_assert_owner();
    fill();
    for (unsigned i = 0; i < 3; i++)
        nns_room_miss(own.owner, made_up(100 + i));
    cr_expect_eq(own.owner->evicted.count, 3);
    cr_expect_eq(nns_room_tick(own.owner, 100 * SECOND), UINT64_MAX, "there is none");
    cr_expect_eq(scans, 0);

    make_room_for_one();
    cr_expect_eq(nns_room_tick(own.owner, 100 * SECOND), 5 * SECOND);
    cr_expect_eq(scans, 1);
    cr_expect_eq(count_offered(), 1);
    cr_expect_eq(nns_room_tick(own.owner, 101 * SECOND), 4 * SECOND, "with rests");
    cr_expect_eq(scans, 1);
}

/* Nobody may be able to see them. */
Test(room, each_is_looked_for_once)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    fill();
    nns_room_miss(own.owner, made_up(100));
    nns_room_miss(own.owner, made_up(101));
    make_room_for_one();
    for (unsigned i = 0; i < 10; i++)
        nns_room_tick(own.owner, (100 + 5 * i) * SECOND);
    cr_expect_eq(scans, 2);
    cr_expect_eq(nns_room_tick(own.owner, 200 * SECOND), UINT64_MAX);

    nns_room_miss(own.owner, made_up(100));
    cr_expect_eq(own.owner->evicted.count, 2, "listed once");
    nns_room_tick(own.owner, 200 * SECOND);
    cr_expect_eq(scans, 3, "it was found, and room was gone again");
    cr_assert_eq(owner_host_save_as(made_up(100), "/proc/self/ns/net", &ns), NNS_SAVED_NEW);
    cr_expect_eq(own.owner->evicted.count, 1);
}

Test(room, without_discovery_nobody_is_looked_for)
{
    nns_role_assert_owner();
    own.params.discover_enabled = false;
    fill();
    nns_room_miss(own.owner, made_up(100));
    make_room_for_one();
    cr_expect_eq(nns_room_tick(own.owner, 100 * SECOND), UINT64_MAX);
    cr_expect_eq(scans, 0);
}

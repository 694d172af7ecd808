/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let into a full cache, and what becomes of the others. */
#include "owner_host.h"

#include "core/counters.h"
#include "workers/room.h"

enum { MADE_UP = 1000000, SECOND = 1000 };

/* Looks at all tasks that workers were asked for. */
static unsigned scans;

void __wrap_nns_pool_want(struct nns_pool *pool, enum nns_chore chore);

void __wrap_nns_pool_want(struct nns_pool *pool, enum nns_chore chore)
{
    scans += chore == NNS_CHORE_SCAN;
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

static struct nns_request request_of(uint32_t pid, bool found)
{
    struct nns_request request = {.batch = nns_batch_new(1)};

    cr_assert_not_null(request.batch);
    request.batch->found = found;
    nns_batch_add(request.batch, pid);
    return request;
}

/* One that was found, as a worker posts it; somebody may have named it meanwhile. */
static void post_found(const struct owner_held *held, bool named)
{
    struct nns_opened *opened = calloc(1, sizeof(*opened));
    struct nns_request found = request_of((uint32_t)held->pid, true);

    cr_assert_not_null(opened);
    cr_assert_eq(nns_claims_take(own.context.claims, held->id.cookie, found), NNS_CLAIM_WON);
    if (named)
        cr_assert_eq(nns_claims_take(own.context.claims, held->id.cookie, request_of(1, false)),
                     NNS_CLAIM_JOINED);
    *opened = (struct nns_opened){.letter.kind = NNS_LETTER_OPENED,
                                  .request = found,
                                  .claim = held->id.cookie,
                                  .id = held->id,
                                  .fd = nns_netns_open_path(held->path),
                                  .place = {.pid = (uint32_t)held->pid}};
    cr_assert_geq(opened->fd, 0);
    nns_mailbox_post_now(nns_owner_mailbox(own.owner), &opened->letter);
}

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

NNS_OWNER_ONLY static void stop_thread(void)
{
    owner_host_stop();
    uv_thread_join(&own.owner->thread);
    own.owner->started = false;
}

Test(room, one_that_is_found_evicts_nobody)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    fill();
    post_found(&held, false);
    owner_host_start();
    await_batches(1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_NO_ROOM), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_EVICTED), 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), OWNER_HOST_CAPACITY);
    stop_thread();
    cr_expect_eq(owner_host_filters(&held), 0);
    owner_host_let_go(&held);
}

Test(room, one_that_somebody_named_while_it_was_found_does)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    fill();
    post_found(&held, true);
    owner_host_start();
    await_batches(2);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_NO_ROOM), 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_EVICTED), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_NAMESPACES_ADDED), OWNER_HOST_CAPACITY + 1);
    stop_thread();
    owner_host_let_go(&held);
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

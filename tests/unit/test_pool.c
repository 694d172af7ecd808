/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* The pool's threads with work that the test makes: it holds sweeps and batches as long as it likes. */
#define DEADLINE_MS 10000

enum { DEPTH = 8 };

static struct {
    struct nns_cache *cache;
    struct nns_completions completions;
    uv_loop_t loop;
    struct nns_sync_context context;
    struct nns_pool *pool;
    _Atomic int sweeps, sweeping, most_sweeping, batches;
    _Atomic int under_way;
    _Atomic int found, named_first, in_chore;
    _Atomic bool hold_sweeps, hold_batches, keep_full, give_way;
    uint64_t done[NNS_CHORES];
    pthread_t resting; /* who waits for the workers, but not for their threads */
} h;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define WAIT_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t deadline = now_ms() + DEADLINE_MS;                                                          \
        while (!(condition))                                                                                 \
            cr_assert_lt(now_ms(), deadline, "waited in vain for %s", #condition);                           \
    } while (0)

/* In place of libuv's: when the pool waits for its threads, the stop has begun, and what held them may end.
 */
int uv_thread_join(uv_thread_t *thread)
{
    h.hold_batches = false;
    return pthread_join(*thread, NULL);
}

/* Likewise, when it waits for its threads to have done what they have. */
void uv_cond_wait(uv_cond_t *cond, uv_mutex_t *lock)
{
    if (h.resting == pthread_self())
        h.hold_batches = false;
    pthread_cond_wait(cond, lock);
}

static bool submit_kind(bool found)
{
    struct nns_batch *batch = nns_batch_new(1);
    bool taken;

    cr_assert_not_null(batch);
    batch->found = found;
    taken = nns_pool_submit(h.pool, batch);
    if (!taken)
        free(batch);
    return taken;
}

static void submit(void)
{
    cr_assert(submit_kind(false));
}

/* In place of sync.c's. */

void nns_sync_batch(const struct nns_sync_worker *worker, struct nns_batch *batch)
{
    h.batches++;
    h.under_way++;
    while (h.hold_batches)
        sched_yield();
    h.under_way--;
    h.found += batch->found;
    h.named_first += !batch->found && !h.found;
    free(batch);
    if (h.keep_full)
        submit();
}

void nns_do_chore(const struct nns_sync_worker *worker, enum nns_chore chore, struct nns_chore_memory *memory)
{
    int now = ++h.sweeping;

    h.sweeps++;
    if (now > h.most_sweeping)
        h.most_sweeping = now;
    cr_assert_eq(memory->cost_ms++, h.done[chore]++, "each has a memory of its own");
    while (h.hold_sweeps)
        sched_yield();
    if (h.give_way)
        nns_pool_give_way(worker);
    h.in_chore = h.batches;
    h.sweeping--;
}

static void on_wake(uv_async_t *async)
{
}

static void start(unsigned threads)
{
    h.cache = nns_cache_new(1);
    cr_assert_not_null(h.cache);
    uv_loop_init(&h.loop);
    cr_assert_eq(nns_completions_init(&h.completions, &h.loop, on_wake, NULL), 0);
    h.context = (struct nns_sync_context){.cache = h.cache, .completions = &h.completions};
    cr_assert_eq(nns_pool_start(&h.context, threads, DEPTH, &h.pool), 0);
}

static void finish(void)
{
    nns_pool_free(h.pool);
    nns_completions_close(&h.completions);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    uv_loop_close(&h.loop);
    nns_completions_deinit(&h.completions);
    nns_role_assert_owner();
    nns_cache_free(h.cache);
}

TestSuite(pool, .timeout = 60);

Test(pool, one_sweep_at_a_time)
{
    h.hold_sweeps = true;
    start(4);
    nns_pool_want(h.pool, NNS_CHORE_SWEEP);
    WAIT_UNTIL(h.sweeping == 1);
    /* Every further ask wakes a thread; a batch each shows that all of them have come past it. */
    for (int i = 0; i < 3; i++)
        nns_pool_want(h.pool, NNS_CHORE_SWEEP);
    h.hold_batches = true;
    for (int i = 0; i < 3; i++)
        submit();
    WAIT_UNTIL(h.batches == 3);
    h.hold_batches = false;
    h.hold_sweeps = false;
    WAIT_UNTIL((nns_pool_want(h.pool, NNS_CHORE_SWEEP), h.sweeps > 1));
    nns_pool_stop(h.pool);
    cr_expect_eq(h.most_sweeping, 1);
    finish();
}

/* Whoever is dead stays pinned until a sweep says so, however busy the workers are. */
Test(pool, a_sweep_comes_in_between_batches_that_never_end)
{
    start(1);
    nns_pool_want(h.pool, NNS_CHORE_SWEEP);
    WAIT_UNTIL(h.sweeps == 1);
    h.hold_batches = true;
    submit();
    WAIT_UNTIL(h.batches == 1);
    nns_pool_want(h.pool, NNS_CHORE_SWEEP);
    h.keep_full = true;
    submit();
    h.hold_batches = false;
    WAIT_UNTIL(h.sweeps == 2);
    cr_expect_gt(h.batches, 16, "batches go first while they are few");
    h.keep_full = false;
    nns_pool_stop(h.pool);
    finish();
}

Test(pool, one_that_stops_works_off_its_batches_and_sweeps_no_more)
{
    h.hold_batches = true;
    start(1);
    submit();
    WAIT_UNTIL(h.batches == 1);
    submit();
    nns_pool_want(h.pool, NNS_CHORE_SWEEP);
    nns_pool_stop(h.pool);
    cr_expect_eq(h.batches, 2);
    cr_expect_eq(h.sweeps, 0);
    finish();
}

/* With one batch under way and one waiting, or with nothing to do at all. */
Test(pool, one_that_is_at_rest_has_done_all_it_had)
{
    h.hold_batches = true;
    start(1);
    submit();
    WAIT_UNTIL(h.batches == 1);
    submit();
    h.resting = pthread_self();
    nns_pool_rest(h.pool);
    cr_expect_eq(h.under_way, 0);
    cr_expect_eq(h.batches, 2);
    nns_pool_rest(h.pool);
    nns_pool_stop(h.pool);
    finish();
}

Test(pool, who_was_named_goes_before_what_was_found)
{
    h.hold_batches = true;
    start(1);
    submit();
    WAIT_UNTIL(h.batches == 1);
    for (int i = 0; i < DEPTH; i++)
        cr_assert(submit_kind(true));
    cr_expect_not(submit_kind(true), "its queue is full");
    for (int i = 0; i < DEPTH; i++)
        submit();
    cr_expect_not(submit_kind(false), "a queue of their own, and no more");
    cr_expect_eq(nns_pool_waiting(h.pool), 2 * DEPTH);
    h.hold_batches = false;
    WAIT_UNTIL(h.found == DEPTH);
    cr_expect_eq(h.named_first, 1 + DEPTH);
    nns_pool_stop(h.pool);
    finish();
}

Test(pool, what_was_found_comes_in_between_the_named_that_never_end)
{
    h.hold_batches = true;
    start(1);
    submit();
    WAIT_UNTIL(h.batches == 1);
    cr_assert(submit_kind(true));
    h.keep_full = true;
    submit();
    h.hold_batches = false;
    WAIT_UNTIL(h.found == 1);
    cr_expect_gt(h.named_first, 16, "the named go first while they are few");
    h.keep_full = false;
    nns_pool_stop(h.pool);
    finish();
}

Test(pool, a_chore_gives_way_to_the_named)
{
    h.give_way = h.hold_sweeps = true;
    start(1);
    nns_pool_want(h.pool, NNS_CHORE_SCAN);
    WAIT_UNTIL(h.sweeping == 1);
    cr_assert(submit_kind(true));
    for (int i = 0; i < DEPTH; i++)
        submit();
    h.hold_sweeps = false;
    WAIT_UNTIL(h.batches == DEPTH + 1);
    cr_expect_eq(h.in_chore, DEPTH, "the found one is no reason to wait");
    nns_pool_stop(h.pool);
    finish();
}

/* Those who wait are told of room also when it is a chore that makes it. */
Test(pool, a_chore_that_gives_way_to_named_ones_without_end_ends)
{
    h.give_way = h.hold_sweeps = true;
    start(1);
    nns_pool_want(h.pool, NNS_CHORE_SCAN);
    WAIT_UNTIL(h.sweeping == 1);
    for (int i = 0; i < DEPTH; i++)
        submit();
    h.keep_full = true;
    h.hold_sweeps = false;
    WAIT_UNTIL(h.in_chore);
    h.keep_full = false;
    cr_expect(nns_completions_take(&h.completions).room);
    nns_pool_stop(h.pool);
    finish();
}

Test(pool, one_that_stops_leaves_what_was_only_found)
{
    h.hold_batches = true;
    start(1);
    submit();
    WAIT_UNTIL(h.batches == 1);
    cr_assert(submit_kind(true));
    submit();
    nns_pool_stop(h.pool);
    cr_expect_eq(h.batches, 2);
    cr_expect_eq(h.found, 0);
    finish();
}

Test(pool, who_waits_for_room_is_told_of_either_kinds)
{
    for (int found = 0; found < 2; found++) {
        h.batches = 0;
        h.hold_batches = true;
        start(1);
        submit();
        WAIT_UNTIL(h.batches == 1);
        for (int i = 0; i < DEPTH; i++)
            cr_assert(submit_kind(found));
        cr_expect_not(nns_completions_take(&h.completions).room);
        h.hold_batches = false;
        WAIT_UNTIL(h.batches == 1 + DEPTH);
        cr_expect(nns_completions_take(&h.completions).room);
        nns_pool_stop(h.pool);
        finish();
    }
}

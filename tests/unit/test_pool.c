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

static struct {
    struct nns_cache *cache;
    struct nns_completions completions;
    uv_loop_t loop;
    struct nns_sync_context context;
    struct nns_pool *pool;
    _Atomic int sweeps, sweeping, most_sweeping, batches;
    _Atomic int under_way;
    _Atomic bool hold_sweeps, hold_batches, keep_full;
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

static void submit(void)
{
    struct nns_batch *batch = nns_batch_new(1);

    cr_assert_not_null(batch);
    cr_assert(nns_pool_submit(h.pool, batch));
}

/* In place of sync.c's. */

void nns_sync_batch(const struct nns_sync_worker *worker, struct nns_batch *batch)
{
    h.batches++;
    h.under_way++;
    while (h.hold_batches)
        sched_yield();
    h.under_way--;
    free(batch);
    if (h.keep_full)
        submit();
}

void nns_do_chore(const struct nns_sync_worker *worker, enum nns_chore chore)
{
    int now = ++h.sweeping;

    h.sweeps++;
    if (now > h.most_sweeping)
        h.most_sweeping = now;
    while (h.hold_sweeps)
        sched_yield();
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
    cr_assert_eq(nns_pool_start(&h.context, threads, 8, &h.pool), 0);
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
    cr_expect_gt(h.batches, 64, "batches go first while they are few");
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/counters.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>

Test(counters, start_at_zero_and_add_up)
{
    cr_expect_eq(nns_counter_read(NNS_COUNT_FEED_PIDS), 0);
    nns_count(NNS_COUNT_FEED_PIDS, 3);
    nns_count(NNS_COUNT_FEED_PIDS, 4);
    nns_count(NNS_COUNT_SYNC_NEW, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_FEED_PIDS), 7);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_NEW), 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 0);
}

Test(counters, have_names_and_texts_of_their_own)
{
    for (int i = 0; i < NNS_COUNTER_TOTAL; i++) {
        cr_assert(strchr(nns_counter_name(i), '.'), "%d", i);
        cr_assert(strlen(nns_counter_text(i)) > 0, "%d", i);
        for (int other = 0; other < i; other++)
            cr_expect_str_neq(nns_counter_name(i), nns_counter_name(other));
    }
    cr_expect_str_eq(nns_counter_name(NNS_COUNT_FEED_MESSAGES), "feed.messages");
}

enum { THREADS = 4, TIMES = 2000000 };

static pthread_barrier_t start;

static void *count_many(void *unused)
{
    pthread_barrier_wait(&start);
    for (int i = 0; i < TIMES; i++) {
        nns_count(NNS_COUNT_SYNC_KNOWN, 1);
        nns_count(NNS_COUNT_FEED_PIDS, 2);
    }
    return NULL;
}

Test(counters, lose_nothing_among_threads)
{
    pthread_t threads[THREADS];
    uint64_t before = 0;

    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < 1000; i++) { /* a reader meanwhile never sees a count fall */
        uint64_t now = nns_counter_read(NNS_COUNT_SYNC_KNOWN);

        cr_assert_geq(now, before);
        before = now;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_KNOWN), (uint64_t)THREADS * TIMES);
    cr_expect_eq(nns_counter_read(NNS_COUNT_FEED_PIDS), 2 * (uint64_t)THREADS * TIMES);
}

static void *count_one(void *unused)
{
    nns_count(NNS_COUNT_SYNC_GONE, 1);
    return NULL;
}

static void churn(int rounds)
{
    pthread_t thread;

    for (int i = 0; i < rounds; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, count_one, NULL), 0);
        pthread_join(thread, NULL);
    }
}

Test(counters, outlive_their_threads_without_growing)
{
    size_t before, after;

    churn(10); /* what the C library keeps for threads is there now */
    before = mallinfo2().uordblks;
    churn(2000);
    after = mallinfo2().uordblks;
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_GONE), 2010);
    cr_expect(after < before + 4096, "%zu bytes after %zu", after, before);
}

static pthread_key_t later;

/* Runs when this thread's block was given back, and the thread below has it. */
static void count_at_the_end(void *unused)
{
    pthread_barrier_wait(&start);
    for (int i = 0; i < TIMES; i++)
        nns_count(NNS_COUNT_SYNC_ERROR, 1);
}

static void *end_with_counts(void *unused)
{
    nns_count(NNS_COUNT_SYNC_ERROR, 1);
    pthread_setspecific(later, &later);
    return NULL;
}

static void *count_beside(void *unused)
{
    pthread_barrier_wait(&start);
    for (int i = 0; i < TIMES; i++)
        nns_count(NNS_COUNT_SYNC_ERROR, 1);
    return NULL;
}

static void end_beside_another(void)
{
    pthread_t ending, beside;

    pthread_barrier_init(&start, NULL, 2);
    cr_assert_eq(pthread_create(&ending, NULL, end_with_counts, NULL), 0);
    cr_assert_eq(pthread_create(&beside, NULL, count_beside, NULL), 0);
    pthread_join(ending, NULL);
    pthread_join(beside, NULL);
    pthread_barrier_destroy(&start);
}

/* A destructor that runs after the block was given back must not write into what is another's by then. */
Test(counters, may_be_used_while_a_thread_ends)
{
    enum { ROUNDS = 20 }; /* a busy machine may run the two one after the other now and then */

    nns_count(NNS_COUNT_SYNC_ERROR, 1); /* makes the counters' key first, so that its destructor runs first */
    cr_assert_eq(pthread_key_create(&later, count_at_the_end), 0);
    for (int i = 0; i < ROUNDS; i++)
        end_beside_another();
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_ERROR), 1 + ROUNDS * (1 + 2 * (uint64_t)TIMES));
}

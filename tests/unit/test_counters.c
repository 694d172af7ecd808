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

static void *count_many(void *unused)
{
    for (int i = 0; i < 100000; i++) {
        nns_count(NNS_COUNT_SYNC_KNOWN, 1);
        nns_count(NNS_COUNT_FEED_PIDS, 2);
    }
    return NULL;
}

Test(counters, lose_nothing_among_threads)
{
    pthread_t threads[4];
    uint64_t before = 0;

    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < 1000; i++) { /* a reader meanwhile never sees a count fall */
        uint64_t now = nns_counter_read(NNS_COUNT_SYNC_KNOWN);

        cr_assert_geq(now, before);
        before = now;
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_KNOWN), 400000);
    cr_expect_eq(nns_counter_read(NNS_COUNT_FEED_PIDS), 800000);
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

static void count_at_the_end(void *unused)
{
    nns_count(NNS_COUNT_SYNC_ERROR, 1);
}

static void *end_with_a_count(void *unused)
{
    nns_count(NNS_COUNT_SYNC_ERROR, 1); /* registers, so that this key's destructor runs before ours */
    pthread_setspecific(later, &later);
    return NULL;
}

/* A destructor that runs after the block was given back must not write into what is another's by then. */
Test(counters, may_be_used_while_a_thread_ends)
{
    pthread_t thread;

    nns_count(NNS_COUNT_SYNC_ERROR, 1);
    cr_assert_eq(pthread_key_create(&later, count_at_the_end), 0);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(pthread_create(&thread, NULL, end_with_a_count, NULL), 0);
        pthread_join(thread, NULL);
    }
    cr_expect_eq(nns_counter_read(NNS_COUNT_SYNC_ERROR), 101);
}

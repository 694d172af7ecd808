/* SPDX-License-Identifier: Apache-2.0 */
#include "core/news.h"

#include <criterion/criterion.h>
#include <string.h>

static struct nns_news_log log_;

static void set_up(void)
{
    cr_assert_eq(nns_news_log_init(&log_, 0), 0);
}

static void tear_down(void)
{
    nns_news_log_deinit(&log_);
}

TestSuite(news, .init = set_up, .fini = tear_down, .timeout = 60);

/* Pieces with these numbers, the first and the last among them. */
static void tell(uint64_t first, uint64_t last)
{
    for (uint64_t sequence = first; sequence <= last; sequence++)
        nns_news_log_add(&log_, &(struct nns_news){.sequence = sequence,
                                                   .cookie = sequence * 10,
                                                   .kind = NNS_NEWS_NAMESPACE_NEW});
}

static void expect_pieces(struct nns_news_reader *reader, uint64_t first, uint64_t last)
{
    for (uint64_t sequence = first; sequence <= last; sequence++) {
        struct nns_news news;

        cr_assert(nns_news_read(&log_, reader, &news), "%lu is there", (unsigned long)sequence);
        cr_assert_eq(news.kind, NNS_NEWS_NAMESPACE_NEW);
        cr_assert_eq(news.sequence, sequence);
        cr_assert_eq(news.cookie, sequence * 10);
    }
}

static void expect_lost(struct nns_news_reader *reader, uint64_t amount, uint64_t last)
{
    struct nns_news news;

    cr_assert(nns_news_read(&log_, reader, &news));
    cr_expect_eq(news.kind, NNS_NEWS_LOST);
    cr_expect_eq(news.amount, amount);
    cr_expect_eq(news.sequence, last);
    cr_expect_gt(news.time_ms, 0);
}

static void expect_end(struct nns_news_reader *reader)
{
    struct nns_news news;

    cr_expect(!nns_news_read(&log_, reader, &news));
}

Test(news, readers_have_places_of_their_own)
{
    struct nns_news_reader early = nns_news_reader_at(&log_, 0), late;

    expect_end(&early);
    tell(1, 5);
    late = nns_news_reader_at(&log_, 3);
    expect_pieces(&early, 1, 2);
    expect_pieces(&late, 4, 5);
    expect_end(&late);
    tell(6, 6);
    expect_pieces(&early, 3, 6);
    expect_pieces(&late, 6, 6);
    expect_end(&early);
    expect_end(&late);
}

/* It begins at a number that is ahead of what has come here so far. */
Test(news, reader_is_not_told_what_was_before_it)
{
    struct nns_news_reader first = nns_news_reader_at(&log_, 0), second;

    tell(1, 2);
    second = nns_news_reader_at(&log_, 4);
    expect_end(&second);
    tell(3, 3);
    expect_end(&second);
    tell(4, 6);
    expect_pieces(&second, 5, 6);
    expect_end(&second);
    expect_pieces(&first, 1, 6);
}

Test(news, slow_reader_is_told_how_much_was_overwritten)
{
    struct nns_news_reader reader = nns_news_reader_at(&log_, 0);

    tell(1, 10);
    expect_pieces(&reader, 1, 4);
    tell(11, NNS_NEWS_KEPT + 4);
    expect_pieces(&reader, 5, 5);
    tell(NNS_NEWS_KEPT + 5, NNS_NEWS_KEPT + 20);
    expect_lost(&reader, 15, 20);
    expect_pieces(&reader, 21, NNS_NEWS_KEPT + 20);
    expect_end(&reader);
    tell(NNS_NEWS_KEPT + 21, 3 * NNS_NEWS_KEPT + 20);
    expect_lost(&reader, NNS_NEWS_KEPT, 2 * NNS_NEWS_KEPT + 20);
    expect_pieces(&reader, 2 * NNS_NEWS_KEPT + 21, 3 * NNS_NEWS_KEPT + 20);
    expect_end(&reader);
}

Test(news, what_was_dropped_on_the_way_is_missing_for_all)
{
    struct nns_news_reader reader = nns_news_reader_at(&log_, 0), late;

    tell(1, 2);
    tell(6, 6);
    late = nns_news_reader_at(&log_, 4);
    expect_pieces(&reader, 1, 2);
    expect_lost(&reader, 3, 5);
    expect_pieces(&reader, 6, 6);
    expect_lost(&late, 1, 5);
    expect_pieces(&late, 6, 6);
}

/* Nothing may follow it for a long time. */
Test(news, loss_at_the_end_is_told_without_a_next_piece)
{
    struct nns_news_reader reader = nns_news_reader_at(&log_, 0);

    tell(1, 2);
    nns_news_log_reach(&log_, 7);
    expect_pieces(&reader, 1, 2);
    expect_lost(&reader, 5, 7);
    expect_end(&reader);
    nns_news_log_reach(&log_, 3);
    expect_end(&reader);
    tell(8, 8);
    expect_pieces(&reader, 8, 8);
    expect_end(&reader);
}

Test(news, log_that_begins_late_has_lost_nothing)
{
    struct nns_news_reader reader;

    nns_news_log_deinit(&log_);
    cr_assert_eq(nns_news_log_init(&log_, 41), 0);
    reader = nns_news_reader_at(&log_, 41);
    tell(40, 41); /* were on their way when it began */
    expect_end(&reader);
    tell(42, 42);
    expect_pieces(&reader, 42, 42);
}

Test(news, every_kind_has_a_name_of_its_own)
{
    for (int kind = 0; kind < NNS_NEWS_KINDS; kind++) {
        cr_assert_not_null(nns_news_name((enum nns_news_kind)kind));
        for (int other = 0; other < kind; other++)
            cr_expect_str_neq(nns_news_name((enum nns_news_kind)kind),
                              nns_news_name((enum nns_news_kind)other));
    }
    cr_expect_str_eq(nns_news_name(NNS_NEWS_KINDS), "invalid");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/evicted.h"

#include <criterion/criterion.h>

static struct nns_evicted_set set;

TestSuite(evicted);

static struct nns_evicted *find(uint64_t cookie, uint32_t inum)
{
    return (struct nns_evicted *)nns_evicted_find(&set, cookie, inum);
}

Test(evicted, is_found_by_cookie_and_by_inum)
{
    cr_expect_null(find(1, 10));
    nns_evicted_add(&set, 1, 10);
    cr_expect_eq(set.count, 1);
    cr_expect_eq(find(1, 0)->inum, 10);
    cr_expect_eq(find(99, 10)->cookie, 1);
    cr_expect_null(find(99, 0), "an inum that was not given matches nothing");
}

Test(evicted, a_free_place_is_nobody)
{
    nns_evicted_add(&set, 1, 10);
    nns_evicted_add(&set, 2, 20);
    nns_evicted_forget(&set, 1, 0);
    cr_expect_eq(set.count, 1);
    cr_expect_null(find(0, 10));
    cr_expect_not_null(find(2, 0));
}

Test(evicted, the_heir_of_an_inum_ends_it)
{
    nns_evicted_add(&set, 1, 10);
    nns_evicted_forget(&set, 7, 10);
    cr_expect_eq(set.count, 0);
    cr_expect_null(find(1, 10));
}

Test(evicted, two_looks_in_a_row_that_miss_it_end_it)
{
    nns_evicted_add(&set, 1, 10);
    nns_evicted_seen(&set, find(1, 0), false);
    nns_evicted_seen(&set, find(1, 0), true);
    nns_evicted_seen(&set, find(1, 0), false);
    cr_assert_not_null(find(1, 0));
    nns_evicted_seen(&set, find(1, 0), false);
    cr_expect_null(find(1, 0));
    cr_expect_eq(set.count, 0);
}

Test(evicted, a_free_place_is_taken_before_anybody_is_forgotten)
{
    cr_assert_eq(nns_evicted_add(&set, 1, 1), 0);
    for (uint32_t i = 2; i < 3 * NNS_EVICTED_MAX; i++) {
        cr_assert_eq(nns_evicted_add(&set, i, i), 0);
        nns_evicted_forget(&set, i, i);
    }
    cr_expect_not_null(find(1, 0));
    cr_expect_eq(set.count, 1);
}

Test(evicted, the_oldest_makes_room)
{
    for (uint32_t i = 1; i <= NNS_EVICTED_MAX + 2; i++)
        cr_expect_eq(nns_evicted_add(&set, i, i), i <= NNS_EVICTED_MAX ? 0 : i - NNS_EVICTED_MAX);
    cr_expect_eq(set.count, NNS_EVICTED_MAX);
    cr_expect_null(find(2, 0));
    cr_expect_not_null(find(3, 0));
    cr_expect_not_null(find(NNS_EVICTED_MAX + 2, 0));
}

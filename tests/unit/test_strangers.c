/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "core/strangers.h"

enum { PATIENCE = 250, FORGET = 60000 };

static struct nns_strangers strangers;

Test(strangers, one_that_is_not_found_is_looked_for_once)
{
    nns_role_assert_owner();
    cr_expect_eq(nns_strangers_wait(&strangers, 1000, PATIENCE), UINT64_MAX);
    nns_strangers_note(&strangers, 7, 1000, FORGET);
    nns_strangers_note(&strangers, 7, 1200, FORGET);
    cr_expect_eq(nns_strangers_wait(&strangers, 1200, PATIENCE), 50, "counted from the first report");
    cr_expect_eq(nns_strangers_wait(&strangers, 2000, PATIENCE), 0);
    nns_strangers_look(&strangers, 2000);
    cr_expect_eq(nns_strangers_wait(&strangers, 9000, PATIENCE), UINT64_MAX);
    nns_strangers_note(&strangers, 7, 2000 + FORGET - 1, FORGET);
    cr_expect_eq(nns_strangers_wait(&strangers, 2000 + FORGET - 1, PATIENCE), UINT64_MAX);
    nns_strangers_note(&strangers, 7, 2000 + FORGET, FORGET);
    cr_expect_eq(nns_strangers_wait(&strangers, 2000 + FORGET, PATIENCE), PATIENCE);
}

Test(strangers, one_that_is_found_is_waited_for_no_more)
{
    nns_role_assert_owner();
    nns_strangers_note(&strangers, 7, 1000, FORGET);
    nns_strangers_note(&strangers, 8, 1100, FORGET);
    nns_strangers_found(&strangers, 7);
    nns_strangers_found(&strangers, 9);
    cr_expect_eq(nns_strangers_wait(&strangers, 1100, PATIENCE), PATIENCE);
    nns_strangers_look(&strangers, 1100);
    nns_strangers_found(&strangers, 8);
    nns_strangers_note(&strangers, 8, 1200, FORGET);
    cr_expect_eq(nns_strangers_wait(&strangers, 1200, PATIENCE), PATIENCE, "it was found and lost since");
}

Test(strangers, a_newer_one_takes_the_place_of_the_oldest)
{
    nns_role_assert_owner();
    for (uint64_t cookie = 1; cookie <= NNS_STRANGERS_MAX + 1; cookie++)
        nns_strangers_note(&strangers, cookie, cookie, FORGET);
    cr_expect_eq(strangers.waiting, NNS_STRANGERS_MAX);
    cr_expect_eq(nns_strangers_wait(&strangers, 2, PATIENCE), PATIENCE, "the first is forgotten");
    nns_strangers_look(&strangers, 1000);
    cr_expect_eq(strangers.waiting, 0);
    nns_strangers_note(&strangers, 1, 1000, FORGET);
    cr_expect_eq(strangers.waiting, 1);
    cr_expect_eq(nns_strangers_wait(&strangers, 1000, PATIENCE), PATIENCE);
}

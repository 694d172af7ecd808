/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "core/due.h"

enum { MANY = 500 };

static struct nns_due due;
static struct nns_namespace namespaces[MANY];

static void set_up(void)
{
    nns_role_assert_owner();
    for (int i = 0; i < MANY; i++)
        namespaces[i].due_slot = -1;
    cr_assert_eq(nns_due_reserve(&due, MANY), 0);
}

static void tear_down(void)
{
    nns_due_deinit(&due);
}

TestSuite(due, .init = set_up, .fini = tear_down);

/* Every time once, in an order that is neither rising nor falling. */
static uint64_t scattered(int i)
{
    return (uint64_t)(i * 211 % MANY) + 1;
}

Test(due, nothing_is_due_in_an_empty_heap)
{
    nns_role_assert_owner();
    cr_assert_eq(nns_due_next(&due), UINT64_MAX);
    cr_assert_null(nns_due_take(&due, UINT64_MAX));
}

Test(due, takes_in_order_of_time_and_not_before)
{
    nns_role_assert_owner();
    for (int i = 0; i < MANY; i++)
        nns_due_add(&due, &namespaces[i], scattered(i));
    for (uint64_t now = 1; now <= MANY; now++) {
        cr_assert_eq(nns_due_next(&due), now);
        cr_assert_null(nns_due_take(&due, now - 1));
        cr_assert_eq(nns_due_take(&due, now)->due_ms, now);
    }
    cr_assert_eq(due.count, 0);
}

Test(due, an_earlier_time_wins_and_a_later_one_does_not)
{
    nns_role_assert_owner();
    nns_due_add(&due, &namespaces[0], 50);
    nns_due_add(&due, &namespaces[1], 40);
    nns_due_add(&due, &namespaces[0], 60);
    cr_assert_eq(namespaces[0].due_ms, 50);
    nns_due_add(&due, &namespaces[0], 10);
    cr_assert_eq(due.count, 2);
    cr_assert_eq(nns_due_take(&due, 100), &namespaces[0]);
    cr_assert_eq(nns_due_take(&due, 100), &namespaces[1]);
}

Test(due, dropping_any_keeps_the_order_of_the_rest)
{
    uint64_t last = 0;

    nns_role_assert_owner();
    for (int i = 0; i < MANY; i++)
        nns_due_add(&due, &namespaces[i], scattered(i));
    for (int i = 0; i < MANY; i += 3)
        nns_due_drop(&due, &namespaces[i]);
    nns_due_drop(&due, &namespaces[0]);
    for (int left = MANY - (MANY + 2) / 3; left; left--) {
        struct nns_namespace *ns = nns_due_take(&due, MANY);

        cr_assert_not_null(ns);
        cr_assert_neq((ns - namespaces) % 3, 0);
        cr_assert_gt(ns->due_ms, last);
        cr_assert_eq(ns->due_slot, -1);
        last = ns->due_ms;
    }
    cr_assert_null(nns_due_take(&due, MANY));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/slots.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "fail_alloc.h"

static struct nns_slots slots;

static void tear_down(void)
{
    nns_slots_deinit(&slots);
}

TestSuite(slots, .fini = tear_down);

Test(slots, limits_are_those_of_a_classid)
{
    cr_assert_eq(nns_slots_init(&slots, 0), -EINVAL);
    cr_assert_eq(nns_slots_init(&slots, 65536), -EINVAL);
    fail_alloc_after(0);
    cr_assert_eq(nns_slots_init(&slots, 10), -ENOMEM);
    fail_alloc_stop();
    cr_assert_eq(nns_slots_init(&slots, 65535), 0);
}

Test(slots, all_of_them_each_once)
{
    static bool seen[65536];
    bool used = true;

    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 65535), 0);
    for (uint32_t i = 1; i <= 65535; i++) {
        uint16_t slot = nns_slots_take(&slots, &used);

        cr_assert(slot != 0 && !seen[slot] && !used);
        seen[slot] = true;
        cr_assert_eq(nns_slots_in_use(&slots), i);
    }
    cr_assert_eq(nns_slots_take(&slots, &used), 0);
    cr_assert_eq(nns_slots_take(&slots, &used), 0);
    cr_assert_eq(nns_slots_in_use(&slots), 65535);
}

Test(slots, one_given_back_waits_longest)
{
    bool used;

    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 4), 0);
    for (unsigned i = 0; i < 3; i++)
        nns_slots_take(&slots, &used);
    nns_slots_give(&slots, 2);
    nns_slots_give(&slots, 1);
    cr_assert_eq(nns_slots_in_use(&slots), 1);
    cr_assert_eq(nns_slots_take(&slots, &used), 4, "a fresh one first");
    cr_assert_not(used);
    cr_assert_eq(nns_slots_take(&slots, &used), 2, "then the one given back first");
    cr_assert(used);
    nns_slots_give(&slots, 2);
    cr_assert_eq(nns_slots_take(&slots, &used), 1);
    cr_assert_eq(nns_slots_take(&slots, &used), 2);
    cr_assert_eq(nns_slots_take(&slots, &used), 0);
}

Test(slots, the_line_goes_round_and_round)
{
    bool used;

    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 3), 0);
    for (unsigned i = 0; i < 3; i++)
        nns_slots_take(&slots, &used);
    for (unsigned i = 0; i < 1000; i++) {
        nns_slots_give(&slots, (uint16_t)(1 + i % 3));
        cr_assert_eq(nns_slots_take(&slots, &used), 1 + i % 3);
    }
    cr_assert_eq(nns_slots_in_use(&slots), 3);
}

Test(slots, zero_is_no_slot)
{
    bool used;

    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 1), 0);
    nns_slots_give(&slots, 0);
    cr_assert_eq(nns_slots_in_use(&slots), 0);
    cr_assert_eq(nns_slots_take(&slots, &used), 1);
    cr_assert_eq(nns_slots_take(&slots, &used), 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/slots.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "fail_alloc.h"

static struct nns_slots slots;
static enum nns_slot_past past;

/* For a device that nobody has heard of before. */
NNS_OWNER_ONLY static uint16_t take(void)
{
    static uint64_t cookie = 1000;

    return nns_slots_take(&slots, cookie++, 1, &past);
}

static void tear_down(void)
{
    nns_slots_deinit(&slots);
}

TestSuite(slots, .fini = tear_down);

Test(slots, limits_are_those_of_a_classid)
{
    cr_assert_eq(nns_slots_init(&slots, 0, NULL), -EINVAL);
    cr_assert_eq(nns_slots_init(&slots, 65536, NULL), -EINVAL);
    fail_alloc_after(0);
    cr_assert_eq(nns_slots_init(&slots, 10, NULL), -ENOMEM);
    fail_alloc_stop();
    cr_assert_eq(nns_slots_init(&slots, 65535, NULL), 0);
}

Test(slots, all_of_them_each_once)
{
    static bool seen[65536];
    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 65535, NULL), 0);
    for (uint32_t i = 1; i <= 65535; i++) {
        uint16_t slot = take();

        cr_assert(slot != 0 && !seen[slot] && past == NNS_SLOT_FRESH);
        seen[slot] = true;
        cr_assert_eq(nns_slots_in_use(&slots), i);
    }
    cr_assert_eq(take(), 0);
    cr_assert_eq(take(), 0);
    cr_assert_eq(nns_slots_in_use(&slots), 65535);
}

Test(slots, one_given_back_waits_longest)
{
    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 4, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        take();
    nns_slots_give(&slots, 2);
    nns_slots_give(&slots, 1);
    cr_assert_eq(nns_slots_in_use(&slots), 1);
    cr_assert_eq(take(), 4, "a fresh one first");
    cr_assert_eq(past, NNS_SLOT_FRESH);
    cr_assert_eq(take(), 2, "then the one given back first");
    cr_assert_eq(past, NNS_SLOT_USED);
    nns_slots_give(&slots, 2);
    cr_assert_eq(take(), 1);
    cr_assert_eq(take(), 2);
    cr_assert_eq(take(), 0);
}

Test(slots, the_line_goes_round_and_round)
{
    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 3, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        take();
    for (unsigned i = 0; i < 1000; i++) {
        nns_slots_give(&slots, (uint16_t)(1 + i % 3));
        cr_assert_eq(take(), 1 + i % 3);
    }
    cr_assert_eq(nns_slots_in_use(&slots), 3);
}

Test(slots, zero_is_no_slot)
{
    nns_role_assert_owner();
    cr_assert_eq(nns_slots_init(&slots, 1, NULL), 0);
    nns_slots_give(&slots, 0);
    cr_assert_eq(nns_slots_in_use(&slots), 0);
    cr_assert_eq(take(), 1);
    cr_assert_eq(take(), 0);
}

/* ---- records that outlive the daemon ---- */

enum { LIMIT = 6 };

static struct nns_slot_holder holders[LIMIT + 1];

static void expect_holder(uint16_t slot, uint64_t cookie, uint32_t ifindex)
{
    cr_expect_eq(holders[slot].cookie, cookie, "slot %u is held by %lu", slot, holders[slot].cookie);
    cr_expect_eq(holders[slot].ifindex, ifindex, "slot %u: device %u", slot, holders[slot].ifindex);
}

/* What a daemon leaves that ends at this point, as the next one reads it. */
static void restart(void)
{
    nns_slots_deinit(&slots);
    cr_assert_eq(nns_slots_init(&slots, LIMIT, holders), 0);
}

Test(slots, what_is_held_is_written_down)
{
    nns_role_assert_owner();
    restart();
    cr_assert_eq(nns_slots_take(&slots, 70, 3, &past), 1);
    cr_assert_eq(nns_slots_take(&slots, 70, 4, &past), 2);
    expect_holder(1, 70, 3);
    expect_holder(2, 70, 4);
    nns_slots_give(&slots, 1);
    expect_holder(1, 0, 3);
    expect_holder(2, 70, 4);
    expect_holder(0, 0, 0);
    expect_holder(3, 0, 0);
}

Test(slots, a_device_finds_its_own_again_and_nobody_else_gets_it)
{
    nns_role_assert_owner();
    restart();
    for (uint32_t ifindex = 1; ifindex <= 3; ifindex++)
        nns_slots_take(&slots, 70 + ifindex % 2, ifindex, &past);
    restart();
    cr_assert_eq(nns_slots_reserved(&slots), 3);
    cr_assert_eq(nns_slots_in_use(&slots), 0);
    cr_assert_eq(nns_slots_take(&slots, 71, 2, &past), 4, "the cookie and the ifindex, but of two devices");
    cr_assert_eq(past, NNS_SLOT_FRESH);
    cr_assert_eq(nns_slots_take(&slots, 70, 2, &past), 2);
    cr_assert_eq(past, NNS_SLOT_KEPT);
    expect_holder(2, 70, 2);
    cr_assert_eq(nns_slots_reserved(&slots), 2);
    cr_assert_eq(take(), 5);
    cr_assert_eq(take(), 6);
    cr_assert_eq(take(), 0, "those of others are reserved");
    cr_assert_eq(nns_slots_in_use(&slots), 4);
}

Test(slots, one_found_again_and_given_back_is_like_any_other)
{
    nns_role_assert_owner();
    restart();
    nns_slots_take(&slots, 70, 1, &past);
    restart();
    nns_slots_give(&slots, nns_slots_take(&slots, 70, 1, &past));
    cr_assert_eq(nns_slots_take(&slots, 70, 1, &past), 2);
    cr_assert_eq(past, NNS_SLOT_FRESH);
    for (uint16_t slot = 3; slot <= LIMIT; slot++)
        cr_assert_eq(take(), slot);
    cr_assert_eq(take(), 1);
    cr_assert_eq(past, NNS_SLOT_USED);
}

/* Its counts were never cleared. */
Test(slots, one_given_back_before_the_restart_is_no_fresh_one)
{
    nns_role_assert_owner();
    restart();
    nns_slots_take(&slots, 70, 1, &past);
    nns_slots_give(&slots, nns_slots_take(&slots, 70, 2, &past));
    restart();
    for (uint16_t slot = 3; slot <= LIMIT; slot++) {
        cr_assert_eq(take(), slot);
        cr_assert_eq(past, NNS_SLOT_FRESH);
    }
    cr_assert_eq(take(), 2);
    cr_assert_eq(past, NNS_SLOT_USED);
    cr_assert_eq(take(), 0);
}

Test(slots, released_ones_come_last_and_are_still_found_by_their_own)
{
    nns_role_assert_owner();
    restart();
    for (uint32_t ifindex = 1; ifindex <= 3; ifindex++)
        nns_slots_take(&slots, 70, ifindex, &past);
    restart();
    nns_slots_release_reserved(&slots);
    cr_assert_eq(nns_slots_reserved(&slots), 3);
    for (uint16_t slot = 4; slot <= LIMIT; slot++)
        cr_assert_eq(take(), slot);
    nns_slots_give(&slots, 5);
    cr_assert_eq(take(), 5, "one given back before one of another");
    cr_assert_eq(nns_slots_take(&slots, 70, 1, &past), 1);
    cr_assert_eq(past, NNS_SLOT_KEPT);
    cr_assert_eq(take(), 2);
    cr_assert_eq(past, NNS_SLOT_USED);
    cr_assert_eq(nns_slots_reserved(&slots), 1);
    cr_assert_eq(take(), 3);
    cr_assert_eq(take(), 0);
    cr_assert_eq(nns_slots_take(&slots, 70, 2, &past), 0, "it came too late");
    cr_assert_eq(nns_slots_in_use(&slots), LIMIT);
}

Test(slots, those_of_one_namespace_are_given_up)
{
    nns_role_assert_owner();
    restart();
    for (uint32_t ifindex = 1; ifindex <= 2; ifindex++)
        nns_slots_take(&slots, 70, ifindex, &past);
    nns_slots_take(&slots, 71, 1, &past);
    restart();
    cr_expect(nns_slots_expect(&slots, 70));
    cr_expect(nns_slots_expect(&slots, 71));
    cr_expect_not(nns_slots_expect(&slots, 69));
    cr_expect_not(nns_slots_expect(&slots, 72));
    nns_slots_dismiss(&slots, 70);
    nns_slots_dismiss(&slots, 72);
    cr_expect_not(nns_slots_expect(&slots, 70));
    cr_expect_eq(nns_slots_reserved(&slots), 1);
    cr_expect_eq(holders[1].cookie, 0, "no later daemon reserves it either");
    for (uint16_t slot = 4; slot <= LIMIT; slot++)
        cr_expect_eq(take(), slot);
    cr_expect_eq(take(), 1);
    cr_expect_eq(past, NNS_SLOT_USED);
    cr_expect_eq(nns_slots_take(&slots, 71, 1, &past), 3);
    cr_expect_not(nns_slots_expect(&slots, 71));
}

/* What a daemon that was killed between two stores leaves, and what none does. */
Test(slots, records_that_are_not_whole_reserve_nothing)
{
    nns_role_assert_owner();
    holders[1] = (struct nns_slot_holder){.cookie = 0, .ifindex = 5};
    holders[2] = (struct nns_slot_holder){.cookie = 70, .ifindex = 0};
    holders[3] = holders[4] = (struct nns_slot_holder){.cookie = 70, .ifindex = 9};
    restart();
    cr_assert_eq(nns_slots_reserved(&slots), 1);
    cr_assert_eq(nns_slots_take(&slots, 70, 9, &past), 3);
    cr_assert_eq(nns_slots_take(&slots, 70, 5, &past), 5);
    cr_assert_eq(past, NNS_SLOT_FRESH);
    cr_assert_eq(take(), 6);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_neq(take(), 0);
        cr_assert_eq(past, NNS_SLOT_USED);
    }
    cr_assert_eq(take(), 0);
}

Test(slots, all_of_them_reserved)
{
    static struct nns_slot_holder many[65536];

    nns_role_assert_owner();
    for (uint32_t slot = 1; slot <= 65535; slot++)
        many[slot] = (struct nns_slot_holder){.cookie = 1 + slot * 7919u % 65536, .ifindex = slot};
    cr_assert_eq(nns_slots_init(&slots, 65535, many), 0);
    cr_assert_eq(take(), 0);
    for (uint32_t slot = 1; slot <= 65535; slot++)
        cr_assert_eq(nns_slots_take(&slots, 1 + slot * 7919u % 65536, slot, &past), slot);
    cr_assert_eq(nns_slots_reserved(&slots), 0);
    nns_slots_release_reserved(&slots);
    cr_assert_eq(take(), 0);
    nns_slots_give(&slots, 4711);
    cr_assert_eq(take(), 4711);
}

Test(slots, no_memory_for_the_reserved)
{
    holders[1] = (struct nns_slot_holder){.cookie = 70, .ifindex = 1};
    for (int allocations = 0; allocations < 2; allocations++) {
        fail_alloc_after(allocations);
        cr_assert_eq(nns_slots_init(&slots, LIMIT, holders), -ENOMEM);
        fail_alloc_stop();
    }
    restart();
    cr_assert_eq(nns_slots_reserved(&slots), 1);
}

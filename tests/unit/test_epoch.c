/* SPDX-License-Identifier: Apache-2.0 */
#include "core/epoch.h"

#include <criterion/criterion.h>

/* An object that says whether, and as the how-manieth, it was released. */
struct object {
    struct nns_retired retired;
    unsigned released;
};

static unsigned releases;

static void release(struct nns_retired *retired)
{
    ((struct object *)retired)->released = ++releases;
}

static struct nns_epoch epoch;

static void set_up(void)
{
    nns_epoch_init(&epoch);
    releases = 0;
}

TestSuite(epoch, .init = set_up);

Test(epoch, retiring_alone_frees_nothing)
{
    struct object object = {0};

    nns_role_assert_owner();
    nns_epoch_retire(&epoch, &object.retired, release);
    cr_assert_eq(object.released, 0);
    cr_assert_eq(epoch.retired, 1);
}

Test(epoch, without_readers_all_is_freed_in_order)
{
    struct object objects[3] = {0};

    nns_role_assert_owner();
    for (unsigned i = 0; i < 3; i++)
        nns_epoch_retire(&epoch, &objects[i].retired, release);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(objects[i].released, i + 1);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
    cr_assert_eq(releases, 3, "nothing is freed twice");
}

Test(epoch, a_reader_inside_keeps_what_was_retired_since_it_entered)
{
    struct nns_epoch_reader *reader = nns_epoch_register(&epoch);
    struct object before = {0}, during = {0};

    nns_role_assert_owner();
    nns_epoch_retire(&epoch, &before.retired, release);
    nns_epoch_enter(&epoch, reader);
    nns_epoch_retire(&epoch, &during.retired, release);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 1);
    cr_assert(before.released);
    cr_assert_not(during.released);

    nns_epoch_leave(reader);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
    cr_assert(during.released);
}

Test(epoch, the_slowest_reader_counts)
{
    struct nns_epoch_reader *slow = nns_epoch_register(&epoch);
    struct nns_epoch_reader *quick = nns_epoch_register(&epoch);
    struct object first = {0}, second = {0};

    nns_role_assert_owner();
    nns_epoch_enter(&epoch, slow);
    nns_epoch_retire(&epoch, &first.retired, release);
    nns_epoch_enter(&epoch, quick);
    nns_epoch_retire(&epoch, &second.retired, release);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 2);
    nns_epoch_leave(slow);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 1);
    cr_assert(first.released && !second.released);
    nns_epoch_leave(quick);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
}

Test(epoch, a_reader_that_comes_back_does_not_hold_the_past)
{
    struct nns_epoch_reader *reader = nns_epoch_register(&epoch);
    struct object object = {0};

    nns_role_assert_owner();
    nns_epoch_enter(&epoch, reader);
    nns_epoch_retire(&epoch, &object.retired, release);
    nns_epoch_leave(reader);
    nns_epoch_enter(&epoch, reader);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
    cr_assert(object.released);
}

Test(epoch, looking_does_not_disturb_a_reader)
{
    struct nns_epoch_reader *reader = nns_epoch_register(&epoch);
    struct object object = {0};

    nns_role_assert_owner();
    nns_epoch_enter(&epoch, reader);
    nns_epoch_retire(&epoch, &object.retired, release);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(nns_epoch_reclaim(&epoch), 1);
    cr_assert_not(object.released);
}

static struct object second_stage;

static void release_and_retire(struct nns_retired *retired) NNS_OWNER_ONLY
{
    release(retired);
    nns_epoch_retire(&epoch, &second_stage.retired, release);
}

Test(epoch, what_a_release_retires_waits_for_the_next_look)
{
    struct object object = {0};

    nns_role_assert_owner();
    nns_epoch_retire(&epoch, &object.retired, release_and_retire);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 1);
    cr_assert(object.released && !second_stage.released);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
    cr_assert(second_stage.released);
}

Test(epoch, draining_asks_nobody)
{
    struct nns_epoch_reader *reader = nns_epoch_register(&epoch);
    struct object object = {0};

    nns_role_assert_owner();
    nns_epoch_enter(&epoch, reader);
    nns_epoch_retire(&epoch, &object.retired, release);
    nns_epoch_drain(&epoch);
    cr_assert(object.released);
    cr_assert_eq(epoch.retired, 0);
}

Test(epoch, slots_for_readers_are_distinct_and_bounded)
{
    struct nns_epoch_reader *last = NULL;

    for (unsigned i = 0; i < NNS_EPOCH_READERS_MAX; i++) {
        struct nns_epoch_reader *reader = nns_epoch_register(&epoch);

        cr_assert_not_null(reader);
        cr_assert_neq(reader, last);
        last = reader;
    }
    cr_assert_null(nns_epoch_register(&epoch));
    cr_assert_null(nns_epoch_register(&epoch));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/index.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fail_alloc.h"

enum { MANY = 5000 };

static struct nns_epoch epoch;
static struct nns_index table;
static struct nns_index_node nodes[MANY];

static void set_up(void)
{
    nns_epoch_init(&epoch);
    cr_assert_eq(nns_index_init(&table, &epoch), 0);
    for (unsigned i = 0; i < MANY; i++)
        nodes[i].key = i;
}

static void tear_down(void) NNS_OWNER_ONLY
{
    nns_index_deinit(&table);
    nns_epoch_drain(&epoch);
}

/* A table too full makes a search endless. */
TestSuite(index, .init = set_up, .fini = tear_down, .timeout = 60);

static void insert(unsigned from, unsigned to) NNS_OWNER_ONLY
{
    for (unsigned i = from; i < to; i++)
        cr_assert_eq(nns_index_insert(&table, &nodes[i]), 0);
}

static void remove_all(unsigned from, unsigned to) NNS_OWNER_ONLY
{
    for (unsigned i = from; i < to; i++)
        cr_assert_eq(nns_index_remove(&table, i), &nodes[i]);
}

/* Exactly the nodes from … to-1 are there. */
static void expect(unsigned from, unsigned to)
{
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(nns_index_find(&table, i), i >= from && i < to ? &nodes[i] : NULL, "key %u", i);
    cr_assert_eq(table.used, to - from);
}

Test(index, empty_finds_and_removes_nothing)
{
    nns_role_assert_owner();
    cr_assert_null(nns_index_find(&table, 0));
    cr_assert_null(nns_index_find(&table, UINT64_MAX));
    cr_assert_null(nns_index_remove(&table, 7));
}

Test(index, extreme_keys_are_keys)
{
    struct nns_index_node zero = {0}, all = {UINT64_MAX};

    nns_role_assert_owner();
    cr_assert_eq(nns_index_insert(&table, &zero), 0);
    cr_assert_eq(nns_index_insert(&table, &all), 0);
    cr_assert_eq(nns_index_find(&table, 0), &zero);
    cr_assert_eq(nns_index_find(&table, UINT64_MAX), &all);
    cr_assert_eq(nns_index_remove(&table, 0), &zero);
    cr_assert_null(nns_index_find(&table, 0));
}

Test(index, a_key_stands_once)
{
    struct nns_index_node twin = {3};

    nns_role_assert_owner();
    insert(0, 5);
    cr_assert_eq(nns_index_insert(&table, &twin), -EEXIST);
    cr_assert_eq(nns_index_insert(&table, &nodes[3]), -EEXIST);
    cr_assert_eq(nns_index_find(&table, 3), &nodes[3]);
    cr_assert_eq(table.used, 5);
}

Test(index, grows_and_shrinks_with_its_content)
{
    size_t grown;

    nns_role_assert_owner();
    insert(0, MANY);
    expect(0, MANY);
    grown = table.rebuilds;
    cr_assert_geq(grown, 5);
    remove_all(0, MANY - 10);
    expect(MANY - 10, MANY);
    cr_assert_gt(table.rebuilds, grown);
    cr_assert_eq(table.resizes, table.rebuilds);
    insert(0, MANY - 10);
    expect(0, MANY);
}

Test(index, going_back_and_forth_at_one_size_rebuilds_rarely)
{
    size_t before;

    nns_role_assert_owner();
    insert(0, 1000);
    before = table.rebuilds;
    for (int i = 0; i < 10000; i++) {
        remove_all(990, 1000);
        insert(990, 1000);
    }
    cr_assert_leq(table.rebuilds - before, 1, "the same keys reuse their tombstones");
    expect(0, 1000);
}

Test(index, tombstones_are_swept_out)
{
    nns_role_assert_owner();
    insert(0, 20);
    for (unsigned i = 20; i < MANY; i++) {
        insert(i, i + 1);
        remove_all(i - 20, i - 19);
        cr_assert_leq(table.tombstones, 200);
    }
    expect(MANY - 20, MANY);
    cr_assert_leq(table.rebuilds, MANY / 10);
    cr_assert_lt(table.resizes, 5, "a sweep is not a resize");
    cr_assert_gt(table.rebuilds, table.resizes);
}

Test(index, old_arrays_go_through_the_epoch)
{
    struct nns_epoch_reader *reader = nns_epoch_register(&epoch);

    nns_role_assert_owner();
    nns_epoch_enter(&epoch, reader);
    insert(0, 100);
    cr_assert_eq(nns_epoch_reclaim(&epoch), table.rebuilds);
    nns_epoch_leave(reader);
    cr_assert_eq(nns_epoch_reclaim(&epoch), 0);
    expect(0, 100);
}

Test(index, a_node_may_come_back_at_once)
{
    nns_role_assert_owner();
    insert(0, 3);
    remove_all(1, 2);
    insert(1, 2);
    expect(0, 3);
}

Test(index, without_memory_it_cannot_be_made)
{
    struct nns_index other;

    fail_alloc_after(0);
    cr_assert_eq(nns_index_init(&other, &epoch), -ENOMEM);
    cr_assert_eq(fail_alloc_stop(), 1);
}

Test(index, without_memory_insertion_fails_late_and_changes_nothing)
{
    unsigned count = 0;
    int error;

    nns_role_assert_owner();
    fail_alloc_after(0);
    while ((error = nns_index_insert(&table, &nodes[count])) == 0)
        count++;
    cr_assert_eq(error, -ENOMEM);
    cr_assert_gt(count, 5, "beyond the usual load first");
    expect(0, count);
    cr_assert_eq(nns_index_insert(&table, &nodes[count]), -ENOMEM);
    cr_assert_gt(fail_alloc_stop(), 1);
    expect(0, count);
    insert(count, MANY);
    expect(0, MANY);
}

Test(index, without_memory_removal_works)
{
    size_t before;

    nns_role_assert_owner();
    insert(0, MANY);
    before = table.rebuilds;
    fail_alloc_after(0);
    remove_all(0, MANY - 1);
    cr_assert_gt(fail_alloc_stop(), 0, "it did try to shrink");
    cr_assert_eq(table.rebuilds, before);
    expect(MANY - 1, MANY);
    remove_all(MANY - 1, MANY);
    cr_assert_eq(table.rebuilds, before + 1);
    expect(0, 0);
}

/* Against a plain array, for many random changes. */
Test(index, does_what_an_array_would)
{
    static bool there[MANY];
    unsigned seed = 1, range = 40;

    nns_role_assert_owner();
    for (int step = 0; step < 200000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % range;

        if (step % 20000 == 0)
            range = range == 40 ? MANY : 40;
        cr_assert_eq(nns_index_find(&table, i), there[i] ? &nodes[i] : NULL);
        if (rand_r(&seed) & 1) {
            cr_assert_eq(nns_index_insert(&table, &nodes[i]), there[i] ? -EEXIST : 0);
            there[i] = true;
        } else {
            cr_assert_eq(nns_index_remove(&table, i), there[i] ? &nodes[i] : NULL);
            there[i] = false;
        }
        nns_epoch_reclaim(&epoch);
    }
}

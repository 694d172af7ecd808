/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cache.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fail_alloc.h"

enum { CAPACITY = 512 };

static struct nns_cache *cache;

static void set_up(void)
{
    cache = nns_cache_new(CAPACITY);
    cr_assert_not_null(cache);
}

static void tear_down(void) NNS_OWNER_ONLY
{
    nns_cache_free(cache);
}

TestSuite(cache, .init = set_up, .fini = tear_down);

static uint32_t inum_of(uint64_t cookie)
{
    return (uint32_t)(4026532000u + cookie);
}

static struct nns_namespace *add(uint64_t cookie) NNS_OWNER_ONLY
{
    struct nns_namespace *ns = NULL;

    cr_assert_eq(nns_cache_insert(cache, cookie, inum_of(cookie), &ns), 0);
    return ns;
}

static void fill(void) NNS_OWNER_ONLY
{
    for (uint64_t cookie = 1; !nns_cache_full(cache); cookie++)
        add(cookie);
}

static struct nns_cache_stats stats(void) NNS_OWNER_ONLY
{
    struct nns_cache_stats now;

    nns_cache_stats(cache, &now);
    return now;
}

Test(cache, a_new_entry_has_nothing_yet)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = add(17);
    cr_assert_eq(nns_namespace_cookie(ns), 17);
    cr_assert_eq(nns_namespace_inum(ns), inum_of(17));
    cr_assert_eq(ns->handle.kind, NNS_HANDLE_NONE);
    cr_assert_eq(ns->handle.fd, -1);
    cr_assert_eq(ns->due_slot, -1);
    cr_assert_eq(ns->devices.count, 0);
    cr_assert_eq(ns->queue.count, 0);
    cr_assert_null(ns->waiters);
    cr_assert_not(ns->host);
    cr_assert_eq(nns_cache_find(cache, 17), ns);
    cr_assert_null(nns_cache_find(cache, 18));
    cr_assert_eq(stats().entries, 1);
}

Test(cache, a_cookie_stands_once)
{
    struct nns_namespace *ns, *twin = NULL;

    nns_role_assert_owner();
    ns = add(17);
    cr_assert_eq(nns_cache_insert(cache, 17, 5, &twin), -EEXIST);
    cr_assert_null(twin);
    cr_assert_eq(nns_cache_find(cache, 17), ns);
    cr_assert_eq(stats().entries, 1);
}

Test(cache, a_full_one_says_so)
{
    struct nns_namespace *more = NULL;

    nns_role_assert_owner();
    fill();
    cr_assert_eq(stats().entries, CAPACITY);
    cr_assert_eq(stats().capacity, CAPACITY);
    cr_assert_eq(nns_cache_insert(cache, CAPACITY + 1, 1, &more), -ENOSPC);
    cr_assert_null(more);
    cr_assert_eq(nns_cache_insert(cache, 1, 1, &more), -EEXIST, "known wins over full");
    nns_cache_remove(cache, nns_cache_find(cache, 9));
    cr_assert_not(nns_cache_full(cache));
    add(CAPACITY + 1);
    cr_assert(nns_cache_full(cache));
}

Test(cache, an_inum_is_found_only_while_trusted)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = add(17);
    cr_assert_null(nns_cache_find_inum(cache, inum_of(17)));
    cr_assert_eq(nns_cache_trust_inum(cache, ns), 0);
    cr_assert_eq(nns_cache_trust_inum(cache, ns), 0, "twice is once");
    cr_assert_eq(nns_cache_find_inum(cache, inum_of(17)), ns);
    nns_cache_distrust_inum(cache, ns);
    cr_assert_null(nns_cache_find_inum(cache, inum_of(17)));
    nns_cache_distrust_inum(cache, ns);
    cr_assert_eq(nns_cache_trust_inum(cache, ns), 0);
    cr_assert_eq(nns_cache_find_inum(cache, inum_of(17)), ns);
}

/* Two namespaces, one inum: the first is dead, and the kernel gave its inum to the second (I5). */
Test(cache, a_recycled_inum_has_one_holder)
{
    struct nns_namespace *old, *young;

    nns_role_assert_owner();
    cr_assert_eq(nns_cache_insert(cache, 1, 4026532100u, &old), 0);
    cr_assert_eq(nns_cache_insert(cache, 2, 4026532100u, &young), 0);
    cr_assert_eq(nns_cache_trust_inum(cache, old), 0);
    cr_assert_eq(nns_cache_trust_inum(cache, young), -EEXIST);
    cr_assert_eq(nns_cache_find_inum(cache, 4026532100u), old);
    nns_cache_distrust_inum(cache, young);
    cr_assert_eq(nns_cache_find_inum(cache, 4026532100u), old, "not young's to take away");

    nns_cache_distrust_inum(cache, old);
    cr_assert_eq(nns_cache_trust_inum(cache, young), 0);
    nns_cache_remove(cache, old);
    cr_assert_eq(nns_cache_find_inum(cache, 4026532100u), young);
    nns_cache_remove(cache, young);
    cr_assert_null(nns_cache_find_inum(cache, 4026532100u));
}

Test(cache, a_removed_entry_lives_until_its_readers_left)
{
    struct nns_epoch_reader *reader = nns_epoch_register(nns_cache_epoch(cache));
    struct nns_namespace *ns, *found;

    nns_role_assert_owner();
    ns = add(17);
    nns_cache_trust_inum(cache, ns);
    nns_epoch_enter(nns_cache_epoch(cache), reader);
    found = nns_cache_find_inum(cache, inum_of(17));
    cr_assert_eq(found, ns);

    nns_cache_remove(cache, ns);
    cr_assert_null(nns_cache_find(cache, 17));
    cr_assert_null(nns_cache_find_inum(cache, inum_of(17)));
    nns_cache_reclaim(cache);
    cr_assert_eq(stats().retired, 1);
    cr_assert_eq(nns_namespace_cookie(found), 17);

    nns_epoch_leave(reader);
    nns_cache_reclaim(cache);
    cr_assert_eq(stats().retired, 0);
}

/* That nothing leaks is for the address sanitizer to see. */
Test(cache, an_entry_takes_its_devices_and_queue_along)
{
    struct nns_link device = {.ifindex = 1, .name = "lo"};
    struct nns_namespace *ns;
    bool added;

    nns_role_assert_owner();
    for (uint64_t cookie = 1; cookie <= 2; cookie++) {
        ns = add(cookie);
        cr_assert_not_null(nns_devices_put(&ns->devices, &device, &added));
        cr_assert_eq(nns_device_queue_push(&ns->queue, &device, 8), NNS_DEVICE_QUEUED_NEW);
    }
    nns_cache_remove(cache, ns);
    nns_cache_reclaim(cache);
    cr_assert_eq(stats().retired, 0);
}

/* Entries of one shard only, in the order of its ring; the hand stands at the first. */
enum { RING = 6 };
static uint64_t ring[RING];

static void fill_one_shard(void) NNS_OWNER_ONLY
{
    struct nns_cache *other = nns_cache_new(CAPACITY);
    struct nns_cache_cursor cursor = {0};

    for (uint64_t cookie = 1; cookie <= CAPACITY; cookie++) {
        struct nns_namespace *ns;

        cr_assert_eq(nns_cache_insert(other, cookie, 1, &ns), 0);
    }
    for (int i = 0; i < RING; i++) {
        ring[i] = nns_namespace_cookie(nns_cache_next(other, &cursor));
        cr_assert_eq(cursor.shard, 0);
        add(ring[i]);
    }
    nns_cache_free(other);
}

static void expect_victim(int place) NNS_OWNER_ONLY
{
    struct nns_namespace *ns = nns_cache_victim(cache);

    cr_assert_not_null(ns);
    cr_assert_eq(nns_namespace_cookie(ns), ring[place]);
}

Test(cache, without_references_the_oldest_goes_first)
{
    nns_role_assert_owner();
    fill_one_shard();
    for (int round = 0; round < 2; round++)
        for (int place = 0; place < RING; place++)
            expect_victim(place);
    cr_assert_eq(stats().evictions, 2 * RING);
    cr_assert_eq(stats().entries, RING, "a victim stays until it is removed");
}

Test(cache, evicting_all_empties_it)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    fill();
    while ((ns = nns_cache_victim(cache)))
        nns_cache_remove(cache, ns);
    cr_assert_eq(stats().evictions, CAPACITY);
    cr_assert_eq(stats().entries, 0);
    nns_cache_reclaim(cache);
    fill();
}

Test(cache, a_referenced_entry_survives_one_round)
{
    nns_role_assert_owner();
    fill_one_shard();
    nns_cache_find(cache, ring[0]);
    nns_cache_find(cache, ring[1]);
    for (int place = 2; place < RING; place++)
        expect_victim(place);
    expect_victim(0);
    nns_cache_find(cache, ring[1]);
    expect_victim(2);
}

Test(cache, a_look_up_by_inum_is_a_reference_too)
{
    nns_role_assert_owner();
    fill_one_shard();
    for (int place = 0; place < RING; place++)
        cr_assert_eq(nns_cache_trust_inum(cache, nns_cache_find(cache, ring[place])), 0);
    expect_victim(0); /* all were referenced: one round clears them */
    nns_cache_find_inum(cache, inum_of(ring[1]));
    expect_victim(2);
}

/* It goes before those that are lived in, however many asked for it. */
Test(cache, a_lonely_one_is_not_spared)
{
    nns_role_assert_owner();
    fill_one_shard();
    for (int place = 0; place < RING; place++)
        nns_cache_find(cache, ring[place]);
    nns_cache_find(cache, ring[3])->lonely_ms = 1;
    nns_cache_find(cache, ring[4])->lonely_ms = 1;
    nns_cache_find(cache, ring[4])->host = true;
    expect_victim(3);
    nns_cache_find(cache, ring[3])->lonely_ms = 0;
    expect_victim(0); /* the hand had been past 0, 1 and 2; now it clears 5 */
}

Test(cache, the_hand_passes_free_places_and_the_host)
{
    nns_role_assert_owner();
    fill_one_shard();
    nns_cache_remove(cache, nns_cache_find(cache, ring[0]));
    nns_cache_find(cache, ring[1])->host = true;
    nns_cache_remove(cache, nns_cache_find(cache, ring[3]));
    expect_victim(2);
    expect_victim(4);
    add(ring[0]); /* in the place given back last, which the hand has passed */
    expect_victim(5);
    expect_victim(2);
    expect_victim(0);
}

Test(cache, shards_take_turns)
{
    struct nns_cache_cursor cursor = {0};
    unsigned hit[NNS_CACHE_SHARDS] = {0};
    uint8_t shard[CAPACITY + 1];
    struct nns_namespace *ns;

    nns_role_assert_owner();
    fill();
    while ((ns = nns_cache_next(cache, &cursor)))
        shard[nns_namespace_cookie(ns)] = (uint8_t)cursor.shard;
    for (int i = 0; i < 3 * NNS_CACHE_SHARDS; i++)
        hit[shard[nns_namespace_cookie(nns_cache_victim(cache))]]++;
    for (int i = 0; i < NNS_CACHE_SHARDS; i++)
        cr_assert_eq(hit[i], 3);
}

Test(cache, all_referenced_still_gives_a_victim)
{
    nns_role_assert_owner();
    fill();
    for (uint64_t cookie = 1; cookie <= CAPACITY; cookie++)
        nns_cache_find(cache, cookie);
    cr_assert_not_null(nns_cache_victim(cache));
}

Test(cache, the_host_is_never_a_victim)
{
    nns_role_assert_owner();
    add(1)->host = true;
    cr_assert_null(nns_cache_victim(cache));
    cr_assert_eq(stats().evictions, 0);
    for (uint64_t cookie = 2; cookie <= 40; cookie++)
        add(cookie);
    for (int i = 2; i <= 40; i++) {
        struct nns_namespace *ns = nns_cache_victim(cache);

        cr_assert_not_null(ns);
        cr_assert_neq(nns_namespace_cookie(ns), 1);
        nns_cache_remove(cache, ns);
    }
    cr_assert_null(nns_cache_victim(cache));
    cr_assert_eq(nns_namespace_cookie(nns_cache_find(cache, 1)), 1);
    cr_assert_eq(stats().evictions, 39);
}

Test(cache, an_empty_one_has_no_victim_and_no_next)
{
    struct nns_cache_cursor cursor = {0};

    nns_role_assert_owner();
    cr_assert_null(nns_cache_victim(cache));
    cr_assert_null(nns_cache_next(cache, &cursor));
    cr_assert_null(nns_cache_next(cache, &cursor));
    nns_cache_free(NULL);
}

/* Every third entry goes and others come while the walk is under way; those that stay are met once. */
Test(cache, a_walk_meets_once_what_stays)
{
    static unsigned met[4 * CAPACITY];
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;
    uint64_t step = 0;

    nns_role_assert_owner();
    for (uint64_t cookie = 1; cookie <= 300; cookie++)
        add(cookie);
    while ((ns = nns_cache_next(cache, &cursor))) {
        struct nns_namespace *leaver = nns_cache_find(cache, 3 * (step % 100 + 1));

        met[nns_namespace_cookie(ns)]++;
        if (leaver)
            nns_cache_remove(cache, leaver);
        if (step < 200)
            add(1000 + step);
        nns_cache_reclaim(cache);
        step++;
    }
    for (uint64_t cookie = 1; cookie <= 300; cookie++)
        if (cookie % 3)
            cr_assert_eq(met[cookie], 1, "cookie %lu met %u times", (unsigned long)cookie, met[cookie]);
    for (uint64_t cookie = 1; cookie < 4 * CAPACITY; cookie++)
        cr_assert_leq(met[cookie], 1);
}

/* Whichever allocation of an insertion fails, nothing of it is left. */
Test(cache, without_memory_an_insertion_changes_nothing)
{
    unsigned refused = 0;

    nns_role_assert_owner();
    for (uint64_t cookie = 1; cookie <= CAPACITY; cookie++) {
        for (unsigned successes = 0;; successes++) {
            struct nns_namespace *ns = NULL;
            int error;

            fail_alloc_after(successes);
            error = nns_cache_insert(cache, cookie, inum_of(cookie), &ns);
            refused += fail_alloc_stop();
            if (!error)
                break;
            cr_assert_eq(error, -ENOMEM);
            cr_assert_null(ns);
            cr_assert_null(nns_cache_find(cache, cookie));
            cr_assert_eq(stats().entries, cookie - 1);
        }
    }
    cr_assert_geq(refused, CAPACITY);
    for (uint64_t cookie = 1; cookie <= CAPACITY; cookie++)
        cr_assert_not_null(nns_cache_find(cache, cookie));
}

Test(cache, without_memory_there_is_no_cache)
{
    unsigned successes = 0;
    struct nns_cache *other;

    nns_role_assert_owner();
    for (;; successes++) {
        fail_alloc_after(successes);
        other = nns_cache_new(1);
        fail_alloc_stop();
        if (other)
            break;
    }
    cr_assert_geq(successes, 2 * NNS_CACHE_SHARDS);
    nns_cache_free(other);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One owner against many readers, with insertion, eviction, removal, growing and shrinking all on.
 *
 * The invariant: what a reader finds under a cookie or an inum is that namespace, and stays so until the
 * reader leaves its section. Freed memory is overwritten first (free is wrapped at link time), so that a
 * reader that meets it breaks the invariant in a plain build too; the sanitizers see more.
 *
 * Runs until resizes, evictions and reads that overlapped a write have each passed WANTED, and for two
 * seconds at least. Exit status: 0; 2 when the invariant broke; 3 when it could not start, or a count was not
 * reached in time.
 */
#include "core/cache.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READERS = 5, CAPACITY = 1024, COOKIES = 4 * CAPACITY, WANTED = 1000, LINGER = 64 };

enum { LEAST_SECONDS = 2, DEADLINE_SECONDS = 100 };

static struct nns_cache *cache;
static _Atomic bool stop;

/* Odd while the owner changes something. All accesses are relaxed, here and below: the test must not add the
 * ordering that it is there to check. */
static _Atomic uint64_t sequence;

struct counts {
    _Atomic uint64_t reads, hits, overlapped; /* one reader's */
};
static struct counts counts[READERS];

void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
    if (memory)
        memset(memory, 0xdd, malloc_usable_size(memory));
    __real_free(memory);
}

static uint64_t read_count(_Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static void add(_Atomic uint64_t *count, uint64_t by)
{
    atomic_store_explicit(count, read_count(count) + by, memory_order_relaxed);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t draw(unsigned *state)
{
    return (uint32_t)rand_r(state);
}

static uint32_t inum_of(uint64_t cookie)
{
    return 4026531840u + (uint32_t)cookie;
}

static void check(const struct nns_namespace *ns, uint64_t cookie)
{
    if (nns_namespace_cookie(ns) == cookie && ns->by_inum.key == inum_of(cookie))
        return;
    fprintf(stderr, "torture_cache: asked for cookie %#lx, found cookie %#lx inum %#lx\n",
            (unsigned long)cookie, (unsigned long)nns_namespace_cookie(ns), (unsigned long)ns->by_inum.key);
    _exit(2);
}

static void look_up(struct nns_epoch_reader *reader, struct counts *mine, uint64_t cookie, bool by_inum)
{
    uint64_t before = read_count(&sequence);
    struct nns_namespace *ns;

    nns_epoch_enter(nns_cache_epoch(cache), reader);
    ns = by_inum ? nns_cache_find_inum(cache, inum_of(cookie)) : nns_cache_find(cache, cookie);
    if (before % 2 || read_count(&sequence) != before)
        add(&mine->overlapped, 1);
    for (int i = 0; ns && i < LINGER; i++)
        check(ns, cookie);
    nns_epoch_leave(reader);
    add(&mine->reads, 1);
    add(&mine->hits, ns != NULL);
}

static void *read_on(void *argument)
{
    struct counts *mine = argument;
    struct nns_epoch_reader *reader = nns_epoch_register(nns_cache_epoch(cache));
    unsigned state = (unsigned)(mine - counts) + 1;

    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        look_up(reader, mine, 1 + draw(&state) % COOKIES, draw(&state) & 1);
    return NULL;
}

static void begin(void)
{
    add(&sequence, 1);
}

static void end(void) NNS_OWNER_ONLY
{
    add(&sequence, 1);
    nns_cache_reclaim(cache);
}

/* As the owner does it: room first, by eviction; then a handle, and the inum trusted for most. */
static void insert(uint64_t cookie) NNS_OWNER_ONLY
{
    struct nns_namespace *ns;

    begin();
    if (nns_cache_full(cache))
        nns_cache_remove(cache, nns_cache_victim(cache));
    if (nns_cache_insert(cache, cookie, inum_of(cookie), &ns) == 0 && cookie % 8)
        nns_cache_trust_inum(cache, ns);
    end();
}

static void remove_one(uint64_t cookie) NNS_OWNER_ONLY
{
    struct nns_namespace *ns = nns_cache_find(cache, cookie);

    if (!ns)
        return;
    begin();
    if (cookie % 2)
        nns_cache_distrust_inum(cache, ns);
    nns_cache_remove(cache, ns);
    end();
}

static size_t entries(void) NNS_OWNER_ONLY
{
    struct nns_cache_stats stats;

    nns_cache_stats(cache, &stats);
    return stats.entries;
}

/* From nearly empty to full and beyond, some back and forth, and down again. */
static void wave(unsigned *state) NNS_OWNER_ONLY
{
    for (int i = 0; i < 2 * CAPACITY; i++)
        insert(1 + draw(state) % COOKIES);
    for (int i = 0; i < CAPACITY; i++)
        draw(state) & 1 ? insert(1 + draw(state) % COOKIES) : remove_one(1 + draw(state) % COOKIES);
    for (uint64_t cookie = 1 + draw(state) % 16; entries() > CAPACITY / 64; cookie = 1 + cookie % COOKIES)
        remove_one(cookie);
}

struct report {
    uint64_t resizes, evictions, reads, hits, overlapped;
};

static struct report report(void) NNS_OWNER_ONLY
{
    struct nns_cache_stats stats;
    struct report sum;

    nns_cache_stats(cache, &stats);
    sum = (struct report){.resizes = stats.resizes, .evictions = stats.evictions};
    for (int i = 0; i < READERS; i++) {
        sum.reads += read_count(&counts[i].reads);
        sum.hits += read_count(&counts[i].hits);
        sum.overlapped += read_count(&counts[i].overlapped);
    }
    return sum;
}

static bool enough(const struct report *sum)
{
    return sum->resizes > WANTED && sum->evictions > WANTED && sum->overlapped > WANTED && sum->hits > WANTED;
}

static struct report torture(double least) NNS_OWNER_ONLY
{
    double start = seconds();
    unsigned state = 42;
    struct report sum;

    do {
        wave(&state);
        sum = report();
    } while ((!enough(&sum) || seconds() < start + least) && seconds() < start + DEADLINE_SECONDS);
    return sum;
}

int main(int argc, char **argv)
{
    pthread_t readers[READERS];
    struct report sum;

    nns_role_assert_owner();
    cache = nns_cache_new(CAPACITY);
    if (!cache)
        return 3;
    for (int i = 0; i < READERS; i++)
        if (pthread_create(&readers[i], NULL, read_on, &counts[i]) != 0)
            return 3;
    sum = torture(argc > 1 ? atof(argv[1]) : LEAST_SECONDS);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    nns_cache_free(cache);
    printf("torture_cache: %d readers, %lu resizes, %lu evictions, %lu reads, %lu hits, %lu overlapped a "
           "write\n",
           READERS, (unsigned long)sum.resizes, (unsigned long)sum.evictions, (unsigned long)sum.reads,
           (unsigned long)sum.hits, (unsigned long)sum.overlapped);
    return enough(&sum) ? 0 : 3;
}

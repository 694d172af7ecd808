/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { RING_FIRST = 16 };

/* A place in an eviction ring. A namespace keeps its place while it is cached, so that a walk meets it once.
 */
struct place {
    struct nns_namespace *ns; /* NULL: free */
    uint32_t next_free;       /* of a free place: the next one, or NO_PLACE */
};

#define NO_PLACE UINT32_MAX

/* Cookies and inums are spread over the same shards, each by its own value: a shard's two indexes need not
 * hold the same namespaces. All but the indexes' arrays is the owner's, and in lines that readers do not
 * read. */
struct shard {
    struct nns_index by_cookie;
    struct nns_index by_inum;
    struct place *ring;
    uint32_t places, capacity; /* of the ring: ever used, allocated */
    uint32_t free;             /* first free place below places, or NO_PLACE */
    uint32_t hand;
};

struct nns_cache {
    struct nns_epoch epoch;
    struct shard shards[NNS_CACHE_SHARDS];
    size_t entries, capacity; /* the owner's, from here on */
    uint64_t evictions;
    uint32_t turn; /* the shard whose hand moves next */
};

_Static_assert(sizeof(struct shard) % NNS_CACHE_LINE == 0, "no shard's line is another's");

static struct nns_namespace *of_cookie(struct nns_index_node *node)
{
    return (struct nns_namespace *)((char *)node - offsetof(struct nns_namespace, by_cookie));
}

static struct nns_namespace *of_inum(struct nns_index_node *node)
{
    return (struct nns_namespace *)((char *)node - offsetof(struct nns_namespace, by_inum));
}

static struct nns_namespace *of_retired(struct nns_retired *retired)
{
    return (struct nns_namespace *)((char *)retired - offsetof(struct nns_namespace, retired));
}

/* The top bits of a product with the golden ratio: cookies and inums count upwards, and neighbours part. The
 * indexes take their bits from another mix, so a shard's keys do not crowd in its index. */
static struct shard *shard_of(struct nns_cache *cache, uint64_t key)
{
    _Static_assert(NNS_CACHE_SHARDS == 16, "four bits are taken");

    return &cache->shards[(key * 0x9e3779b97f4a7c15) >> 60];
}

static void shard_deinit(struct shard *shard)
{
    nns_index_deinit(&shard->by_cookie);
    nns_index_deinit(&shard->by_inum);
    free(shard->ring);
}

static int shard_init(struct shard *shard, struct nns_epoch *epoch)
{
    int error = nns_index_init(&shard->by_cookie, epoch);

    if (error)
        return error;
    error = nns_index_init(&shard->by_inum, epoch);
    if (error) {
        nns_index_deinit(&shard->by_cookie);
        return error;
    }
    shard->ring = NULL;
    shard->places = shard->capacity = shard->hand = 0;
    shard->free = NO_PLACE;
    return 0;
}

struct nns_cache *nns_cache_new(size_t capacity)
{
    struct nns_cache *cache = aligned_alloc(NNS_CACHE_LINE, sizeof(*cache));

    if (!cache)
        return NULL;
    nns_epoch_init(&cache->epoch);
    for (unsigned i = 0; i < NNS_CACHE_SHARDS; i++) {
        if (shard_init(&cache->shards[i], &cache->epoch) == 0)
            continue;
        while (i--)
            shard_deinit(&cache->shards[i]);
        free(cache);
        return NULL;
    }
    cache->capacity = capacity;
    cache->entries = 0;
    cache->evictions = 0;
    cache->turn = 0;
    return cache;
}

void nns_cache_free(struct nns_cache *cache)
{
    struct nns_cache_cursor cursor = {0};
    struct nns_namespace *ns;

    if (!cache)
        return;
    while ((ns = nns_cache_next(cache, &cursor)))
        nns_cache_remove(cache, ns);
    nns_epoch_drain(&cache->epoch);
    for (unsigned i = 0; i < NNS_CACHE_SHARDS; i++)
        shard_deinit(&cache->shards[i]);
    free(cache);
}

struct nns_epoch *nns_cache_epoch(struct nns_cache *cache)
{
    return &cache->epoch;
}

/* Written only when it changes: a namespace many ask for stays in every reader's cache, unshared. Relaxed: a
 * bit that comes late only makes the hand's choice a little worse. */
static struct nns_namespace *reference(struct nns_namespace *ns)
{
    if (!atomic_load_explicit(&ns->referenced, memory_order_relaxed))
        atomic_store_explicit(&ns->referenced, true, memory_order_relaxed);
    return ns;
}

struct nns_namespace *nns_cache_peek(struct nns_cache *cache, uint64_t cookie)
{
    struct nns_index_node *node = nns_index_find(&shard_of(cache, cookie)->by_cookie, cookie);

    return node ? of_cookie(node) : NULL;
}

struct nns_namespace *nns_cache_find(struct nns_cache *cache, uint64_t cookie)
{
    struct nns_namespace *ns = nns_cache_peek(cache, cookie);

    return ns ? reference(ns) : NULL;
}

struct nns_namespace *nns_cache_find_inum(struct nns_cache *cache, uint32_t inum)
{
    struct nns_index_node *node = nns_index_find(&shard_of(cache, inum)->by_inum, inum);

    return node ? reference(of_inum(node)) : NULL;
}

/* Make sure the ring has a free place. */
static int ring_reserve(struct shard *shard) NNS_OWNER_ONLY
{
    uint32_t capacity = shard->capacity ? shard->capacity * 2 : RING_FIRST;
    struct place *ring;

    if (shard->free != NO_PLACE || shard->places < shard->capacity)
        return 0;
    ring = realloc(shard->ring, capacity * sizeof(*ring));
    if (!ring)
        return -ENOMEM;
    shard->ring = ring;
    shard->capacity = capacity;
    return 0;
}

static void ring_add(struct shard *shard, struct nns_namespace *ns) NNS_OWNER_ONLY
{
    uint32_t at = shard->free;

    if (at != NO_PLACE)
        shard->free = shard->ring[at].next_free;
    else
        at = shard->places++;
    shard->ring[at] = (struct place){.ns = ns, .next_free = NO_PLACE};
    ns->shard_slot = at;
}

static void ring_remove(struct shard *shard, struct nns_namespace *ns) NNS_OWNER_ONLY
{
    shard->ring[ns->shard_slot] = (struct place){.ns = NULL, .next_free = shard->free};
    shard->free = ns->shard_slot;
}

static struct nns_namespace *namespace_new(uint64_t cookie, uint32_t inum)
{
    struct nns_namespace *ns = aligned_alloc(NNS_CACHE_LINE, sizeof(*ns));

    if (ns)
        *ns = (struct nns_namespace){
            .by_cookie.key = cookie,
            .by_inum.key = inum,
            .handle = NNS_HANDLE_NULL,
            .nsid = NNS_NSID_NONE,
            .due_slot = -1,
        };
    return ns;
}

int nns_cache_insert(struct nns_cache *cache, uint64_t cookie, uint32_t inum, struct nns_namespace **out)
{
    struct shard *shard = shard_of(cache, cookie);
    struct nns_namespace *ns;
    int error;

    if (nns_index_find(&shard->by_cookie, cookie))
        return -EEXIST;
    if (nns_cache_full(cache))
        return -ENOSPC;
    error = ring_reserve(shard);
    if (error)
        return error;
    ns = namespace_new(cookie, inum);
    if (!ns)
        return -ENOMEM;
    error = nns_index_insert(&shard->by_cookie, &ns->by_cookie);
    if (error) {
        free(ns);
        return error;
    }
    ring_add(shard, ns);
    cache->entries++;
    *out = ns;
    return 0;
}

int nns_cache_trust_inum(struct nns_cache *cache, struct nns_namespace *ns)
{
    struct nns_index *index = &shard_of(cache, nns_namespace_inum(ns))->by_inum;

    if (nns_index_find(index, ns->by_inum.key) == &ns->by_inum)
        return 0;
    return nns_index_insert(index, &ns->by_inum);
}

void nns_cache_distrust_inum(struct nns_cache *cache, struct nns_namespace *ns)
{
    struct nns_index *index = &shard_of(cache, nns_namespace_inum(ns))->by_inum;

    /* Another namespace may stand there by now, with the same inum and a better claim to it (I5). */
    if (nns_index_find(index, ns->by_inum.key) == &ns->by_inum)
        nns_index_remove(index, ns->by_inum.key);
}

static void namespace_release(struct nns_retired *retired) NNS_OWNER_ONLY
{
    struct nns_namespace *ns = of_retired(retired);

    assert(ns->handle.fd == -1); /* whoever removed it had to close it */
    nns_devices_deinit(&ns->devices);
    nns_device_queue_clear(&ns->queue);
    free(ns->looks);
    free(ns);
}

void nns_cache_remove(struct nns_cache *cache, struct nns_namespace *ns)
{
    struct shard *shard = shard_of(cache, nns_namespace_cookie(ns));

    nns_cache_distrust_inum(cache, ns);
    nns_index_remove(&shard->by_cookie, ns->by_cookie.key);
    ring_remove(shard, ns);
    cache->entries--;
    nns_epoch_retire(&cache->epoch, &ns->retired, namespace_release);
}

static bool spare_once(struct nns_namespace *ns) NNS_OWNER_ONLY
{
    if (!atomic_load_explicit(&ns->referenced, memory_order_relaxed))
        return false;
    atomic_store_explicit(&ns->referenced, false, memory_order_relaxed);
    return true;
}

/* Twice round at most. When readers set every bit again behind the hand, all are equally wanted, and the last
 * one met is as good as any. */
static struct nns_namespace *shard_victim(struct shard *shard) NNS_OWNER_ONLY
{
    struct nns_namespace *last = NULL;

    for (uint64_t left = 2 * (uint64_t)shard->places; left; left--) {
        struct nns_namespace *ns = shard->ring[shard->hand].ns;

        shard->hand = (shard->hand + 1) % shard->places;
        if (!ns || ns->host)
            continue;
        /* One that seems to have been left by all goes before any that is lived in. */
        if (ns->lonely_ms || !spare_once(ns))
            return ns;
        last = ns;
    }
    return last;
}

struct nns_namespace *nns_cache_victim(struct nns_cache *cache)
{
    for (unsigned tried = 0; tried < NNS_CACHE_SHARDS; tried++) {
        struct nns_namespace *ns = shard_victim(&cache->shards[cache->turn]);

        cache->turn = (cache->turn + 1) % NNS_CACHE_SHARDS;
        if (ns) {
            cache->evictions++;
            return ns;
        }
    }
    return NULL;
}

bool nns_cache_full(const struct nns_cache *cache)
{
    return cache->entries >= cache->capacity;
}

struct nns_namespace *nns_cache_next(struct nns_cache *cache, struct nns_cache_cursor *cursor)
{
    for (; cursor->shard < NNS_CACHE_SHARDS; cursor->shard++, cursor->slot = 0) {
        struct shard *shard = &cache->shards[cursor->shard];

        while (cursor->slot < shard->places) {
            struct nns_namespace *ns = shard->ring[cursor->slot++].ns;

            if (ns)
                return ns;
        }
    }
    return NULL;
}

void nns_cache_reclaim(struct nns_cache *cache)
{
    nns_epoch_reclaim(&cache->epoch);
}

void nns_cache_stats(const struct nns_cache *cache, struct nns_cache_stats *stats)
{
    *stats = (struct nns_cache_stats){
        .entries = cache->entries,
        .capacity = cache->capacity,
        .retired = cache->epoch.retired,
        .evictions = cache->evictions,
    };
    for (unsigned i = 0; i < NNS_CACHE_SHARDS; i++) {
        stats->rebuilds += cache->shards[i].by_cookie.rebuilds + cache->shards[i].by_inum.rebuilds;
        stats->resizes += cache->shards[i].by_cookie.resizes + cache->shards[i].by_inum.resizes;
    }
}

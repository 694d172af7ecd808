/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_CACHE_H
#define NNS_CORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/namespace.h"

/*
 * The sharded namespace cache: one writer (the owner thread, I1), lock-free readers (the workers).
 *
 * Keyed by cookie, sharded by it, with a second index by inum that holds only namespaces whose handle is
 * pinned. A full cache evicts by CLOCK: readers set a bit, the owner's hand clears it and takes the first
 * entry found clear; the hands go round the shards in turn, so that no scan is longer than twice one shard.
 * The host's own namespace is never a victim.
 *
 * Usage, reader:  nns_epoch_enter; nns_cache_find_inum; copy what is needed; nns_epoch_leave.
 * Usage, owner:   nns_cache_victim while full, flush it, nns_cache_remove; then nns_cache_insert.
 */
#define NNS_CACHE_SHARDS 16

struct nns_cache;

struct nns_cache_stats {
    size_t entries, capacity, retired;
    size_t rebuilds, resizes; /* index arrays replaced; those replaced by one of another size */
    uint64_t evictions;
};

/* capacity: the most entries, at least 1. Returns NULL without memory. */
struct nns_cache *nns_cache_new(size_t capacity);

/* Free the cache and every entry left in it (devices and queues too; handles must be closed already).
 * No reader may be left. NULL is fine. */
void nns_cache_free(struct nns_cache *cache) NNS_OWNER_ONLY;

struct nns_epoch *nns_cache_epoch(struct nns_cache *cache);

/* Look-ups. Any registered reader inside an epoch section, or the owner. Marks the entry as referenced. NULL:
 * unknown. By inum only namespaces with a pinned handle are found. */
struct nns_namespace *nns_cache_find(struct nns_cache *cache, uint64_t cookie);
struct nns_namespace *nns_cache_find_inum(struct nns_cache *cache, uint32_t inum);

/* The same by cookie for one that nobody asks for: it is left unmarked. */
struct nns_namespace *nns_cache_peek(struct nns_cache *cache, uint64_t cookie);

/* Make an entry without a handle. cookie and inum are not 0. *out is set on success only.
 * 0; -EEXIST; -ENOSPC when at capacity (evict first); -ENOMEM. */
int nns_cache_insert(struct nns_cache *cache, uint64_t cookie, uint32_t inum,
                     struct nns_namespace **out) NNS_OWNER_ONLY;

/* Make the entry findable by inum: its handle has just been pinned. 0; -EEXIST if another entry claims that
 * inum (the caller's other entry is stale: its handle is not what it says); -ENOMEM. */
int nns_cache_trust_inum(struct nns_cache *cache, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* Stop finding it by inum: to be called before its pin is let go. */
void nns_cache_distrust_inum(struct nns_cache *cache, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* Take an entry out and retire it. Its handle must be closed after this, not before: a reader may trust the
 * inum until the entry is out of the index. Devices and queue are freed with the entry. */
void nns_cache_remove(struct nns_cache *cache, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* The next one to evict, or NULL if only the host's own is left. It stays in the cache; counted as an
 * eviction. */
struct nns_namespace *nns_cache_victim(struct nns_cache *cache) NNS_OWNER_ONLY;

bool nns_cache_full(const struct nns_cache *cache) NNS_OWNER_ONLY;

/* Walk all entries, a few at a time: start with a zero cursor; each call gives the next entry, or NULL at the
 * end. Entries that come or go between calls may or may not be met; one that stays is met exactly once. */
struct nns_cache_cursor {
    uint32_t shard, slot;
};
struct nns_namespace *nns_cache_next(struct nns_cache *cache, struct nns_cache_cursor *cursor) NNS_OWNER_ONLY;

/* Free what readers have let go of; cheap, called between pieces of work. */
void nns_cache_reclaim(struct nns_cache *cache) NNS_OWNER_ONLY;

void nns_cache_stats(const struct nns_cache *cache, struct nns_cache_stats *stats) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_INDEX_H
#define NNS_CORE_INDEX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/epoch.h"

/*
 * A hash table of one writer and any number of lock-free readers, from a 64-bit key to a node embedded in an
 * object.
 *
 * Open addressing with linear probing over an array of atomic pointers. Each slot is a single word, so a
 * reader sees an old node or a new one, never half of each; it compares the key in the node itself, which
 * never changes while the node is in the table. Removal leaves a tombstone. Growing, shrinking and sweeping
 * out tombstones build a new array, publish it with one store, and retire the old one through the epoch.
 *
 * Readers call nns_index_find inside an epoch section. Removed nodes must be retired through the same epoch
 * before they are freed or get another key; the same node may be inserted again under its key at any time.
 */
struct nns_index_node {
    uint64_t key; /* constant while in a table */
};

struct nns_index_slots;

/* A line that changes with the array, for readers, and one that changes with every node, the owner's. */
struct nns_index {
    _Alignas(NNS_CACHE_LINE) _Atomic(struct nns_index_slots *) slots; /* published by the owner */
    struct nns_epoch *epoch;                                          /* constant */
    _Alignas(NNS_CACHE_LINE) size_t used;                             /* owner's: live nodes */
    size_t tombstones;                                                /* owner's */
    size_t rebuilds;                                                  /* owner's: arrays replaced so far */
    size_t resizes; /* owner's: those replaced by one of another size */
};

_Static_assert(offsetof(struct nns_index, used) == NNS_CACHE_LINE, "readers read one line");

/* 0, or -ENOMEM. */
int nns_index_init(struct nns_index *index, struct nns_epoch *epoch);

/* Free the table, not the nodes. No reader may be left. */
void nns_index_deinit(struct nns_index *index);

/* The node of a key, or NULL. Any registered reader, inside an epoch section; the owner needs none. */
struct nns_index_node *nns_index_find(const struct nns_index *index, uint64_t key);

/* Add a node. 0; -EEXIST if the key is there; -ENOMEM, with the table unchanged. */
int nns_index_insert(struct nns_index *index, struct nns_index_node *node) NNS_OWNER_ONLY;

/* Take a key's node out and return it, or NULL. Never fails for want of memory. */
struct nns_index_node *nns_index_remove(struct nns_index *index, uint64_t key) NNS_OWNER_ONLY;

#endif

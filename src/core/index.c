/* SPDX-License-Identifier: Apache-2.0 */
#include "core/index.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * What readers rely on, within one array: a slot goes from empty to a node, from a node to a tombstone, from
 * a tombstone to a node, and never back to empty. So a node that stays is always found: the slots before it
 * on its path never end the search. And a search ends: the load limits below leave empty slots.
 *
 * Memory order: the owner stores nodes, tombstones and arrays with release, readers load them with acquire,
 * and so see a node's key and an array's content as they were when published. That a reader does not meet
 * what was unlinked before its section began is the epoch's work (core/epoch.h), not that of these accesses.
 *
 * An array that was replaced is not kept up to date, and may still show a node removed since to a reader that
 * began before: such a node was retired after its array, so it outlives that reader's section too.
 */
typedef _Atomic(struct nns_index_node *) slot_t;

struct nns_index_slots {
    struct nns_retired retired;
    size_t mask; /* slots - 1; slots is a power of two */
    slot_t at[];
};

/* A rebuilt array is between 1/6 and 1/3 full (or of the least size). It is replaced when nodes and
 * tombstones fill 2/3, or fewer than 1/16 are nodes: either way after a number of changes in proportion to
 * its size. */
enum { SLOTS_MIN = 8 };

/* Stands for a removed node. Its address is all that counts. */
static struct nns_index_node tombstone;

/* Keys are numbers the kernel counts up or hands out lowest first: every bit of them must reach the low bits.
 * Two rounds of xor-shift and multiply, by the fractions of the golden ratio and of pi. */
static uint64_t mix(uint64_t key)
{
    key = (key ^ key >> 32) * 0x9e3779b97f4a7c15;
    key = (key ^ key >> 29) * 0x243f6a8885a308d3;
    return key ^ key >> 32;
}

static size_t size_for(size_t nodes)
{
    size_t size = SLOTS_MIN;

    while (size < 3 * nodes)
        size *= 2;
    return size;
}

static struct nns_index_slots *slots_new(size_t size)
{
    struct nns_index_slots *slots = calloc(1, sizeof(*slots) + size * sizeof(slots->at[0]));

    if (slots)
        slots->mask = size - 1;
    return slots;
}

static void slots_release(struct nns_retired *retired)
{
    free((char *)retired - offsetof(struct nns_index_slots, retired));
}

/* The owner reads what only it writes. */
static struct nns_index_slots *own_slots(const struct nns_index *index)
{
    return atomic_load_explicit(&index->slots, memory_order_relaxed);
}

int nns_index_init(struct nns_index *index, struct nns_epoch *epoch)
{
    struct nns_index_slots *slots = slots_new(SLOTS_MIN);

    if (!slots)
        return -ENOMEM;
    *index = (struct nns_index){.epoch = epoch};
    atomic_init(&index->slots, slots);
    return 0;
}

void nns_index_deinit(struct nns_index *index)
{
    free(own_slots(index));
    atomic_store_explicit(&index->slots, NULL, memory_order_relaxed);
}

struct nns_index_node *nns_index_find(const struct nns_index *index, uint64_t key)
{
    struct nns_index_slots *slots = atomic_load_explicit(&index->slots, memory_order_acquire);

    for (size_t i = mix(key);; i++) {
        struct nns_index_node *node = atomic_load_explicit(&slots->at[i & slots->mask], memory_order_acquire);

        if (!node || (node != &tombstone && node->key == key))
            return node;
    }
}

/* The slot that holds the key, or else the first one on its path that can take it. */
static slot_t *probe(struct nns_index_slots *slots, uint64_t key, bool *there) NNS_OWNER_ONLY
{
    slot_t *reusable = NULL;

    for (size_t i = mix(key);; i++) {
        slot_t *slot = &slots->at[i & slots->mask];
        struct nns_index_node *node = atomic_load_explicit(slot, memory_order_relaxed);

        if (!node) {
            *there = false;
            return reusable ? reusable : slot;
        }
        if (node == &tombstone) {
            reusable = reusable ? reusable : slot;
        } else if (node->key == key) {
            *there = true;
            return slot;
        }
    }
}

/* Replace the array by one that fits, without tombstones. */
static int rebuild(struct nns_index *index) NNS_OWNER_ONLY
{
    struct nns_index_slots *old = own_slots(index);
    struct nns_index_slots *new = slots_new(size_for(index->used + 1));
    bool there;

    if (!new)
        return -ENOMEM;
    for (size_t i = 0; i <= old->mask; i++) {
        struct nns_index_node *node = atomic_load_explicit(&old->at[i], memory_order_relaxed);

        if (node && node != &tombstone)
            atomic_store_explicit(probe(new, node->key, &there), node, memory_order_relaxed);
    }
    atomic_store_explicit(&index->slots, new, memory_order_release);
    index->tombstones = 0;
    index->rebuilds++;
    index->resizes += new->mask != old->mask;
    nns_epoch_retire(index->epoch, &old->retired, slots_release);
    return 0;
}

/* Make sure that one more slot may leave the empty state. Without memory for a new array the old one may fill
 * to 7/8: slower, not an error yet. */
static int make_room(struct nns_index *index) NNS_OWNER_ONLY
{
    size_t size = own_slots(index)->mask + 1;
    size_t filled = index->used + index->tombstones + 1;

    if (filled * 3 <= size * 2 || rebuild(index) == 0 || filled < size - size / 8)
        return 0;
    return -ENOMEM;
}

int nns_index_insert(struct nns_index *index, struct nns_index_node *node)
{
    bool there;
    slot_t *slot = probe(own_slots(index), node->key, &there);

    if (there)
        return -EEXIST;
    if (!atomic_load_explicit(slot, memory_order_relaxed)) {
        int error = make_room(index);

        if (error)
            return error;
        slot = probe(own_slots(index), node->key, &there);
    }
    if (atomic_load_explicit(slot, memory_order_relaxed))
        index->tombstones--;
    atomic_store_explicit(slot, node, memory_order_release);
    index->used++;
    return 0;
}

struct nns_index_node *nns_index_remove(struct nns_index *index, uint64_t key)
{
    struct nns_index_slots *slots = own_slots(index);
    bool there;
    slot_t *slot = probe(slots, key, &there);
    struct nns_index_node *node;

    if (!there)
        return NULL;
    node = atomic_load_explicit(slot, memory_order_relaxed);
    atomic_store_explicit(slot, &tombstone, memory_order_release);
    index->used--;
    index->tombstones++;
    if (slots->mask >= SLOTS_MIN && index->used < (slots->mask + 1) / 16)
        (void)rebuild(index); /* only to save memory: without any, a later removal tries again */
    return node;
}

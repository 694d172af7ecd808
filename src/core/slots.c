/* SPDX-License-Identifier: Apache-2.0 */
#include "core/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- records ---- */

/* Stores stay in their order, which is all that somebody needs who reads them after this thread's death. */
static void record(struct nns_slots *slots, uint16_t slot, uint64_t cookie, uint32_t ifindex)
{
    struct nns_slot_holder *holder;

    if (!slots->holders)
        return;
    holder = &slots->holders[slot];
    __atomic_store_n(&holder->cookie, 0, __ATOMIC_RELEASE);
    if (!cookie)
        return;
    __atomic_store_n(&holder->ifindex, ifindex, __ATOMIC_RELEASE);
    __atomic_store_n(&holder->cookie, cookie, __ATOMIC_RELEASE);
}

static bool is_reserved(const struct nns_slot_holder *holder)
{
    return holder->cookie && holder->ifindex;
}

static bool was_used(const struct nns_slots *slots, uint32_t slot)
{
    return slots->holders && (slots->holders[slot].cookie || slots->holders[slot].ifindex);
}

/* ---- reservations ---- */

static int compare_device(const struct nns_slot_reserved *a, uint64_t cookie, uint32_t ifindex)
{
    if (a->cookie != cookie)
        return a->cookie < cookie ? -1 : 1;
    return a->ifindex < ifindex ? -1 : a->ifindex > ifindex;
}

static int by_device(const void *left, const void *right)
{
    const struct nns_slot_reserved *a = left, *b = right;
    int order = compare_device(a, b->cookie, b->ifindex);

    return order ? order : (a->slot > b->slot) - (a->slot < b->slot);
}

static struct nns_slot_reserved *find_reserved(const struct nns_slots *slots, uint64_t cookie,
                                               uint32_t ifindex)
{
    uint32_t low = 0, high = slots->reserved_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_device(&slots->reserved[middle], cookie, ifindex);

        if (order == 0)
            return &slots->reserved[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static uint16_t take_reserved(struct nns_slots *slots, struct nns_slot_reserved *reserved)
{
    uint16_t slot = reserved ? reserved->slot : 0;

    if (slot) {
        reserved->slot = 0;
        slots->reserved_left--;
    }
    return slot;
}

static uint16_t take_anothers(struct nns_slots *slots)
{
    if (!slots->released || !slots->reserved_left)
        return 0;
    while (!slots->reserved[slots->reserved_next].slot)
        slots->reserved_next++;
    return take_reserved(slots, &slots->reserved[slots->reserved_next]);
}

/* ---- the line ---- */

static void append(struct nns_slots *slots, uint16_t slot)
{
    slots->line[(slots->head + slots->count) % slots->limit] = slot;
    slots->count++;
}

static uint16_t take_first(struct nns_slots *slots)
{
    uint16_t slot;

    if (!slots->count)
        return 0;
    slot = slots->line[slots->head];
    slots->head = (slots->head + 1) % slots->limit;
    slots->count--;
    return slot;
}

static uint16_t take_fresh(struct nns_slots *slots)
{
    while (slots->fresh <= slots->limit && was_used(slots, slots->fresh))
        slots->fresh++;
    return slots->fresh <= slots->limit ? (uint16_t)slots->fresh++ : 0;
}

/* ---- the beginning and the end ---- */

/* One slot a device: of several, as no daemon leaves them, the others are as good as given back. */
static void keep_one_each(struct nns_slots *slots)
{
    uint32_t kept = 0;

    qsort(slots->reserved, slots->reserved_count, sizeof(*slots->reserved), by_device);
    for (uint32_t i = 0; i < slots->reserved_count; i++) {
        struct nns_slot_reserved next = slots->reserved[i];

        if (kept && compare_device(&slots->reserved[kept - 1], next.cookie, next.ifindex) == 0) {
            record(slots, next.slot, 0, 0);
            append(slots, next.slot);
        } else {
            slots->reserved[kept++] = next;
        }
    }
    slots->reserved_count = slots->reserved_left = kept;
}

/* 0 or -ENOMEM with nothing changed. */
static int read_records(struct nns_slots *slots)
{
    uint32_t count = 0;

    for (uint32_t slot = 1; slot <= slots->limit; slot++)
        count += is_reserved(&slots->holders[slot]);
    if (count && !(slots->reserved = malloc(count * sizeof(*slots->reserved))))
        return -ENOMEM;
    for (uint32_t slot = 1; slot <= slots->limit; slot++) {
        const struct nns_slot_holder *holder = &slots->holders[slot];

        if (is_reserved(holder))
            slots->reserved[slots->reserved_count++] = (struct nns_slot_reserved){
                .cookie = holder->cookie, .ifindex = holder->ifindex, .slot = (uint16_t)slot};
        else if (was_used(slots, slot))
            append(slots, (uint16_t)slot);
    }
    if (count)
        keep_one_each(slots);
    return 0;
}

int nns_slots_init(struct nns_slots *slots, uint32_t limit, struct nns_slot_holder *holders)
{
    struct nns_slots fresh = {.holders = holders, .limit = limit, .fresh = 1};
    int rc;

    if (limit == 0 || limit > UINT16_MAX)
        return -EINVAL;
    fresh.line = malloc(limit * sizeof(*fresh.line));
    if (!fresh.line)
        return -ENOMEM;
    rc = holders ? read_records(&fresh) : 0;
    if (rc) {
        free(fresh.line);
        return rc;
    }
    *slots = fresh;
    return 0;
}

void nns_slots_deinit(struct nns_slots *slots)
{
    free(slots->line);
    free(slots->reserved);
    *slots = (struct nns_slots){.fresh = 1};
}

/* ---- taking and giving ---- */

uint16_t nns_slots_take(struct nns_slots *slots, uint64_t cookie, uint32_t ifindex, enum nns_slot_past *past)
{
    uint16_t slot = take_reserved(slots, find_reserved(slots, cookie, ifindex));

    *past = NNS_SLOT_KEPT;
    if (!slot) {
        *past = NNS_SLOT_FRESH;
        slot = take_fresh(slots);
    }
    if (!slot) {
        *past = NNS_SLOT_USED;
        slot = take_first(slots);
    }
    if (!slot)
        slot = take_anothers(slots);
    if (!slot)
        return 0;
    record(slots, slot, cookie, ifindex);
    slots->held++;
    return slot;
}

void nns_slots_give(struct nns_slots *slots, uint16_t slot)
{
    if (!slot)
        return;
    assert(slot <= slots->limit && slots->held > 0 && slots->count < slots->limit);
    record(slots, slot, 0, 0);
    append(slots, slot);
    slots->held--;
}

void nns_slots_release_reserved(struct nns_slots *slots)
{
    slots->released = true;
}

/* The first one of a namespace, taken or not; reserved_count: there is none. */
static uint32_t first_of(const struct nns_slots *slots, uint64_t cookie)
{
    uint32_t low = 0, high = slots->reserved_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (slots->reserved[middle].cookie < cookie)
            low = middle + 1;
        else
            high = middle;
    }
    return low < slots->reserved_count && slots->reserved[low].cookie == cookie ? low : slots->reserved_count;
}

bool nns_slots_expect(const struct nns_slots *slots, uint64_t cookie)
{
    for (uint32_t i = first_of(slots, cookie); i < slots->reserved_count; i++) {
        if (slots->reserved[i].cookie != cookie)
            break;
        if (slots->reserved[i].slot)
            return true;
    }
    return false;
}

void nns_slots_dismiss(struct nns_slots *slots, uint64_t cookie)
{
    for (uint32_t i = first_of(slots, cookie); i < slots->reserved_count; i++) {
        uint16_t slot;

        if (slots->reserved[i].cookie != cookie)
            break;
        slot = take_reserved(slots, &slots->reserved[i]);
        if (!slot)
            continue;
        record(slots, slot, 0, 0);
        append(slots, slot);
    }
}

uint32_t nns_slots_in_use(const struct nns_slots *slots)
{
    return slots->held;
}

uint32_t nns_slots_reserved(const struct nns_slots *slots)
{
    return slots->reserved_left;
}

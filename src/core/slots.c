/* SPDX-License-Identifier: Apache-2.0 */
#include "core/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int nns_slots_init(struct nns_slots *slots, uint32_t limit)
{
    uint16_t *line;

    if (limit == 0 || limit > UINT16_MAX)
        return -EINVAL;
    line = malloc(limit * sizeof(*line));
    if (!line)
        return -ENOMEM;
    *slots = (struct nns_slots){.line = line, .limit = limit, .fresh = 1};
    return 0;
}

void nns_slots_deinit(struct nns_slots *slots)
{
    free(slots->line);
    *slots = (struct nns_slots){.fresh = 1};
}

uint16_t nns_slots_take(struct nns_slots *slots, bool *used)
{
    uint16_t slot;

    /* Slots never used come first: that keeps those given back out of use for as long as can be. */
    if (slots->fresh <= slots->limit) {
        *used = false;
        return (uint16_t)slots->fresh++;
    }
    if (!slots->count)
        return 0;
    slot = slots->line[slots->head];
    slots->head = (slots->head + 1) % slots->limit;
    slots->count--;
    *used = true;
    return slot;
}

void nns_slots_give(struct nns_slots *slots, uint16_t slot)
{
    if (!slot)
        return;
    assert(slot < slots->fresh && slots->count < slots->limit);
    slots->line[(slots->head + slots->count) % slots->limit] = slot;
    slots->count++;
}

uint32_t nns_slots_in_use(const struct nns_slots *slots)
{
    return slots->limit ? slots->fresh - 1 - slots->count : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/evicted.h"

enum { MISSES_OF_THE_DEAD = 2 };

static void drop(struct nns_evicted_set *set, struct nns_evicted *evicted)
{
    set->count -= evicted->cookie != 0;
    evicted->cookie = 0;
}

uint64_t nns_evicted_add(struct nns_evicted_set *set, uint64_t cookie, uint32_t inum)
{
    bool full = set->count == NNS_EVICTED_MAX;
    struct nns_evicted *place;
    uint64_t former;

    do {
        place = &set->items[set->next];
        set->next = (set->next + 1) % NNS_EVICTED_MAX;
    } while (place->cookie && !full);
    former = place->cookie;
    drop(set, place);
    *place = (struct nns_evicted){.cookie = cookie, .inum = inum};
    set->count++;
    return former;
}

void nns_evicted_forget(struct nns_evicted_set *set, uint64_t cookie, uint32_t inum)
{
    /* Most hosts never evict, and every new namespace comes by here. */
    for (size_t i = 0; i < NNS_EVICTED_MAX && set->count; i++)
        if (set->items[i].cookie == cookie || set->items[i].inum == inum)
            drop(set, &set->items[i]);
}

const struct nns_evicted *nns_evicted_find(const struct nns_evicted_set *set, uint64_t cookie, uint32_t inum)
{
    for (size_t i = 0; i < NNS_EVICTED_MAX && set->count; i++) {
        const struct nns_evicted *evicted = &set->items[i];

        if (evicted->cookie && (evicted->cookie == cookie || (inum && evicted->inum == inum)))
            return evicted;
    }
    return NULL;
}

void nns_evicted_seen(struct nns_evicted_set *set, struct nns_evicted *evicted, bool inhabited)
{
    evicted->missed = inhabited ? 0 : evicted->missed + 1;
    if (evicted->missed == MISSES_OF_THE_DEAD)
        drop(set, evicted);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/looks.h"

#include <stdlib.h>

static bool has(const struct nns_looks *looks, uint32_t ifindex)
{
    for (uint32_t i = 0; i < looks->count; i++)
        if (looks->ifindexes[i] == ifindex)
            return true;
    return false;
}

static struct nns_looks *grow(struct nns_looks *looks)
{
    uint32_t count = looks ? looks->count : 0, capacity = looks ? looks->capacity * 2 : NNS_LOOKS_MAX;
    struct nns_looks *grown = realloc(looks, sizeof(*grown) + capacity * sizeof(grown->ifindexes[0]));

    if (!grown)
        return NULL;
    grown->count = count;
    grown->capacity = capacity;
    return grown;
}

bool nns_looks_add(struct nns_looks **looks, uint32_t ifindex, uint32_t most)
{
    struct nns_looks *these = *looks;

    if (these && has(these, ifindex))
        return true;
    if (these && these->count >= most)
        return false;
    if (!these || these->count == these->capacity)
        these = grow(these);
    if (!these)
        return false;
    these->ifindexes[these->count++] = ifindex;
    *looks = these;
    return true;
}

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

bool nns_looks_add(struct nns_looks **looks, uint32_t ifindex)
{
    struct nns_looks *these = *looks ? *looks : calloc(1, sizeof(*these));

    if (!these)
        return false;
    *looks = these;
    if (has(these, ifindex))
        return true;
    if (these->count == NNS_LOOKS_MAX)
        return false;
    these->ifindexes[these->count++] = ifindex;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/links.h"

#include <stdlib.h>

#define CAPACITY_LEAST 8

struct nns_link *nns_links_append(struct nns_links *links)
{
    if (links->count == links->capacity) {
        size_t capacity = links->capacity ? links->capacity * 2 : CAPACITY_LEAST;
        struct nns_link *items = realloc(links->items, capacity * sizeof(*items));
        if (!items)
            return NULL;
        links->items = items;
        links->capacity = capacity;
    }
    return &links->items[links->count++];
}

static int by_ifindex(const void *a, const void *b)
{
    uint32_t x = ((const struct nns_link *)a)->ifindex, y = ((const struct nns_link *)b)->ifindex;
    return (x > y) - (x < y);
}

/* Newer kernels list by ifindex, older ones by hash bucket. */
void nns_links_sort(struct nns_links *links)
{
    for (size_t i = 1; i < links->count; i++) {
        if (links->items[i - 1].ifindex > links->items[i].ifindex) {
            qsort(links->items, links->count, sizeof(*links->items), by_ifindex);
            return;
        }
    }
}

struct nns_link *nns_links_find(const struct nns_links *links, uint32_t ifindex)
{
    const struct nns_link key = {.ifindex = ifindex};
    if (!links->count)
        return NULL;
    return bsearch(&key, links->items, links->count, sizeof(key), by_ifindex);
}

void nns_links_deinit(struct nns_links *links)
{
    free(links->items);
    *links = NNS_LINKS_NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_LINKS_H
#define NNS_CORE_LINKS_H

#include <stddef.h>
#include <stdint.h>

#include "core/device.h"

/* A listing of a namespace's devices, whoever made it. Pure; any thread with its own. */
struct nns_links {
    struct nns_link *items; /* sorted by ifindex, once it is complete */
    size_t count, capacity;
};

#define NNS_LINKS_NULL ((struct nns_links){NULL, 0, 0})

enum nns_links_answer {
    NNS_LINKS_ALL,
    NNS_LINKS_PART /* those in *links were there; of one that is missing in it nothing is known (I9) */
};

/* Room for one more at the end; its content is undefined. NULL without memory, with nothing changed. */
struct nns_link *nns_links_append(struct nns_links *links);

/* By ifindex. What is in order already is left as it is. */
void nns_links_sort(struct nns_links *links);

/* In a sorted list: NULL when it is not there. */
struct nns_link *nns_links_find(const struct nns_links *links, uint32_t ifindex);

void nns_links_deinit(struct nns_links *links);

#endif

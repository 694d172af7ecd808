/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_LOOKS_H
#define NNS_CORE_LOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/role.h"

/*
 * Which devices of a namespace news told of: so few that each is asked for alone, where a listing of the
 * namespace would show all. Owner thread only. Most namespaces have none, which is NULL.
 */
enum {
    NNS_LOOKS_MAX = 32,   /* as a rule, and as many as are asked for in one exchange */
    NNS_LOOKS_MOST = 1024 /* while a listing has to wait: then they are all that tells of new devices */
};

struct nns_looks {
    uint32_t count, capacity;
    uint32_t ifindexes[];
};

/* Add a device, once however often, to a set that is made with the first; free(3) it. False when it holds
 * `most` or memory is short: then only a listing tells of the device. */
bool nns_looks_add(struct nns_looks **looks, uint32_t ifindex, uint32_t most) NNS_OWNER_ONLY;

#endif

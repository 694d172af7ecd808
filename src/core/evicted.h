/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_EVICTED_H
#define NNS_CORE_EVICTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Namespaces given up to make room, or found while there was none, remembered so that they can be shown as
 * uncovered. When all places are taken the one written longest ago is forgotten. Zero-initialised is empty.
 * The owner thread's.
 */
#define NNS_EVICTED_MAX 1024

struct nns_evicted {
    uint64_t cookie; /* 0: free place */
    uint32_t inum;
    uint32_t missed; /* looks in a row that did not find it inhabited */
    bool offered;    /* there was room for it since: whoever finds it may have it saved */
};

struct nns_evicted_set {
    struct nns_evicted items[NNS_EVICTED_MAX];
    uint32_t next; /* where the search for a place begins */
    uint32_t count;
};

/* One that is not there. Returns the cookie of another that had to be forgotten for it, 0: none. */
uint64_t nns_evicted_add(struct nns_evicted_set *set, uint64_t cookie, uint32_t inum);

/* Forget whatever has this cookie or this inum: it is known again, or dead with its inum another's. */
void nns_evicted_forget(struct nns_evicted_set *set, uint64_t cookie, uint32_t inum);

/* One with this cookie, or, given an inum that is not 0, with that; NULL for none. */
const struct nns_evicted *nns_evicted_find(const struct nns_evicted_set *set, uint64_t cookie, uint32_t inum);

/* Was this one seen to be inhabited? The second look in a row that missed it forgets it. */
void nns_evicted_seen(struct nns_evicted_set *set, struct nns_evicted *evicted, bool inhabited);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_CLAIMS_H
#define NNS_CORE_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/batch.h"

/*
 * The table of claims: "I am opening this namespace".
 *
 * The first worker to claim an unknown namespace, by its cookie or, while only that is known, its inum, wins
 * and opens it; whoever comes while the claim stands leaves its request with it and goes on to other work
 * (nobody waits). When the claim ends, its requests are given back: settled with the winner's outcome, or, if
 * the winner's failure concerned its own pid only (it died), one of them becomes the next to try.
 *
 * One mutex, held for a few instructions and never across a system call (I2); only unknown namespaces come
 * here. The table's memory is bounded by the requests in flight, which are bounded by the queues before it.
 */
struct nns_claims;

/* One request: a place in a batch. */
struct nns_request {
    struct nns_batch *batch;
    uint32_t at; /* index in batch->results */
};

/* A list of requests given back by a claim; the receiver frees it with nns_request_list_free. */
struct nns_request_list {
    struct nns_request *items;
    size_t count;
};

struct nns_claims *nns_claims_new(void);
void nns_claims_free(struct nns_claims *claims); /* NULL is fine; must hold no claim */

enum nns_claim_answer {
    NNS_CLAIM_WON,   /* the caller opens the namespace and must end the claim */
    NNS_CLAIM_JOINED /* somebody else does; the request now belongs to the claim */
};

/* Claim a namespace for a request. An answer above, or -ENOMEM with nothing changed. Any thread. */
int nns_claims_take(struct nns_claims *claims, uint64_t key, struct nns_request request);

/* End a claim: *waiting gets every request that joined it (not the winner's own). Any thread, once per claim
 * won. */
void nns_claims_end(struct nns_claims *claims, uint64_t key, struct nns_request_list *waiting);

/* The winner's own pid failed: pass the claim on to one request that joined it. True: *next is to be tried
 * under the same, still standing claim. False: nobody was waiting, and the claim has ended. Any thread. */
bool nns_claims_pass(struct nns_claims *claims, uint64_t key, struct nns_request *next);

void nns_request_list_free(struct nns_request_list *list);

/* Claims that stand now. */
size_t nns_claims_count(struct nns_claims *claims);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_SETTLE_H
#define NNS_WORKERS_SETTLE_H

#include "core/claims.h"
#include "core/outcome.h"
#include "workers/completions.h"

/* What a request came to. error: positive errno, with NNS_OUTCOME_ERROR only. */
struct nns_answer {
    enum nns_outcome outcome;
    uint16_t error;
    uint64_t cookie;
    uint32_t inum;
};

/* The answer for a negative errno met on the way to a namespace: gone, denied, or the error itself. */
struct nns_answer nns_answer_for_error(int error);

/* Count what came of a namespace that nobody asked for. */
void nns_settle_unasked(const struct nns_answer *answer);

/* Write a request's result, count it, and hand the batch back when it was the last one. Worker or owner; once
 * a request. */
void nns_settle(struct nns_completions *completions, struct nns_request request,
                const struct nns_answer *answer);

/* The same for every request that waited on a claim; frees the list. */
void nns_settle_all(struct nns_completions *completions, struct nns_request_list *waiting,
                    const struct nns_answer *answer);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/settle.h"

#include <errno.h>

#include "core/counters.h"

static const enum nns_counter counter_of[NNS_OUTCOME_COUNT] = {
    [NNS_OUTCOME_NONE] = NNS_COUNT_SYNC_ERROR,        [NNS_OUTCOME_NEW] = NNS_COUNT_SYNC_NEW,
    [NNS_OUTCOME_KNOWN] = NNS_COUNT_SYNC_KNOWN,       [NNS_OUTCOME_GONE] = NNS_COUNT_SYNC_GONE,
    [NNS_OUTCOME_DENIED] = NNS_COUNT_SYNC_DENIED,     [NNS_OUTCOME_DISABLED] = NNS_COUNT_SYNC_DISABLED,
    [NNS_OUTCOME_EXCLUDED] = NNS_COUNT_SYNC_EXCLUDED, [NNS_OUTCOME_REFUSED] = NNS_COUNT_SYNC_REFUSED,
    [NNS_OUTCOME_ERROR] = NNS_COUNT_SYNC_ERROR,
};

struct nns_answer nns_answer_for_error(int error)
{
    switch (error) {
    case -ESRCH:
        return (struct nns_answer){.outcome = NNS_OUTCOME_GONE};
    case -EACCES:
    case -EPERM:
        return (struct nns_answer){.outcome = NNS_OUTCOME_DENIED};
    default:
        return (struct nns_answer){.outcome = NNS_OUTCOME_ERROR, .error = (uint16_t)-error};
    }
}

void nns_settle_unasked(const struct nns_answer *answer)
{
    nns_count(counter_of[answer->outcome], 1);
}

void nns_settle(struct nns_completions *completions, struct nns_request request,
                const struct nns_answer *answer)
{
    struct nns_result *result = &request.batch->results[request.at];

    result->outcome = (uint8_t)answer->outcome;
    result->error = answer->error;
    result->cookie = answer->cookie;
    result->inum = answer->inum;
    nns_count(counter_of[answer->outcome], 1);
    if (nns_batch_settle(request.batch))
        nns_completions_add_batch(completions, request.batch);
}

void nns_settle_all(struct nns_completions *completions, struct nns_request_list *waiting,
                    const struct nns_answer *answer)
{
    for (size_t i = 0; i < waiting->count; i++)
        nns_settle(completions, waiting->items[i], answer);
    nns_request_list_free(waiting);
}

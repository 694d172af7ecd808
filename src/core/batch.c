/* SPDX-License-Identifier: Apache-2.0 */
#include "core/batch.h"

#include <stdlib.h>

struct nns_batch *nns_batch_new(uint32_t capacity)
{
    struct nns_batch *batch = malloc(sizeof(*batch) + capacity * sizeof(batch->results[0]));

    if (!batch)
        return NULL;
    batch->next = NULL;
    batch->job = NULL;
    batch->found = false;
    batch->first = 0;
    batch->count = 0;
    atomic_init(&batch->unsettled, 0);
    return batch;
}

void nns_batch_add(struct nns_batch *batch, uint32_t pid)
{
    batch->results[batch->count++] = (struct nns_result){.pid = pid};
    atomic_store_explicit(&batch->unsettled, batch->count, memory_order_relaxed);
}

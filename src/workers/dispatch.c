/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/dispatch.h"

void nns_dispatch_init(struct nns_dispatch *dispatch, struct nns_pool *pool)
{
    dispatch->pool = pool;
    dispatch->first = NULL;
    dispatch->last = &dispatch->first;
    dispatch->outstanding = 0;
}

void nns_dispatch_add(struct nns_dispatch *dispatch, struct nns_batch *batch)
{
    dispatch->outstanding++;
    if (!dispatch->first && nns_pool_submit(dispatch->pool, batch))
        return;
    batch->next = NULL;
    *dispatch->last = batch;
    dispatch->last = &batch->next;
}

void nns_dispatch_room(struct nns_dispatch *dispatch)
{
    while (dispatch->first) {
        struct nns_batch *batch = dispatch->first, *next = batch->next;

        if (!nns_pool_submit(dispatch->pool, batch)) {
            batch->next = next;
            return;
        }
        dispatch->first = next;
        if (!next)
            dispatch->last = &dispatch->first;
    }
}

bool nns_dispatch_clear(const struct nns_dispatch *dispatch)
{
    return !dispatch->first;
}

void nns_dispatch_settled(struct nns_dispatch *dispatch)
{
    dispatch->outstanding--;
}

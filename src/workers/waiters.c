/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/waiters.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/dequeue.h"

NNS_OWNER_ONLY static void count_down(struct nns_owner *owner, struct nns_order *order)
{
    if (--order->cookies_open == 0)
        nns_completions_add_order(owner->context.completions, order);
}

NNS_OWNER_ONLY static int add_one(struct nns_owner *owner, struct nns_order *order, uint64_t cookie)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, cookie);
    struct nns_waiter *waiter;

    if (!ns)
        return -ESTALE;
    waiter = malloc(sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    *waiter = (struct nns_waiter){.next = ns->waiters, .order = order};
    ns->waiters = waiter;
    order->cookies_open++;
    nns_look_again(owner, ns, NNS_LOOK_EVERYWHERE);
    return 0;
}

void nns_waiters_add(struct nns_owner *owner, struct nns_order *order)
{
    /* One more than there are, so that it cannot be answered before all are in. */
    order->cookies_open = 1;
    for (size_t i = 0; i < order->cookie_count && !order->error; i++)
        order->error = add_one(owner, order, order->cookies[i]);
    count_down(owner, order);
}

void nns_waiters_tell(struct nns_owner *owner, struct nns_namespace *ns, int error)
{
    while (ns->waiters) {
        struct nns_waiter *waiter = ns->waiters;

        ns->waiters = waiter->next;
        if (error)
            waiter->order->error = error;
        count_down(owner, waiter->order);
        free(waiter);
    }
}

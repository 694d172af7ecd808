/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/waiters.h"

#include <errno.h>
#include <stdlib.h>

NNS_OWNER_ONLY static void count_down(struct nns_owner *owner, struct nns_order *order)
{
    if (--order->cookies_open == 0)
        nns_completions_add_order(owner->context.completions, order);
}

/* Everything is looked at again: devices that came since, filters that went, retries that were given up. */
NNS_OWNER_ONLY static void start_over(struct nns_owner *owner, struct nns_namespace *ns)
{
    ns->relist = true;
    ns->verify = true;
    ns->tries = 0;
    for (uint32_t i = 0; i < ns->devices.count; i++)
        ns->devices.items[i].tries = 0;
    nns_due_add(&owner->due, ns, 0);
}

NNS_OWNER_ONLY static int add_one(struct nns_owner *owner, struct nns_order *order, uint64_t cookie)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, cookie);
    struct nns_waiter *waiter;

    if (!ns)
        return 0;
    waiter = malloc(sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    *waiter = (struct nns_waiter){.next = ns->waiters, .order = order};
    ns->waiters = waiter;
    order->cookies_open++;
    start_over(owner, ns);
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

void nns_waiters_tell(struct nns_owner *owner, struct nns_namespace *ns)
{
    while (ns->waiters) {
        struct nns_waiter *waiter = ns->waiters;

        ns->waiters = waiter->next;
        count_down(owner, waiter->order);
        free(waiter);
    }
}

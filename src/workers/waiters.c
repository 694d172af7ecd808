/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/waiters.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/look.h"

/* What passes by itself has passed within that time as a rule: retries of a visit, or of a device the kernel
 * did not answer for, come after 50 ms, 100, 200… Whoever starts a container is not kept longer by what does
 * not. */
enum { PATIENCE_MS = 2000 };

NNS_OWNER_ONLY static void count_down(struct nns_owner *owner, struct nns_order *order, int error)
{
    if (!order->error)
        order->error = error;
    if (--order->cookies_open == 0)
        nns_completions_add_order(owner->context.completions, order);
}

NNS_OWNER_ONLY static int add_one(struct nns_owner *owner, struct nns_order *order, uint64_t cookie)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, cookie);
    struct nns_waiter *waiter;

    if (!ns)
        return NNS_WAIT_FORGOTTEN;
    waiter = malloc(sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    *waiter = (struct nns_waiter){.next = ns->waiters, .order = order};
    ns->waiters = waiter;
    nns_look_again(owner, ns, NNS_LOOK_EVERYWHERE);
    return 0;
}

void nns_waiters_add(struct nns_owner *owner, struct nns_order *order)
{
    /* One more than there are, so that it cannot be answered before all are in. */
    order->cookies_open = order->cookie_count + 1;
    for (size_t i = 0; i < order->cookie_count; i++) {
        int error = add_one(owner, order, order->cookies[i]);

        if (error)
            count_down(owner, order, error);
    }
    count_down(owner, order, 0);
}

/* That the kernel gave no answer is no reason (I9). */
static bool has_reason(const struct nns_attachment *hook)
{
    return hook->reason != NNS_REASON_NONE && hook->reason != NNS_REASON_UNKNOWN;
}

static bool is_settled(const struct nns_device *device)
{
    if (device->state == NNS_DEVICE_EXCLUDED || nns_device_covers(device))
        return true;
    if (device->state != NNS_DEVICE_FAILED)
        return false;
    for (unsigned set = 0; set < NNS_SETS_MAX; set++) {
        for (int i = 0; i < NNS_HOOKS; i++) {
            const struct nns_attachment *hook = &device->attachments[set][i];

            if (!nns_attachment_covers(hook) && !has_reason(hook))
                return false;
        }
    }
    return true;
}

static bool all_settled(const struct nns_namespace *ns)
{
    for (uint32_t i = 0; i < ns->devices.count; i++)
        if (!is_settled(&ns->devices.items[i]))
            return false;
    return true;
}

static bool has_patience(struct nns_waiter *waiter, const struct nns_namespace *ns)
{
    if (!waiter->until_ms)
        waiter->until_ms = nns_now_ms() + PATIENCE_MS;
    return ns->due_slot >= 0 && ns->due_ms <= waiter->until_ms;
}

void nns_waiters_visited(struct nns_owner *owner, struct nns_namespace *ns, int error)
{
    struct nns_waiter *waiter, **link = &ns->waiters;

    if (ns->waiters && !error && !all_settled(ns))
        error = NNS_WAIT_UNANSWERED;
    while ((waiter = *link)) {
        if (error && has_patience(waiter, ns)) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        count_down(owner, waiter->order, error);
        free(waiter);
    }
}

void nns_waiters_tell(struct nns_owner *owner, struct nns_namespace *ns, int error)
{
    while (ns->waiters) {
        struct nns_waiter *waiter = ns->waiters;

        ns->waiters = waiter->next;
        count_down(owner, waiter->order, error);
        free(waiter);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/told.h"

NNS_OWNER_ONLY static bool is_missed(const struct nns_owner *owner, uint64_t cookie)
{
    const struct nns_evicted *missed = nns_evicted_find(&owner->evicted, cookie, 0);

    return missed && !missed->offered;
}

NNS_OWNER_ONLY static bool is_known(const struct nns_owner *owner, uint64_t cookie)
{
    const struct nns_namespace *ns = nns_cache_peek(owner->context.cache, cookie);

    if (ns)
        return !nns_is_astray(ns);
    return nns_exclusions_have(owner->context.exclusions, cookie) || is_missed(owner, cookie);
}

void nns_tell_tasks(struct nns_owner *owner, uint64_t cookie)
{
    if (is_known(owner, cookie))
        nns_trace_know(owner->context.trace, cookie);
    else
        nns_trace_forget(owner->context.trace, cookie);
}

void nns_tell_exclusion(void *context, uint64_t cookie)
{
    struct nns_owner *owner = context;

    if (nns_exclusions_have(owner->context.exclusions, cookie))
        nns_trace_cover(owner->context.trace, cookie, NNS_TRACE_ALL_DEVICES);
    else
        nns_trace_uncover(owner->context.trace, cookie, NNS_TRACE_ALL_DEVICES);
    nns_tell_tasks(owner, cookie);
}

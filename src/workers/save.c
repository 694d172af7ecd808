/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/save.h"

#include <errno.h>

#include "core/counters.h"
#include "workers/handle.h"
#include "workers/news.h"
#include "workers/room.h"
#include "workers/told.h"

NNS_OWNER_ONLY static int add_entry(struct nns_owner *owner, struct nns_netns_id id,
                                    struct nns_namespace **out)
{
    struct nns_cache_stats stats;
    struct nns_namespace *ns;
    int rc = nns_room_make(owner);

    if (rc)
        return rc;
    nns_cache_stats(owner->context.cache, &stats);
    rc = nns_due_reserve(&owner->due, stats.entries + 1);
    if (!rc)
        rc = nns_cache_insert(owner->context.cache, id.cookie, id.inum, &ns);
    if (rc)
        return rc;
    ns->host = id.inum == nns_netns_own().inum;
    *out = ns;
    return 0;
}

/* A new entry stays: what happens there is no news from here on to whoever tells of tasks. */
NNS_OWNER_ONLY static void welcome(struct nns_owner *owner, const struct nns_namespace *ns)
{
    const struct nns_netns_id id = {.cookie = nns_namespace_cookie(ns), .inum = nns_namespace_inum(ns)};

    nns_room_found(owner, id);
    nns_tell_tasks(owner, id.cookie);
    nns_strangers_found(&owner->strangers, id.cookie);
    nns_count(NNS_COUNT_NAMESPACES_ADDED, 1);
    nns_news_namespace(owner, ns, NNS_NEWS_NAMESPACE_NEW);
}

int nns_save_opened(struct nns_owner *owner, struct nns_netns_id id, int fd, struct nns_place *place,
                    struct nns_namespace **out)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, id.cookie);
    bool known = ns != NULL;
    int rc;

    if (!owner->context.params->network_enabled || !id.cookie || !id.inum)
        return NNS_SAVED_NOTHING;
    if (known && ns->handle.kind != NNS_HANDLE_NONE) {
        *out = ns;
        return NNS_SAVED_KNOWN;
    }
    rc = known ? 0 : add_entry(owner, id, &ns);
    if (rc)
        return rc;
    rc = nns_handle_give(owner, ns, fd, place);
    if (rc) {
        if (!known)
            nns_cache_remove(owner->context.cache, ns);
        return rc;
    }
    ns->lonely_ms = 0;
    ns->doomed = false;
    if (!known)
        welcome(owner, ns);
    *out = ns;
    return known ? NNS_SAVED_FOUND : NNS_SAVED_NEW;
}

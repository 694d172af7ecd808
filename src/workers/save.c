/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/counters.h"
#include "workers/handle.h"
#include "workers/news.h"
#include "workers/room.h"

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
    nns_room_found(owner, id);
    nns_trace_know(owner->context.trace, id.cookie);
    ns->host = id.inum == nns_netns_own().inum;
    nns_strangers_found(&owner->strangers, id.cookie);
    nns_count(NNS_COUNT_NAMESPACES_ADDED, 1);
    *out = ns;
    return 0;
}

int nns_save_unopened(struct nns_owner *owner, struct nns_netns_id id, struct nns_namespace **out)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, id.cookie);
    bool known = ns != NULL;
    int rc = known ? 0 : add_entry(owner, id, &ns);

    if (rc)
        return rc;
    if (!known)
        nns_news_namespace(owner, ns, NNS_NEWS_NAMESPACE_NEW);
    *out = ns;
    return 0;
}

int nns_save_opened(struct nns_owner *owner, struct nns_netns_id id, int fd, struct nns_place *place,
                    struct nns_namespace **out)
{
    struct nns_namespace *ns = nns_cache_find(owner->context.cache, id.cookie);
    bool known = ns != NULL;
    bool astray = known && nns_is_astray(ns);
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
        nns_news_namespace(owner, ns, NNS_NEWS_NAMESPACE_NEW);
    *out = ns;
    if (known)
        return astray ? NNS_SAVED_FOUND : NNS_SAVED_HANDLE;
    return NNS_SAVED_NEW;
}

/* Open a path and make sure it is the namespace we were told. An fd or -errno. */
static int open_verified(struct nns_netns_id id, const char *path)
{
    struct nns_netns_id found;
    int fd = nns_netns_open_path(path);
    int rc;

    if (fd < 0)
        return fd;
    rc = nns_netns_identify_fully(fd, &found);
    if (!rc && (found.inum != id.inum || found.cookie != id.cookie))
        rc = -ESTALE;
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

int nns_save_handle_lazy(struct nns_owner *owner, struct nns_netns_id id, const char *(*path)(void *context),
                         void *context, struct nns_namespace **out)
{
    struct nns_place place = NNS_PLACE_NULL;
    struct nns_namespace *ns;
    const char *where;
    int fd, saved;

    if (!owner->context.params->network_enabled || !id.cookie || !id.inum)
        return NNS_SAVED_NOTHING;
    ns = nns_cache_find(owner->context.cache, id.cookie);
    if (ns && ns->handle.kind != NNS_HANDLE_NONE) {
        *out = ns;
        return NNS_SAVED_KNOWN;
    }
    where = path(context);
    if (!where || !*where)
        return NNS_SAVED_NOTHING;
    fd = open_verified(id, where);
    if (fd < 0)
        return fd;
    place.path = strdup(where);
    saved = place.path ? nns_save_opened(owner, id, fd, &place, out) : -ENOMEM;
    if (saved == NNS_SAVED_NEW || saved == NNS_SAVED_HANDLE || saved == NNS_SAVED_FOUND)
        nns_handle_done(*out);
    else
        close(fd);
    free(place.path);
    return saved;
}

static const char *ready_path(void *context)
{
    return context;
}

int nns_save_handle(struct nns_owner *owner, struct nns_netns_id id, const char *path,
                    struct nns_namespace **out)
{
    return nns_save_handle_lazy(owner, id, ready_path, (void *)path, out);
}

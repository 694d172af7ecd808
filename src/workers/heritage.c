/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/heritage.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "io/links.h"

/* ---- in one namespace ---- */

/* Filters stand in a clsact or ingress only. */
static bool any_has_a_qdisc(const struct nns_links *links)
{
    for (size_t i = 0; i < links->count; i++)
        if (links->items[i].qdisc != NNS_QDISC_NONE)
            return true;
    return false;
}

bool nns_heritage_in(struct nns_owner *owner, int fd, uint64_t cookie)
{
    struct nns_links links = NNS_LINKS_NULL;
    int socket, rc;
    bool may_be;

    if (nns_slots_expect(&owner->slots, cookie))
        return true;
    socket = nns_netns_enter(fd, 1);
    if (socket < 0)
        return true;
    rc = nns_links_list(socket, &links);
    nns_netns_leave(socket);
    may_be = rc || any_has_a_qdisc(&links);
    nns_links_deinit(&links);
    return may_be;
}

/* ---- anywhere ---- */

struct search {
    const struct nns_slots *slots;
    int error; /* why not all was seen */
};

/* 1 when slots are reserved for what is open there, else 0 or -errno. */
static int look_at(const struct search *search, int fd)
{
    struct nns_netns_id id;
    int rc = nns_netns_identify_fully(fd, &id);

    return rc ? rc : nns_slots_expect(search->slots, id.cookie);
}

/* The first one found ends the walk. A path that leads nowhere any more is no failure. */
static int look_for(const char *path, uint32_t inum, void *context)
{
    struct search *search = context;
    int fd = nns_netns_open_path(path), rc = fd < 0 ? fd : look_at(search, fd);

    if (fd >= 0)
        close(fd);
    if (rc >= 0)
        return rc;
    if (rc == -ENOENT || rc == -ESRCH || rc == -EINVAL)
        return -ENOENT;
    search->error = rc;
    return 0;
}

bool nns_heritage_remains(struct nns_owner *owner)
{
    struct search search = {.slots = &owner->slots};
    int rc;

    if (!nns_slots_reserved(&owner->slots))
        return false;
    rc = nns_proc_each_namespace(look_for, &search);
    rc = rc ? rc : search.error;
    if (rc < 0)
        nns_warning("cannot see all namespaces: %s", strerrordesc_np(-rc));
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/heritage.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "io/links.h"

/* ---- in one namespace ---- */

static bool any_has(const struct nns_links *links, enum nns_qdisc qdisc)
{
    for (size_t i = 0; i < links->count; i++)
        if (links->items[i].qdisc == qdisc)
            return true;
    return false;
}

enum sight { NOTHING, NOTHING_SEEN, SOMETHING };

/* Filters stand in a clsact or ingress only. A device that was never up shows no qdisc at all; nor does one
 * that the kernel passed over in its list. */
static enum sight look_once(int socket)
{
    struct nns_links links = NNS_LINKS_NULL;
    enum sight sight = NOTHING;

    if (nns_links_list(socket, &links) != NNS_LINKS_ALL || any_has(&links, NNS_QDISC_CLSACT) ||
        any_has(&links, NNS_QDISC_INGRESS) || any_has(&links, NNS_QDISC_UNKNOWN))
        sight = SOMETHING;
    else if (any_has(&links, NNS_QDISC_PRESUMED_NONE))
        sight = NOTHING_SEEN;
    nns_links_deinit(&links);
    return sight;
}

/* To be passed over twice, devices would have to go at the same moment each time. */
static bool may_hold_filters(int socket)
{
    enum sight sight = look_once(socket);

    if (sight == NOTHING_SEEN)
        sight = look_once(socket);
    return sight == SOMETHING;
}

bool nns_heritage_in(struct nns_owner *owner, int fd, uint64_t cookie)
{
    bool may_be;
    int socket;

    if (nns_slots_expect(&owner->slots, cookie))
        return true;
    socket = nns_netns_enter(fd, 1);
    if (socket < 0)
        return true;
    may_be = may_hold_filters(socket);
    nns_netns_leave(socket);
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

/* The first one found ends the walk. A path that leads elsewhere, or nowhere any more, is no failure: another
 * may lead there. One through a file system that does not answer cannot be waited for (I2). */
static int look_for(const char *path, uint32_t inum, void *context)
{
    struct search *search = context;
    int fd = nns_netns_open_meant_now(path, inum), rc = fd < 0 ? fd : look_at(search, fd);

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

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/handle.h"

#include <errno.h>
#include <unistd.h>

NNS_OWNER_ONLY static int pin(struct nns_owner *owner, struct nns_namespace *ns, int fd)
{
    /* The inum may be trusted from here on: the fd keeps it from being reused. */
    int rc = nns_cache_trust_inum(owner->context.cache, ns);

    if (rc)
        return rc;
    ns->handle = (struct nns_handle){.kind = NNS_HANDLE_PINNED, .fd = fd};
    owner->pinned++;
    return 0;
}

int nns_handle_give(struct nns_owner *owner, struct nns_namespace *ns, int fd)
{
    if (!owner->context.weak)
        return pin(owner, ns, fd);
    ns->handle = (struct nns_handle){.kind = NNS_HANDLE_WEAK, .fd = fd};
    return 0;
}

NNS_OWNER_ONLY static int reopen(struct nns_namespace *ns)
{
    const struct nns_netns_id id = {.cookie = nns_namespace_cookie(ns), .inum = nns_namespace_inum(ns)};
    int fd = nns_netns_open_id(id);

    if (fd >= 0)
        ns->handle.fd = fd;
    return fd;
}

void nns_handle_done(struct nns_namespace *ns)
{
    if (ns->handle.kind != NNS_HANDLE_WEAK || ns->handle.fd < 0)
        return;
    close(ns->handle.fd);
    ns->handle.fd = -1;
}

int nns_handle_enter(struct nns_namespace *ns, unsigned answers)
{
    int fd = ns->handle.fd, socket;

    if (ns->handle.kind == NNS_HANDLE_NONE)
        return -ENOENT;
    if (fd < 0)
        fd = reopen(ns);
    socket = fd < 0 ? fd : nns_netns_enter(fd, answers);
    if (socket < 0)
        nns_handle_done(ns);
    return socket;
}

void nns_handle_leave(struct nns_owner *owner, struct nns_namespace *ns, int socket)
{
    if (owner->moving_on)
        nns_netns_move_on(socket);
    else
        nns_netns_leave(socket);
    nns_handle_done(ns);
}

void nns_handle_drop(struct nns_owner *owner, struct nns_namespace *ns)
{
    struct nns_handle handle = ns->handle;

    ns->handle = NNS_HANDLE_NULL;
    if (handle.kind == NNS_HANDLE_PINNED) {
        nns_cache_distrust_inum(owner->context.cache, ns);
        owner->pinned--;
    }
    if (handle.fd >= 0)
        close(handle.fd);
}

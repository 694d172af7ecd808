/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/counters.h"
#include "workers/astray.h"

/* ---- giving ---- */

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

static void empty(struct nns_place *place)
{
    free(place->path);
    *place = NNS_PLACE_NULL;
}

int nns_handle_give(struct nns_owner *owner, struct nns_namespace *ns, int fd, struct nns_place *place)
{
    int rc = nns_weak(owner->context.way) ? 0 : pin(owner, ns, fd);

    if (rc)
        return rc;
    if (nns_weak(owner->context.way))
        ns->handle = (struct nns_handle){.kind = NNS_HANDLE_WEAK, .fd = fd};
    if (owner->context.way == NNS_HANDLES_BY_MEMBER) {
        /* We are in the host's own ourselves, for as long as it is of any use. */
        if (ns->host) {
            empty(place);
            place->pid = (uint32_t)getpid();
        }
        ns->handle.place = *place;
        *place = NNS_PLACE_NULL;
        nns_astray_found(owner, ns);
    }
    empty(place);
    return 0;
}

/* ---- entering ---- */

/* What says that the way is barred or a dead end, and nothing of our own state. EAGAIN is one of these: a
 * file system would have to be asked, for which a worker may wait, and the owner not (I2). */
static bool leads_elsewhere(int error)
{
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EINTR:
        return false;
    default:
        return true;
    }
}

static int open_place(const struct nns_place *place)
{
    enum nns_netns_way way;

    return place->pid ? nns_netns_open_pid(place->pid, &way) : nns_netns_open_path_now(place->path);
}

/* An fd on what a place leads to, if that is the namespace as far as the fd tells: cookie, else inum. -ENOENT
 * when it is not; a refusal is that too, as another place may do. */
static int open_member(const struct nns_namespace *ns)
{
    int fd = open_place(&ns->handle.place);
    struct nns_netns_id id;
    int rc = fd < 0 ? fd : nns_netns_identify(fd, &id);

    if (!rc && (id.inum != nns_namespace_inum(ns) || (id.cookie && id.cookie != nns_namespace_cookie(ns))))
        rc = -ENOENT;
    if (!rc)
        return fd;
    if (fd >= 0)
        close(fd);
    return leads_elsewhere(rc) ? -ENOENT : rc;
}

NNS_OWNER_ONLY static int reopen(struct nns_owner *owner, struct nns_namespace *ns)
{
    const struct nns_netns_id id = {.cookie = nns_namespace_cookie(ns), .inum = nns_namespace_inum(ns)};
    int fd = owner->context.way == NNS_HANDLES_BY_ID ? nns_netns_open_id(id) : open_member(ns);

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

/* An fd may not have told its cookie: the socket that was opened inside does, before anything is sent (I5).
 */
NNS_OWNER_ONLY static int verify_inside(struct nns_owner *owner, const struct nns_namespace *ns, int socket)
{
    uint64_t cookie;
    int rc;

    if (owner->context.way != NNS_HANDLES_BY_MEMBER)
        return 0;
    rc = nns_netns_socket_cookie(socket, &cookie);
    if (!rc && cookie != nns_namespace_cookie(ns))
        rc = -ENOENT;
    if (rc)
        nns_netns_leave(socket);
    return rc;
}

NNS_OWNER_ONLY static int enter(struct nns_owner *owner, struct nns_namespace *ns, unsigned answers)
{
    int fd = ns->handle.fd >= 0 ? ns->handle.fd : reopen(owner, ns);
    int socket = fd < 0 ? fd : nns_netns_enter(fd, answers);
    int rc = socket < 0 ? socket : verify_inside(owner, ns, socket);

    return rc ? rc : socket;
}

/* The place leads there no more. */
NNS_OWNER_ONLY static void lose(struct nns_owner *owner, struct nns_namespace *ns)
{
    nns_handle_done(ns);
    empty(&ns->handle.place);
    ns->handle = NNS_HANDLE_NULL;
    nns_astray_begin(owner, ns);
}

int nns_handle_enter(struct nns_owner *owner, struct nns_namespace *ns, unsigned answers)
{
    int socket;

    if (ns->handle.kind == NNS_HANDLE_NONE)
        return -ENOENT;
    socket = enter(owner, ns, answers);
    if (socket < 0)
        nns_handle_done(ns);
    if (socket == -ENOENT && owner->context.way == NNS_HANDLES_BY_MEMBER)
        lose(owner, ns);
    return socket;
}

void nns_handle_check(struct nns_owner *owner, struct nns_namespace *ns)
{
    uint64_t cookie;
    int fd, rc;

    if (ns->handle.kind != NNS_HANDLE_WEAK || owner->context.way != NNS_HANDLES_BY_MEMBER)
        return;
    fd = reopen(owner, ns);
    rc = fd < 0 ? fd : 0;
    if (!rc && !owner->context.abilities->ns_get_id)
        rc = nns_netns_cookie(fd, &cookie) == 0 && cookie != nns_namespace_cookie(ns) ? -ENOENT : 0;
    nns_handle_done(ns);
    if (rc == -ENOENT)
        lose(owner, ns);
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
    empty(&handle.place);
    nns_astray_forget(owner, ns);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_HANDLE_H
#define NNS_WORKERS_HANDLE_H

#include "workers/owner_state.h"

/*
 * How the owner gets back into a namespace (I3, I4). All on the owner thread.
 *
 * A weak handle pins nothing: the namespace is opened for each piece of work and closed after it, by its
 * identity, or else by a place that led there when it was last seen: a process, a mount. What a place leads
 * to is verified by its cookie (I5). When it leads there no more the entry loses its handle and is *astray*
 * (workers/astray.h). Where the kernel has neither the handle is an fd that stays open.
 */

/* Give an entry its handle from an fd on it, which is the handle's from here on: kept by a pinned one, by a
 * weak one until nns_handle_done. So is the place, which is then empty; only a handle by member needs one. 0,
 * or -errno with both still the caller's. */
int nns_handle_give(struct nns_owner *owner, struct nns_namespace *ns, int fd,
                    struct nns_place *place) NNS_OWNER_ONLY;

/* Go in for a piece of work, as nns_netns_enter does; nns_handle_leave ends it. -ENOENT when there is no
 * handle, or none any more; -ESTALE when the namespace is dead for certain; another -errno when that is not
 * known. */
int nns_handle_enter(struct nns_owner *owner, struct nns_namespace *ns, unsigned answers) NNS_OWNER_ONLY;
void nns_handle_leave(struct nns_owner *owner, struct nns_namespace *ns, int socket) NNS_OWNER_ONLY;

/* Look whether a handle still leads there; one that does not is lost, as when entering. */
void nns_handle_check(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* The fd that a weak handle may still have from being given is not needed any more. */
void nns_handle_done(struct nns_namespace *ns) NNS_OWNER_ONLY;

/* Take the handle away: a reader does not trust the inum any more, then the pin is let go (I5). */
void nns_handle_drop(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_HANDLE_H
#define NNS_WORKERS_HANDLE_H

#include "workers/owner_state.h"

/*
 * How the owner gets back into a namespace (I3, I4). All on the owner thread.
 *
 * A weak handle pins nothing: the namespace is opened by its identity for each piece of work and closed after
 * it. Where the kernel has no such thing the handle is an fd that stays open.
 */

/* Give an entry its handle from an fd on it, which is the handle's from here on: kept by a pinned one, by a
 * weak one until nns_handle_done. 0, or -errno with the fd still the caller's. */
int nns_handle_give(struct nns_owner *owner, struct nns_namespace *ns, int fd) NNS_OWNER_ONLY;

/* Go in for a piece of work, as nns_netns_enter does; nns_handle_leave ends it. -ENOENT when there is no
 * handle; -ESTALE when the namespace is dead for certain; another -errno when that is not known. */
int nns_handle_enter(struct nns_namespace *ns, unsigned answers) NNS_OWNER_ONLY;
void nns_handle_leave(struct nns_owner *owner, struct nns_namespace *ns, int socket) NNS_OWNER_ONLY;

/* The fd that a weak handle may still have from being given is not needed any more. */
void nns_handle_done(struct nns_namespace *ns) NNS_OWNER_ONLY;

/* Take the handle away: a reader does not trust the inum any more, then the pin is let go (I5). */
void nns_handle_drop(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

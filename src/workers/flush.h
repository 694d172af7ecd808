/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_FLUSH_H
#define NNS_WORKERS_FLUSH_H

#include "workers/owner_state.h"

/* Forgetting namespaces. All on the owner thread. */
enum nns_flush_reason {
    NNS_FLUSH_EVICTED,  /* room was needed; remembered as uncovered */
    NNS_FLUSH_LONELY,   /* no process and no mount was left */
    NNS_FLUSH_EXCLUDED, /* exclude.namespaces names it */
    NNS_FLUSH_DEAD,     /* the kernel says that it is no more: nothing can be left there */
    NNS_FLUSH_ORDERED,  /* an operator asked for it */
    NNS_FLUSH_CLOSED    /* the daemon ends; with keep_attached the filters stay */
};

/*
 * Remove our filters, give the slots back, take the entry out of the cache and let its handle go; the pointer
 * is dead afterwards. 0, or -EBUSY when a filter could not be removed, which is counted and logged. An
 * operator who ordered it is to be told: the namespace then stays, and is covered again. In the other cases
 * it has to go all the same.
 */
int nns_flush(struct nns_owner *owner, struct nns_namespace *ns, enum nns_flush_reason reason) NNS_OWNER_ONLY;

/* Is nothing of ours left on any of its devices, as far as we know? */
bool nns_is_bare(const struct nns_namespace *ns) NNS_OWNER_ONLY;

/* Take our filters off devices that exclude.devices has come to name, over a socket inside their namespace;
 * what stays is tried again later. 0 or -ENOMEM. */
int nns_detach_excluded(struct nns_owner *owner, struct nns_namespace *ns, int socket) NNS_OWNER_ONLY;

/* All of them. 0, or -EBUSY as above. */
int nns_flush_all(struct nns_owner *owner, enum nns_flush_reason reason) NNS_OWNER_ONLY;

#endif

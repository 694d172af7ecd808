/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_FLUSH_H
#define NNS_WORKERS_FLUSH_H

#include "workers/owner_state.h"

/* Forgetting namespaces. All on the owner thread. */
enum nns_flush_reason {
    NNS_FLUSH_EVICTED, /* room was needed; remembered as uncovered */
    NNS_FLUSH_LONELY,  /* no process and no mount was left */
    NNS_FLUSH_ORDERED, /* an operator asked for it */
    NNS_FLUSH_CLOSED   /* the daemon ends; with keep_attached the filters stay */
};

/* Remove our filters, give the slots back, take the entry out of the cache and let its handle go. The pointer
 * is dead afterwards. A filter that cannot be removed is counted and logged; the namespace is forgotten all
 * the same. */
void nns_flush(struct nns_owner *owner, struct nns_namespace *ns,
               enum nns_flush_reason reason) NNS_OWNER_ONLY;

/* Take our filters off devices that exclude.devices has come to name, over a socket inside their namespace.
 */
void nns_detach_excluded(struct nns_owner *owner, struct nns_namespace *ns, int socket) NNS_OWNER_ONLY;

/* Close: purge the whole cache. */
void nns_flush_all(struct nns_owner *owner, enum nns_flush_reason reason) NNS_OWNER_ONLY;

#endif

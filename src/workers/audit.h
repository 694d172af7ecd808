/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_AUDIT_H
#define NNS_WORKERS_AUDIT_H

#include "workers/owner_state.h"

/*
 * What no event told. All on the owner thread.
 *
 * Every audit.interval each namespace is visited and its devices are checked against the kernel, a part of
 * the namespaces at a time: a filter that somebody took off goes back, a namespace that died is forgotten.
 * Those that requests have found since the last part are listed again as well. With discovery, workers look
 * at all tasks and mounts once an interval, whether any namespace is known or none.
 */

/* Make the next part due when it is time. Returns milliseconds until the one after it, UINT64_MAX when there
 * is nothing to look at. */
uint64_t nns_audit_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

/* In a namespace that was entered, so that it is the one it is taken for (I5): does the operator want it left
 * alone, or no more? Asked once an audit, by where the paths led when it began. */
void nns_audit_exclusion(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

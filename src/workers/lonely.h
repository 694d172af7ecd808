/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_LONELY_H
#define NNS_WORKERS_LONELY_H

#include "workers/owner_state.h"

/*
 * Namespaces that only we keep alive. All on the owner thread.
 *
 * A pinned handle keeps its namespace alive after its last process and mount have gone, devices, addresses
 * and all (I3). So workers look now and then which namespaces are inhabited; one that has not been for
 * lonely.timeout, as seen by at least two looks, is flushed whatever devices it holds. A look that failed
 * says nothing (I9).
 */

/* Ask for a look when it is time. Returns milliseconds until the next, UINT64_MAX when nothing is pinned (and
 * nothing evicted that only such a look can tell the death of). */
uint64_t nns_lonely_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

/* What a look found: marks who is lonely, and who has been for long enough as due for flushing. */
void nns_lonely_judge(struct nns_owner *owner, const struct nns_swept *swept) NNS_OWNER_ONLY;

/* Is a doomed namespace to go? Not if a request has found it since: then it stays, and is looked at anew. */
bool nns_lonely_still(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

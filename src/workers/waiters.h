/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_WAITERS_H
#define NNS_WORKERS_WAITERS_H

#include "workers/owner_state.h"

/* Who waits until a namespace's devices have been worked off (`sync --wait`). All on the owner thread. */

/* Let an NNS_ORDER_WAIT wait for all its namespaces, each listed and checked against the kernel anew.
 * Answered at once when none of them is known any more. */
void nns_waiters_add(struct nns_owner *owner, struct nns_order *order) NNS_OWNER_ONLY;

/* This namespace has been worked off, or is no more. An error goes into the orders that wait for it. */
void nns_waiters_tell(struct nns_owner *owner, struct nns_namespace *ns, int error) NNS_OWNER_ONLY;

#endif

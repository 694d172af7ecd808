/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_WAITERS_H
#define NNS_WORKERS_WAITERS_H

#include "workers/owner_state.h"

/* Who waits until a namespace's devices have been worked off (`sync --wait`). All on the owner thread. */

/* Let an NNS_ORDER_WAIT wait for all its namespaces, each listed and checked against the kernel anew. An
 * error with one of them goes into the order, the first there is, and the others are waited for all the same.
 */
void nns_waiters_add(struct nns_owner *owner, struct nns_order *order) NNS_OWNER_ONLY;

/* A visit to this namespace is over and its next one, if any, scheduled. 0: whoever waits is told, if every
 * device is attached or has a reason. Else, and where the kernel gave no answer for a device
 * (NNS_WAIT_UNANSWERED), they wait on for the next visits, for some seconds at most, and are told the error
 * then. */
void nns_waiters_visited(struct nns_owner *owner, struct nns_namespace *ns, int error) NNS_OWNER_ONLY;

/* This namespace is no more, or not to be had: whoever waits for it is told so at once. */
void nns_waiters_tell(struct nns_owner *owner, struct nns_namespace *ns, int error) NNS_OWNER_ONLY;

#endif

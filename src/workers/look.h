/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_LOOK_H
#define NNS_WORKERS_LOOK_H

#include "workers/owner_state.h"

/* Where the owner is to look, whoever says so: events, requests, audits. That makes visits due
 * (workers/dequeue.h); when, and after which failures, core/visits.h decides. All on the owner thread. */

/* Make a new visit due, with a new listing. NEWS: only what the listing shows to be new or missing is
 * visited, and one of hundreds of devices waits some milliseconds for more. EVERYWHERE: attached devices are
 * checked against the kernel too, and failed ones have all their tries before them. AUDIT: they are checked
 * likewise, but retries go on where they stand, and what was given up gets a single try. ROUTINE: as NEWS,
 * but all retries stay as they are. */
void nns_look_again(struct nns_owner *owner, struct nns_namespace *ns, enum nns_look look) NNS_OWNER_ONLY;

/* There is news of one device, known or not: make a visit due at once that asks for it alone, also while a
 * listing that was interrupted waits for its retry. With too many such, where a listing is owed now, and
 * after a visit that failed, the same as NEWS of the namespace. */
void nns_look_at(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex) NNS_OWNER_ONLY;

#endif

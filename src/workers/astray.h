/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_ASTRAY_H
#define NNS_WORKERS_ASTRAY_H

#include "workers/owner_state.h"

/*
 * Namespaces that their handles lead to no more: the process has ended or moved on, the mount is gone. All on
 * the owner thread; only where handles are by member.
 *
 * Whether such a namespace lives on nobody says. So its filters and devices stay, its visits wait, and
 * workers look at all tasks and mounts for another place that leads there: at once, then again and again, but
 * never more than a few per cent of the time. A worker that comes by it in another way, by a request or an
 * event, opens it as it would an unknown one, and the owner takes the new place. One that no look has found
 * for lonely.timeout, two of them at least, is forgotten. A look that failed says nothing (I9).
 */

/* Its place leads there no more; it has no handle now. */
void nns_astray_begin(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* It has a handle again, or is about to be forgotten. Fine for one that was not astray. */
void nns_astray_found(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;
void nns_astray_forget(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* Somebody waits for it: look soon. What waits is told when it is found, or when the look has ended. */
void nns_astray_hurry(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Ask for a look when it is time. Returns milliseconds until the next, UINT64_MAX when nothing is astray. */
uint64_t nns_astray_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

/* A look has ended: who was not found waits no longer, and goes when it has been gone for long enough. */
void nns_astray_judge(struct nns_owner *owner, const struct nns_looked *looked) NNS_OWNER_ONLY;

/*
 * Before all are forgotten with their filters, and there are no workers any more: find who is astray, and
 * look for them from this very thread, twice at most. Who has been missed by two looks that saw all is taken
 * for dead.
 */
void nns_astray_gather(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Is it taken for dead? */
bool nns_astray_dead(const struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

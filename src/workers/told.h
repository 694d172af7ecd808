/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_TOLD_H
#define NNS_WORKERS_TOLD_H

#include "workers/owner_state.h"

/*
 * What the tracepoints are told of a namespace as a whole. All on the owner thread.
 *
 * Its tasks are news to them unless it is in the cache and not astray, or excluded, or missed for want of
 * room and not yet offered any. Of one that is excluded, but in the cache and astray, they are: it is to be
 * found again for the sake of the filters in it. Everybody who changes any of that calls here afterwards, and
 * nobody else tells them of a namespace: each by himself would know a part of the rule.
 */

/* Are its tasks news? It is told when they became so, or are so no more; again does no harm. */
void nns_tell_tasks(struct nns_owner *owner, uint64_t cookie) NNS_OWNER_ONLY;

/* It is excluded from now on, or no more: no device that comes up there is news, nor are its tasks; or they
 * are again. The owner, as nns_exclusions_tell hands it back. */
void nns_tell_exclusion(void *owner, uint64_t cookie) NNS_OWNER_ONLY;

#endif

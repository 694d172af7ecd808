/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_EVENTS_H
#define NNS_WORKERS_EVENTS_H

#include "workers/owner_state.h"

/* What the kernel tells of a device. All on the owner thread. Events only say where to look: the namespace is
 * made due, and the visit finds out what is true. */
void nns_take_event(struct nns_owner *owner, const struct nns_trace_event *event) NNS_OWNER_ONLY;

/* Make everything due when events were lost, and have a look at all tasks when some were lost or passed over:
 * either at most once in five seconds. Have that look, too, when devices came up in a namespace that nobody
 * has found since. Returns milliseconds until it is to be called again, UINT64_MAX: nothing waits
 * for that. */
uint64_t nns_events_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_TASKS_H
#define NNS_WORKERS_TASKS_H

#include "workers/owner_state.h"

/*
 * Tasks in namespaces that are not known, as the tracepoints tell of them. All on the owner thread.
 *
 * Where the kernel opens a namespace by its identity the event has all that takes, and it is let in at once.
 * Elsewhere its pid is opened, which is the workers' affair: they serve those that somebody named first, and
 * what they have no room for waits within bounds.
 */
void nns_take_task(struct nns_owner *owner, const struct nns_trace_event *event) NNS_OWNER_ONLY;

/* Give the workers what they have room for. */
void nns_tasks_hand_on(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Likewise. Returns milliseconds until it is to be called again, UINT64_MAX: nothing waits for that. */
uint64_t nns_tasks_tick(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Drop what waits. */
void nns_tasks_drop(struct nns_owner *owner) NNS_OWNER_ONLY;

#endif

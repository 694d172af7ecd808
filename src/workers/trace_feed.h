/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_TRACE_FEED_H
#define NNS_WORKERS_TRACE_FEED_H

#include "workers/owner_state.h"

/*
 * The tracepoints' events, which the owner reads itself: between what the kernel tells and what is done about
 * it there is no other thread to be woken. Nothing needs to hold them back, as the kernel's buffer is the
 * queue, and what finds no room there is counted and made up for. All on the owner thread.
 */

/* Work off the events that are there, for NNS_TURN_MS at most: in each turn. */
void nns_trace_feed_read(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Wait for events beside letters. Returns milliseconds until nns_trace_feed_read is to be called even if none
 * is told of; UINT64_MAX: there is no need. */
uint64_t nns_trace_feed_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_ROOM_H
#define NNS_WORKERS_ROOM_H

#include "workers/owner_state.h"

/*
 * A cache that is full. All on the owner thread.
 *
 * Whoever was named by somebody is worth that another is evicted. A namespace that we only found ourselves is
 * not: the evicted one would be found next, and so on for ever, filters coming and going. Either is
 * remembered and shown as uncovered. Its tasks are no news to the tracepoints until there is room; then it is
 * found again.
 */

/* Is there room for one more, without an eviction? */
bool nns_room_is_there(const struct nns_owner *owner) NNS_OWNER_ONLY;

/* Make some. 0, or -ENOSPC when only the host's own namespace is left. */
int nns_room_make(struct nns_owner *owner) NNS_OWNER_ONLY;

/* This one lives and is not covered, for want of room; nothing for one that is excluded. */
void nns_room_miss(struct nns_owner *owner, struct nns_netns_id id) NNS_OWNER_ONLY;

/* This one is known, or excluded: it is not missed any more, nor is a dead one that had its inum. */
void nns_room_found(struct nns_owner *owner, struct nns_netns_id id) NNS_OWNER_ONLY;

/* Those that are dead are not missed. */
void nns_room_drop_dead(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Was this one seen to be inhabited? Two looks in a row that miss it say that it is dead. */
void nns_room_seen(struct nns_owner *owner, struct nns_evicted *evicted, bool inhabited) NNS_OWNER_ONLY;

/* None is missed any more. */
void nns_room_forget_all(struct nns_owner *owner) NNS_OWNER_ONLY;

/* Have a look for as many as there is room for. Returns milliseconds until it is to be called again,
 * UINT64_MAX: nothing waits for that. */
uint64_t nns_room_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

#endif

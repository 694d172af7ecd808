/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_HERITAGE_H
#define NNS_WORKERS_HERITAGE_H

#include "workers/owner_state.h"

/*
 * What a former daemon of the instance left where this one does not come by itself: filters in namespaces
 * that are excluded now, and such as nobody told it of. All on the owner thread.
 */

/* May there be filters of ours in an open namespace that this daemon did not put there? True also when that
 * cannot be told (I9). One entry and one listing at most. */
bool nns_heritage_in(struct nns_owner *owner, int fd, uint64_t cookie) NNS_OWNER_ONLY;

/* At the end: does any namespace live that slots are still reserved for, or is that not known? A look through
 * all of /proc, where there are such slots. */
bool nns_heritage_remains(struct nns_owner *owner) NNS_OWNER_ONLY;

#endif

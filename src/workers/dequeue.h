/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DEQUEUE_H
#define NNS_WORKERS_DEQUEUE_H

#include "workers/owner_state.h"

/*
 * The device queue's way to attachments (the reference's dequeueNetworkDevices). All on the owner thread.
 *
 * A visit to a namespace lists its devices, or asks for those there is news of. Whatever is new or to be
 * looked at goes into the namespace's queue, and what is queued, or failed and due for a retry, is attached
 * in one exchange; what the kernel said is recorded.
 */

/* Make a new visit due, with a new listing. NEWS: only what the listing shows to be new or missing is
 * visited, and one of hundreds of devices waits some milliseconds for more; what was given up is tried again,
 * but no pause after a failure is shortened (I10). EVERYWHERE: at once, with all tries before it, and
 * attached devices are checked against the kernel too. AUDIT: they are checked likewise, but retries go on
 * where they stand, and what was given up gets a single try. ROUTINE: as NEWS, but all retries stay as they
 * are; a listing that was given up as interrupted gets a single try. */
enum nns_look { NNS_LOOK_NEWS, NNS_LOOK_EVERYWHERE, NNS_LOOK_AUDIT, NNS_LOOK_ROUTINE };
void nns_look_again(struct nns_owner *owner, struct nns_namespace *ns, enum nns_look look) NNS_OWNER_ONLY;

/* There is news of one device, known or not: make a visit due at once that asks for it alone, also while a
 * listing that was interrupted waits for its retry. With too many such, where a listing is owed now, and
 * after a visit that failed, the same as NEWS of the namespace. */
void nns_look_at(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex) NNS_OWNER_ONLY;

/* Do all that is due for a namespace with a handle: list it or ask for devices of it if told to, attach what
 * is queued or to be retried, schedule the next retry, tell who waits. A namespace that proves to be dead is
 * flushed: the pointer is dead then, too. One that goes astray is left as it is. */
void nns_dequeue(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

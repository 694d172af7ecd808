/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DEQUEUE_H
#define NNS_WORKERS_DEQUEUE_H

#include "workers/owner_state.h"

/*
 * A visit to a namespace (the reference's dequeueNetworkDevices): list its devices, or ask for those there is
 * news of (workers/snapshot.h); what is new or in doubt goes into its queue (workers/devices.h), and what is
 * queued, or failed and due for a retry, is attached in one exchange (workers/attach.h). What makes visits
 * due is in workers/look.h. On the owner thread.
 */

/* Do all that is due for a namespace with a handle, schedule its next visit, tell who waits. One that proves
 * to be dead, or is excluded and bare, is flushed: the pointer is dead then, too. One that goes astray is
 * left as it is. */
void nns_dequeue(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

#endif

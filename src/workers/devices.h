/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DEVICES_H
#define NNS_WORKERS_DEVICES_H

#include "workers/owner_state.h"

/* What becomes of a namespace's known devices and their queue with what was seen of a device. All on the
 * owner thread. */

/* The kernel showed it. New ones, those in doubt, and those that are another's by now (I5) are queued;
 * excluded ones are known as such. 0, or -ENOMEM. */
int nns_see_device(struct nns_owner *owner, struct nns_namespace *ns,
                   const struct nns_link *link) NNS_OWNER_ONLY;

/* A known one is not there any more. */
void nns_see_device_gone(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex) NNS_OWNER_ONLY;

/* Queue a known one, to be attached or looked at. Without room there it is remembered that a listing is to
 * show it. 0, or -ENOMEM. */
int nns_queue_device(struct nns_owner *owner, struct nns_namespace *ns,
                     const struct nns_link *link) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_ATTACH_H
#define NNS_WORKERS_ATTACH_H

#include "workers/owner_state.h"

/* Attach a namespace's devices that are queued, or failed and due for a retry, all in one exchange over a
 * socket inside it, and record what the kernel said of each. 0, or -ENOMEM with everything still queued. On
 * the owner thread. */
int nns_attach_due(struct nns_owner *owner, struct nns_namespace *ns, int socket) NNS_OWNER_ONLY;

#endif

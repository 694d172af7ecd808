/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_SNAPSHOT_H
#define NNS_WORKERS_SNAPSHOT_H

#include "workers/owner_state.h"

/* Asking the kernel which devices a namespace has, by a program or over a socket inside it, and taking over
 * what it shows. A question that failed says nothing of any device (I9). All on the owner thread, while the
 * namespace's handle is open. */

/* All of them. 0; NNS_LINKS_PART: what was shown is taken, and what was not is not there any more, but others
 * may be that were passed over; -errno. */
int nns_snapshot_list(struct nns_owner *owner, struct nns_namespace *ns, int socket) NNS_OWNER_ONLY;

/* These alone. 0 or -errno. */
int nns_snapshot_ask(struct nns_owner *owner, struct nns_namespace *ns, const struct nns_looks *looks,
                     int socket) NNS_OWNER_ONLY;

#endif

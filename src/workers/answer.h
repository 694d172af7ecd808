/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_ANSWER_H
#define NNS_WORKERS_ANSWER_H

#include "workers/owner_state.h"

/* Work off an order of the loop thread and send it back, now or, for WAIT and STOP, later. Owner thread. */
void nns_answer_order(struct nns_owner *owner, struct nns_order *order) NNS_OWNER_ONLY;

#endif

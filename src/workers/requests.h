/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_REQUESTS_H
#define NNS_WORKERS_REQUESTS_H

#include <uv.h>

#include "core/params.h"
#include "io/control.h"
#include "workers/dispatch.h"
#include "workers/mailbox.h"

/*
 * The requests of control clients: decoded, turned into batches for the workers or orders for the owner, and
 * answered piece by piece as the client takes the answer, so that a long list needs no long buffer. Loop
 * thread only.
 */
struct nns_requests;

int nns_requests_open(uv_loop_t *loop, const struct nns_params *params, struct nns_dispatch *dispatch,
                      struct nns_mailbox *owner, struct nns_requests **out); /* 0 or -errno */

/* What came back for a request. The batch or order is the callee's. */
void nns_requests_batch(struct nns_requests *requests, struct nns_batch *batch);
void nns_requests_order(struct nns_requests *requests, struct nns_order *order);

/* What happened, for those who watch: after the orders that came back with it. Arguments as in
 * nns_watchers_take. */
void nns_requests_news(struct nns_requests *requests, struct nns_news_batch *batches, uint64_t sequence);

/* Those who do the work are about to end: hand nothing to them any more. Every new request, and every one
 * that would need another step of theirs, is answered with an error. What is under way still comes back. */
void nns_requests_stop(struct nns_requests *requests);

/* All that was under way is back: close the clients once they have taken their answers (io/control.h says how
 * long that may last). Free when the loop has ended. */
void nns_requests_close(struct nns_requests *requests);
void nns_requests_free(struct nns_requests *requests); /* NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_FEED_H
#define NNS_WORKERS_FEED_H

#include <uv.h>

#include "core/params.h"
#include "workers/dispatch.h"

/*
 * The feed of pids: reads the message queue when it polls readable, decodes, and hands batches to the
 * workers. While they are too busy it leaves the queue unread, so that nothing is dropped and senders block
 * (backpressure). Loop thread only.
 */
struct nns_feed;

/* Open the queue and start reading. 0; -errno with a sentence in error[size]. */
int nns_feed_open(uv_loop_t *loop, const struct nns_params *params, struct nns_dispatch *dispatch,
                  struct nns_feed **out, char *error, size_t size);

/* The dispatch is clear again: read on. */
void nns_feed_resume(struct nns_feed *feed);

/* Stop reading. Messages not read stay in the queue. Freed from the loop, later. NULL is fine. */
void nns_feed_close(struct nns_feed *feed);

#endif

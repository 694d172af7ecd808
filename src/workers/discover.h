/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DISCOVER_H
#define NNS_WORKERS_DISCOVER_H

#include <uv.h>

#include "core/params.h"
#include "io/mounts.h"
#include "io/trace.h"
#include "workers/dispatch.h"
#include "workers/mailbox.h"

/*
 * The feeds nobody has to send to: events of tasks, devices and mounts, and the first look at all namespaces.
 * Loop thread only.
 *
 * Pids found go to the workers like those of the queue, but only while none of the queue's wait; events of
 * devices go to the owner; what is lost ends in a look at everything.
 */
struct nns_discover;

/* Either of trace and mounts may be NULL. look: begin with a look at everything, once the loop runs. 0 or
 * -errno. */
int nns_discover_open(uv_loop_t *loop, struct nns_trace *trace, struct nns_mounts *mounts,
                      enum nns_mounts_way way, bool look, struct nns_dispatch *dispatch,
                      struct nns_mailbox *owner, struct nns_discover **out);

/* Read on after the dispatch was not clear. */
void nns_discover_resume(struct nns_discover *discover);

/* Stop reading; the loop must run once more, and then frees it. NULL is fine. */
void nns_discover_close(struct nns_discover *discover);

#endif

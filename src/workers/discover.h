/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DISCOVER_H
#define NNS_WORKERS_DISCOVER_H

#include <uv.h>

#include "core/params.h"
#include "io/mounts.h"
#include "io/trace.h"
#include "workers/mailbox.h"
#include "workers/pool.h"

/*
 * The feeds nobody has to send to: events of tasks, devices and mounts, and the first look at all namespaces.
 * Loop thread only.
 *
 * Pids found go to the workers, who serve those of the queue first; what there is no room for is dropped.
 * Events of devices go to the owner, and wait for nothing but room there. It is also told of what was lost
 * or dropped, and has everything looked at in time.
 */
struct nns_discover;

/* Either of trace and mounts may be NULL. look: begin with a look at everything, once the loop runs. 0 or
 * -errno. */
int nns_discover_open(uv_loop_t *loop, struct nns_trace *trace, struct nns_mounts *mounts,
                      enum nns_mounts_way way, bool look, struct nns_pool *pool, struct nns_mailbox *owner,
                      struct nns_discover **out);

/* Go on after the owner's mailbox was full, or the workers had no room. */
void nns_discover_resume(struct nns_discover *discover);

/* Stop reading; the loop must run once more, and then frees it. NULL is fine. */
void nns_discover_close(struct nns_discover *discover);

#endif

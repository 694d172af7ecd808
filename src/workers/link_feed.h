/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_LINK_FEED_H
#define NNS_WORKERS_LINK_FEED_H

#include <uv.h>

#include "core/params.h"
#include "io/link_events.h"
#include "workers/mailbox.h"

/*
 * The feed of rtnetlink's events of devices, for hosts without the tracepoints. Loop thread only.
 *
 * Events go to the owner. While its mailbox is full they are left unread; what the kernel then has no room
 * for ends in a look at all that it tells of.
 */
struct nns_link_feed;

/* Before any thread: open the sockets in a namespace of their own. 0 or -errno, when it is not to be had. */
int nns_link_feed_prepare(struct nns_link_events **out);

/* events is borrowed; NULL: there is nothing to read, and *out is NULL. 0 or -errno. */
int nns_link_feed_open(uv_loop_t *loop, struct nns_link_events *events, struct nns_mailbox *owner,
                       struct nns_link_feed **out);

/* Read on after the mailbox was full. NULL is fine. */
void nns_link_feed_resume(struct nns_link_feed *feed);

/* Stop reading; the loop must run once more, and then frees it. NULL is fine. */
void nns_link_feed_close(struct nns_link_feed *feed);

#endif

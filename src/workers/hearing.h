/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_HEARING_H
#define NNS_WORKERS_HEARING_H

#include "workers/owner_state.h"

/*
 * What happens to devices where no tracepoint tells of it. All on the owner thread.
 *
 * rtnetlink tells of events.nsid_max namespaces, those that came first, and of the host's own always. The
 * others are listed every events.interval; so are all where rtnetlink cannot be had either. Like every event
 * a listing finds out what came and went; a filter that somebody took off is the audit's to find.
 */

/* Before a listing, inside the namespace: have rtnetlink tell of what changes after it. When it does from now
 * on, a listing is due. Nothing where that is not the way, and where it cannot be had. */
void nns_hear(struct nns_owner *owner, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* A namespace is forgotten. Its number is free if it is dead; else it is still told of, to no avail. */
void nns_unhear(struct nns_owner *owner, struct nns_namespace *ns, bool dead) NNS_OWNER_ONLY;

/* Make those due of whose devices rtnetlink told something. What it lost is made up for as in
 * workers/events.h. */
void nns_take_link_news(struct nns_owner *owner, const struct nns_link_news *news) NNS_OWNER_ONLY;

/* List the next part of those that nothing tells of when it is time. Returns milliseconds until the one after
 * it, UINT64_MAX when there is none. */
uint64_t nns_listing_tick(struct nns_owner *owner, uint64_t now_ms) NNS_OWNER_ONLY;

#endif

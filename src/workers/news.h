/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_NEWS_H
#define NNS_WORKERS_NEWS_H

#include "core/news.h"
#include "workers/owner_state.h"

/*
 * Telling those who watch. All on the owner thread, from the places where something changes. While nobody
 * watches these cost a look at a flag; while somebody does they fill a batch that goes to the loop thread
 * once a round. What finds no room there is dropped: its number is missing then, and the watchers are told.
 */

void nns_news_namespace(struct nns_owner *owner, const struct nns_namespace *ns,
                        enum nns_news_kind kind) NNS_OWNER_ONLY;

/* With the reason, a constant; NAMESPACE_FAILED also with the milliseconds until the next try, 0 for none. */
void nns_news_namespace_because(struct nns_owner *owner, const struct nns_namespace *ns,
                                enum nns_news_kind kind, const char *reason,
                                uint64_t retry_ms) NNS_OWNER_ONLY;

void nns_news_device(struct nns_owner *owner, const struct nns_namespace *ns, const struct nns_device *device,
                     enum nns_news_kind kind) NNS_OWNER_ONLY;

/* It has this name from now on. */
void nns_news_renamed(struct nns_owner *owner, const struct nns_namespace *ns,
                      const struct nns_device *device, const char *name) NNS_OWNER_ONLY;

/* The round has ended: hand on what was told in it. */
void nns_news_hand_on(struct nns_owner *owner) NNS_OWNER_ONLY;

#endif

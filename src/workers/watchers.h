/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_WATCHERS_H
#define NNS_WORKERS_WATCHERS_H

#include "core/news.h"
#include "io/control.h"
#include "workers/letters.h"

/*
 * The control clients that watch. Loop thread only.
 *
 * The news is kept once for all of them, and only while there are any; each is sent some of it whenever it
 * has taken what it was sent before. So a client that is slow, or does not read at all, costs a fixed amount
 * of memory and nobody's time: what is overwritten before it comes round to it, it is told as a number.
 */
struct nns_watcher {
    struct nns_watcher *next, **link;
    struct nns_watchers *watchers;
    struct nns_control_client *client;
    struct nns_selector only; /* the namespace it wants to hear of, its inum only until the first news of it;
                               * all zeroes: everything */
    struct nns_news_reader reader;
    bool sending; /* it has something to take */
};

/* Zero-initialised is nobody. */
struct nns_watchers {
    struct nns_watcher *first;
    unsigned count;
    struct nns_news_log log;
};

/* One more, in the middle of its request: it is sent a first line, then what comes after this sequence
 * number. NULL without memory. */
struct nns_watcher *nns_watchers_add(struct nns_watchers *watchers, struct nns_control_client *client,
                                     struct nns_selector only, uint64_t sequence, const char *instance);
void nns_watchers_remove(struct nns_watcher *watcher);

/* It has taken all it was sent. */
void nns_watcher_drained(struct nns_watcher *watcher);

/* News, in order, and up to which sequence number it goes, dropped or not. The batches are the callee's. */
void nns_watchers_take(struct nns_watchers *watchers, struct nns_news_batch *batches, uint64_t sequence);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_SYNC_H
#define NNS_WORKERS_SYNC_H

#include "core/cache.h"
#include "core/claims.h"
#include "core/params.h"
#include "io/resolve.h"
#include "io/trace.h"
#include "workers/completions.h"
#include "workers/exclude.h"
#include "workers/mailbox.h"

/*
 * SyncCache: from a pid to its namespace's place in the cache. Runs on worker threads, reads the cache
 * without a lock and never writes it.
 *
 * Where handles are weak a namespace is told by its cookie alone: a BPF program yields those of a whole
 * batch, else each is opened. One that is known but astray is opened like an unknown one, so that the owner
 * gets another place that leads there. Where they are pinned a pid whose namespace is known costs one
 * readlink and one look-up: the inum it yields is believed because the cache's index of inums holds only
 * namespaces kept alive by a pinned handle, and drops them before the pin goes (I5). For an unknown namespace
 * one worker wins the claim, opens it through a pidfd, reads its identity from that fd (I4), and posts it to
 * the owner; whoever comes meanwhile gets the same outcome.
 */
struct nns_sync_context {
    const struct nns_params *params;
    struct nns_cache *cache;
    struct nns_claims *claims;
    struct nns_mailbox *owner; /* where opened namespaces go */
    struct nns_completions *completions;
    enum nns_handle_way way;
    struct nns_resolver *resolver; /* NULL: pids are resolved one by one; only where handles are weak */
    struct nns_trace *trace;       /* NULL: without discovery */
    struct nns_mounts *mounts;     /* likewise */
    const struct nns_exclusions *exclusions;
    bool walk; /* it can walk over all tasks */
};

struct nns_pool;

/* What each worker has of its own. */
struct nns_sync_worker {
    const struct nns_sync_context *context;
    struct nns_pool *pool; /* whose worker it is */
    struct nns_epoch_reader *reader;
    unsigned number; /* below the number of workers */
};

/* Work off every request of a batch. Each is settled here, by the owner, or by whoever holds the claim it
 * joined. */
void nns_sync_batch(const struct nns_sync_worker *worker, struct nns_batch *batch);

/* Some task is in this namespace, whether or not it can be opened: if it is known, it lives. */
void nns_sync_saw(const struct nns_sync_worker *worker, uint64_t cookie);

/* A namespace found by its identity, where that alone opens it: unless it is known, or there is no discovery,
 * it is opened and posted to the owner, as for a pid. 0, or -errno when it could not be opened: -ESTALE also
 * when the identity is none. */
int nns_sync_id(const struct nns_sync_worker *worker, struct nns_netns_id id);

/* A namespace found by a path that is said to lead to the one with this inum: unless it is known, or there is
 * no discovery, it is opened and posted to the owner, as for a pid; in any case if it is astray. 0, or -errno
 * when it could not be opened: -ENOENT when the path leads elsewhere, or no longer anywhere. */
int nns_sync_path(const struct nns_sync_worker *worker, const char *path, uint32_t inum);

#endif

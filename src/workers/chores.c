/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/chores.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "io/mounts.h"
#include "io/proc.h"
#include "workers/letters.h"
#include "workers/pool.h"

/* A search in place of a walk that failed is the only one in so many times what it took. */
enum { SEARCH_SHARE = 20 };

static struct nns_log_limit scan_limit, walk_limit;

/* ---- who is inhabited ---- */

static void sweep(const struct nns_sync_context *context)
{
    struct nns_swept *swept = calloc(1, sizeof(*swept));

    if (!swept) {
        nns_count(NNS_COUNT_LONELY_UNKNOWN, 1);
        return;
    }
    swept->letter.kind = NNS_LETTER_SWEPT;
    swept->began_ms = uv_hrtime() / 1000000;
    swept->error = nns_proc_inhabited(&swept->inhabited);
    nns_mailbox_post(context->owner, &swept->letter);
}

/* ---- what is there ---- */

struct scan {
    const struct nns_sync_worker *worker;
    struct nns_chore_memory *memory;
    struct nns_batch *batch; /* pids found, being filled */
    int error;               /* why not all was seen */
};

static void hand_on(struct scan *scan)
{
    if (!scan->batch)
        return;
    nns_sync_batch(scan->worker, scan->batch);
    scan->batch = NULL;
    nns_pool_give_way(scan->worker);
}

/* Who was met in a namespace may have been there for a moment only, and the walk tells of one task alone:
 * where its identity opens it that is not asked where it is. What was read of it may be torn, though. */
static bool is_served_by_id(const struct scan *scan, const struct nns_trace_event *event)
{
    const struct nns_netns_id id = {.cookie = event->cookie, .inum = event->inum};

    return scan->worker->context->way == NNS_HANDLES_BY_ID && nns_sync_id(scan->worker, id) == 0;
}

static void take_task(void *context, const struct nns_trace_event *event)
{
    struct scan *scan = context;

    nns_count(NNS_COUNT_DISCOVER_PIDS, 1);
    if (is_served_by_id(scan, event)) {
        nns_pool_give_way(scan->worker);
        return;
    }
    if (!scan->batch)
        scan->batch = nns_batch_new(NNS_BATCH_MAX);
    if (!scan->batch) {
        scan->error = -ENOMEM;
        return;
    }
    scan->batch->found = true;
    nns_sync_saw(scan->worker, event->cookie);
    nns_batch_add(scan->batch, event->number);
    if (scan->batch->count == NNS_BATCH_MAX)
        hand_on(scan);
}

/* A path that leads elsewhere, or nowhere any more, is no news, and not a failure: -ENOENT. */
static int take_any(const char *path, uint32_t inum, void *context)
{
    struct scan *scan = context;
    int rc = nns_sync_path(scan->worker, path, inum);

    nns_pool_give_way(scan->worker);
    if (rc == -ESRCH)
        rc = -ENOENT;
    if (rc && rc != -ENOENT)
        scan->error = rc;
    return rc == -ENOENT ? rc : 0;
}

/* Where another lies over a mount that one is shown as well, with its own inum. */
static int take_mount(void *context, const char *path, uint32_t inum)
{
    take_any(path, inum, context);
    return 0;
}

static void scan_mounts(struct scan *scan)
{
    int rc = nns_mounts_each(take_mount, scan);

    scan->error = rc ? rc : scan->error;
}

static void scan_new_mounts(struct scan *scan)
{
    int rc = nns_mounts_each_new(scan->worker->context->mounts, take_mount, scan);

    scan->error = rc ? rc : scan->error;
}

static void search(struct scan *scan)
{
    int rc = nns_proc_each_namespace(take_any, scan);

    scan->error = rc ? rc : scan->error;
}

/* What the walk did not tell /proc may; but a walk that goes on failing must not become a search each time.
 */
static void search_instead(struct scan *scan, int error)
{
    struct nns_chore_memory *memory = scan->memory;
    uint64_t began = uv_hrtime() / 1000000;

    nns_count(NNS_COUNT_DISCOVER_UNWALKED, 1);
    nns_log_limited(&walk_limit, NNS_LOG_WARNING, "cannot walk over all tasks: %s", strerrordesc_np(-error));
    if (memory->searched_ms && began < memory->searched_ms + SEARCH_SHARE * memory->cost_ms) {
        scan->error = error;
        scan_mounts(scan);
        return;
    }
    search(scan);
    memory->searched_ms = uv_hrtime() / 1000000;
    memory->cost_ms = memory->searched_ms - began;
}

static void scan_all(struct scan *scan)
{
    int rc;

    if (!scan->worker->context->walk) {
        search(scan);
        return;
    }
    rc = nns_trace_walk(scan->worker->context->trace, false, take_task, scan);
    hand_on(scan);
    if (rc)
        search_instead(scan, rc);
    else
        scan_mounts(scan);
}

/* Where namespaces go astray the owner wants to know who was not there. */
static void tell_owner(const struct scan *scan, bool searched, uint64_t began_ns)
{
    const struct nns_sync_context *context = scan->worker->context;
    struct nns_looked *looked;

    if (context->way != NNS_HANDLES_BY_MEMBER)
        return;
    looked = calloc(1, sizeof(*looked));
    if (!looked)
        return; /* it asks again */
    looked->letter.kind = NNS_LETTER_LOOKED;
    looked->searched = searched;
    looked->error = scan->error;
    looked->began_ms = began_ns / 1000000;
    looked->ended_ms = uv_hrtime() / 1000000;
    nns_mailbox_post(context->owner, &looked->letter);
}

/* At all that can be seen. */
static void look(struct scan *scan, bool searched)
{
    uint64_t began_ns = uv_hrtime();

    nns_count(NNS_COUNT_DISCOVER_SCANS, 1);
    if (searched)
        search(scan);
    else
        scan_all(scan);
    tell_owner(scan, searched, began_ns);
}

static void report(const struct scan *scan)
{
    if (!scan->error)
        return;
    nns_count(NNS_COUNT_DISCOVER_FAILED, 1);
    nns_log_limited(&scan_limit, NNS_LOG_WARNING, "cannot see all namespaces: %s",
                    strerrordesc_np(-scan->error));
}

void nns_do_chore(const struct nns_sync_worker *worker, enum nns_chore chore, struct nns_chore_memory *memory)
{
    struct scan scan = {.worker = worker, .memory = memory};

    switch (chore) {
    case NNS_CHORE_SWEEP:
        sweep(worker->context);
        break;
    case NNS_CHORE_SEARCH:
        look(&scan, true);
        break;
    case NNS_CHORE_SCAN:
        look(&scan, false);
        break;
    case NNS_CHORE_MOUNTS:
        scan_new_mounts(&scan);
        break;
    case NNS_CHORES:
        break;
    }
    report(&scan);
}

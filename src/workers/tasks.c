/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/tasks.h"

#include <errno.h>
#include <stdlib.h>

#include "core/counters.h"
#include "workers/admit.h"
#include "workers/pool.h"
#include "workers/settle.h"

/* Batches kept for workers who have no room: as many pids as the kernel's buffer holds events. And the time
 * until they are offered again: nobody tells that there is room. */
enum { WAITING_MAX = 16, OFFER_MS = 20 };

/* ---- by identity ---- */

/* Another event of a quiet namespace may never come: what was short a moment ago is there in time. */
NNS_OWNER_ONLY static void look_again_unless_final(struct nns_owner *owner, int error)
{
    if (error != -ESTALE && error != -EACCES && error != -EPERM)
        owner->unseen_tasks = true;
}

/* I5: what the event tells may be torn, and the namespace may be dead by now; opening it says so. */
NNS_OWNER_ONLY static void let_in(struct nns_owner *owner, struct nns_netns_id id)
{
    struct nns_arrival arrival = {.id = id, .fd = nns_netns_open_id(id)};
    struct nns_answer answer;

    if (arrival.fd < 0) {
        answer = nns_answer_for_error(arrival.fd == -ESTALE ? -ESRCH : arrival.fd);
        nns_settle_unasked(&answer);
        look_again_unless_final(owner, arrival.fd);
        return;
    }
    nns_admit_meet(owner, &arrival);
    nns_admit_save(owner, &arrival, false);
    if (arrival.saved == -ENOSPC && !arrival.excluded)
        nns_admit_miss(owner, &arrival);
    else if (arrival.saved < 0)
        look_again_unless_final(owner, arrival.saved);
    answer = nns_admit_answer(&arrival);
    nns_settle_unasked(&answer);
    nns_admit_visit(owner, &arrival);
}

/* One that became known, or was excluded, while the event was on its way. */
NNS_OWNER_ONLY static bool is_old_news(const struct nns_owner *owner, uint64_t cookie)
{
    return nns_cache_peek(owner->context.cache, cookie) ||
           nns_exclusions_have(owner->context.exclusions, cookie);
}

/* ---- by pid ---- */

/* The batch to add to, or NULL. The queue may keep the workers busy for as long as it likes. */
NNS_OWNER_ONLY static struct nns_batch *batch_under_way(struct nns_owner *owner)
{
    struct nns_batch *batch = owner->found.last;

    if (batch && batch->count < NNS_BATCH_MAX)
        return batch;
    batch = owner->found.waiting < WAITING_MAX ? nns_batch_new(NNS_BATCH_MAX) : NULL;
    if (!batch)
        return NULL;
    batch->found = true;
    if (owner->found.last)
        owner->found.last->next = batch;
    else
        owner->found.first = batch;
    owner->found.last = batch;
    owner->found.waiting++;
    return batch;
}

NNS_OWNER_ONLY static void keep_for_workers(struct nns_owner *owner, uint32_t pid)
{
    struct nns_batch *batch = batch_under_way(owner);

    if (batch) {
        nns_batch_add(batch, pid);
    } else {
        nns_count(NNS_COUNT_DISCOVER_PASSED_OVER, 1);
        owner->unseen_tasks = true;
    }
}

void nns_take_task(struct nns_owner *owner, const struct nns_trace_event *event)
{
    nns_count(NNS_COUNT_DISCOVER_PIDS, 1);
    if (owner->context.way != NNS_HANDLES_BY_ID)
        keep_for_workers(owner, event->number);
    else if (!is_old_news(owner, event->cookie))
        let_in(owner, (struct nns_netns_id){.cookie = event->cookie, .inum = event->inum});
}

void nns_tasks_hand_on(struct nns_owner *owner)
{
    struct nns_batch *batch;

    while ((batch = owner->found.first)) {
        struct nns_batch *next = batch->next;

        if (!nns_pool_submit(owner->pool, batch))
            return;
        owner->found.first = next;
        owner->found.waiting--;
    }
    owner->found.last = NULL;
}

uint64_t nns_tasks_tick(struct nns_owner *owner)
{
    nns_tasks_hand_on(owner);
    return owner->found.first ? OFFER_MS : UINT64_MAX;
}

void nns_tasks_drop(struct nns_owner *owner)
{
    struct nns_batch *batch;

    while ((batch = owner->found.first)) {
        owner->found.first = batch->next;
        free(batch);
    }
    owner->found.last = NULL;
}

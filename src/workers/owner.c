/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/counters.h"
#include "workers/admit.h"
#include "workers/answer.h"
#include "workers/astray.h"
#include "workers/audit.h"
#include "workers/dequeue.h"
#include "workers/events.h"
#include "workers/flush.h"
#include "workers/hearing.h"
#include "workers/heritage.h"
#include "workers/lonely.h"
#include "workers/news.h"
#include "workers/owner_state.h"
#include "workers/room.h"
#include "workers/settle.h"
#include "workers/tasks.h"
#include "workers/told.h"
#include "workers/trace_feed.h"

enum { OWNER_STACK = 1 << 20 };

/* The time between two trims of memory, and what is not worth one. */
enum { TRIM_MS = 1000 };

/* How long slots wait for the devices that had them before this daemon began, in lonely.timeout. */
enum { GRACE_TIMEOUTS = 2 };

/* ---- setting up ---- */

static void describe_set(const struct nns_owner_context *context, struct nns_tc_set *set)
{
    snprintf(set->instance, sizeof(set->instance), "%s", context->params->instance);
    set->priority = (uint16_t)context->params->attach_priority;
    set->counts = nns_meter_counts_id(context->meter);
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        const struct nns_program *program = nns_meter_program(context->meter, hook);
        struct nns_tc_program *wanted = &set->programs[hook];

        wanted->fd = program->fd;
        wanted->id = program->id;
        memcpy(wanted->name, program->name, sizeof(wanted->name));
        memcpy(wanted->tag, program->tag, sizeof(wanted->tag));
    }
}

/* One more than asked for is for the host's own namespace. */
static uint32_t numbers(const struct nns_owner_context *context)
{
    return context->telling == NNS_TOLD_BY_RTNETLINK ? context->params->events_nsid_max + 1 : 0;
}

int nns_owner_new(const struct nns_owner_context *context, struct nns_owner **out)
{
    struct nns_owner *owner = nns_calloc_lines(sizeof(*owner));
    uint32_t slots = nns_meter_slots(context->meter);
    int rc;

    if (!owner)
        return -ENOMEM;
    owner->context = *context;
    owner->started_ms = nns_now_ms();
    owner->set_count = 1;
    describe_set(context, &owner->sets[0]);
    rc = slots ? nns_slots_init(&owner->slots, slots, nns_meter_holders(context->meter)) : 0;
    if (!rc)
        rc = nns_nsids_init(&owner->nsids, numbers(context));
    if (!rc)
        rc = nns_mailbox_init(&owner->mailbox, NNS_OWNER_MAILBOX);
    if (rc) {
        nns_nsids_deinit(&owner->nsids);
        nns_slots_deinit(&owner->slots);
        free(owner);
        return rc;
    }
    nns_exclusions_tell(context->exclusions, nns_tell_exclusion, owner);
    *out = owner;
    return 0;
}

struct nns_mailbox *nns_owner_mailbox(struct nns_owner *owner)
{
    return &owner->mailbox;
}

int nns_owner_reserve(struct nns_owner *owner, size_t count)
{
    struct nns_tc_job *jobs;
    uint32_t *visited;

    if (count <= owner->scratch)
        return 0;
    jobs = realloc(owner->jobs, count * sizeof(*jobs));
    if (!jobs)
        return -ENOMEM;
    owner->jobs = jobs;
    visited = realloc(owner->visited, count * sizeof(*visited));
    if (!visited)
        return -ENOMEM;
    owner->visited = visited;
    owner->scratch = count;
    return 0;
}

/* ---- letters ---- */

static bool names_any(const struct nns_request_list *requests)
{
    for (size_t i = 0; i < requests->count; i++)
        if (!requests->items[i].batch->found)
            return true;
    return false;
}

/* It may have been found only; but whoever waits for it may have named it. */
NNS_OWNER_ONLY static void save_for_all(struct nns_owner *owner, const struct nns_opened *opened,
                                        struct nns_arrival *arrival, struct nns_request_list *waiting)
{
    bool named = !opened->request.batch->found;

    nns_admit_save(owner, arrival, named);
    nns_claims_end(owner->context.claims, opened->claim, waiting);
    if (arrival->saved != -ENOSPC || arrival->excluded || named)
        return;
    if (names_any(waiting))
        nns_admit_save(owner, arrival, true);
    else
        nns_admit_miss(owner, arrival);
}

/* The requests are answered before the devices are attached: they asked for the namespace. */
NNS_OWNER_ONLY static void receive_opened(struct nns_owner *owner, struct nns_opened *opened)
{
    struct nns_arrival arrival = {.id = opened->id, .fd = opened->fd, .place = opened->place};
    struct nns_request_list waiting;
    struct nns_answer answer;

    nns_admit_meet(owner, &arrival);
    save_for_all(owner, opened, &arrival, &waiting);
    answer = nns_admit_answer(&arrival);
    nns_settle(owner->context.completions, opened->request, &answer);
    nns_settle_all(owner->context.completions, &waiting, &answer);
    nns_admit_visit(owner, &arrival);
    free(opened);
}

NNS_OWNER_ONLY static void receive_swept(struct nns_owner *owner, struct nns_swept *swept)
{
    nns_lonely_judge(owner, swept);
    nns_inums_deinit(&swept->inhabited);
    free(swept);
}

NNS_OWNER_ONLY static void receive(struct nns_owner *owner, struct nns_letter *letter)
{
    owner->untrimmed = true;
    switch ((enum nns_letter_kind)letter->kind) {
    case NNS_LETTER_OPENED:
        receive_opened(owner, (struct nns_opened *)letter);
        break;
    case NNS_LETTER_SWEPT:
        receive_swept(owner, (struct nns_swept *)letter);
        break;
    case NNS_LETTER_LOOKED:
        nns_astray_judge(owner, (struct nns_looked *)letter);
        free(letter);
        break;
    case NNS_LETTER_LINKS:
        nns_take_link_news(owner, (struct nns_link_news *)letter);
        free(letter);
        break;
    case NNS_LETTER_ORDER:
        nns_answer_order(owner, (struct nns_order *)letter);
        break;
    }
}

/* ---- the thread ---- */

NNS_OWNER_ONLY static void work_off(struct nns_owner *owner, struct nns_namespace *ns)
{
    owner->untrimmed = true;
    if (ns->doomed && nns_lonely_still(owner, ns))
        nns_flush(owner, ns, NNS_FLUSH_LONELY);
    else if (ns->handle.kind != NNS_HANDLE_NONE)
        nns_dequeue(owner, ns);
    else if (ns->waiters)
        nns_astray_hurry(owner);
}

NNS_OWNER_ONLY static void work_off_due(struct nns_owner *owner)
{
    uint64_t since = nns_now_ms();
    struct nns_namespace *ns;

    while (nns_now_ms() - since < NNS_TURN_MS && (ns = nns_due_take(&owner->due, since)))
        work_off(owner, ns);
}

NNS_OWNER_ONLY static uint64_t next_wait_ms(struct nns_owner *owner)
{
    uint64_t now = nns_now_ms();
    const uint64_t waits[] = {nns_lonely_tick(owner, now),  nns_audit_tick(owner, now),
                              nns_events_tick(owner, now),  nns_astray_tick(owner, now),
                              nns_listing_tick(owner, now), nns_room_tick(owner, now),
                              nns_tasks_tick(owner),        nns_trace_feed_tick(owner, now)};
    uint64_t due = nns_due_next(&owner->due), wait = due;

    if (due != UINT64_MAX)
        wait = due > now ? due - now : 0;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        wait = waits[i] < wait ? waits[i] : wait;
    return wait;
}

/* Before a long wait: after an audit at once, after the last of many letters within a second. Returns how
 * long to wait. */
NNS_OWNER_ONLY static uint64_t trim_before(struct nns_owner *owner, uint64_t wait_ms)
{
    uint64_t since = nns_now_ms() - owner->trimmed_ms;

    if (!owner->context.trim || !owner->untrimmed || wait_ms < TRIM_MS || owner->mail ||
        !nns_mailbox_empty(&owner->mailbox))
        return wait_ms;
    if (since < TRIM_MS)
        return TRIM_MS - since;
    owner->context.trim();
    owner->trimmed_ms = nns_now_ms();
    owner->untrimmed = false;
    return wait_ms;
}

NNS_OWNER_ONLY static void refuse_opened(struct nns_owner *owner, struct nns_opened *opened)
{
    const struct nns_answer answer = nns_answer_for_error(-ECANCELED);
    struct nns_request_list waiting;

    nns_claims_end(owner->context.claims, opened->claim, &waiting);
    nns_settle(owner->context.completions, opened->request, &answer);
    nns_settle_all(owner->context.completions, &waiting, &answer);
    close(opened->fd);
    free(opened->place.path);
    free(opened);
}

/* What came after the order to stop: nobody is to wait for an answer, and nothing is attached any more. */
NNS_OWNER_ONLY static void turn_away(struct nns_owner *owner, struct nns_letter *letter)
{
    if (letter->kind == NNS_LETTER_ORDER) {
        ((struct nns_order *)letter)->error = -ECANCELED;
        nns_completions_add_order(owner->context.completions, (struct nns_order *)letter);
    } else if (letter->kind == NNS_LETTER_OPENED) {
        refuse_opened(owner, (struct nns_opened *)letter);
    } else {
        receive(owner, letter);
    }
}

/* Waits only where none are left over from the last turn. */
NNS_OWNER_ONLY static void fetch_mail(struct nns_owner *owner, uint64_t wait_ms)
{
    if (owner->mail)
        return;
    owner->mail = nns_mailbox_take(&owner->mailbox, wait_ms);
    if (nns_mailbox_awaited(&owner->mailbox))
        nns_completions_add_room(owner->context.completions);
}

NNS_OWNER_ONLY static void work_off_mail(struct nns_owner *owner)
{
    uint64_t since = nns_now_ms();
    struct nns_letter *letter;

    while ((letter = owner->mail) && !owner->stop && nns_now_ms() - since < NNS_TURN_MS) {
        owner->mail = letter->next;
        receive(owner, letter);
    }
}

NNS_OWNER_ONLY static void turn_all_away(struct nns_owner *owner)
{
    struct nns_letter *letter;

    for (fetch_mail(owner, 0); (letter = owner->mail); fetch_mail(owner, 0)) {
        owner->mail = letter->next;
        turn_away(owner, letter);
    }
}

/* By then every namespace that is still there should have been met. */
NNS_OWNER_ONLY static void release_slots_in_time(struct nns_owner *owner)
{
    const uint64_t grace = GRACE_TIMEOUTS * (uint64_t)owner->context.params->lonely_timeout_ms;

    if (nns_slots_reserved(&owner->slots) && nns_now_ms() - owner->started_ms >= grace)
        nns_slots_release_reserved(&owner->slots);
}

static void run_owner(void *argument)
{
    struct nns_owner *owner = argument;

    nns_role_assert_owner();
    while (!owner->stop) {
        fetch_mail(owner, trim_before(owner, next_wait_ms(owner)));
        work_off_mail(owner);
        if (!owner->stop)
            nns_trace_feed_read(owner);
        release_slots_in_time(owner);
        work_off_due(owner);
        nns_news_hand_on(owner);
        nns_cache_reclaim(owner->context.cache);
    }
    owner->stop->error = nns_flush_all(owner, NNS_FLUSH_CLOSED);
    owner->leaves_filters =
        owner->context.params->keep_attached || owner->stop->error || nns_heritage_remains(owner);
    turn_all_away(owner);
    nns_completions_add_order(owner->context.completions, owner->stop);
}

int nns_owner_start(struct nns_owner *owner, struct nns_pool *pool)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = OWNER_STACK};
    int rc;

    owner->pool = pool;
    rc = uv_thread_create_ex(&owner->thread, &options, run_owner, owner);
    owner->started = rc == 0;
    return rc;
}

bool nns_owner_leaves_filters(const struct nns_owner *owner)
{
    return owner->leaves_filters;
}

void nns_owner_free(struct nns_owner *owner)
{
    if (!owner)
        return;
    if (owner->started) {
        uv_thread_join(&owner->thread);
        turn_all_away(owner); /* of a worker that ended later */
    }
    nns_tasks_drop(owner);
    nns_mailbox_deinit(&owner->mailbox);
    nns_due_deinit(&owner->due);
    nns_slots_deinit(&owner->slots);
    nns_nsids_deinit(&owner->nsids);
    free(owner->news);
    free(owner->jobs);
    free(owner->visited);
    free(owner);
}

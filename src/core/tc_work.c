/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tc_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLSACT = NNS_HOOKS }; /* beside enum nns_hook: what a request was for */

static int by_ifindex(const void *a, const void *b)
{
    uint32_t x = ((const struct nns_tc_task *)a)->job->ifindex,
             y = ((const struct nns_tc_task *)b)->job->ifindex;
    return (x > y) - (x < y);
}

int nns_tc_work_init(struct nns_tc_work *work, const struct nns_tc_set *set, struct nns_tc_job *jobs,
                     size_t count, struct nns_tc_stats *stats)
{
    struct nns_tc_task *tasks = calloc(count ? count : 1, sizeof(*tasks));
    if (!tasks)
        return -ENOMEM;
    *work = (struct nns_tc_work){.set = set, .stats = stats, .tasks = tasks, .count = count};
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        nns_tc_name(work->names[hook], set->instance, set->programs[hook].name, set->programs[hook].tag);
    bool sorted = true;
    for (size_t i = 0; i < count; i++) {
        jobs[i].found = jobs[i].counted = 0;
        jobs[i].looked = false;
        tasks[i].job = &jobs[i];
        tasks[i].pending = true;
        tasks[i].qdisc = NNS_QDISC_NONE;
        tasks[i].doubt = jobs[i].qdisc != NNS_QDISC_NONE;
        sorted = sorted && (i == 0 || jobs[i - 1].ifindex < jobs[i].ifindex);
    }
    if (!sorted)
        qsort(tasks, count, sizeof(*tasks), by_ifindex);
    return 0;
}

void nns_tc_work_deinit(struct nns_tc_work *work)
{
    free(work->tasks);
    *work = (struct nns_tc_work){0};
}

static void fail_hook(struct nns_tc_task *task, enum nns_hook hook, enum nns_reason reason, int error)
{
    task->job->hooks[hook] = (struct nns_attachment){
        .reason = (uint8_t)reason,
        .error = reason == NNS_REASON_KERNEL ? (uint16_t)-error : 0,
    };
}

static void fail_job(struct nns_tc_task *task, enum nns_reason reason, int error)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        fail_hook(task, hook, reason, error);
    task->pending = task->doubt = false;
}

static void confirm(const struct nns_tc_work *work, struct nns_tc_task *task, enum nns_hook hook)
{
    task->job->hooks[hook] = (struct nns_attachment){
        .program_id = work->set->programs[hook].id,
        .priority = task->places[hook].priority,
    };
}

/* ---- looking ---- */

bool nns_tc_work_in_doubt(const struct nns_tc_work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        if (work->tasks[i].doubt)
            return true;
    }
    return false;
}

void nns_tc_work_look(struct nns_tc_work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        struct nns_tc_task *task = &work->tasks[i];
        if (!task->doubt)
            continue;
        task->qdisc = NNS_QDISC_NONE;
        memset(task->shared, 0, sizeof(task->shared));
        memset(task->views, 0, sizeof(task->views));
    }
}

static uint32_t about(const struct nns_tc_work *work, const struct nns_tc_task *task, unsigned what)
{
    return (uint32_t)(task - work->tasks) << 2 | what;
}

void nns_tc_work_ask(struct nns_tc_work *work, struct nns_netlink_batch *batch)
{
    nns_tc_work_look(work);
    for (size_t i = 0; i < work->count; i++) {
        struct nns_tc_task *task = &work->tasks[i];
        uint32_t ifindex = task->job->ifindex;
        if (!task->doubt)
            continue;
        nns_tc_put_ask_clsact(batch, ifindex, about(work, task, CLSACT));
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            nns_tc_put_ask_shared(batch, ifindex, hook, about(work, task, (unsigned)hook));
    }
}

static void note_answers(struct nns_tc_work *work, const struct nns_netlink_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct nns_netlink_request *request = &batch->requests[i];
        work->tasks[request->about >> 2].answers[request->about & 3] = request->answer;
    }
}

/* What is not there any more has no qdisc. */
static bool is_told(struct nns_tc_task *task)
{
    if (task->answers[CLSACT] == -ENODEV)
        return true;
    if (task->answers[CLSACT] != -ENOENT)
        return false;
    task->qdisc = NNS_QDISC_CLSACT;
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        if (task->answers[hook] >= 0) /* lost */
            return false;
        task->shared[hook] = task->answers[hook] == -EOPNOTSUPP;
    }
    return true;
}

bool nns_tc_work_told(struct nns_tc_work *work, const struct nns_netlink_batch *batch)
{
    bool told = true;
    note_answers(work, batch);
    for (size_t i = 0; i < work->count && told; i++)
        told = !work->tasks[i].doubt || is_told(&work->tasks[i]);
    return told;
}

static struct nns_tc_task *find_task(const struct nns_tc_work *work, uint32_t ifindex)
{
    struct nns_tc_job job = {.ifindex = ifindex};
    struct nns_tc_task key = {.job = &job};
    return bsearch(&key, work->tasks, work->count, sizeof(key), by_ifindex);
}

void nns_tc_work_see_qdisc(struct nns_tc_work *work, const struct nns_tc_qdisc *qdisc)
{
    struct nns_tc_task *task = find_task(work, qdisc->ifindex);
    if (!task || !task->doubt)
        return;
    task->qdisc = (uint8_t)qdisc->kind;
    memcpy(task->shared, qdisc->shared, sizeof(task->shared));
    if (qdisc->kind == NNS_QDISC_UNKNOWN) /* one that nobody has heard of yet */
        fail_job(task, NNS_REASON_KERNEL, -EOPNOTSUPP);
}

bool nns_tc_task_reaches(const struct nns_tc_task *task, enum nns_hook hook)
{
    if (task->shared[hook])
        return false;
    return task->qdisc == NNS_QDISC_CLSACT || (task->qdisc == NNS_QDISC_INGRESS && hook == NNS_INGRESS);
}

static void note_found(struct nns_tc_job *job, enum nns_hook hook, const struct nns_tc_filter *filter,
                       enum nns_tc_whose whose)
{
    job->found |= 1u << hook;
    if (whose == NNS_TC_OURS_COUNTS && job->slot && filter->classid == job->slot)
        job->counted |= 1u << hook;
}

void nns_tc_task_see_filter(struct nns_tc_task *task, const struct nns_tc_set *set, enum nns_hook hook,
                            const struct nns_tc_filter *filter, enum nns_tc_whose whose)
{
    if (filter->chain != 0) /* another chain's priorities are its own */
        return;
    enum nns_tc_seen seen = whose == NNS_TC_ANOTHERS ? NNS_TC_SEEN_FOREIGN : NNS_TC_SEEN_OURS;
    if (filter->handle == 0)
        seen = NNS_TC_SEEN_HEAD;
    if (seen == NNS_TC_SEEN_OURS && filter->priority != task->fresh[hook])
        note_found(task->job, hook, filter, whose);
    nns_tc_view_add(&task->views[hook], set->priority, seen, filter->priority, filter->program_id,
                    filter->classid);
}

void nns_tc_task_seen(struct nns_tc_task *task)
{
    task->doubt = false;
    task->job->looked = true;
    task->job->qdisc = task->qdisc;
}

/* ---- planning ---- */

static void put_filter(const struct nns_tc_work *work, struct nns_tc_task *task, enum nns_hook hook,
                       struct nns_netlink_batch *batch)
{
    const struct nns_tc_place *place = &task->places[hook];
    struct nns_tc_spot spot = {
        .ifindex = task->job->ifindex, .priority = place->priority, .hook = (uint8_t)hook};
    nns_tc_put_filter(batch, spot, work->set->programs[hook].fd, work->names[hook], task->job->slot,
                      place->step == NNS_TC_REPLACE, about(work, task, hook));
    task->sent[hook] = true;
}

/* Nothing there: clsact and both filters, and whoever was quicker makes the kernel refuse them. */
static void plan_bare(const struct nns_tc_work *work, struct nns_tc_task *task,
                      struct nns_netlink_batch *batch)
{
    nns_tc_put_clsact(batch, task->job->ifindex, about(work, task, CLSACT));
    task->with_qdisc = true;
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        task->places[hook] = (struct nns_tc_place){.step = NNS_TC_ADD, .priority = work->set->priority};
        put_filter(work, task, hook, batch);
    }
}

static void plan_hook(const struct nns_tc_work *work, struct nns_tc_task *task, enum nns_hook hook,
                      struct nns_netlink_batch *batch)
{
    struct nns_tc_place *place = &task->places[hook];
    if (!nns_tc_task_reaches(task, hook)) {
        *place = (struct nns_tc_place){.step = NNS_TC_REFUSE};
        fail_hook(task, hook, task->shared[hook] ? NNS_REASON_SHARED_BLOCK : NNS_REASON_LEGACY_INGRESS, 0);
        return;
    }
    *place = nns_tc_choose(&task->views[hook], work->set->priority, work->set->programs[hook].id,
                           task->job->slot, task->fresh[hook]);
    if (place->step == NNS_TC_KEEP)
        confirm(work, task, hook);
    else if (place->step == NNS_TC_REFUSE)
        fail_hook(task, hook, NNS_REASON_NO_PRIORITY, 0);
    else
        put_filter(work, task, hook, batch);
}

void nns_tc_work_plan(struct nns_tc_work *work, struct nns_netlink_batch *batch)
{
    for (size_t i = 0; i < work->count; i++) {
        struct nns_tc_task *task = &work->tasks[i];
        task->with_qdisc = task->sent[NNS_INGRESS] = task->sent[NNS_EGRESS] = false;
        for (int what = 0; what <= CLSACT; what++)
            task->answers[what] = NNS_NETLINK_UNHEARD;
        if (!task->pending || task->doubt)
            continue;
        if (task->qdisc == NNS_QDISC_NONE) {
            plan_bare(work, task, batch);
            continue;
        }
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            plan_hook(work, task, hook, batch);
    }
}

/* ---- settling ---- */

/* The filter may be there: a look that finds it does not find an old one. */
static void note_fresh(struct nns_tc_task *task, enum nns_hook hook)
{
    int answer = task->answers[hook];
    if (task->places[hook].step == NNS_TC_ADD && (answer == 0 || answer == NNS_NETLINK_UNHEARD))
        task->fresh[hook] = task->places[hook].priority;
}

/* Ours may be there although the device was taken for bare: an error says nothing of them. */
static bool may_carry(const struct nns_tc_job *job)
{
    return !job->looked && (job->hooks[NNS_INGRESS].program_id || job->hooks[NNS_EGRESS].program_id);
}

/* True when clsact's answer leaves the filters' answers their meaning. One that was there already may not be
 * clsact at all, and our filters may have gone where they do not belong. */
static bool settle_clsact(struct nns_tc_task *task)
{
    int answer = task->answers[CLSACT];
    if (answer == 0) {
        task->job->qdisc = task->qdisc = NNS_QDISC_CLSACT;
        return true;
    }
    if (answer == -ENODEV || (answer < 0 && answer != -EEXIST && !may_carry(task->job))) {
        fail_job(task, answer == -ENODEV ? NNS_REASON_GONE : NNS_REASON_KERNEL, answer);
        return false;
    }
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        note_fresh(task, hook);
    task->doubt = true;
    return false;
}

/* Somebody was there before us, or took away what we were about to use. */
static bool raced(int answer)
{
    return answer == -EEXIST || answer == -EINVAL || answer == -ENOENT;
}

/* What was to be replaced or moved is where it was. */
static void keep_old(struct nns_tc_task *task, enum nns_hook hook)
{
    const struct nns_tc_place *place = &task->places[hook];
    const struct nns_tc_view *view = &task->views[hook];
    struct nns_attachment *now = &task->job->hooks[hook];
    if (place->step == NNS_TC_REPLACE) {
        now->program_id = place->program_id;
        now->priority = place->priority;
    } else if (view->count) {
        now->program_id = view->ours[0].program_id;
        now->priority = view->ours[0].priority;
    }
}

/* False: to be looked at again. */
static bool settle_hook(const struct nns_tc_work *work, struct nns_tc_task *task, enum nns_hook hook)
{
    int answer = task->answers[hook];
    note_fresh(task, hook);
    if (answer == NNS_NETLINK_UNHEARD) {
        task->job->hooks[hook].reason = NNS_REASON_UNKNOWN;
        return false;
    }
    if (answer == 0) {
        confirm(work, task, hook);
        return true;
    }
    fail_hook(task, hook, answer == -EOPNOTSUPP ? NNS_REASON_SHARED_BLOCK : NNS_REASON_KERNEL, answer);
    keep_old(task, hook);
    return !raced(answer);
}

static void count_found(const struct nns_tc_work *work, const struct nns_tc_task *task)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        const struct nns_tc_place *place = &task->places[hook];
        bool there = place->step == NNS_TC_KEEP || place->step == NNS_TC_REPLACE;
        work->stats->adopted += there && place->priority != task->fresh[hook];
        work->stats->foreign += place->yielded;
    }
}

static void settle_task(const struct nns_tc_work *work, struct nns_tc_task *task)
{
    if (task->with_qdisc && !settle_clsact(task))
        return;
    bool settled = true;
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        if (task->sent[hook] && task->answers[hook] == -ENODEV) {
            fail_job(task, NNS_REASON_GONE, 0);
            return;
        }
        if (task->sent[hook] && !settle_hook(work, task, hook))
            settled = false;
    }
    task->pending = task->doubt = !settled;
    if (settled)
        count_found(work, task);
}

bool nns_tc_work_settle(struct nns_tc_work *work, const struct nns_netlink_batch *batch)
{
    note_answers(work, batch);
    bool pending = false;
    for (size_t i = 0; i < work->count; i++) {
        struct nns_tc_task *task = &work->tasks[i];
        if (task->pending && !task->doubt)
            settle_task(work, task);
        pending = pending || task->pending;
    }
    return pending;
}

static void put_surplus(const struct nns_tc_task *task, enum nns_hook hook, struct nns_netlink_batch *batch)
{
    const struct nns_tc_view *view = &task->views[hook];
    const struct nns_attachment *now = &task->job->hooks[hook];
    if (now->reason != NNS_REASON_NONE && now->reason != NNS_REASON_NO_PRIORITY)
        return;
    for (int i = 0; i < view->count; i++) {
        struct nns_tc_spot spot = {
            .ifindex = task->job->ifindex,
            .priority = view->ours[i].priority,
            .hook = (uint8_t)hook,
        };
        if (spot.priority != now->priority)
            nns_tc_put_delete(batch, spot, 0);
    }
}

void nns_tc_work_surplus(struct nns_tc_work *work, struct nns_netlink_batch *batch)
{
    for (size_t i = 0; i < work->count; i++) {
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            put_surplus(&work->tasks[i], hook, batch);
    }
}

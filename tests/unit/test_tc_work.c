/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "core/tc_work.h"

static struct {
    struct nns_tc_set set;
    struct nns_tc_stats stats;
    struct nns_tc_job job;
    struct nns_tc_work work;
    struct nns_netlink_batch batch;
} here;

static void begin(enum nns_qdisc qdisc)
{
    here.set = (struct nns_tc_set){.instance = "a", .priority = 10, .programs = {{.id = 5}, {.id = 6}}};
    here.job = (struct nns_tc_job){.ifindex = 3, .qdisc = (uint8_t)qdisc};
    cr_assert_eq(nns_tc_work_init(&here.work, &here.set, &here.job, 1, &here.stats), 0);
}

static void tear_down(void)
{
    nns_tc_work_deinit(&here.work);
    nns_netlink_batch_deinit(&here.batch);
}

TestSuite(tc_work, .fini = tear_down);

static void plan(size_t requests)
{
    nns_netlink_batch_clear(&here.batch);
    nns_tc_work_plan(&here.work, &here.batch);
    cr_assert_eq(here.batch.count, requests, "%zu requests", here.batch.count);
}

static bool settle(const int *answers)
{
    for (size_t i = 0; i < here.batch.count; i++)
        here.batch.requests[i].answer = answers[i];
    return nns_tc_work_settle(&here.work, &here.batch);
}

#define SETTLE(...) settle((const int[]){__VA_ARGS__})

static void see(enum nns_qdisc kind)
{
    nns_tc_work_look(&here.work);
    struct nns_tc_qdisc qdisc = {.ifindex = 3, .kind = kind};
    if (kind != NNS_QDISC_NONE)
        nns_tc_work_see_qdisc(&here.work, &qdisc);
}

static void see_filter_with(enum nns_hook hook, uint16_t priority, uint32_t id, uint32_t classid,
                            enum nns_tc_whose whose)
{
    struct nns_tc_filter filter = {.ifindex = 3, .priority = priority};
    nns_tc_task_see_filter(here.work.tasks, &here.set, hook, &filter, NNS_TC_ANOTHERS);
    filter.handle = NNS_TC_HANDLE;
    filter.program_id = id;
    filter.classid = classid;
    nns_tc_task_see_filter(here.work.tasks, &here.set, hook, &filter, whose);
}

static void see_filter(enum nns_hook hook, uint16_t priority, uint32_t id, bool ours)
{
    see_filter_with(hook, priority, id, 0, ours ? NNS_TC_OURS : NNS_TC_ANOTHERS);
}

static void seen(void)
{
    nns_tc_task_seen(here.work.tasks);
    cr_assert_not(nns_tc_work_in_doubt(&here.work));
}

static void expect(enum nns_hook hook, uint32_t id, uint16_t priority, enum nns_reason reason, int error)
{
    const struct nns_attachment *now = &here.job.hooks[hook];
    cr_assert_eq(now->program_id, id, "id %u reason %u error %u", now->program_id, now->reason, now->error);
    cr_assert_eq(now->priority, priority, "priority %u", now->priority);
    cr_assert_eq(now->reason, reason, "reason %u error %u", now->reason, now->error);
    cr_assert_eq(now->error, error, "error %u", now->error);
}

static uint16_t flags_of(size_t index)
{
    size_t start = index ? here.batch.requests[index - 1].end : 0;
    return ((struct nlmsghdr *)(here.batch.bytes + start))->nlmsg_flags;
}

Test(tc_work, nothing_there_takes_one_round)
{
    begin(NNS_QDISC_NONE);
    cr_assert_not(nns_tc_work_in_doubt(&here.work));
    plan(3);
    for (size_t i = 0; i < 3; i++)
        cr_assert(flags_of(i) & NLM_F_EXCL);
    cr_assert_not(SETTLE(0, 0, 0));
    expect(NNS_INGRESS, 5, 10, NNS_REASON_NONE, 0);
    expect(NNS_EGRESS, 6, 10, NNS_REASON_NONE, 0);
    cr_assert_eq(here.job.qdisc, NNS_QDISC_CLSACT);
    plan(0);
}

Test(tc_work, a_dead_device_is_gone_whichever_request_hears_it)
{
    static const int answers[][3] = {{-ENODEV, -ENODEV, -ENODEV}, {0, -ENODEV, -ENODEV}, {0, 0, -ENODEV}};
    for (int i = 0; i < 3; i++) {
        begin(NNS_QDISC_NONE);
        plan(3);
        cr_assert_not(settle(answers[i]));
        expect(NNS_INGRESS, 0, 0, NNS_REASON_GONE, 0);
        expect(NNS_EGRESS, 0, 0, NNS_REASON_GONE, 0);
        nns_tc_work_deinit(&here.work);
    }
}

Test(tc_work, clsact_refused_for_good)
{
    begin(NNS_QDISC_NONE);
    plan(3);
    cr_assert_not(SETTLE(-EPERM, -EPERM, -EPERM));
    expect(NNS_INGRESS, 0, 0, NNS_REASON_KERNEL, EPERM);
    expect(NNS_EGRESS, 0, 0, NNS_REASON_KERNEL, EPERM);
}

Test(tc_work, every_answer_lost)
{
    begin(NNS_QDISC_NONE);
    here.job.hooks[NNS_INGRESS].reason = NNS_REASON_UNKNOWN;
    plan(3);
    cr_assert(SETTLE(1, 1, 1));
    cr_assert(nns_tc_work_in_doubt(&here.work));
    expect(NNS_INGRESS, 0, 0, NNS_REASON_UNKNOWN, 0);
    plan(0);
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 10, 5, true);
    seen();
    plan(1);
    cr_assert_not(SETTLE(0));
    expect(NNS_INGRESS, 5, 10, NNS_REASON_NONE, 0);
    expect(NNS_EGRESS, 6, 10, NNS_REASON_NONE, 0);
    cr_assert_eq(here.stats.adopted, 0, "it was this very work's");
    cr_assert_eq(here.job.found, 0);
}

/* The egress filter went into the legacy qdisc's only list, where the ingress filter had just been refused.
 */
Test(tc_work, legacy_ingress_found_too_late)
{
    begin(NNS_QDISC_NONE);
    plan(3);
    cr_assert(SETTLE(-EEXIST, -ENOMEM, 0));
    expect(NNS_EGRESS, 0, 0, NNS_REASON_NONE, 0);
    see(NNS_QDISC_INGRESS);
    cr_assert_not(nns_tc_task_reaches(here.work.tasks, NNS_EGRESS));
    see_filter(NNS_INGRESS, 10, 6, true);
    seen();
    plan(1);
    cr_assert(flags_of(0) & NLM_F_REPLACE);
    cr_assert_not(SETTLE(0));
    expect(NNS_INGRESS, 5, 10, NNS_REASON_NONE, 0);
    expect(NNS_EGRESS, 0, 0, NNS_REASON_LEGACY_INGRESS, 0);
    cr_assert_eq(here.job.qdisc, NNS_QDISC_INGRESS);
}

Test(tc_work, somebody_was_quicker_at_one_hook)
{
    begin(NNS_QDISC_NONE);
    plan(3);
    cr_assert(SETTLE(0, 0, -EINVAL));
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 10, 5, true);
    see_filter(NNS_EGRESS, 10, 99, false);
    seen();
    plan(1);
    cr_assert_not(SETTLE(0));
    expect(NNS_INGRESS, 5, 10, NNS_REASON_NONE, 0);
    expect(NNS_EGRESS, 6, 11, NNS_REASON_NONE, 0);
    cr_assert_eq(here.stats.adopted, 0);
    cr_assert_eq(here.stats.foreign, 1);
}

Test(tc_work, moving_away_deletes_the_old_place_last)
{
    begin(NNS_QDISC_NONE);
    plan(3);
    cr_assert(SETTLE(-EEXIST, 0, -EEXIST));
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 10, 99, false);
    see_filter(NNS_INGRESS, 10, 5, true);
    see_filter(NNS_EGRESS, 10, 6, true);
    seen();
    plan(1);
    cr_assert_not(SETTLE(0));
    expect(NNS_INGRESS, 5, 11, NNS_REASON_NONE, 0);
    cr_assert_eq(here.stats.adopted, 1);
    cr_assert_eq(here.job.found, 1 << NNS_EGRESS, "the one on ingress is this very work's");
    nns_netlink_batch_clear(&here.batch);
    nns_tc_work_surplus(&here.work, &here.batch);
    cr_assert_eq(here.batch.count, 1);
    struct nlmsghdr *message = (struct nlmsghdr *)here.batch.bytes;
    const struct tcmsg *head = NLMSG_DATA(message);
    cr_assert_eq(message->nlmsg_type, RTM_DELTFILTER);
    cr_assert_eq(head->tcm_handle, NNS_TC_HANDLE);
    cr_assert_eq(TC_H_MAJ(head->tcm_info) >> 16, 10);
    cr_assert_eq(head->tcm_parent, nns_tc_parent(NNS_INGRESS));
}

/* As long as the new place is not sure the old one stays. */
Test(tc_work, a_failed_move_deletes_nothing)
{
    begin(NNS_QDISC_CLSACT);
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 3, 5, true);
    seen();
    plan(2);
    cr_assert_not(SETTLE(-ENOMEM, 0));
    expect(NNS_INGRESS, 5, 3, NNS_REASON_KERNEL, ENOMEM);
    nns_netlink_batch_clear(&here.batch);
    nns_tc_work_surplus(&here.work, &here.batch);
    cr_assert_eq(here.batch.count, 0);
}

Test(tc_work, a_failed_replacement_leaves_the_old_program)
{
    begin(NNS_QDISC_CLSACT);
    cr_assert(nns_tc_work_in_doubt(&here.work));
    plan(0);
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 12, 4, true);
    seen();
    plan(2);
    cr_assert_not(SETTLE(-ENOMEM, -EOPNOTSUPP));
    expect(NNS_INGRESS, 4, 12, NNS_REASON_KERNEL, ENOMEM);
    expect(NNS_EGRESS, 0, 0, NNS_REASON_SHARED_BLOCK, 0);
}

Test(tc_work, a_qdisc_nobody_knows)
{
    begin(NNS_QDISC_UNKNOWN);
    see(NNS_QDISC_UNKNOWN);
    cr_assert_not(nns_tc_work_in_doubt(&here.work));
    plan(0);
    cr_assert_not(nns_tc_work_settle(&here.work, &here.batch));
    expect(NNS_INGRESS, 0, 0, NNS_REASON_KERNEL, EOPNOTSUPP);
}

Test(tc_work, a_qdisc_that_went_is_made_anew)
{
    begin(NNS_QDISC_CLSACT);
    see(NNS_QDISC_CLSACT);
    seen();
    plan(2);
    cr_assert(SETTLE(-EINVAL, -EINVAL));
    expect(NNS_INGRESS, 0, 0, NNS_REASON_KERNEL, EINVAL);
    see(NNS_QDISC_NONE);
    seen();
    plan(3);
    cr_assert_not(SETTLE(0, 0, 0));
    expect(NNS_EGRESS, 6, 10, NNS_REASON_NONE, 0);
}

/* The same program, counting in a slot that is not the device's any more. */
Test(tc_work, a_filter_with_another_slot_is_replaced)
{
    begin(NNS_QDISC_CLSACT);
    here.job.slot = 7;
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 10, 5, true);
    see_filter(NNS_EGRESS, 10, 6, true);
    seen();
    plan(2);
    cr_assert(flags_of(0) & NLM_F_REPLACE);
    cr_assert_not(flags_of(0) & NLM_F_EXCL);
    cr_assert_not(SETTLE(-ENOMEM, 0));
    expect(NNS_INGRESS, 5, 10, NNS_REASON_KERNEL, ENOMEM);
    expect(NNS_EGRESS, 6, 10, NNS_REASON_NONE, 0);
    cr_assert_eq(here.stats.adopted, 2);
    cr_assert_eq(here.job.found, 1 << NNS_INGRESS | 1 << NNS_EGRESS);
}

/* What went on counting without a daemon counted in the very slot of the very map, and is not what this work
 * put there itself. */
Test(tc_work, what_counted_already_in_this_slot_is_told_from_the_rest)
{
    static const struct {
        uint16_t slot;
        uint32_t classid;
        enum nns_tc_whose whose;
        bool counted;
    } cases[] = {
        {7, 7, NNS_TC_OURS_COUNTS, true},  {7, 8, NNS_TC_OURS_COUNTS, false},
        {7, 7, NNS_TC_OURS, false},        {7, 7, NNS_TC_ANOTHERS, false},
        {0, 0, NNS_TC_OURS_COUNTS, false}, {7, 0x10007, NNS_TC_OURS_COUNTS, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(NNS_QDISC_CLSACT);
        here.job.slot = cases[i].slot;
        cr_assert_not(here.job.looked);
        see(NNS_QDISC_CLSACT);
        see_filter_with(NNS_EGRESS, 10, 99, cases[i].classid, cases[i].whose);
        cr_assert_not(here.job.looked, "not before all was seen");
        seen();
        cr_assert(here.job.looked);
        cr_assert_eq(here.job.counted, cases[i].counted << NNS_EGRESS, "case %zu", i);
        tear_down();
    }
    begin(NNS_QDISC_CLSACT);
}

Test(tc_work, what_this_work_put_there_did_not_count_before)
{
    begin(NNS_QDISC_CLSACT);
    here.job.slot = 7;
    see(NNS_QDISC_CLSACT);
    seen();
    plan(2);
    cr_assert(SETTLE(0, NNS_NETLINK_UNHEARD));
    see(NNS_QDISC_CLSACT);
    see_filter_with(NNS_INGRESS, 10, 5, 7, NNS_TC_OURS_COUNTS);
    see_filter_with(NNS_EGRESS, 10, 6, 7, NNS_TC_OURS_COUNTS);
    seen();
    cr_assert(here.job.looked);
    cr_assert_eq(here.job.counted, 0);
}

/* The batch ran out of memory or its socket failed: what was heard in the round before is no answer. */
Test(tc_work, a_request_that_was_never_sent_is_unheard)
{
    begin(NNS_QDISC_NONE);
    plan(3);
    cr_assert(SETTLE(0, 0, -EINVAL));
    see(NNS_QDISC_CLSACT);
    see_filter(NNS_INGRESS, 10, 5, true);
    seen();
    plan(1);
    nns_netlink_batch_clear(&here.batch);
    here.job.hooks[NNS_EGRESS] = (struct nns_attachment){0};
    cr_assert(nns_tc_work_settle(&here.work, &here.batch));
    expect(NNS_INGRESS, 5, 10, NNS_REASON_NONE, 0);
    expect(NNS_EGRESS, 0, 0, NNS_REASON_UNKNOWN, 0);
}

/* Jobs come in any order; what the kernel shows finds its own. */
Test(tc_work, jobs_in_any_order)
{
    struct nns_tc_job jobs[] = {{.ifindex = 9}, {.ifindex = 2, .qdisc = NNS_QDISC_NONE}, {.ifindex = 5}};
    begin(NNS_QDISC_NONE);
    nns_tc_work_deinit(&here.work);
    cr_assert_eq(nns_tc_work_init(&here.work, &here.set, jobs, 3, &here.stats), 0);
    nns_tc_work_look(&here.work);
    static const uint32_t there[] = {2, 5, 7};
    for (int i = 0; i < 3; i++) {
        struct nns_tc_qdisc qdisc = {.ifindex = there[i], .kind = NNS_QDISC_INGRESS};
        nns_tc_work_see_qdisc(&here.work, &qdisc);
    }
    for (int i = 0; i < 3; i++)
        nns_tc_task_seen(&here.work.tasks[i]);
    plan(3 + 1 + 3);
    cr_assert_not(SETTLE(0, 0, 0, 0, 0, 0, 0));
    cr_assert_eq(jobs[0].qdisc, NNS_QDISC_CLSACT);
    cr_assert_eq(jobs[1].hooks[NNS_EGRESS].program_id, 6);
    cr_assert_eq(jobs[2].qdisc, NNS_QDISC_INGRESS);
    cr_assert_eq(jobs[2].hooks[NNS_EGRESS].reason, NNS_REASON_LEGACY_INGRESS);
}

/* Taken for bare on the strength of news, it may carry what an error says nothing of. */
Test(tc_work, an_error_does_not_forget_what_was_not_looked_for)
{
    begin(NNS_QDISC_NONE);
    here.job.hooks[NNS_INGRESS] = here.job.hooks[NNS_EGRESS] =
        (struct nns_attachment){.program_id = 5, .priority = 10};
    plan(3);
    cr_assert(SETTLE(-ENOMEM, -ENOMEM, -ENOMEM));
    cr_assert(nns_tc_work_in_doubt(&here.work));
    cr_assert_eq(here.job.hooks[NNS_INGRESS].program_id, 5);
    see(NNS_QDISC_NONE);
    seen();
    plan(3);
    cr_assert_not(SETTLE(-ENOMEM, -EINVAL, -EINVAL));
    expect(NNS_INGRESS, 0, 0, NNS_REASON_KERNEL, ENOMEM);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/rtnetlink.h>

#include "core/tc_leave.h"
#include "fail_alloc.h"

/* One device: a filter of ours on each hook, at priority 10 and 11. */
enum { DEVICE = 3 };

static struct {
    struct nns_tc_job job;
    struct nns_tc_stats stats;
    struct nns_tc_leave leave;
    struct nns_netlink_batch batch;
} here;

static void begin_with(struct nns_attachment ingress, struct nns_attachment egress)
{
    here.job = (struct nns_tc_job){.ifindex = DEVICE, .hooks = {ingress, egress}};
    cr_assert_eq(nns_tc_leave_init(&here.leave, &here.job, 1, &here.stats), 0);
}

static void begin(void)
{
    begin_with((struct nns_attachment){.program_id = 5, .priority = 10},
               (struct nns_attachment){.program_id = 6, .priority = 11});
}

static void tear_down(void)
{
    nns_tc_leave_deinit(&here.leave);
    nns_netlink_batch_deinit(&here.batch);
}

TestSuite(tc_leave, .fini = tear_down);

/* Of the requests that are written, one for each bit of hooks. */
static void expect_requests(unsigned hooks, uint16_t type)
{
    size_t at = 0, start = 0;

    for (uint32_t hook = 0; hook < NNS_HOOKS; hook++) {
        const struct nlmsghdr *message;
        const struct tcmsg *tc;

        if (!(hooks & 1u << hook))
            continue;
        cr_assert_lt(at, here.batch.count);
        message = (const struct nlmsghdr *)(here.batch.bytes + start);
        tc = NLMSG_DATA(message);
        cr_expect_eq(message->nlmsg_type, type);
        cr_expect_eq(tc->tcm_ifindex, DEVICE);
        cr_expect_eq(tc->tcm_parent, nns_tc_parent(hook));
        cr_expect_eq(tc->tcm_info >> 16, here.job.hooks[hook].priority);
        cr_expect_eq(here.batch.requests[at].about, hook);
        start = here.batch.requests[at++].end;
    }
    cr_assert_eq(here.batch.count, at, "%zu requests", here.batch.count);
}

static void ask(unsigned hooks)
{
    nns_tc_leave_ask(&here.leave, &here.batch);
    expect_requests(hooks, RTM_GETTFILTER);
}

static void delete_hooks(unsigned hooks)
{
    nns_tc_leave_delete(&here.leave, &here.batch);
    expect_requests(hooks, RTM_DELTFILTER);
}

static void answer(int first, int second)
{
    const int answers[] = {first, second};

    for (size_t i = 0; i < here.batch.count; i++)
        here.batch.requests[i].answer = answers[i];
}

static void told(int first, int second)
{
    answer(first, second);
    nns_tc_leave_told(&here.leave, &here.batch);
}

static void deleted(int first, int second)
{
    answer(first, second);
    nns_tc_leave_deleted(&here.leave, &here.batch);
}

static void expect(enum nns_hook hook, uint32_t id, enum nns_reason reason, int error)
{
    const struct nns_attachment *now = &here.job.hooks[hook];

    cr_expect_eq(now->program_id, id, "id %u", now->program_id);
    cr_expect_eq(now->reason, reason, "reason %u", now->reason);
    cr_expect_eq(now->error, error, "error %u", now->error);
}

Test(tc_leave, what_is_ours_is_asked_for_and_deleted)
{
    begin();
    expect(NNS_INGRESS, 5, NNS_REASON_UNKNOWN, 0);
    ask(3);
    nns_tc_leave_see(&here.leave, NNS_INGRESS, true);
    nns_tc_leave_see(&here.leave, NNS_EGRESS, true);
    told(0, 0);
    delete_hooks(3);
    deleted(0, 0);
    expect(NNS_INGRESS, 0, NNS_REASON_NONE, 0);
    expect(NNS_EGRESS, 0, NNS_REASON_NONE, 0);
    cr_expect_eq(here.stats.removed, 2);
    cr_expect_eq(here.stats.foreign, 0);
    ask(0);
    delete_hooks(0);
}

Test(tc_leave, what_is_anothers_stays_and_is_no_concern_of_ours)
{
    begin();
    ask(3);
    nns_tc_leave_see(&here.leave, NNS_INGRESS, false);
    nns_tc_leave_see(&here.leave, NNS_EGRESS, true);
    told(0, 0);
    expect(NNS_INGRESS, 0, NNS_REASON_NONE, 0);
    cr_expect_eq(here.stats.foreign, 1);
    delete_hooks(2);
}

Test(tc_leave, one_with_another_program_is_not_expected)
{
    struct nns_tc_filter filter = {.program_id = 6};

    begin();
    cr_expect_not(nns_tc_leave_expects(&here.leave, NNS_INGRESS, &filter));
    cr_expect(nns_tc_leave_expects(&here.leave, NNS_EGRESS, &filter));
}

Test(tc_leave, nothing_there_is_left)
{
    static const int gone[] = {-ENOENT, -ENODEV, -EINVAL, -EOPNOTSUPP};

    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        begin();
        ask(3);
        nns_tc_leave_see(&here.leave, NNS_EGRESS, true);
        told(gone[i], 0);
        expect(NNS_INGRESS, 0, NNS_REASON_NONE, 0);
        delete_hooks(2);
        deleted(gone[i], 0);
        expect(NNS_EGRESS, 0, NNS_REASON_NONE, 0);
        nns_tc_leave_deinit(&here.leave);
    }
    cr_expect_eq(here.stats.removed, 0);
}

/* An answer that was lost may have been a yes (I9): after a deletion, too, it is asked. */
Test(tc_leave, what_was_lost_is_asked_again)
{
    begin();
    ask(3);
    nns_tc_leave_see(&here.leave, NNS_EGRESS, true);
    told(NNS_NETLINK_UNHEARD, NNS_NETLINK_UNHEARD);
    expect(NNS_INGRESS, 5, NNS_REASON_UNKNOWN, 0);
    delete_hooks(2);
    deleted(NNS_NETLINK_UNHEARD, 0);
    expect(NNS_EGRESS, 6, NNS_REASON_UNKNOWN, 0);
    ask(3);
}

/* It came with an object of which nobody could say whose it is, and no error. */
Test(tc_leave, what_could_be_neither_is_asked_again)
{
    begin();
    ask(3);
    told(0, 0);
    expect(NNS_INGRESS, 5, NNS_REASON_UNKNOWN, 0);
    delete_hooks(0);
    ask(3);
}

Test(tc_leave, what_the_kernel_refuses_is_there_with_its_reason)
{
    begin();
    ask(3);
    nns_tc_leave_see(&here.leave, NNS_EGRESS, true);
    told(-EPERM, 0);
    expect(NNS_INGRESS, 5, NNS_REASON_KERNEL, EPERM);
    delete_hooks(2);
    deleted(-ENOMEM, 0);
    expect(NNS_EGRESS, 6, NNS_REASON_KERNEL, ENOMEM);
    ask(0);
    delete_hooks(0);
}

Test(tc_leave, where_an_attach_learnt_nothing_it_is_looked_over)
{
    begin_with((struct nns_attachment){.reason = NNS_REASON_UNKNOWN},
               (struct nns_attachment){.reason = NNS_REASON_NO_PRIORITY});
    cr_expect(nns_tc_leave_seeks(&here.leave, NNS_INGRESS));
    cr_expect_not(nns_tc_leave_seeks(&here.leave, NNS_EGRESS), "nothing of ours is there");
    expect(NNS_EGRESS, 0, NNS_REASON_NO_PRIORITY, 0);
    ask(0);
    nns_tc_leave_left(&here.leave, NNS_INGRESS);
    cr_expect_not(nns_tc_leave_seeks(&here.leave, NNS_INGRESS));
    expect(NNS_INGRESS, 0, NNS_REASON_NONE, 0);
}

Test(tc_leave, without_memory_nothing_is_known)
{
    here.job = (struct nns_tc_job){.ifindex = DEVICE, .hooks = {{.program_id = 5}, {.program_id = 6}}};
    fail_alloc_after(0);
    cr_expect_eq(nns_tc_leave_init(&here.leave, &here.job, 1, &here.stats), -ENOMEM);
    fail_alloc_stop();
    expect(NNS_INGRESS, 5, NNS_REASON_UNKNOWN, 0);
    expect(NNS_EGRESS, 6, NNS_REASON_UNKNOWN, 0);
}

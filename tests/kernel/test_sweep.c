/* SPDX-License-Identifier: Apache-2.0 */
/* Sweeping without a daemon where devices come and go while they are listed. The test stands between the
 * command and the kernel's dumps. */
#include "dump_host.h"
#include "owner_host.h"

#include <linux/rtnetlink.h>

#include "cli/cli.h"
#include "cli/sweep.h"

enum { A = 100, B, FOREVER = 1000 };

static struct owner_held held;

/* What happens to dumps of devices on their way, from the moment on that they are of the one with A. */
static struct {
    unsigned interrupted; /* so many of the next */
    unsigned passed_over; /* in so many of these A is missing */
} dumps;

static unsigned complaints;

/* In place of the command's own, which prints. */
void nns_cli_complain(const char *format, ...)
{
    complaints++;
}

int nns_cli_no_memory(void)
{
    cr_assert_fail("no memory");
    return NNS_EXIT_FAILED;
}

void dump_host_spoil(struct nlmsghdr *message)
{
    const struct ifinfomsg *link = NLMSG_DATA(message);

    if (message->nlmsg_type != RTM_NEWLINK || link->ifi_index != A || !dumps.interrupted)
        return;
    message->nlmsg_flags |= NLM_F_DUMP_INTR;
    dumps.interrupted--;
    if (!dumps.passed_over)
        return;
    dumps.passed_over--;
    message->nlmsg_type = NLMSG_NOOP;
}

/* Filters that no daemon knows of any more. */
NNS_OWNER_ONLY static void set_up(void)
{
    owner_host_set_up();
    held = owner_host_hold();
    host_run("nsenter -t %d -n ip link add name a index %d type veth peer name b index %d", held.pid, A, B);
    nns_dequeue(own.owner, owner_host_save(&held));
    cr_assert_eq(owner_host_filters(&held), 2 * 3);
}

NNS_OWNER_ONLY static void tear_down(void)
{
    owner_host_tear_down();
    owner_host_let_go(&held);
}

TestSuite(sweep, .init = set_up, .fini = tear_down, .timeout = 60);

static struct nns_sweep sweep_filters(void)
{
    struct nns_sweep sweep;

    cr_assert_eq(nns_sweep_all("default", NULL, &sweep), 0);
    return sweep;
}

/* A dump that is interrupted is repeated by itself once. */
Test(sweep, what_an_interrupted_listing_passes_over_is_swept_too)
{
    struct nns_sweep sweep;

    dumps.interrupted = dumps.passed_over = 2;
    sweep = sweep_filters();
    cr_expect_eq(dumps.interrupted, 0);
    cr_expect_eq(sweep.failed, 0);
    cr_expect_eq(sweep.filters, 2 * 3);
    cr_expect_eq(sweep.namespaces, 1, "counted once");
    cr_expect_eq(complaints, 0);
    cr_expect_eq(owner_host_filters(&held), 0);
}

Test(sweep, what_was_shown_is_swept_where_no_listing_is_ever_whole)
{
    struct nns_sweep sweep;

    dumps.interrupted = dumps.passed_over = FOREVER;
    sweep = sweep_filters();
    cr_expect_geq(dumps.interrupted, FOREVER - 100, "there is a bound");
    cr_expect_eq(sweep.failed, 1);
    cr_expect_eq(complaints, 1);
    cr_expect_eq(sweep.filters, 2 * 2);
    dumps.interrupted = dumps.passed_over = 0;
    cr_expect_eq(owner_host_filters(&held), 2, "those of the device that nobody was shown");
}

static struct nns_targets target_all(void)
{
    struct nns_targets targets = {0};
    json_t *namespace = json_pack("{s:I, s:[{s:i, s:s, s:{s:i}}, {s:i, s:s, s:{s:i}}]}", "cookie",
                                  (json_int_t)held.id.cookie, "devices", "ifindex", A, "name", "a", "ingress",
                                  "program_id", 1, "ifindex", B, "name", "b", "ingress", "program_id", 1);

    cr_assert_not_null(namespace);
    nns_targets_add(&targets, namespace);
    nns_targets_sort(&targets);
    json_decref(namespace);
    cr_assert_eq(targets.count, 2);
    return targets;
}

Test(sweep, each_device_is_met_once)
{
    struct nns_targets targets = target_all();
    struct nns_qdiscs qdiscs = {.instance = "default", .rows = json_array()};
    struct nns_sweep sweep;
    size_t met;

    sweep_filters();
    dumps.interrupted = dumps.passed_over = 2;
    cr_assert_eq(nns_sweep_qdiscs(&targets, &qdiscs, &sweep, &met), 0);
    cr_expect_eq(sweep.failed, 0);
    cr_expect_eq(met, 2);
    cr_expect_eq(qdiscs.removed, 2);
    cr_expect_eq(qdiscs.failed, 0);
    json_decref(qdiscs.rows);
    nns_targets_deinit(&targets);
}

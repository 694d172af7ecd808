/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon.h"
#include "floor/floor.h"
#include "pods.h"
#include "private_host.h"
#include "program.h"

/* Namespaces in each group. */
#define NAMESPACES 200u
#define A_MESSAGE  64u

/*
 * Two equal groups of pods, all devices attached: one by a daemon of this pair, which is then told to end,
 * the other by the floor's own loop, whose filters the floor then deletes. The groups change sides every
 * pair.
 */
struct closing {
    struct bench_program program;
    struct bench_pods pods; /* the first group and the second */
    uint32_t pids[2 * NAMESPACES];
    int pidfds[2 * NAMESPACES]; /* owned */
    struct bench_daemon daemon;
};

static size_t group_of_ours(unsigned pair)
{
    return pair % 2 ? 0 : NAMESPACES;
}

static size_t group_of_floor(unsigned pair)
{
    return pair % 2 ? NAMESPACES : 0;
}

static int attach_ours(struct closing *closing, unsigned pair)
{
    int result = bench_daemon_start(&closing->daemon, 0);

    if (result == 0)
        result =
            bench_daemon_feed(&closing->daemon, closing->pids + group_of_ours(pair), NAMESPACES, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(&closing->daemon, "attach.done", NAMESPACES * BENCH_POD_DEVICES);
    return result ? result
                  : bench_pods_verify(&closing->pods, group_of_ours(pair), NAMESPACES, BENCH_POD_DEVICES);
}

static int attach_floor(struct closing *closing, unsigned pair)
{
    int result =
        floor_miss(closing->pids + group_of_floor(pair), NAMESPACES, bench_home(), closing->program.fds);

    if (result)
        return bench_error(result, "attaching what the floor is to delete");
    return bench_pods_verify(&closing->pods, group_of_floor(pair), NAMESPACES, BENCH_POD_DEVICES);
}

static int clear(struct closing *closing)
{
    int result = bench_pods_clear(&closing->pods, 0, closing->pods.count, BENCH_POD_DEVICES);

    return result ? result : bench_settle();
}

static int prepare(void *context, unsigned pair)
{
    int result = clear(context);

    if (result == 0)
        result = attach_floor(context, pair);
    return result ? result : attach_ours(context, pair);
}

static int prepare_floor(void *context, unsigned pair)
{
    int result = clear(context);

    return result ? result : attach_floor(context, pair);
}

/* Both settle first: what is left of a deleted filter dies later, under RTNL, and whoever comes second would
 * stand in line behind it. */
static int run_floor(void *context, unsigned pair, double *milliseconds)
{
    static const uint32_t ifindexes[BENCH_POD_DEVICES] = {1, 2};
    struct closing *closing = context;
    int result = bench_settle();
    uint64_t since = bench_now();

    if (result)
        return result;
    result = floor_close(closing->pidfds + group_of_floor(pair), NAMESPACES, bench_home(), ifindexes,
                         BENCH_POD_DEVICES);
    if (result)
        return bench_error(result, "floor: deleting filters");
    *milliseconds = (double)(bench_now() - since) / 1e6;
    return 0;
}

static int run_ours(void *context, unsigned pair, double *milliseconds)
{
    struct closing *closing = context;
    uint64_t nanoseconds = 0;
    int result = bench_settle();

    if (result == 0)
        result = bench_daemon_end(&closing->daemon, &nanoseconds);
    *milliseconds = (double)nanoseconds / 1e6;
    return result;
}

static int verify(void *context, unsigned pair)
{
    struct closing *closing = context;

    return bench_pods_verify_emptied(&closing->pods, 0, closing->pods.count, BENCH_POD_DEVICES);
}

static int verify_floor(void *context, unsigned pair)
{
    struct closing *closing = context;

    return bench_pods_verify_emptied(&closing->pods, group_of_floor(pair), NAMESPACES, BENCH_POD_DEVICES);
}

static int measure(const struct bench_options *options, struct bench_report *report, struct closing *closing)
{
    struct bench_experiment experiment = {
        .scenario = "close",
        .metrics = {{"200 namespaces of 2 devices", "ms"}},
        .prepare = options->floor_only ? prepare_floor : prepare,
        .floor = run_floor,
        .ours = run_ours,
        .verify = options->floor_only ? verify_floor : verify,
        .context = closing,
    };

    return bench_run_pairs(options, &experiment, report);
}

static int open_pidfds(struct closing *closing)
{
    for (size_t i = 0; i < closing->pods.count; i++) {
        closing->pids[i] = (uint32_t)closing->pods.items[i].pid;
        closing->pidfds[i] = (int)syscall(SYS_pidfd_open, closing->pids[i], 0);
        if (closing->pidfds[i] < 0)
            return bench_error(-errno, "pidfd_open");
    }
    return 0;
}

static void close_pidfds(struct closing *closing)
{
    for (size_t i = 0; i < 2 * NAMESPACES; i++)
        if (closing->pidfds[i] >= 0)
            close(closing->pidfds[i]);
}

static int furnish(struct closing *closing)
{
    int result = bench_program_open(&closing->program);

    if (result == 0)
        result = bench_pods_init(&closing->pods, 2 * NAMESPACES);
    if (result == 0)
        result = bench_pods_grow(&closing->pods, 2 * NAMESPACES);
    return result ? result : open_pidfds(closing);
}

int bench_close(const struct bench_options *options, struct bench_report *report)
{
    struct closing *closing = calloc(1, sizeof(*closing));
    int result;

    if (!closing)
        return bench_error(-ENOMEM, "close");
    closing->daemon = BENCH_DAEMON_NULL;
    for (size_t i = 0; i < 2 * NAMESPACES; i++)
        closing->pidfds[i] = -1;
    result = furnish(closing);
    if (result == 0)
        result = measure(options, report, closing);
    bench_daemon_stop(&closing->daemon);
    close_pidfds(closing);
    bench_pods_deinit(&closing->pods);
    bench_program_close(&closing->program);
    free(closing);
    return result;
}

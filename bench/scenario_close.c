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

#define NAMESPACES 200u
#define A_MESSAGE  64u

/*
 * All devices of the pods are attached: by a daemon, which is then told to end, or by the floor's own loop,
 * whose filters the floor then deletes.
 */
struct closing {
    struct bench_program program;
    struct bench_pods pods;
    uint32_t pids[NAMESPACES];
    int pidfds[NAMESPACES]; /* owned */
    struct bench_daemon daemon;
};

static int attach_ours(struct closing *closing)
{
    int result = bench_daemon_start(&closing->daemon, 0);

    if (result == 0)
        result = bench_daemon_feed(&closing->daemon, closing->pids, NAMESPACES, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(&closing->daemon, "attach.done", 0, NAMESPACES * BENCH_POD_DEVICES);
    return result;
}

static int attach_floor(struct closing *closing)
{
    int result = floor_miss(closing->pids, NAMESPACES, bench_home(), closing->program.fds);

    return result ? bench_error(result, "attaching what the floor is to delete") : 0;
}

/* What is left of a deleted filter dies later, under RTNL: nobody is to stand in line behind it. */
static int prepare(void *context, enum bench_side side)
{
    struct closing *closing = context;
    int result = bench_pods_clear(&closing->pods, 0, NAMESPACES, BENCH_POD_DEVICES);

    if (result == 0)
        result = bench_settle();
    if (result == 0)
        result = side == BENCH_OURS ? attach_ours(closing) : attach_floor(closing);
    if (result == 0)
        result = bench_pods_verify(&closing->pods, 0, NAMESPACES, BENCH_POD_DEVICES);
    return result ? result : bench_settle();
}

static int run_floor(void *context, double *milliseconds)
{
    static const uint32_t ifindexes[BENCH_POD_DEVICES] = {1, 2};
    struct closing *closing = context;
    uint64_t since = bench_now();
    int result = floor_close(closing->pidfds, NAMESPACES, bench_home(), ifindexes, BENCH_POD_DEVICES);

    if (result)
        return bench_error(result, "floor: deleting filters");
    *milliseconds = (double)(bench_now() - since) / 1e6;
    return 0;
}

static int run_ours(void *context, double *milliseconds)
{
    struct closing *closing = context;
    uint64_t nanoseconds = 0;
    int result = bench_daemon_end(&closing->daemon, &nanoseconds);

    *milliseconds = (double)nanoseconds / 1e6;
    return result;
}

static int verify(void *context)
{
    struct closing *closing = context;

    return bench_pods_verify_emptied(&closing->pods, 0, NAMESPACES, BENCH_POD_DEVICES);
}

static int measure(const struct bench_options *options, struct bench_report *report, struct closing *closing)
{
    struct bench_experiment experiment = {
        .scenario = "close",
        .metrics = {{"200 namespaces of 2 devices", "ms"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .verify = verify,
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
    for (size_t i = 0; i < NAMESPACES; i++)
        if (closing->pidfds[i] >= 0)
            close(closing->pidfds[i]);
}

static int furnish(struct closing *closing)
{
    int result = bench_program_open(&closing->program);

    if (result == 0)
        result = bench_pods_init(&closing->pods, NAMESPACES);
    if (result == 0)
        result = bench_pods_grow(&closing->pods, NAMESPACES);
    return result ? result : open_pidfds(closing);
}

int bench_close(const struct bench_options *options, struct bench_report *report)
{
    struct closing *closing = calloc(1, sizeof(*closing));
    int result;

    if (!closing)
        return bench_error(-ENOMEM, "close");
    closing->daemon = BENCH_DAEMON_NULL;
    for (size_t i = 0; i < NAMESPACES; i++)
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

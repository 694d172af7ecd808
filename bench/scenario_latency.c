/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "floor/floor.h"
#include "latency_poll.h"
#include "pods.h"
#include "private_host.h"
#include "program.h"
#include "stopwatch.h"

/* Of a turn. */
#define NAMESPACES       100u
#define NAMESPACES_SMALL 20u

#define WARM_UP 3u

/* Before each namespace nothing happens for so long, so that who attaches it has to wake up. */
#define PAUSE_NS 5000000

/* A container that lives no longer is missed by who takes longer. */
#define LIFE_NS 1e9

#define POLL_MS       10000u
#define POLL_MS_SMALL 1000u
#define POLL_ROUNDS   3u

/*
 * One namespace at a time, on a host that is idle but for it: the daemon is sent its pid, or the floor opens,
 * lists and attaches it. As in miss, all are new to the daemon and their devices bare before each turn.
 */
struct latency {
    struct bench_program program;
    struct bench_pods pods;
    struct bench_stopwatch *stopwatch;
    struct bench_daemon daemon;
    bool known; /* to the daemon */
    size_t count;
    double waits[NAMESPACES]; /* of the present turn, in nanoseconds */
    unsigned poll_ms;
    unsigned turns[BENCH_SIDES], warm_up;
    double *pool[BENCH_SIDES]; /* the waits of all turns that are kept */
    size_t pooled[BENCH_SIDES];
};

enum { P50, P99, IN_TIME };

/* ---- the state that all begin with ---- */

static int forget(struct latency *latency)
{
    int result = 0;

    for (size_t i = 0; latency->known && i < latency->count && result == 0; i++)
        result = bench_daemon_forget(&latency->daemon, latency->pods.items[i].netns);
    latency->known = false;
    return result;
}

/* What it does when it has forgotten would be in the way of whoever is next. */
static int prepare(void *context, enum bench_side side)
{
    struct latency *latency = context;
    int result = forget(latency);

    if (result == 0)
        result = bench_pods_clear(&latency->pods, 0, latency->count, BENCH_POD_DEVICES);
    if (result == 0 && latency->daemon.pid) /* with --floor-only there is none */
        result = bench_daemon_rest(&latency->daemon);
    return result ? result : bench_settle();
}

/* ---- the turns ---- */

static void take_values(struct latency *latency, double *values)
{
    unsigned in_time = 0;

    for (size_t i = 0; i < latency->count; i++)
        in_time += latency->waits[i] <= LIFE_NS;
    values[P50] = bench_summarise(latency->waits, latency->count).median / 1e3;
    values[P99] = bench_quantile(latency->waits, latency->count, 0.99) / 1e3;
    values[IN_TIME] = (double)in_time / (double)latency->count;
}

static void keep(struct latency *latency, enum bench_side side)
{
    if (latency->turns[side]++ < latency->warm_up)
        return;
    memcpy(latency->pool[side] + latency->pooled[side], latency->waits,
           latency->count * sizeof(latency->waits[0]));
    latency->pooled[side] += latency->count;
}

static int attach_one(struct latency *latency, enum bench_side side, const struct bench_pod *pod,
                      double *wait)
{
    uint32_t pid = (uint32_t)pod->pid;
    uint64_t since, last;
    int result;

    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    bench_stopwatch_restart(latency->stopwatch);
    last = since = bench_now();
    if (side == BENCH_OURS)
        result = bench_daemon_feed(&latency->daemon, &pid, 1, 1);
    else
        result = floor_miss(&pid, 1, bench_home(), latency->program.fds);
    if (result)
        return bench_error(result, "attaching one namespace");
    result = bench_stopwatch_await(latency->stopwatch, BENCH_POD_DEVICES, &last);
    *wait = (double)(last - since);
    return result;
}

static int run(struct latency *latency, enum bench_side side, double *values)
{
    int result = 0;

    for (size_t i = 0; i < latency->count && result == 0; i++)
        result = attach_one(latency, side, &latency->pods.items[i], &latency->waits[i]);
    if (result)
        return result;
    keep(latency, side);
    take_values(latency, values);
    return 0;
}

static int run_floor(void *context, double *values)
{
    return run(context, BENCH_FLOOR, values);
}

static int run_ours(void *context, double *values)
{
    struct latency *latency = context;
    int result = run(latency, BENCH_OURS, values);

    latency->known = true;
    if (result)
        bench_daemon_complain(&latency->daemon);
    return result;
}

static int run_poll(void *context, double *values)
{
    struct latency *latency = context;
    int result = bench_latency_poll(latency->program.fds, latency->poll_ms, latency->waits, latency->count);

    if (result == 0)
        take_values(latency, values);
    return result;
}

static int verify(void *context)
{
    struct latency *latency = context;

    return bench_pods_verify(&latency->pods, 0, latency->count, BENCH_POD_DEVICES);
}

/* ---- reporting ---- */

/* Of so many that the hundredth part of them are more than one. There is but one such ratio: no interval. */
static int add_pooled(const struct bench_options *options, struct bench_report *report,
                      struct latency *latency, const char *variant)
{
    double p99[BENCH_SIDES] = {NAN, NAN}, ratio;

    for (int side = 0; side < BENCH_SIDES; side++) {
        if (!latency->pooled[side])
            continue;
        bench_summarise(latency->pool[side], latency->pooled[side]);
        p99[side] = bench_quantile(latency->pool[side], latency->pooled[side], 0.99) / 1e3;
    }
    ratio = options->floor_only ? p99[BENCH_FLOOR] : p99[BENCH_OURS] / p99[BENCH_FLOOR];
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = "latency",
                                        .variant = variant,
                                        .unit = "us",
                                        .floor = p99[BENCH_FLOOR],
                                        .ours = p99[BENCH_OURS],
                                        .ratio = {.median = ratio},
                                        .pairs = options->pairs,
                                        .has_ours = !options->floor_only,
                                        .pooled = true,
                                    });
}

static int measure(const struct bench_options *options, struct bench_report *report, struct latency *latency)
{
    struct bench_experiment experiment = {
        .scenario = "latency",
        .metrics = {[P50] = {"one new namespace, p50", "us"},
                    [P99] = {"one new namespace, p99", "us"},
                    [IN_TIME] = {"attached within 1 s of life", "share"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .others = {{.name = options->small ? "poll of /proc, every 1 s" : "poll of /proc, every 10 s",
                    .run = run_poll,
                    .rounds = POLL_ROUNDS}},
        .verify = verify,
        .context = latency,
        .warm_up = WARM_UP,
    };
    int result = bench_run_pairs(options, &experiment, report);

    return result ? result : add_pooled(options, report, latency, "one new namespace, p99 of all rounds");
}

static int allocate(const struct bench_options *options, struct latency *latency)
{
    for (int side = 0; side < BENCH_SIDES; side++) {
        latency->pool[side] = calloc((size_t)options->pairs * latency->count, sizeof(double));
        if (!latency->pool[side])
            return bench_error(-ENOMEM, "latency");
    }
    return 0;
}

static int furnish(const struct bench_options *options, struct latency *latency)
{
    int result = bench_program_open(&latency->program);

    if (result == 0)
        result = bench_stopwatch_open(&latency->stopwatch); /* it has to see the devices come up */
    if (result == 0)
        result = bench_pods_init(&latency->pods, latency->count);
    if (result == 0)
        result = bench_pods_grow(&latency->pods, latency->count);
    if (result == 0)
        result = allocate(options, latency);
    if (result == 0 && !options->floor_only)
        result = bench_daemon_start(&latency->daemon, 0);
    return result;
}

int bench_latency(const struct bench_options *options, struct bench_report *report)
{
    struct latency latency = {.program = BENCH_PROGRAM_NULL,
                              .pods = BENCH_PODS_NULL,
                              .daemon = BENCH_DAEMON_NULL,
                              .count = options->small ? NAMESPACES_SMALL : NAMESPACES,
                              .poll_ms = options->small ? POLL_MS_SMALL : POLL_MS,
                              .warm_up = options->small ? 0 : WARM_UP};
    int result = furnish(options, &latency);

    if (result == 0)
        result = measure(options, report, &latency);
    bench_daemon_stop(&latency.daemon);
    bench_stopwatch_close(latency.stopwatch);
    bench_pods_deinit(&latency.pods);
    bench_program_close(&latency.program);
    for (int side = 0; side < BENCH_SIDES; side++)
        free(latency.pool[side]);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "floor/floor.h"
#include "pods.h"
#include "today/today.h"

#define NAMESPACES 200u
#define EACH       5u /* processes in each namespace */
#define PIDS       (NAMESPACES * EACH)
#define ROUNDS     60u /* the pids are asked about so many times */
#define SENT       (PIDS * ROUNDS)
#define AGAIN      5u /* a daemon is sent all that again, so that asking for the end weighs little */
#define A_MESSAGE  256u

/* The metrics come in pairs, wall and CPU: of the daemon with one worker, then of the one with two. */
#define WALL        0u
#define CPU         1u
#define ONE_WORKER  0u
#define TWO_WORKERS 2u

/* Both daemons run all the time: one that is given nothing does nothing. */
struct hit {
    struct bench_pods pods;
    struct bench_crowd crowd;
    struct bench_daemon one, two;
    bool two_first; /* in the turn that is next */
    uint32_t random;
    uint32_t pids[SENT];
};

/* Every round has every pid, each in an order of its own. */
static int prepare(void *context, enum bench_side side)
{
    struct hit *hit = context;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t *pids = hit->pids + round * PIDS;

        for (size_t i = 0; i < PIDS; i++)
            pids[i] = (uint32_t)hit->crowd.pids[i];
        bench_shuffle(pids, PIDS, &hit->random);
    }
    return 0;
}

static uint64_t own_cpu(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Per second of wall time, and nanoseconds of CPU each. */
static void write_values(double *values, uint64_t pids, uint64_t wall, uint64_t cpu)
{
    values[WALL] = (double)pids * 1e9 / (double)wall;
    values[CPU] = (double)cpu / (double)pids;
}

static int run_alone(struct hit *hit, int (*resolve)(const uint32_t *pids, size_t count, uint64_t *sum),
                     const char *who, double *values)
{
    uint64_t sum = 0, wall = bench_now(), cpu = own_cpu();
    int result = resolve(hit->pids, SENT, &sum);

    write_values(values, SENT, bench_now() - wall, own_cpu() - cpu);
    if (result == 0 && sum == 0)
        result = -ENODATA;
    return result ? bench_error(result, "%s", who) : 0;
}

/* The same stands beside either daemon. */
static int run_floor(void *context, double *values)
{
    int result = run_alone(context, floor_resolve, "floor: reading links", values + ONE_WORKER);

    memcpy(values + TWO_WORKERS, values + ONE_WORKER, 2 * sizeof(values[0]));
    return result;
}

static int run_open(void *context, double *values)
{
    return run_alone(context, today_resolve_open, "opening namespaces", values + ONE_WORKER);
}

static int run_daemon(struct hit *hit, struct bench_daemon *daemon, double *values)
{
    uint64_t before, cpu_before, cpu, wall;
    int result = bench_daemon_counter(daemon, "sync.known", &before);

    if (result == 0)
        result = bench_daemon_cpu(daemon, &cpu_before);
    if (result)
        return result;
    wall = bench_now();
    for (unsigned i = 0; i < AGAIN && result == 0; i++)
        result = bench_daemon_feed(daemon, hit->pids, SENT, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(daemon, "sync.known", before, before + AGAIN * SENT);
    wall = bench_now() - wall;
    if (result == 0)
        result = bench_daemon_cpu(daemon, &cpu);
    if (result == 0)
        write_values(values, AGAIN * SENT, wall, cpu - cpu_before);
    return result;
}

/* One daemon after the other; which is first changes from turn to turn. */
static int run_ours(void *context, double *values)
{
    struct hit *hit = context;
    int result = hit->two_first ? run_daemon(hit, &hit->two, values + TWO_WORKERS) : 0;

    if (result == 0)
        result = run_daemon(hit, &hit->one, values + ONE_WORKER);
    if (result == 0 && !hit->two_first)
        result = run_daemon(hit, &hit->two, values + TWO_WORKERS);
    hit->two_first = !hit->two_first;
    return result;
}

static int run_one_worker(void *context, double *values)
{
    struct hit *hit = context;

    return run_daemon(hit, &hit->one, values + TWO_WORKERS);
}

/* Make every namespace known, and all devices attached, before anything is timed. */
static int start_daemon(struct hit *hit, struct bench_daemon *daemon, unsigned workers)
{
    int result = bench_daemon_start(daemon, workers);

    if (result)
        return result;
    for (size_t i = 0; i < PIDS; i++)
        hit->pids[i] = (uint32_t)hit->crowd.pids[i];
    result = bench_daemon_feed(daemon, hit->pids, PIDS, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(daemon, "feed.pids", 0, PIDS);
    if (result == 0)
        result = bench_daemon_await(daemon, "attach.done", 0, NAMESPACES * BENCH_POD_DEVICES);
    return result;
}

static int start_daemons(struct hit *hit)
{
    int result = start_daemon(hit, &hit->one, 1);

    return result ? result : start_daemon(hit, &hit->two, 2);
}

static int measure(const struct bench_options *options, struct bench_report *report, struct hit *hit)
{
    struct bench_experiment experiment = {
        .scenario = "hit",
        .metrics = {[ONE_WORKER + WALL] = {"1000 pids in 200 namespaces, 1 worker, wall", "pids/s"},
                    [ONE_WORKER + CPU] = {"1000 pids in 200 namespaces, 1 worker, CPU", "ns CPU/pid"},
                    [TWO_WORKERS + WALL] = {"1000 pids in 200 namespaces, 2 workers, wall", "pids/s"},
                    [TWO_WORKERS + CPU] = {"1000 pids in 200 namespaces, 2 workers, CPU", "ns CPU/pid"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .others = {{.name = "open, fstat, close", .run = run_open},
                   {.name = "1 worker", .run = run_one_worker}},
        .context = hit,
    };

    /* The floor is the same whoever is beside it. */
    if (options->floor_only)
        experiment.metrics[TWO_WORKERS].variant = NULL;
    return bench_run_pairs(options, &experiment, report);
}

static int furnish(struct hit *hit)
{
    int result = bench_pods_init(&hit->pods, NAMESPACES);

    if (result == 0)
        result = bench_pods_grow(&hit->pods, NAMESPACES);
    return result ? result : bench_crowd_init(&hit->crowd, &hit->pods, EACH);
}

int bench_hit(const struct bench_options *options, struct bench_report *report)
{
    struct hit *hit = calloc(1, sizeof(*hit));
    int result;

    if (!hit)
        return bench_error(-ENOMEM, "hit");
    hit->one = BENCH_DAEMON_NAMED("bench-1");
    hit->two = BENCH_DAEMON_NAMED("bench-2");
    result = furnish(hit);
    if (result == 0 && !options->floor_only)
        result = start_daemons(hit);
    if (result == 0)
        result = measure(options, report, hit);
    bench_daemon_stop(&hit->one);
    bench_daemon_stop(&hit->two);
    bench_crowd_deinit(&hit->crowd);
    bench_pods_deinit(&hit->pods);
    free(hit);
    return result;
}

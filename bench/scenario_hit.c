/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "floor/floor.h"
#include "pods.h"

#define NAMESPACES 200u
#define EACH       5u /* processes in each namespace */
#define PIDS       (NAMESPACES * EACH)
#define ROUNDS     60u /* the pids are sent so many times, so that asking for the end weighs little */
#define SENT       (PIDS * ROUNDS)
#define A_MESSAGE  256u

struct hit {
    struct bench_pods pods;
    struct bench_crowd crowd;
    struct bench_daemon daemon;
    unsigned workers;
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
static void write_values(double *values, uint64_t wall, uint64_t cpu, unsigned workers)
{
    values[0] = (double)SENT * 1e9 / (double)wall / workers;
    values[1] = (double)cpu / SENT;
}

static int run_floor(void *context, double *values)
{
    struct hit *hit = context;
    uint64_t sum = 0, wall = bench_now(), cpu = own_cpu();
    int result = floor_resolve(hit->pids, SENT, &sum);

    write_values(values, bench_now() - wall, own_cpu() - cpu, 1);
    if (result == 0 && sum == 0)
        result = -ENODATA;
    return result ? bench_error(result, "floor: reading links") : 0;
}

static int run_ours(void *context, double *values)
{
    struct hit *hit = context;
    uint64_t before, cpu_before, cpu, wall;
    int result = bench_daemon_counter(&hit->daemon, "sync.known", &before);

    if (result == 0)
        result = bench_daemon_cpu(&hit->daemon, &cpu_before);
    if (result)
        return result;
    wall = bench_now();
    result = bench_daemon_feed(&hit->daemon, hit->pids, SENT, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(&hit->daemon, "sync.known", before, before + SENT);
    wall = bench_now() - wall;
    if (result == 0)
        result = bench_daemon_cpu(&hit->daemon, &cpu);
    if (result == 0)
        write_values(values, wall, cpu - cpu_before, hit->workers);
    return result;
}

/* Make every namespace known, and all devices attached, before anything is timed. */
static int start_daemon(struct hit *hit, unsigned workers)
{
    int result = bench_daemon_start(&hit->daemon, workers);

    if (result)
        return result;
    hit->workers = workers;
    for (size_t i = 0; i < PIDS; i++)
        hit->pids[i] = (uint32_t)hit->crowd.pids[i];
    result = bench_daemon_feed(&hit->daemon, hit->pids, PIDS, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(&hit->daemon, "feed.pids", 0, PIDS);
    if (result == 0)
        result = bench_daemon_await(&hit->daemon, "attach.done", 0, NAMESPACES * BENCH_POD_DEVICES);
    return result;
}

static int measure(const struct bench_options *options, struct bench_report *report, struct hit *hit,
                   unsigned workers, const char *variant, const char *cpu_variant)
{
    struct bench_experiment experiment = {
        .scenario = "hit",
        .metrics = {{variant, "pids/s/worker"}, {cpu_variant, "ns CPU/pid"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .context = hit,
    };
    int result = options->floor_only ? 0 : start_daemon(hit, workers);

    if (result == 0)
        result = bench_run_pairs(options, &experiment, report);
    bench_daemon_stop(&hit->daemon);
    return result;
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
    hit->daemon = BENCH_DAEMON_NULL;
    result = furnish(hit);
    if (result == 0)
        result = measure(options, report, hit, 1, "1000 pids in 200 namespaces, 1 worker, wall",
                         "1000 pids in 200 namespaces, 1 worker, CPU");
    if (result == 0 && !options->floor_only)
        result = measure(options, report, hit, 2, "1000 pids in 200 namespaces, 2 workers, wall",
                         "1000 pids in 200 namespaces, 2 workers, CPU");
    bench_crowd_deinit(&hit->crowd);
    bench_pods_deinit(&hit->pods);
    free(hit);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "containers.h"
#include "daemon.h"
#include "floor/floor.h"
#include "private_host.h"
#include "program.h"
#include "stopwatch.h"

/* A turn: this many come, one every PERIOD_NS, and each goes when ALIVE others have come. */
#define CONTAINERS       200u
#define CONTAINERS_SMALL 20u
#define PERIOD_NS        10000000u /* 100 a second */
#define ALIVE            50u

/* The first ones of a turn meet a host in which nothing has happened for a while. */
#define WARM_UP 10u

#define DEVICES_EACH 3 /* loopback, eth0, its peer */

struct span {
    uint64_t since, until;
};

/*
 * Containers come and go at a steady pace. Either the daemon finds and attaches them, or who makes them does
 * it itself as soon as eth0 is up.
 */
struct churn {
    struct bench_program program;
    struct bench_containers containers;
    struct bench_stopwatch *stopwatch;
    struct bench_daemon daemon;
    bool at_home;   /* the peers are attached, too */
    unsigned count; /* containers of a turn */
    uint32_t home_inum;
    uint64_t measured_from;        /* this turn's warm-up was over */
    uint64_t making;               /* time taken for making containers, in this turn, without any attaching */
    uint64_t attaching;            /* CPU time, in this turn, of who makes them */
    struct span spans[CONTAINERS]; /* when the floor attached each container's devices, by its own clock */
    unsigned attached;             /* how many of them */
    bool warned;
};

enum { P50, P99, MOST, CPU, MAKING };

/* ---- coming and going ---- */

static void sleep_until(uint64_t moment)
{
    struct timespec until = {.tv_sec = (time_t)(moment / 1000000000u),
                             .tv_nsec = (long)(moment % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static uint64_t thread_cpu(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static int attach_inside(struct churn *churn, const struct bench_container *container)
{
    struct span *span = &churn->spans[churn->attached++];
    uint64_t since = thread_cpu();
    uint32_t pid = (uint32_t)container->pid;
    int result;

    span->since = bench_now();
    result = floor_miss(&pid, 1, bench_home(), churn->program.fds);
    span->until = bench_now();
    churn->attaching += thread_cpu() - since;
    return result ? bench_error(result, "floor: open, list and attach") : 0;
}

static int attach_peer(struct churn *churn, const struct bench_container *container)
{
    uint64_t since = thread_cpu();
    int result = floor_attach_on(churn->containers.home, &container->peer, 1, churn->program.fds);

    churn->attaching += thread_cpu() - since;
    return result ? bench_error(result, "floor: attaching a peer") : 0;
}

static int make(struct churn *churn, enum bench_side side)
{
    const struct bench_container *container;
    uint64_t since = bench_now();
    int result = bench_containers_start(&churn->containers, &container);

    churn->making += bench_now() - since;
    if (result == 0 && side == BENCH_FLOOR)
        result = attach_inside(churn, container);
    since = bench_now();
    if (result == 0)
        result = bench_containers_plug(&churn->containers, container);
    churn->making += bench_now() - since;
    if (result == 0 && side == BENCH_FLOOR && churn->at_home)
        result = attach_peer(churn, container);
    return result;
}

static void warn_if_late(struct churn *churn, uint64_t since)
{
    double seconds = (double)(bench_now() - since) / 1e9;

    if (seconds * 1e9 < 1.05 * churn->count * PERIOD_NS || churn->warned)
        return;
    churn->warned = true;
    fprintf(stderr, "netnsync-bench: the machine is too slow for this churn: %.0f containers a second\n",
            churn->count / seconds);
}

static int come_and_go(struct churn *churn, enum bench_side side)
{
    uint64_t since = bench_now();
    int result = 0;

    churn->making = churn->attaching = churn->attached = 0;
    for (unsigned i = 0; i < churn->count && result == 0; i++) {
        sleep_until(since + i * (uint64_t)PERIOD_NS);
        if (i == WARM_UP)
            churn->measured_from = bench_now();
        if (churn->containers.count == ALIVE)
            bench_containers_stop(&churn->containers);
        result = make(churn, side);
    }
    if (result == 0)
        warn_if_late(churn, since);
    sleep_until(bench_now() + ALIVE * (uint64_t)PERIOD_NS);
    if (result == 0)
        result = bench_containers_await_attached(&churn->containers);
    return result ? result : bench_containers_clear(&churn->containers);
}

/* ---- what came of it ---- */

static bool concerns(const struct churn *churn, const struct bench_device_times *device)
{
    return device->up >= churn->measured_from && device->ifindex == BENCH_CONTAINER_ETH0;
}

static bool is_peer(const struct bench_device_times *device)
{
    return device->ifindex > BENCH_CONTAINER_ETH0;
}

/* One that nobody attached before it went counts for its whole life. */
static double wait_of(const struct bench_device_times *device)
{
    uint64_t attached = device->attached ? device->attached : device->up + ALIVE * (uint64_t)PERIOD_NS;

    return attached > device->up ? (double)(attached - device->up) / 1e3 : 0;
}

static void report_missed(const struct churn *churn, enum bench_side side,
                          const struct bench_device_times *devices, size_t count)
{
    unsigned missed = 0;

    for (size_t i = 0; i < count; i++)
        missed += !devices[i].attached && (churn->at_home || !is_peer(&devices[i]));
    if (missed)
        fprintf(stderr, "netnsync-bench: churn: %s missed %u of %zu devices\n",
                side == BENCH_OURS ? "netnsyncd" : "the floor", missed, count);
}

static int by_up(const void *left, const void *right)
{
    const struct bench_device_times *a = left, *b = right;

    return (a->up > b->up) - (a->up < b->up);
}

/* What the floor's thread knows by its own clock, the stopwatch must have seen likewise. Sorts devices. */
static int check_floor(const struct churn *churn, struct bench_device_times *devices, size_t count)
{
    unsigned seen = 0;

    qsort(devices, count, sizeof(devices[0]), by_up);
    for (size_t i = 0; i < count; i++) {
        const struct span *span = &churn->spans[seen];

        if (devices[i].ifindex != BENCH_CONTAINER_ETH0)
            continue;
        if (seen++ == churn->attached || devices[i].up > span->since || devices[i].attached < span->since ||
            devices[i].attached > span->until)
            return bench_error(-EPROTO, "the floor's clock and the kernel's tracepoints disagree");
    }
    return seen == churn->attached ? 0 : bench_error(-ENODATA, "devices that came up were not seen");
}

static int read_waits(struct churn *churn, enum bench_side side, double *waits, size_t *waited)
{
    size_t capacity = (size_t)churn->count * DEVICES_EACH, count;
    struct bench_device_times *devices = calloc(capacity, sizeof(*devices));
    int result = devices ? bench_stopwatch_read(churn->stopwatch, devices, capacity, &count)
                         : bench_error(-ENOMEM, "devices");

    *waited = 0;
    for (size_t i = 0; result == 0 && i < count; i++)
        if (concerns(churn, &devices[i]) && *waited < churn->count)
            waits[(*waited)++] = wait_of(&devices[i]);
    if (result == 0)
        report_missed(churn, side, devices, count);
    if (result == 0 && side == BENCH_FLOOR)
        result = check_floor(churn, devices, count);
    free(devices);
    return result;
}

static int take_waits(struct churn *churn, enum bench_side side, double *values)
{
    double waits[CONTAINERS];
    size_t count;
    int result = read_waits(churn, side, waits, &count);

    if (result)
        return result;
    if (count < churn->count - WARM_UP)
        return bench_error(-ENODATA, "only %zu of %u containers were seen coming up", count, churn->count);
    values[P50] = bench_summarise(waits, count).median;
    values[P99] = bench_quantile(waits, count, 0.99);
    values[MOST] = waits[count - 1];
    return 0;
}

static double each(const struct churn *churn, uint64_t nanoseconds)
{
    return (double)nanoseconds / 1e3 / churn->count;
}

static int run_floor(void *context, double *values)
{
    struct churn *churn = context;
    int result = come_and_go(churn, BENCH_FLOOR);

    values[CPU] = each(churn, churn->attaching);
    values[MAKING] = each(churn, churn->making);
    return result ? result : take_waits(churn, BENCH_FLOOR, values);
}

static int run_ours(void *context, double *values)
{
    struct churn *churn = context;
    uint64_t before, after = 0;
    int result = bench_daemon_cpu(&churn->daemon, &before);

    if (result == 0)
        result = come_and_go(churn, BENCH_OURS);
    if (result == 0)
        result = bench_daemon_rest(&churn->daemon);
    if (result == 0)
        result = bench_daemon_cpu(&churn->daemon, &after);
    if (result)
        return result;
    values[CPU] = each(churn, after - before);
    values[MAKING] = each(churn, churn->making);
    result = take_waits(churn, BENCH_OURS, values);
    bench_daemon_stop(&churn->daemon);
    return result;
}

/* ---- all of it ---- */

static int prepare(void *context, enum bench_side side)
{
    struct churn *churn = context;
    int result = bench_settle();

    if (result == 0 && side == BENCH_OURS)
        result = bench_daemon_start_discovering(&churn->daemon, churn->at_home ? 0 : churn->home_inum);
    if (result == 0 && side == BENCH_OURS)
        result = bench_daemon_rest(&churn->daemon);
    return result ? result : bench_stopwatch_reset(churn->stopwatch);
}

static int measure(const struct bench_options *options, struct bench_report *report, struct churn *churn,
                   bool at_home)
{
    struct bench_experiment experiment = {
        .scenario = "churn",
        .metrics = {{"eth0 up to attached, p50", "us"},
                    {"eth0 up to attached, p99", "us"},
                    {"eth0 up to attached, max", "us"},
                    {"CPU, 2 devices lived", "us/namespace"},
                    {"making one meanwhile", "us"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .context = churn,
    };

    if (at_home) {
        experiment.metrics[P50].variant = "eth0 up to attached, peers too, p50";
        experiment.metrics[P99].variant = "eth0 up to attached, peers too, p99";
        experiment.metrics[MOST].variant = "eth0 up to attached, peers too, max";
        experiment.metrics[CPU].variant = "CPU, 2 devices and a peer lived";
        experiment.metrics[MAKING].variant = "making one meanwhile, peers too";
    }
    churn->at_home = at_home;
    return bench_run_pairs(options, &experiment, report);
}

static int furnish(struct churn *churn)
{
    struct stat home;
    int result = bench_program_open(&churn->program);

    if (fstat(bench_home(), &home))
        return bench_error(-errno, "fstat");
    churn->home_inum = (uint32_t)home.st_ino;
    if (result == 0)
        result = bench_containers_init(&churn->containers, ALIVE);
    return result ? result : bench_stopwatch_open(&churn->stopwatch);
}

int bench_churn_containers(const struct bench_options *options, struct bench_report *report)
{
    struct churn *churn = calloc(1, sizeof(*churn));
    int result;

    if (!churn)
        return bench_error(-ENOMEM, "churn");
    churn->daemon = BENCH_DAEMON_NULL;
    churn->containers = BENCH_CONTAINERS_NULL;
    churn->count = options->small ? CONTAINERS_SMALL : CONTAINERS;
    result = furnish(churn);
    if (result == 0)
        result = measure(options, report, churn, false);
    if (result == 0)
        result = measure(options, report, churn, true);
    bench_daemon_stop(&churn->daemon);
    bench_stopwatch_close(churn->stopwatch);
    bench_containers_deinit(&churn->containers);
    bench_program_close(&churn->program);
    free(churn);
    return result;
}

int bench_churn(const struct bench_options *options, struct bench_report *report)
{
    int result = bench_churn_containers(options, report);

    if (result == 0)
        result = bench_churn_others(options, report);
    return result ? result : bench_churn_trace(options, report);
}

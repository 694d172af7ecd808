/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <inttypes.h>
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
    uint64_t making;               /* time taken for making containers, in this turn, without any attaching */
    uint64_t attaching;            /* CPU time, in this turn, of who makes them */
    struct span spans[CONTAINERS]; /* when the floor attached each container's devices, by its own clock */
    unsigned attached;             /* how many of them */
    uint64_t done, failed;         /* the daemon's counters when the turn began */
    bool warned;
};

enum { P50, P99, MOST, CPU, MAKING, MISSED };

/* A device that lived longer than so many times the p99 may not be missed. */
#define LIVED_P99S 10

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

/* Of a turn. */
struct outcome {
    double waits[CONTAINERS]; /* in microseconds, of the eth0 that came up after the warm-up */
    size_t waited;
    double attached[CONTAINERS]; /* the same, of those alone that were attached at all */
    size_t attached_count;
    unsigned devices, missed; /* of all devices, loopbacks and, where they are wanted, peers too */
};

static bool is_peer(const struct bench_device_times *device)
{
    return device->ifindex > BENCH_CONTAINER_ETH0;
}

static int by_up(const void *left, const void *right)
{
    const struct bench_device_times *a = left, *b = right;

    return (a->up > b->up) - (a->up < b->up);
}

/* From `since` on; one that nobody attached before it went counts for its whole life. */
static double wait_of(const struct bench_device_times *device, uint64_t since)
{
    uint64_t attached = device->attached ? device->attached : since + ALIVE * (uint64_t)PERIOD_NS;

    return attached > since ? (double)(attached - since) / 1e3 : 0;
}

static void take_wait(const struct bench_device_times *device, uint64_t since, struct outcome *outcome)
{
    double wait = wait_of(device, since);

    outcome->waits[outcome->waited++] = wait;
    if (device->attached)
        outcome->attached[outcome->attached_count++] = wait;
}

/* What the floor's thread knows by its own clock, the stopwatch must have seen likewise. */
static bool agrees(const struct span *span, const struct bench_device_times *device)
{
    return device->up <= span->since && span->since <= device->attached && device->attached <= span->until;
}

/*
 * The eth0 came up in the order in which the containers were made. The daemon's wait is from then on. The
 * floor's begins when its thread begins to open the namespace: what that thread does for the container in
 * between (it takes the kernel's answer, closes a socket, goes home) is no step of attaching.
 */
static int take_eth0(const struct churn *churn, enum bench_side side, unsigned number,
                     const struct bench_device_times *device, struct outcome *outcome)
{
    const struct span *span = &churn->spans[number];

    if (number >= churn->count)
        return bench_error(-ENODATA, "more containers came up than were made");
    if (side == BENCH_FLOOR && (number >= churn->attached || !agrees(span, device)))
        return bench_error(-EPROTO, "the floor's clock and the kernel's tracepoints disagree");
    if (number >= WARM_UP)
        take_wait(device, side == BENCH_FLOOR ? span->since : device->up, outcome);
    return 0;
}

static int take_devices(const struct churn *churn, enum bench_side side, struct bench_device_times *devices,
                        size_t count, struct outcome *outcome)
{
    unsigned seen = 0;
    int result = 0;

    qsort(devices, count, sizeof(devices[0]), by_up);
    for (size_t i = 0; i < count && result == 0; i++) {
        if (is_peer(&devices[i]) && !churn->at_home)
            continue;
        outcome->devices++;
        outcome->missed += !devices[i].attached;
        if (devices[i].ifindex == BENCH_CONTAINER_ETH0)
            result = take_eth0(churn, side, seen++, &devices[i], outcome);
    }
    if (result == 0 && seen != churn->count)
        result = bench_error(-ENODATA, "only %u of %u containers were seen coming up", seen, churn->count);
    return result;
}

static int read_outcome(struct churn *churn, enum bench_side side, struct outcome *outcome)
{
    size_t capacity = (size_t)churn->count * DEVICES_EACH, count;
    struct bench_device_times *devices = calloc(capacity, sizeof(*devices));
    int result = devices ? bench_stopwatch_read(churn->stopwatch, devices, capacity, &count)
                         : bench_error(-ENOMEM, "devices");

    if (result == 0)
        result = take_devices(churn, side, devices, count, outcome);
    free(devices);
    return result;
}

/* All of them live for ALIVE periods. To miss one is an error, unless even those that were attached had to
 * wait so long that this is a short life. */
static int judge_missed(enum bench_side side, struct outcome *outcome)
{
    double life = ALIVE * (double)PERIOD_NS / 1e3, p99 = 0;

    if (!outcome->missed)
        return 0;
    if (outcome->attached_count) {
        bench_summarise(outcome->attached, outcome->attached_count);
        p99 = bench_quantile(outcome->attached, outcome->attached_count, 0.99);
    }
    if (side == BENCH_OURS && life <= LIVED_P99S * p99)
        return 0;
    return bench_error(-ENODATA, "churn: %s missed %u of %u devices, which lived %.0f ms; p99 is %.1f ms",
                       side == BENCH_OURS ? "netnsyncd" : "the floor", outcome->missed, outcome->devices,
                       life / 1e3, p99 / 1e3);
}

static int take_waits(struct churn *churn, enum bench_side side, double *values)
{
    struct outcome outcome = {0};
    int result = read_outcome(churn, side, &outcome);

    if (result == 0)
        result = judge_missed(side, &outcome);
    if (result)
        return result;
    values[P50] = bench_summarise(outcome.waits, outcome.waited).median;
    values[P99] = bench_quantile(outcome.waits, outcome.waited, 0.99);
    values[MOST] = outcome.waits[outcome.waited - 1];
    values[MISSED] = side == BENCH_OURS ? outcome.missed : outcome.devices;
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

static int read_counters(struct churn *churn, uint64_t *done, uint64_t *failed)
{
    int result = bench_daemon_counter(&churn->daemon, "attach.done", done);

    if (result == 0)
        result = bench_daemon_counter(&churn->daemon, "attach.failed", failed);
    bench_daemon_hang_up(&churn->daemon); /* it is about to be left alone for a while */
    return result;
}

/* The stopwatch sees that a clsact was made and what followed was worked off, not that the filters were
 * taken; of those that have died the kernel cannot be asked any more. */
static int check_counters(struct churn *churn)
{
    uint64_t done, failed, wanted = (uint64_t)churn->count * (DEVICES_EACH - !churn->at_home);
    int result = read_counters(churn, &done, &failed);

    if (result)
        return result;
    if (failed == churn->failed && done - churn->done >= wanted)
        return 0;
    bench_daemon_complain(&churn->daemon);
    return bench_error(-ENODATA,
                       "churn: netnsyncd attached %" PRIu64 " of %" PRIu64 " devices, and failed %" PRIu64
                       " times",
                       done - churn->done, wanted, failed - churn->failed);
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
    if (result == 0)
        result = check_counters(churn);
    bench_daemon_stop(&churn->daemon);
    return result;
}

/* ---- all of it ---- */

static int start_daemon(struct churn *churn)
{
    int result = bench_daemon_start_discovering(&churn->daemon, churn->at_home ? 0 : churn->home_inum);

    if (result == 0)
        result = bench_daemon_rest(&churn->daemon);
    if (result == 0)
        result = read_counters(churn, &churn->done, &churn->failed);
    return result ? result : bench_daemon_rest(&churn->daemon);
}

static int prepare(void *context, enum bench_side side)
{
    struct churn *churn = context;
    int result = bench_settle();

    if (result == 0 && side == BENCH_OURS)
        result = start_daemon(churn);
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
                    {"making one meanwhile", "us"},
                    {"devices missed (beside all)", "a turn"}},
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
        experiment.metrics[MISSED].variant = "devices missed (beside all), peers too";
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

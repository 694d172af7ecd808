/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "containers.h"
#include "daemon.h"
#include "pods.h"
#include "private_host.h"
#include "rtnl.h"
#include "stopwatch.h"

/* Namespaces that are there all the time, and what each takes of the kernel's memory with its devices. */
static const unsigned tracked[] = {100, 5000}, tracked_small[] = {5, 20};
#define TRACKED_VARIANTS 2
#define NAMESPACE_KB     400u

#define NAME_MAX_LENGTH 48

/* A turn with many namespaces takes long, and holds many samples. */
#define PAIRS_MAX 12u

#define FLAPS       200u /* down and up again, a turn */
#define FLAPS_SMALL 10u
#define DEATHS      10u /* a turn, of so many containers at a time */
#define AT_A_TIME   20u

#define DEVICES_EACH 3 /* loopback, eth0, its peer */
#define WAIT_SECONDS 30u

/*
 * What everybody else on the host has of a daemon that sits there and has nothing to do: a device is set down
 * and up again, containers die. "Floor" is the same without a daemon.
 */
struct others {
    struct bench_pods pods;
    struct bench_containers containers;
    struct bench_stopwatch *stopwatch;
    struct bench_daemon daemon;
    unsigned flaps, deaths;
};

/* ---- links ---- */

static int flap_on(int socket, unsigned flaps, double *samples)
{
    int result = 0;

    for (unsigned i = 0; i < flaps && result == 0; i++) {
        uint64_t since = bench_now();

        result = bench_rtnl_down(socket, BENCH_CONTAINER_ETH0);
        if (result == 0)
            result = bench_rtnl_up(socket, BENCH_CONTAINER_ETH0);
        samples[i] = (double)(bench_now() - since) / 1e3;
    }
    return result;
}

/* The median of a turn, in microseconds. */
static int flap(struct others *others, double *value)
{
    double samples[FLAPS];
    int socket, result;

    if (setns(others->pods.items[0].netns, CLONE_NEWNET))
        return bench_error(-errno, "setns");
    socket = bench_rtnl_open();
    result = socket < 0 ? socket : flap_on(socket, others->flaps, samples);
    if (socket >= 0)
        close(socket);
    bench_go_home();
    *value = bench_summarise(samples, others->flaps).median;
    return result ? bench_error(result, "setting a device down and up") : 0;
}

/* ---- deaths ---- */

static bool all_attached(const struct bench_device_times *devices, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!devices[i].attached)
            return false;
    return count == AT_A_TIME * DEVICES_EACH;
}

static int await_attached(struct others *others)
{
    struct bench_device_times devices[AT_A_TIME * DEVICES_EACH];
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
    size_t count;
    int result;

    while ((result = bench_stopwatch_read(others->stopwatch, devices, AT_A_TIME * DEVICES_EACH, &count)) ==
               0 &&
           !all_attached(devices, count)) {
        if (bench_now() > deadline)
            return bench_error(-ETIMEDOUT, "netnsyncd does not attach to all of %zu devices", count);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return result;
}

static int populate(struct others *others)
{
    int result = bench_stopwatch_reset(others->stopwatch);

    for (unsigned i = 0; i < AT_A_TIME && result == 0; i++) {
        const struct bench_container *container;

        result = bench_containers_start(&others->containers, &container);
        if (result == 0)
            result = bench_containers_plug(&others->containers, container);
    }
    return result;
}

/* What settling does is news to a daemon, too, so that it comes to rest after that. */
static int come_to_rest(struct others *others)
{
    int result = bench_settle();

    return result || !others->daemon.pid ? result : bench_daemon_rest(&others->daemon);
}

static int die_once(struct others *others, double *sample)
{
    uint64_t nanoseconds = 0;
    int result = populate(others);

    if (result == 0 && others->daemon.pid)
        result = await_attached(others);
    if (result == 0)
        result = come_to_rest(others);
    if (result == 0)
        result = bench_containers_vanish(&others->containers, &nanoseconds);
    *sample = (double)nanoseconds / 1e6;
    return result ? result : come_to_rest(others);
}

/* The median of a turn, in milliseconds. */
static int die(struct others *others, double *value)
{
    double samples[DEATHS];
    int result = 0;

    for (unsigned i = 0; i < others->deaths && result == 0; i++)
        result = die_once(others, &samples[i]);
    *value = result ? 0 : bench_summarise(samples, others->deaths).median;
    return result;
}

/* ---- with and without ---- */

static int start_daemon(struct others *others)
{
    uint64_t devices = others->pods.count * DEVICES_EACH + 1; /* the one more is home's own loopback */
    int result = bench_daemon_start_discovering(&others->daemon, 0);

    return result ? result : bench_daemon_await(&others->daemon, "attach.done", 0, devices);
}

/* Two turns of one kind in a row share a daemon, or the want of one. */
static int prepare(void *context, enum bench_side side)
{
    struct others *others = context;
    int result = 0;

    if (side == BENCH_FLOOR && others->daemon.pid)
        bench_daemon_stop(&others->daemon);
    if (side == BENCH_OURS && !others->daemon.pid)
        result = start_daemon(others);
    return result ? result : come_to_rest(others);
}

static int run(void *context, double *values)
{
    struct others *others = context;
    int result = flap(others, &values[0]);

    return result ? result : die(others, &values[1]);
}

/* ---- all of it ---- */

static int measure(const struct bench_options *options, struct bench_report *report, struct others *others,
                   const char names[2][NAME_MAX_LENGTH])
{
    const struct bench_options few = {
        .floor_only = options->floor_only,
        .small = options->small,
        .pairs = options->pairs < PAIRS_MAX ? options->pairs : PAIRS_MAX,
    };
    struct bench_experiment experiment = {
        .scenario = "churn",
        .metrics = {{names[0], "us"}, {names[1], "ms"}},
        .prepare = prepare,
        .run = {run, run},
        .context = others,
    };

    return bench_run_pairs(&few, &experiment, report);
}

/* Of the host's memory, in kB; 0: unknown. */
static unsigned long available_kb(void)
{
    unsigned long kilobytes = 0;
    char line[128];
    FILE *in = fopen("/proc/meminfo", "r");

    while (in && fgets(line, sizeof(line), in))
        if (sscanf(line, "MemAvailable: %lu kB", &kilobytes) == 1)
            break;
    if (in)
        fclose(in);
    return kilobytes;
}

static bool fits(unsigned namespaces)
{
    unsigned long needed = namespaces * (unsigned long)NAMESPACE_KB;

    if (available_kb() / 2 > needed)
        return true;
    fprintf(stderr,
            "netnsync-bench: churn: %u namespaces would take more than half of the free memory: left out\n",
            namespaces);
    return false;
}

/* An fd for each namespace, and then some. */
static void allow_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        bench_error(-errno, "raising the limit of open files");
}

static int furnish(struct others *others, unsigned namespaces)
{
    int result = bench_pods_init(&others->pods, namespaces);

    if (result == 0)
        result = bench_pods_grow(&others->pods, namespaces);
    if (result == 0)
        result = bench_containers_init(&others->containers, AT_A_TIME);
    return result ? result : bench_stopwatch_open(&others->stopwatch);
}

static int measure_beside(const struct bench_options *options, struct bench_report *report,
                          unsigned namespaces, char names[2][NAME_MAX_LENGTH])
{
    struct others others = {
        .containers = BENCH_CONTAINERS_NULL,
        .daemon = BENCH_DAEMON_NULL,
        .flaps = options->small ? FLAPS_SMALL : FLAPS,
        .deaths = options->small ? 1 : DEATHS,
    };
    int result = furnish(&others, namespaces);

    snprintf(names[0], NAME_MAX_LENGTH, "link down and up, %u namespaces tracked", namespaces);
    snprintf(names[1], NAME_MAX_LENGTH, "death of %u, %u namespaces tracked", AT_A_TIME, namespaces);
    if (result == 0)
        result = measure(options, report, &others, names);
    bench_daemon_stop(&others.daemon);
    bench_stopwatch_close(others.stopwatch);
    bench_containers_deinit(&others.containers);
    bench_pods_deinit(&others.pods);
    return result;
}

int bench_churn_others(const struct bench_options *options, struct bench_report *report)
{
    static char names[TRACKED_VARIANTS][2][NAME_MAX_LENGTH]; /* the report borrows them */
    const unsigned *numbers = options->small ? tracked_small : tracked;
    int result = 0;

    allow_fds();
    for (unsigned i = 0; i < TRACKED_VARIANTS && result == 0; i++)
        if (fits(numbers[i]))
            result = measure_beside(options, report, numbers[i], names[i]);
    return result;
}

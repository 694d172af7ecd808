/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "containers.h"
#include "daemon.h"
#include "many_pods.h"
#include "pods.h"
#include "private_host.h"
#include "rtnl.h"
#include "stopwatch.h"

/* Namespaces that are there all the time. */
static const unsigned tracked[] = {100, 5000}, tracked_small[] = {5, 20};
#define TRACKED_VARIANTS 2

#define NAME_MAX_LENGTH 48

/* A turn takes long, and holds many samples. */
#define PAIRS_MAX 8u
#define WARM_UP   1u

#define FLAPS       200u /* down and up again, a turn */
#define FLAPS_SMALL 10u
#define VETHS       50u /* made, set up and deleted, a turn */
#define VETHS_SMALL 5u
#define DEATHS      10u /* a turn, of so many containers at a time */
#define AT_A_TIME   20u

#define DEVICES_EACH 3 /* loopback, eth0, its peer */
#define WAIT_SECONDS 30u

/* What an audit costs the others is seen in a mean: over a quarter of its interval (60 s by default), in
 * which a quarter of all is audited, whenever that begins. Without a daemon nothing comes back so seldom. */
#define FLAP_SECONDS       15u
#define FLAP_SECONDS_FLOOR 3u
#define A_SECOND           UINT64_C(1000000000)

/* The ends of a veth pair that comes and goes beside the tracked devices of its namespace. */
#define VETH_IFINDEX 1000u
#define VETH_PEER    1001u

/*
 * What everybody else on the host has of a daemon that sits there and has nothing to do: a device is set down
 * and up again, containers die. Beside it is the same where there is no daemon, on devices that never had a
 * clsact, or have an empty one.
 */
struct others {
    struct bench_pods pods;
    struct bench_containers containers;
    struct bench_stopwatch *stopwatch;
    struct bench_daemon daemon;
    unsigned flaps, veths, deaths;
    uint64_t flap_for[BENCH_SIDES]; /* nanoseconds, at least */
};

enum { LINK, LINK_CLSACT, LINK_MEAN, VETH, DEATH, METRICS };

/* ---- containers to try it on ---- */

static bool all_attached(const struct bench_device_times *devices, size_t count, size_t wanted)
{
    for (size_t i = 0; i < count; i++)
        if (!devices[i].attached)
            return false;
    return count == wanted;
}

static int await_attached(struct others *others)
{
    struct bench_device_times devices[AT_A_TIME * DEVICES_EACH];
    uint64_t deadline = bench_now() + WAIT_SECONDS * A_SECOND;
    size_t count;
    int result;

    while ((result = bench_stopwatch_read(others->stopwatch, devices, AT_A_TIME * DEVICES_EACH, &count)) ==
               0 &&
           !all_attached(devices, count, others->containers.count * DEVICES_EACH)) {
        if (bench_now() > deadline)
            return bench_error(-ETIMEDOUT, "netnsyncd does not attach to all of %zu devices", count);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return result;
}

static int start_containers(struct others *others, unsigned count)
{
    int result = bench_stopwatch_reset(others->stopwatch);

    for (unsigned i = 0; i < count && result == 0; i++) {
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

/* So many containers, attached to if there is a daemon, and nothing more to be done for them. */
static int populate(struct others *others, unsigned count)
{
    int result = start_containers(others, count);

    if (result == 0 && others->daemon.pid)
        result = await_attached(others);
    return result ? result : come_to_rest(others);
}

/* ---- links ---- */

static int flap_once(int socket, double *sample)
{
    uint64_t since = bench_now();
    int result = bench_rtnl_down(socket, BENCH_CONTAINER_ETH0);

    if (result == 0)
        result = bench_rtnl_up(socket, BENCH_CONTAINER_ETH0);
    *sample = (double)(bench_now() - since) / 1e3;
    return result;
}

/* The median of the first ones, in microseconds. *mean, if wanted, is that of as many as the time allows. The
 * kernel tells nobody of a device that is set up again: what is in the way here is only what a daemon does of
 * itself, and what it has put on the device. */
static int flap(const struct others *others, int socket, uint64_t nanoseconds, double *median, double *mean)
{
    double samples[FLAPS], sum = 0, sample;
    uint64_t until = bench_now() + nanoseconds;
    unsigned count = 0;
    int result = 0;

    while (result == 0 && (count < others->flaps || bench_now() < until)) {
        result = flap_once(socket, &sample);
        if (count < others->flaps)
            samples[count] = sample;
        sum += sample;
        count++;
    }
    if (result)
        return bench_error(result, "setting a device down and up");
    *median = bench_summarise(samples, others->flaps).median;
    *mean = sum / count;
    return 0;
}

/* A clsact on both ends, and nothing in it. */
static int dress(const struct others *others, const struct bench_container *container, int socket)
{
    int result = bench_rtnl_add_clsact(socket, BENCH_CONTAINER_ETH0);

    if (result == 0)
        result = bench_rtnl_add_clsact(others->containers.home, container->peer);
    return result ? bench_error(result, "making a clsact") : 0;
}

static int flap_bare(const struct others *others, const struct bench_container *container, int socket,
                     double *values)
{
    double unused;
    int result = flap(others, socket, 0, &values[LINK], &unused);

    if (result == 0)
        result = dress(others, container, socket);
    if (result == 0)
        result =
            flap(others, socket, others->flap_for[BENCH_FLOOR], &values[LINK_CLSACT], &values[LINK_MEAN]);
    return result;
}

static int flap_tracked(const struct others *others, int socket, double *values)
{
    int result = flap(others, socket, others->flap_for[BENCH_OURS], &values[LINK], &values[LINK_MEAN]);

    values[LINK_CLSACT] = values[LINK];
    return result;
}

/* The median of devices that come up and go at once, in microseconds: these a daemon is told of. */
static int come_and_go(const struct others *others, int socket, double *values)
{
    double samples[VETHS];
    int result = 0;

    for (unsigned i = 0; i < others->veths && result == 0; i++) {
        uint64_t since = bench_now();

        result = bench_rtnl_add_pair(socket, VETH_IFINDEX, VETH_PEER);
        if (result == 0)
            result = bench_rtnl_delete_link(socket, VETH_IFINDEX);
        samples[i] = (double)(bench_now() - since) / 1e3;
    }
    if (result)
        return bench_error(result, "making and deleting devices");
    values[VETH] = bench_summarise(samples, others->veths).median;
    return 0;
}

static int change_links_in(struct others *others, const struct bench_container *container, double *values)
{
    int socket, result = bench_containers_enter(container);

    if (result)
        return result;
    socket = bench_rtnl_open();
    if (socket < 0)
        result = bench_error(socket, "netlink");
    else
        result = others->daemon.pid ? flap_tracked(others, socket, values)
                                    : flap_bare(others, container, socket, values);
    if (result == 0)
        result = come_and_go(others, socket, values);
    if (socket >= 0)
        close(socket);
    bench_go_home();
    return result;
}

/* In a new namespace each time: a device that ever had a clsact is no more what it was before, even without.
 */
static int change_links(struct others *others, double *values)
{
    int result = populate(others, 1);

    if (result == 0)
        result = change_links_in(others, &others->containers.ring[others->containers.first], values);
    return result ? result : bench_containers_clear(&others->containers);
}

/* ---- deaths ---- */

static int die_once(struct others *others, double *sample)
{
    uint64_t nanoseconds = 0;
    int result = populate(others, AT_A_TIME);

    if (result == 0)
        result = bench_containers_vanish(&others->containers, &nanoseconds);
    *sample = (double)nanoseconds / 1e6;
    return result;
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
    static const char *const settings[] = {"lonely.timeout=24h", "bpffs.path=", NULL};
    int result = bench_daemon_start_with(&others->daemon, settings);

    if (result == 0)
        result = bench_daemon_await(&others->daemon, "attach.done", 0, devices);
    bench_daemon_hang_up(&others->daemon);
    return result;
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
    int result = change_links(others, values);

    return result ? result : die(others, &values[DEATH]);
}

/* That there was a daemon all the time, and that it had all of them. */
static int verify(void *context)
{
    const struct others *others = context;
    int result;

    if (!others->daemon.pid)
        return 0;
    result = bench_pods_verify(&others->pods, 0, others->pods.count, BENCH_POD_DEVICES);
    return result ? result : bench_pods_verify_home(&others->pods);
}

/* ---- all of it ---- */

static int measure(const struct bench_options *options, struct bench_report *report, struct others *others,
                   const char names[METRICS][NAME_MAX_LENGTH])
{
    const struct bench_options few = {
        .floor_only = options->floor_only,
        .small = options->small,
        .pairs = options->pairs < PAIRS_MAX ? options->pairs : PAIRS_MAX,
    };
    struct bench_experiment experiment = {
        .scenario = "churn",
        .metrics = {{names[LINK], "us"},
                    {names[LINK_CLSACT], "us"},
                    {names[LINK_MEAN], "us"},
                    {names[VETH], "us"},
                    {names[DEATH], "ms"}},
        .prepare = prepare,
        .run = {run, run},
        .floor_names = {[LINK] = "no daemon",
                        [LINK_CLSACT] = "clsact, no daemon",
                        [LINK_MEAN] = "clsact, no daemon",
                        [VETH] = "no daemon",
                        [DEATH] = "no daemon"},
        .verify = verify,
        .context = others,
        .warm_up = WARM_UP,
    };

    return bench_run_pairs(&few, &experiment, report);
}

static int furnish(struct others *others, unsigned namespaces, const struct bench_report *report)
{
    int result = bench_pods_init_threads(&others->pods, namespaces);

    if (result == 0)
        result = bench_many_pods_grow(&others->pods, namespaces, "churn", report);
    if (result == 0)
        result = bench_containers_init(&others->containers, AT_A_TIME);
    return result ? result : bench_stopwatch_open(&others->stopwatch);
}

static int measure_beside(const struct bench_options *options, struct bench_report *report,
                          unsigned namespaces, char names[METRICS][NAME_MAX_LENGTH])
{
    struct others others = {
        .containers = BENCH_CONTAINERS_NULL,
        .daemon = BENCH_DAEMON_NULL,
        .flaps = options->small ? FLAPS_SMALL : FLAPS,
        .veths = options->small ? VETHS_SMALL : VETHS,
        .deaths = options->small ? 1 : DEATHS,
    };
    int result;

    if (!options->small) {
        others.flap_for[BENCH_FLOOR] = FLAP_SECONDS_FLOOR * A_SECOND;
        others.flap_for[BENCH_OURS] = FLAP_SECONDS * A_SECOND;
    }
    result = furnish(&others, namespaces, report);
    snprintf(names[LINK], NAME_MAX_LENGTH, "link down and up, %u tracked", namespaces);
    snprintf(names[LINK_CLSACT], NAME_MAX_LENGTH, "the same, beside clsact, %u tracked", namespaces);
    snprintf(names[LINK_MEAN], NAME_MAX_LENGTH, "the same, beside clsact, mean, %u tracked", namespaces);
    snprintf(names[VETH], NAME_MAX_LENGTH, "veth made and deleted, %u tracked", namespaces);
    snprintf(names[DEATH], NAME_MAX_LENGTH, "death of %u, %u tracked", AT_A_TIME, namespaces);
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
    static char names[TRACKED_VARIANTS][METRICS][NAME_MAX_LENGTH]; /* the report borrows them */
    const unsigned *numbers = options->small ? tracked_small : tracked;
    int result = 0;

    for (unsigned i = 0; i < TRACKED_VARIANTS && result == 0; i++) {
        result = options->small ? 0 : bench_many_pods_allow("churn", numbers[i]);
        if (result == 0)
            result = measure_beside(options, report, numbers[i], names[i]);
    }
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "latency_poll.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "containers.h"
#include "pairs.h"
#include "private_host.h"
#include "report.h"
#include "stopwatch.h"
#include "today/today_poll.h"

/* ---- who looks ---- */

struct poller {
    pthread_t thread;
    bool running;
    int stop, looked; /* eventfds; owned */
    unsigned period_ms;
    const int *programs;
    int result;
};

static void *look(void *argument)
{
    struct poller *poller = argument;

    poller->result =
        today_poll(poller->stop, poller->looked, poller->period_ms, bench_home(), poller->programs);
    if (eventfd_write(poller->looked, 1)) /* also when it came to nothing */
        abort();
    return NULL;
}

/* It has looked once when this returns: what comes from now on waits for a later look. */
static int start(struct poller *poller)
{
    eventfd_t unused;
    int error;

    poller->stop = eventfd(0, EFD_CLOEXEC);
    poller->looked = eventfd(0, EFD_CLOEXEC);
    if (poller->stop < 0 || poller->looked < 0)
        return bench_error(-errno, "eventfd");
    error = pthread_create(&poller->thread, NULL, look, poller);
    poller->running = !error;
    if (error)
        return bench_error(-error, "pthread_create");
    return eventfd_read(poller->looked, &unused) ? bench_error(-errno, "eventfd") : 0;
}

static int stop(struct poller *poller)
{
    int result = 0;

    if (poller->running && eventfd_write(poller->stop, 1))
        abort(); /* it could not be waited for */
    if (poller->running)
        pthread_join(poller->thread, NULL);
    if (poller->running && poller->result)
        result = bench_error(poller->result, "polling /proc");
    if (poller->stop >= 0)
        close(poller->stop);
    if (poller->looked >= 0)
        close(poller->looked);
    return result;
}

/* ---- who comes ---- */

static int ascending(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

#define RANDOM_BITS 24

/* Any moments of the period, each as likely, other ones each time. */
static void draw_moments(uint64_t *moments, size_t count, unsigned period_ms)
{
    static uint32_t state = 1;
    const uint64_t since = bench_now(), period = (uint64_t)period_ms * 1000000;

    for (size_t i = 0; i < count; i++)
        moments[i] = since + (bench_random(&state) * period >> RANDOM_BITS);
    qsort(moments, count, sizeof(moments[0]), ascending);
}

static void sleep_until(uint64_t moment)
{
    struct timespec until = {.tv_sec = (time_t)(moment / 1000000000u),
                             .tv_nsec = (long)(moment % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static int come(struct bench_containers *containers, const uint64_t *moments, size_t count)
{
    const struct bench_container *container;
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        sleep_until(moments[i]);
        result = bench_containers_start(containers, &container);
        if (result == 0)
            result = bench_containers_plug(containers, container);
    }
    return result ? result : bench_containers_await_attached(containers);
}

/* ---- how long it took ---- */

static const struct bench_device_times *loopback_of(const struct bench_device_times *eth0,
                                                    const struct bench_device_times *devices, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (devices[i].cookie == eth0->cookie && devices[i].ifindex == 1)
            return &devices[i];
    return NULL;
}

static int take_waits(const struct bench_device_times *devices, size_t devices_count, double *waits,
                      size_t count)
{
    size_t taken = 0;

    for (size_t i = 0; i < devices_count; i++) {
        const struct bench_device_times *eth0 = &devices[i], *loopback;
        uint64_t last;

        if (eth0->ifindex != BENCH_CONTAINER_ETH0)
            continue;
        loopback = loopback_of(eth0, devices, devices_count);
        if (taken == count || !loopback || !loopback->attached || !eth0->attached)
            return bench_error(-ENODATA, "not every container was seen being attached");
        last = loopback->attached > eth0->attached ? loopback->attached : eth0->attached;
        waits[taken++] = last > eth0->up ? (double)(last - eth0->up) : 0;
    }
    return taken == count ? 0 : bench_error(-ENODATA, "not every container was seen coming up");
}

static int read_waits(const struct bench_stopwatch *stopwatch, double *waits, size_t count)
{
    const size_t capacity = 3 * count; /* loopback, eth0, its peer */
    struct bench_device_times *devices = calloc(capacity, sizeof(*devices));
    size_t devices_count;
    int result = devices ? bench_stopwatch_read(stopwatch, devices, capacity, &devices_count)
                         : bench_error(-ENOMEM, "devices");

    if (result == 0)
        result = take_waits(devices, devices_count, waits, count);
    free(devices);
    return result;
}

static int run(struct bench_containers *containers, struct poller *poller, double *waits, size_t count)
{
    uint64_t *moments = calloc(count, sizeof(*moments));
    int result = moments ? start(poller) : bench_error(-ENOMEM, "moments"), ended;

    if (result == 0) {
        draw_moments(moments, count, poller->period_ms);
        result = come(containers, moments, count);
    }
    ended = stop(poller);
    free(moments);
    return result ? result : ended;
}

/* A stopwatch of its own knows no other devices. */
int bench_latency_poll(const int programs[2], unsigned period_ms, double *waits, size_t count)
{
    struct poller poller = {.stop = -1, .looked = -1, .period_ms = period_ms, .programs = programs};
    struct bench_stopwatch *stopwatch = NULL;
    struct bench_containers containers;
    int result = bench_containers_init(&containers, count);

    if (result == 0)
        result = bench_stopwatch_open(&stopwatch);
    if (result == 0)
        result = run(&containers, &poller, waits, count);
    if (result == 0)
        result = read_waits(stopwatch, waits, count);
    bench_stopwatch_close(stopwatch);
    bench_containers_deinit(&containers);
    return result;
}

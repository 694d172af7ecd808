/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>

#include "floor/floor.h"
#include "miss.h"
#include "private_host.h"
#include "today/today.h"

#define NAMESPACES BENCH_MISS_NAMESPACES

static int forget(struct miss *miss)
{
    int result = 0;

    for (size_t i = 0; miss->known && i < NAMESPACES && result == 0; i++)
        result = bench_daemon_forget(&miss->daemon, miss->pods.items[i].netns);
    miss->known = false;
    return result;
}

static int prepare(void *context, enum bench_side side)
{
    struct miss *miss = context;
    int result = forget(miss);

    if (result == 0)
        result = bench_pods_clear(&miss->pods, 0, NAMESPACES, BENCH_POD_DEVICES);
    bench_stopwatch_restart(miss->stopwatch);
    return result ? result : bench_settle();
}

/* Until the last device was attached, by the kernel's clock. */
static int take_time(struct miss *miss, uint64_t since, double *value)
{
    uint64_t last = since;
    int result = bench_stopwatch_await(miss->stopwatch, (uint64_t)NAMESPACES * BENCH_POD_DEVICES, &last);

    *value = (double)(last - since) / 1000.0 / NAMESPACES;
    return result;
}

static int run_floor(void *context, double *value)
{
    struct miss *miss = context;
    uint64_t since = bench_now();
    int result = floor_miss(miss->pids, NAMESPACES, bench_home(), miss->program.fds);

    return result ? bench_error(result, "floor: open, list and attach") : take_time(miss, since, value);
}

/* Everything it asks for is acknowledged: when it returns all is attached. */
static int run_agent(void *context, double *value)
{
    struct miss *miss = context;
    uint64_t since = bench_now();
    int result = today_miss(miss->pids, NAMESPACES, bench_home(), miss->program.fds);

    *value = (double)(bench_now() - since) / 1000.0 / NAMESPACES;
    return result ? bench_error(result, "agent: open, list and attach") : 0;
}

static int run_ours(void *context, double *value)
{
    struct miss *miss = context;
    uint64_t since = bench_now();
    int result = bench_daemon_feed(&miss->daemon, miss->pids, NAMESPACES, miss->a_message);

    miss->known = true;
    if (result)
        return result;
    result = take_time(miss, since, value);
    if (result)
        bench_daemon_complain(&miss->daemon);
    return result;
}

static int verify(void *context)
{
    struct miss *miss = context;

    return bench_pods_verify(&miss->pods, 0, NAMESPACES, BENCH_POD_DEVICES);
}

int bench_miss_measure(const struct bench_options *options, struct bench_report *report, struct miss *miss,
                       size_t a_message, const char *variant)
{
    struct bench_experiment experiment = {
        .scenario = "miss",
        .metrics = {{variant, "us/namespace"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .verify = verify,
        .context = miss,
    };

    if (miss->today)
        experiment.others[0] =
            (struct bench_other){.name = "agent with libbpf", .run = run_agent, .verify = verify};
    miss->a_message = a_message;
    return bench_run_pairs(options, &experiment, report);
}

int bench_miss_furnish(const struct bench_options *options, struct miss *miss, size_t more)
{
    int result = bench_program_open(&miss->program);

    if (result == 0)
        result = bench_stopwatch_open(&miss->stopwatch); /* it has to see the devices come up */
    if (result == 0)
        result = bench_pods_init(&miss->pods, NAMESPACES + more);
    if (result == 0)
        result = bench_pods_grow(&miss->pods, NAMESPACES);
    for (size_t i = 0; i < miss->pods.count; i++)
        miss->pids[i] = (uint32_t)miss->pods.items[i].pid;
    if (result == 0 && !options->floor_only)
        result = bench_daemon_start(&miss->daemon, 0);
    return result;
}

void bench_miss_clear_away(struct miss *miss)
{
    bench_daemon_stop(&miss->daemon);
    bench_stopwatch_close(miss->stopwatch);
    bench_pods_deinit(&miss->pods);
    bench_program_close(&miss->program);
}

int bench_miss(const struct bench_options *options, struct bench_report *report)
{
    struct miss *miss = calloc(1, sizeof(*miss));
    int result;

    if (!miss)
        return bench_error(-ENOMEM, "miss");
    miss->daemon = BENCH_DAEMON_NULL;
    miss->today = true;
    result = bench_miss_furnish(options, miss, 0);
    if (result == 0)
        result = bench_miss_measure(options, report, miss, 1, "200 namespaces of 2 devices, 1 a message");
    if (result == 0)
        result = bench_miss_measure(options, report, miss, 64, "200 namespaces of 2 devices, 64 a message");
    bench_miss_clear_away(miss);
    free(miss);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon.h"
#include "pods.h"

#define NAMESPACES_FEW  100u
#define NAMESPACES_MANY 1000u
#define STARTS_MAX                                                                                           \
    5u /* of the daemon: memory hardly varies, and a start with 1,000 namespaces takes a while */
#define A_MESSAGE 64u

/* Reads in a row that are no lower, and the time between two. */
#define STEADY_READS  25u
#define READ_EVERY_NS 100000000

/* There are no bare system calls to compare with: the "floor" is what we allow ourselves. */
static const double base_allowed_mb = 16.0, namespace_allowed_bytes = 2000.0;

struct memory {
    struct bench_pods pods;
    uint32_t pids[NAMESPACES_MANY];
    struct bench_daemon daemon;
    unsigned starts;
    double base[STARTS_MAX], per_namespace[STARTS_MAX];
};

/* What was freed goes back to the kernel after a second or so: read until it falls no more. */
static int read_settled(struct memory *memory, uint64_t *rss)
{
    uint64_t lowest = UINT64_MAX, now_at = 0;
    int result = 0;

    for (unsigned steady = 0; steady < STEADY_READS && result == 0; steady++) {
        result = bench_daemon_rss(&memory->daemon, &now_at);
        if (now_at < lowest)
            steady = 0;
        lowest = now_at < lowest ? now_at : lowest;
        nanosleep(&(struct timespec){.tv_nsec = READ_EVERY_NS}, NULL);
    }
    *rss = lowest;
    return result;
}

/* Feed the pods from the first on, and wait until all so far are attached. */
static int cover(struct memory *memory, size_t from, size_t until, uint64_t *rss)
{
    int result = bench_daemon_feed(&memory->daemon, memory->pids + from, until - from, A_MESSAGE);

    if (result == 0)
        result = bench_daemon_await(&memory->daemon, "attach.done", from * BENCH_POD_DEVICES,
                                    until * BENCH_POD_DEVICES);
    return result ? result : read_settled(memory, rss);
}

static int weigh(struct memory *memory)
{
    uint64_t base, few, many;
    int result = bench_daemon_start(&memory->daemon, 0);

    if (result == 0)
        result = read_settled(memory, &base);
    if (result == 0)
        result = cover(memory, 0, NAMESPACES_FEW, &few);
    if (result == 0)
        result = cover(memory, NAMESPACES_FEW, NAMESPACES_MANY, &many);
    bench_daemon_stop(&memory->daemon);
    if (result)
        return result;
    memory->base[memory->starts] = (double)base / 1e6;
    memory->per_namespace[memory->starts] = ((double)many - (double)few) / (NAMESPACES_MANY - NAMESPACES_FEW);
    memory->starts++;
    return 0;
}

static int add_row(struct bench_report *report, const struct memory *memory, const char *variant,
                   const char *unit, double allowed, double *samples)
{
    double ratios[STARTS_MAX];

    for (unsigned i = 0; i < memory->starts; i++)
        ratios[i] = samples[i] / allowed;
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = "memory",
                                        .variant = variant,
                                        .unit = unit,
                                        .floor = allowed,
                                        .ours = bench_summarise(samples, memory->starts).median,
                                        .ratio = bench_summarise(ratios, memory->starts),
                                        .pairs = memory->starts,
                                        .has_ours = true,
                                    });
}

static int measure(const struct bench_options *options, struct bench_report *report, struct memory *memory)
{
    unsigned starts = options->pairs < STARTS_MAX ? options->pairs : STARTS_MAX;
    int result = bench_pods_init(&memory->pods, NAMESPACES_MANY);

    if (result == 0)
        result = bench_pods_grow(&memory->pods, NAMESPACES_MANY);
    for (size_t i = 0; i < memory->pods.count; i++)
        memory->pids[i] = (uint32_t)memory->pods.items[i].pid;
    for (unsigned i = 0; i < starts && result == 0; i++) {
        bench_progress(report, "memory", "starts of the daemon", i, starts);
        result = weigh(memory);
    }
    bench_progress_end(report);
    if (result == 0)
        result = add_row(report, memory, "idle (beside 16 MB)", "MB", base_allowed_mb, memory->base);
    if (result == 0)
        result = add_row(report, memory, "a namespace of 2 devices (beside 2 KB)", "bytes",
                         namespace_allowed_bytes, memory->per_namespace);
    return result;
}

int bench_memory(const struct bench_options *options, struct bench_report *report)
{
    struct memory *memory;
    int result;

    if (options->floor_only) {
        fprintf(stderr, "netnsync-bench: memory has no floor\n");
        return 0;
    }
    memory = calloc(1, sizeof(*memory));
    if (!memory)
        return bench_error(-ENOMEM, "memory");
    memory->daemon = BENCH_DAEMON_NULL;
    result = measure(options, report, memory);
    bench_pods_deinit(&memory->pods);
    free(memory);
    return result;
}

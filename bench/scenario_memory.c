/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "many_pods.h"
#include "pods.h"
#include "progress.h"
#include "today/today_sockets.h"

/* Of the daemon: memory hardly varies, and a start with that many takes a while. */
#define STARTS_MAX      5u
#define STARTS_MANY_MAX 3u

#define A_MESSAGE 64u

/* Reads in a row that are no lower, and the time between two. */
#define STEADY_READS  25u
#define READ_EVERY_NS 100000000

#define NAME_MAX_LENGTH 64

/* How many namespaces the daemon covers when it is weighed: none, and then more and more. */
enum stage { NONE, FEW, SOME, MANY, STAGES };

static const unsigned numbers[STAGES] = {0, 100, 1000, 10000}, numbers_small[STAGES] = {0, 10, 40, 80};

/* There are no bare system calls to compare with, but what we allow ourselves. */
static const double base_allowed_mb = 16.0, some_allowed_bytes = 2000.0, many_allowed_bytes = 1000.0;

struct memory {
    const unsigned *numbers;
    struct bench_pods pods;
    uint32_t *pids;
    struct bench_daemon daemon;
    unsigned starts[STAGES]; /* that came so far */
    double rss[STAGES][STARTS_MAX], fds[STAGES][STARTS_MAX];
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

static int weigh(struct memory *memory, enum stage stage)
{
    unsigned at = memory->starts[stage], fds = 0;
    uint64_t rss = 0;
    int result = read_settled(memory, &rss);

    if (result == 0)
        result = bench_daemon_fds(&memory->daemon, &fds);
    memory->rss[stage][at] = (double)rss;
    memory->fds[stage][at] = fds;
    memory->starts[stage]++;
    return result;
}

/* Feed it those that this stage has more than the one before, and wait until all so far are attached. */
static int cover(struct memory *memory, enum stage stage)
{
    unsigned from = stage == NONE ? 0 : memory->numbers[stage - 1], until = memory->numbers[stage];
    int result = bench_daemon_feed(&memory->daemon, memory->pids + from, until - from, A_MESSAGE);

    return result ? result
                  : bench_daemon_await(&memory->daemon, "attach.done", (uint64_t)from * BENCH_POD_DEVICES,
                                       (uint64_t)until * BENCH_POD_DEVICES);
}

/* One daemon, from nothing up to that stage. */
static int start_up_to(struct memory *memory, enum stage last)
{
    int result = bench_daemon_start(&memory->daemon, 0);

    for (enum stage stage = NONE; stage <= last && result == 0; stage++) {
        if (stage != NONE)
            result = cover(memory, stage);
        if (result == 0)
            result = weigh(memory, stage);
    }
    if (result == 0)
        result = bench_pods_verify(&memory->pods, 0, memory->numbers[last], BENCH_POD_DEVICES);
    bench_daemon_stop(&memory->daemon);
    return result;
}

static int start_often(const struct bench_options *options, struct bench_report *report,
                       struct memory *memory, enum stage last, unsigned most, const char *what)
{
    unsigned starts = options->pairs < most ? options->pairs : most;
    int result = 0;

    memset(memory->starts, 0, sizeof(memory->starts));
    for (unsigned i = 0; i < starts && result == 0; i++) {
        bench_progress(report, "memory", what, i, starts);
        result = start_up_to(memory, last);
    }
    bench_progress_end(report);
    return result;
}

/* ---- rows ---- */

struct figure {
    const char *variant, *beside, *unit;
    double that[STARTS_MAX], ours[STARTS_MAX]; /* start by start; ours is divided by that */
    unsigned count;
};

static void set_that(struct figure *figure, double value)
{
    for (unsigned i = 0; i < figure->count; i++)
        figure->that[i] = value;
}

static int add_row(struct bench_report *report, struct figure *figure)
{
    double ratios[STARTS_MAX];

    for (unsigned i = 0; i < figure->count; i++)
        ratios[i] = figure->ours[i] / figure->that[i];
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = "memory",
                                        .variant = figure->variant,
                                        .beside = figure->beside,
                                        .unit = figure->unit,
                                        .floor = bench_summarise(figure->that, figure->count).median,
                                        .ours = bench_summarise(figure->ours, figure->count).median,
                                        .ratio = bench_summarise(ratios, figure->count),
                                        .pairs = figure->count,
                                        .has_ours = true,
                                    });
}

static int add_base(struct bench_report *report, const struct memory *memory)
{
    struct figure figure = {"idle (beside 16 MB)", "allowance", "MB", .count = memory->starts[NONE]};

    set_that(&figure, base_allowed_mb);
    for (unsigned i = 0; i < figure.count; i++)
        figure.ours[i] = memory->rss[NONE][i] / 1e6;
    return add_row(report, &figure);
}

/* How much a namespace takes between two stages. */
static int add_growth(struct bench_report *report, const struct memory *memory, enum stage stage,
                      const char *variant, double allowed)
{
    struct figure figure = {variant, "allowance", "bytes", .count = memory->starts[stage]};
    unsigned more = memory->numbers[stage] - memory->numbers[stage - 1];

    set_that(&figure, allowed);
    for (unsigned i = 0; i < figure.count; i++)
        figure.ours[i] = (memory->rss[stage][i] - memory->rss[stage - 1][i]) / more;
    return add_row(report, &figure);
}

static int add_fds(struct bench_report *report, const struct memory *memory, enum stage stage,
                   const char *variant)
{
    struct figure figure = {variant, "the same daemon with none", "descriptors",
                            .count = memory->starts[stage]};

    memcpy(figure.that, memory->fds[NONE], sizeof(figure.that));
    memcpy(figure.ours, memory->fds[stage], sizeof(figure.ours));
    return add_row(report, &figure);
}

/* What others have open for as many: see today/today_sockets.h. */
static int add_fds_of_sockets(struct bench_report *report, const struct memory *memory, const char *variant)
{
    struct figure figure = {variant, "a netlink socket each, kept open", "descriptors",
                            .count = memory->starts[SOME]};
    unsigned theirs;
    int result = today_sockets_count(memory->pids, memory->numbers[SOME], &theirs);

    if (result)
        return bench_error(result, "a socket in each namespace");
    set_that(&figure, theirs);
    memcpy(figure.ours, memory->fds[SOME], sizeof(figure.ours));
    return add_row(report, &figure);
}

/* The report borrows them. */
static char names[2 * STAGES][NAME_MAX_LENGTH];

static const char *growth_name(const struct memory *memory, enum stage stage, const char *allowed)
{
    snprintf(names[stage], NAME_MAX_LENGTH, "a namespace of 2 devices, %u to %u (beside %s)",
             memory->numbers[stage - 1], memory->numbers[stage], allowed);
    return names[stage];
}

static const char *fds_name(const struct memory *memory, enum stage stage)
{
    snprintf(names[STAGES + stage], NAME_MAX_LENGTH, "descriptors, %u namespaces", memory->numbers[stage]);
    return names[STAGES + stage];
}

/* ---- all of it ---- */

static int measure_some(const struct bench_options *options, struct bench_report *report,
                        struct memory *memory)
{
    int result = bench_many_pods_grow(&memory->pods, memory->numbers[SOME], "memory", report);

    for (size_t i = 0; i < memory->pods.count; i++)
        memory->pids[i] = (uint32_t)memory->pods.items[i].pid;
    if (result == 0)
        result = start_often(options, report, memory, SOME, STARTS_MAX, "starts of the daemon");
    if (result == 0)
        result = add_base(report, memory);
    if (result == 0)
        result = add_growth(report, memory, SOME, growth_name(memory, SOME, "2 KB"), some_allowed_bytes);
    if (result == 0)
        result = add_fds(report, memory, FEW, fds_name(memory, FEW));
    if (result == 0)
        result = add_fds(report, memory, SOME, fds_name(memory, SOME));
    return result ? result : add_fds_of_sockets(report, memory, fds_name(memory, SOME));
}

static int measure_many(const struct bench_options *options, struct bench_report *report,
                        struct memory *memory)
{
    int result = options->small ? 0 : bench_many_pods_allow("memory", memory->numbers[MANY]);

    if (result == 0)
        result = bench_many_pods_grow(&memory->pods, memory->numbers[MANY], "memory", report);
    for (size_t i = 0; i < memory->pods.count; i++)
        memory->pids[i] = (uint32_t)memory->pods.items[i].pid;
    if (result == 0)
        result = start_often(options, report, memory, MANY, STARTS_MANY_MAX, "starts, many namespaces");
    if (result == 0)
        result = add_growth(report, memory, MANY, growth_name(memory, MANY, "1 KB"), many_allowed_bytes);
    return result ? result : add_fds(report, memory, MANY, fds_name(memory, MANY));
}

static int measure(const struct bench_options *options, struct bench_report *report, struct memory *memory)
{
    int result;

    memory->pids = calloc(memory->numbers[MANY], sizeof(memory->pids[0]));
    if (!memory->pids)
        return bench_error(-ENOMEM, "memory");
    result = bench_pods_init_threads(&memory->pods, memory->numbers[MANY]);
    if (result == 0)
        result = measure_some(options, report, memory);
    return result ? result : measure_many(options, report, memory);
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
    memory->numbers = options->small ? numbers_small : numbers;
    result = measure(options, report, memory);
    bench_pods_deinit(&memory->pods);
    free(memory->pids);
    free(memory);
    return result;
}

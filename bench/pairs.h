/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PAIRS_H
#define BENCH_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

/*
 * Ours and the floor, measured side by side: pair after pair in one run, so that whatever the machine does to
 * one it does to the other, and each taking turns at being first. The first few pairs warm up and are
 * dropped.
 */
enum bench_side { BENCH_FLOOR, BENCH_OURS, BENCH_SIDES };

struct bench_options {
    bool json;
    bool floor_only;
    bool small; /* few of everything: to see that it works, not what it costs */
    unsigned pairs;
    unsigned namespaces; /* of startup and idle */
    unsigned seconds;    /* of idle */
};

#define BENCH_METRICS_MAX 6

struct bench_metric {
    const char *variant;
    const char *unit;
};

struct bench_experiment {
    const char *scenario;
    struct bench_metric metrics[BENCH_METRICS_MAX]; /* ends with a NULL variant, or at the maximum */
    /* Before either's turn: the state that both begin with; not timed. */
    int (*prepare)(void *context, enum bench_side side);
    /* Do the work once and leave a value per metric; they time themselves. */
    int (*run[BENCH_SIDES])(void *context, double *values);
    /* After it: ask the kernel whether the work was done; not timed. NULL: nothing to ask. */
    int (*verify)(void *context);
    void *context;
    unsigned warm_up; /* pairs that are dropped; 0: as many as by default */
};

/* Run all pairs and add a row per metric. 0 or -errno, told on stderr. */
int bench_run_pairs(const struct bench_options *options, const struct bench_experiment *experiment,
                    struct bench_report *report);

/* Now, in nanoseconds on the monotonic clock. */
uint64_t bench_now(void);

/* Numbers that look random and are the same in every run. */
uint32_t bench_random(uint32_t *state);

/* Put pids in a random order. */
void bench_shuffle(uint32_t *pids, size_t count, uint32_t *state);

#endif

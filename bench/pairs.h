/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PAIRS_H
#define BENCH_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

/*
 * Ours beside the floor, and beside what people do today or other ways of ours: round after round in one run,
 * so that whatever the machine does to one it does to the others, each taking turns at being first. The first
 * few rounds warm up and are dropped.
 */
enum bench_side { BENCH_FLOOR, BENCH_OURS, BENCH_SIDES, BENCH_OTHER = BENCH_SIDES };

struct bench_options {
    bool json;
    bool floor_only;
    bool small; /* few of everything: to see that it works, not what it costs */
    unsigned pairs;
    unsigned namespaces; /* of startup and idle */
    unsigned seconds;    /* of idle */
};

#define BENCH_METRICS_MAX 6
#define BENCH_OTHERS_MAX  6

struct bench_metric {
    const char *variant;
    const char *unit;
};

/* Do the work once and leave a value per metric; it times itself. NAN where it has none. */
typedef int bench_run_fn(void *context, double *values);

/* Somebody else that ours is divided by. */
struct bench_other {
    const char *name; /* what stands in the row beside the variant */
    bench_run_fn *run;
    /* As the experiment's, which is not asked for it. NULL: nothing to ask, or to clear away. */
    int (*verify)(void *context);
    unsigned rounds; /* it takes part in so many at most, as one that is slow; 0: in all */
};

struct bench_experiment {
    const char *scenario;
    struct bench_metric metrics[BENCH_METRICS_MAX]; /* ends with a NULL variant, or at the maximum */
    /* Before anybody's turn: the state that all begin with; not timed. */
    int (*prepare)(void *context, enum bench_side side);
    bench_run_fn *run[BENCH_SIDES]; /* a floor that is NULL has no turn and no rows */
    /* What stands beside the variant in the floor's row of each metric; NULL: "floor". */
    const char *floor_names[BENCH_METRICS_MAX];
    struct bench_other others[BENCH_OTHERS_MAX]; /* ends with a NULL name, or at the maximum */
    /* After it: ask the kernel whether the work was done; not timed. NULL: nothing to ask. */
    int (*verify)(void *context);
    void *context;
    unsigned warm_up; /* rounds that are dropped; 0: as many as by default */
};

/* Run all rounds, and add a row per metric for the floor and for each of the others; the floor alone where
 * only that is wanted. 0 or -errno, told on stderr. */
int bench_run_pairs(const struct bench_options *options, const struct bench_experiment *experiment,
                    struct bench_report *report);

/* Now, in nanoseconds on the monotonic clock. */
uint64_t bench_now(void);

/* Numbers that look random and are the same in every run. */
uint32_t bench_random(uint32_t *state);

/* Put pids in a random order. */
void bench_shuffle(uint32_t *pids, size_t count, uint32_t *state);

#endif

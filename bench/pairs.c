/* SPDX-License-Identifier: Apache-2.0 */
#include "pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define WARM_UP 3u

struct samples {
    unsigned count;
    double *floor[BENCH_METRICS_MAX], *ours[BENCH_METRICS_MAX], *ratio[BENCH_METRICS_MAX];
};

uint64_t bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t bench_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

void bench_shuffle(uint32_t *pids, size_t count, uint32_t *state)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = bench_random(state) % i;
        uint32_t pid = pids[i - 1];

        pids[i - 1] = pids[j];
        pids[j] = pid;
    }
}

static void samples_deinit(struct samples *samples)
{
    for (unsigned m = 0; m < BENCH_METRICS_MAX; m++) {
        free(samples->floor[m]);
        free(samples->ours[m]);
        free(samples->ratio[m]);
    }
}

static int samples_init(struct samples *samples, unsigned pairs)
{
    for (unsigned m = 0; m < BENCH_METRICS_MAX; m++) {
        samples->floor[m] = calloc(pairs, sizeof(double));
        samples->ours[m] = calloc(pairs, sizeof(double));
        samples->ratio[m] = calloc(pairs, sizeof(double));
        if (!samples->floor[m] || !samples->ours[m] || !samples->ratio[m])
            return bench_error(-ENOMEM, "samples");
    }
    return 0;
}

static int run_turn(const struct bench_experiment *experiment, enum bench_side side, double *values)
{
    int result = experiment->prepare(experiment->context, side);

    if (result == 0)
        result = experiment->run[side](experiment->context, values);
    if (result == 0 && experiment->verify)
        result = experiment->verify(experiment->context);
    return result;
}

static int run_pair(const struct bench_options *options, const struct bench_experiment *experiment,
                    unsigned pair, double values[BENCH_SIDES][BENCH_METRICS_MAX])
{
    enum bench_side first = pair % 2 ? BENCH_OURS : BENCH_FLOOR;
    int result = 0;

    for (unsigned turn = 0; turn < BENCH_SIDES && result == 0; turn++) {
        enum bench_side side = turn ? BENCH_SIDES - 1 - first : first;

        if (side == BENCH_FLOOR || !options->floor_only)
            result = run_turn(experiment, side, values[side]);
    }
    return result;
}

static int measure(const struct bench_options *options, const struct bench_experiment *experiment,
                   struct bench_report *report, struct samples *samples)
{
    const unsigned warm_up = options->small ? 0 : experiment->warm_up ? experiment->warm_up : WARM_UP;
    double values[BENCH_SIDES][BENCH_METRICS_MAX];

    for (unsigned pair = 0; pair < warm_up + options->pairs; pair++) {
        int result;

        bench_progress(report, experiment->scenario, experiment->metrics[0].variant, pair,
                       warm_up + options->pairs);
        result = run_pair(options, experiment, pair, values);
        if (result)
            return result;
        if (pair < warm_up)
            continue;
        for (unsigned m = 0; m < BENCH_METRICS_MAX && experiment->metrics[m].variant; m++) {
            double floor = values[BENCH_FLOOR][m], ours = options->floor_only ? floor : values[BENCH_OURS][m];

            samples->floor[m][samples->count] = floor;
            samples->ours[m][samples->count] = ours;
            samples->ratio[m][samples->count] = options->floor_only ? floor : ours / floor;
        }
        samples->count++;
    }
    return 0;
}

static int add_row(const struct bench_options *options, const struct bench_experiment *experiment, unsigned m,
                   struct bench_report *report, struct samples *samples)
{
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = experiment->scenario,
                                        .variant = experiment->metrics[m].variant,
                                        .unit = experiment->metrics[m].unit,
                                        .floor = bench_summarise(samples->floor[m], samples->count).median,
                                        .ours = bench_summarise(samples->ours[m], samples->count).median,
                                        .ratio = bench_summarise(samples->ratio[m], samples->count),
                                        .pairs = samples->count,
                                        .has_ours = !options->floor_only,
                                    });
}

int bench_run_pairs(const struct bench_options *options, const struct bench_experiment *experiment,
                    struct bench_report *report)
{
    struct samples samples = {0};
    int result = samples_init(&samples, options->pairs);

    if (result == 0)
        result = measure(options, experiment, report, &samples);
    bench_progress_end(report);
    for (unsigned m = 0; m < BENCH_METRICS_MAX && result == 0 && experiment->metrics[m].variant; m++)
        result = add_row(options, experiment, m, report, &samples);
    samples_deinit(&samples);
    return result;
}

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

static int run_pair(const struct bench_options *options, const struct bench_experiment *experiment,
                    unsigned pair, double *floor, double *ours)
{
    int result = experiment->prepare ? experiment->prepare(experiment->context, pair) : 0;
    bool ours_first = pair % 2;

    for (int turn = 0; turn < 2 && result == 0; turn++) {
        if ((turn == 0) != ours_first)
            result = experiment->floor(experiment->context, pair, floor);
        else if (!options->floor_only)
            result = experiment->ours(experiment->context, pair, ours);
    }
    if (result == 0 && experiment->verify)
        result = experiment->verify(experiment->context, pair);
    return result;
}

static int measure(const struct bench_options *options, const struct bench_experiment *experiment,
                   struct bench_report *report, struct samples *samples)
{
    double floor[BENCH_METRICS_MAX], ours[BENCH_METRICS_MAX];

    for (unsigned pair = 0; pair < WARM_UP + options->pairs; pair++) {
        int result;

        bench_progress(report, experiment->scenario, experiment->metrics[0].variant, pair,
                       WARM_UP + options->pairs);
        result = run_pair(options, experiment, pair, floor, ours);
        if (result)
            return result;
        if (pair < WARM_UP)
            continue;
        for (unsigned m = 0; m < BENCH_METRICS_MAX && experiment->metrics[m].variant; m++) {
            samples->floor[m][samples->count] = floor[m];
            samples->ours[m][samples->count] = ours[m];
            samples->ratio[m][samples->count] = options->floor_only ? floor[m] : ours[m] / floor[m];
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "pairs.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "progress.h"

#define WARM_UP 3u

#define SIDES_MAX (BENCH_SIDES + BENCH_OTHERS_MAX)

/* One value for each side and metric; NAN for who did not take part. */
struct round {
    double values[SIDES_MAX][BENCH_METRICS_MAX];
};

struct samples {
    struct round *rounds;
    unsigned count;
    double *beside, *ours, *ratio; /* of one row, while it is made */
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
    free(samples->rounds);
    free(samples->beside);
    free(samples->ours);
    free(samples->ratio);
}

static int samples_init(struct samples *samples, unsigned rounds)
{
    samples->rounds = calloc(rounds, sizeof(samples->rounds[0]));
    samples->beside = calloc(rounds, sizeof(double));
    samples->ours = calloc(rounds, sizeof(double));
    samples->ratio = calloc(rounds, sizeof(double));
    if (samples->rounds && samples->beside && samples->ours && samples->ratio)
        return 0;
    return bench_error(-ENOMEM, "samples");
}

/* ---- measuring ---- */

static unsigned others_of(const struct bench_experiment *experiment)
{
    unsigned count = 0;

    while (count < BENCH_OTHERS_MAX && experiment->others[count].name)
        count++;
    return count;
}

/* Others are given one round to warm up, as theirs may be long. */
static bool takes_part(const struct bench_options *options, const struct bench_experiment *experiment,
                       unsigned side, unsigned round, unsigned warm_up)
{
    unsigned rounds;

    if (side == BENCH_FLOOR)
        return experiment->run[BENCH_FLOOR] != NULL;
    if (options->floor_only)
        return false;
    if (side == BENCH_OURS)
        return true;
    rounds = experiment->others[side - BENCH_SIDES].rounds;
    return round + 1 >= warm_up && (!rounds || round < warm_up + rounds);
}

static int run_turn(const struct bench_experiment *experiment, unsigned side, double *values)
{
    const struct bench_other *other = side < BENCH_SIDES ? NULL : &experiment->others[side - BENCH_SIDES];
    bench_run_fn *run = other ? other->run : experiment->run[side];
    int (*verify)(void *context) = other ? other->verify : experiment->verify;
    int result = experiment->prepare(experiment->context, other ? BENCH_OTHER : (enum bench_side)side);

    if (result == 0)
        result = run(experiment->context, values);
    if (result == 0 && verify)
        result = verify(experiment->context);
    return result;
}

/*
 * Who is next in a round: each is first in turn, and comes after each of the others as often (a Williams
 * square), for what one leaves to the kernel to do must not always fall to the same. Of an odd number that
 * takes every order backwards, too.
 */
static unsigned place_at(unsigned number, unsigned turn, unsigned count)
{
    const bool backwards = count % 2 && number / count % 2;
    const unsigned step = backwards ? count - 1 - turn : turn;

    return (number + (step % 2 ? (step + 1) / 2 : count - step / 2)) % count;
}

/* Who takes part; how many. */
static unsigned gather(const struct bench_options *options, const struct bench_experiment *experiment,
                       unsigned number, unsigned warm_up, unsigned present[SIDES_MAX])
{
    const unsigned sides = BENCH_SIDES + others_of(experiment);
    unsigned count = 0;

    for (unsigned side = 0; side < sides; side++)
        if (takes_part(options, experiment, side, number, warm_up))
            present[count++] = side;
    return count;
}

/* The square is of those who take part, for with gaps in it none would keep its place. So rounds of as many
 * have a square of their own: turned[] is how far each has come. */
static int run_round(const struct bench_options *options, const struct bench_experiment *experiment,
                     unsigned number, unsigned warm_up, unsigned turned[SIDES_MAX + 1], struct round *round)
{
    unsigned present[SIDES_MAX];
    const unsigned count = gather(options, experiment, number, warm_up, present);
    const unsigned order = turned[count]++;
    int result = 0;

    for (unsigned side = 0; side < SIDES_MAX; side++)
        for (unsigned m = 0; m < BENCH_METRICS_MAX; m++)
            round->values[side][m] = NAN;
    for (unsigned turn = 0; turn < count && result == 0; turn++) {
        unsigned side = present[place_at(order, turn, count)];

        result = run_turn(experiment, side, round->values[side]);
    }
    return result;
}

static int measure(const struct bench_options *options, const struct bench_experiment *experiment,
                   struct bench_report *report, struct samples *samples)
{
    const unsigned warm_up = options->small ? 0 : experiment->warm_up ? experiment->warm_up : WARM_UP;
    const unsigned rounds = warm_up + options->pairs;
    unsigned turned[SIDES_MAX + 1] = {0};

    for (unsigned number = 0; number < rounds; number++) {
        struct round *round = &samples->rounds[number < warm_up ? 0 : number - warm_up];
        int result;

        bench_progress(report, experiment->scenario, experiment->metrics[0].variant, number, rounds);
        result = run_round(options, experiment, number, warm_up, turned, round);
        if (result)
            return result;
    }
    samples->count = options->pairs;
    return 0;
}

/* ---- reporting ---- */

/* The rounds in which both took part; of the floor's own values where only those are wanted. How many. */
static unsigned compare(const struct bench_options *options, struct samples *samples, unsigned beside,
                        unsigned m)
{
    unsigned count = 0;

    for (unsigned i = 0; i < samples->count; i++) {
        const struct round *round = &samples->rounds[i];
        double other = round->values[beside][m];
        double ours = options->floor_only ? other : round->values[BENCH_OURS][m];

        if (isnan(other) || isnan(ours))
            continue;
        samples->beside[count] = other;
        samples->ours[count] = ours;
        samples->ratio[count++] = options->floor_only ? other : ours / other;
    }
    return count;
}

static const char *name_of(const struct bench_experiment *experiment, unsigned side, unsigned m)
{
    return side < BENCH_SIDES ? experiment->floor_names[m] : experiment->others[side - BENCH_SIDES].name;
}

static int add_row(const struct bench_options *options, const struct bench_experiment *experiment,
                   unsigned beside, unsigned m, struct bench_report *report, struct samples *samples)
{
    unsigned count = compare(options, samples, beside, m);

    if (count == 0)
        return 0;
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = experiment->scenario,
                                        .variant = experiment->metrics[m].variant,
                                        .beside = name_of(experiment, beside, m),
                                        .unit = experiment->metrics[m].unit,
                                        .floor = bench_summarise(samples->beside, count).median,
                                        .ours = bench_summarise(samples->ours, count).median,
                                        .ratio = bench_summarise(samples->ratio, count),
                                        .pairs = count,
                                        .has_ours = !options->floor_only,
                                    });
}

static int add_rows(const struct bench_options *options, const struct bench_experiment *experiment,
                    unsigned m, struct bench_report *report, struct samples *samples)
{
    int result = add_row(options, experiment, BENCH_FLOOR, m, report, samples);

    for (unsigned i = 0; i < others_of(experiment) && result == 0; i++)
        result = add_row(options, experiment, BENCH_SIDES + i, m, report, samples);
    return result;
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
        result = add_rows(options, experiment, m, report, &samples);
    samples_deinit(&samples);
    return result;
}

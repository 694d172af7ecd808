/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* Linear between the two samples beside the place. */
double bench_quantile(const double *sorted, size_t count, double q)
{
    double place = q * (double)(count - 1);
    size_t below = (size_t)place;

    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

/*
 * How many samples may be cut off at each end so that what is left still holds the true median with at least
 * 95 %: the number of samples below it is binomial(count, 1/2), whatever they are distributed like.
 */
static size_t samples_outside(size_t count)
{
    double log_term = -(double)count * log(2.0), tail = 0;
    size_t outside = 0;

    for (size_t below = 0; below < count / 2; below++) {
        tail += exp(log_term);
        if (tail > 0.025)
            break;
        outside = below + 1;
        log_term += log((double)(count - below) / (double)(below + 1));
    }
    return outside > 0 ? outside - 1 : 0;
}

struct bench_summary bench_summarise(double *samples, size_t count)
{
    size_t outside = samples_outside(count);

    qsort(samples, count, sizeof(samples[0]), compare);
    return (struct bench_summary){
        .median = bench_quantile(samples, count, 0.5),
        .spread = bench_quantile(samples, count, 0.75) - bench_quantile(samples, count, 0.25),
        .low = samples[outside],
        .high = samples[count - 1 - outside],
    };
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>

/* Of fewer samples no part is an interval of 95 %, nor all of them. */
#define BENCH_INTERVAL_SAMPLES 6u

/*
 * What a series of samples says, without assuming a distribution: noise on a shared machine has a long tail
 * on one side only.
 */
struct bench_summary {
    double median;
    double spread;    /* the width of the middle half (interquartile range) */
    double low, high; /* of the median, by ranks: 95 % or more, or, of too few for that, all there are */
};

/* Sorts samples. count must be above 0. */
struct bench_summary bench_summarise(double *samples, size_t count);

/* The value that q of them are below, as 0.99; of sorted samples, as bench_summarise leaves them. */
double bench_quantile(const double *sorted, size_t count, double q);

#endif

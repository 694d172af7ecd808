/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "stats.h"

/* What was measured, and how it is printed: a table, or JSON. */
struct bench_row {
    const char *scenario;
    const char *variant;
    const char *beside; /* what stands in `floor`, and what ours is divided by; NULL: the floor */
    const char *unit;
    double floor;
    double ours;                /* unused when has_ours is false */
    struct bench_summary ratio; /* ours ÷ floor of each pair; of the floor's own samples without ours */
    unsigned pairs;
    bool has_ours;
    bool pooled; /* one figure of all rounds together: ratio is its median alone, no interval, no spread */
};

struct bench_report {
    struct bench_row *rows;
    size_t count;
    bool quiet; /* no progress on stderr */
};

#define BENCH_REPORT_NULL ((struct bench_report){NULL, 0, false})

/* Strings are borrowed. 0 or -ENOMEM. */
int bench_report_add(struct bench_report *report, const struct bench_row *row);
int bench_report_print_json(const struct bench_report *report);
void bench_report_print_table(const struct bench_report *report);
void bench_report_deinit(struct bench_report *report);

/* Tell the reader what failed; returns error for `return bench_error(...)`. */
int bench_error(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_RUN_STATS_H
#define BENCH_RUN_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * How long BPF programs of one process run, by the kernel's own measuring, which is on only as long as this
 * is open and is itself part of what it measures (some 40 ns a run).
 *
 * All return 0 or -errno, told on stderr.
 */
#define BENCH_PROGRAMS_MAX 8

struct bench_run_stats {
    int enabled; /* fd */
    int programs[BENCH_PROGRAMS_MAX];
    /* The kernel's totals are of every time that anybody measured since the program was loaded. */
    uint64_t time_before[BENCH_PROGRAMS_MAX], runs_before[BENCH_PROGRAMS_MAX];
    size_t count;
};

#define BENCH_RUN_STATS_NULL ((struct bench_run_stats){.enabled = -1})

/* The programs with these names that the process holds attached. Close it in any case. */
int bench_run_stats_open(struct bench_run_stats *stats, pid_t process, const char *const *names,
                         size_t count);
void bench_run_stats_close(struct bench_run_stats *stats);

/* Nanoseconds that one run of each of them takes, all together, on the average since it was opened. */
int bench_run_stats_read(const struct bench_run_stats *stats, double *nanoseconds);

#endif

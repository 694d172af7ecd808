/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MISS_H
#define BENCH_MISS_H

#include <stdbool.h>

#include "daemon.h"
#include "pairs.h"
#include "pods.h"
#include "program.h"
#include "stopwatch.h"

/* What `miss` measures, for whoever measures it on another host: scenario_miss.c and scenario_many.c. */
#define BENCH_MISS_NAMESPACES 200u

/*
 * The daemon is fed the pids of the first pods; the floor works through the same. Before either's turn the
 * daemon is made to forget what it knew of them and all their qdiscs are removed: to both, every namespace is
 * new and every device bare. Pods beyond those are left alone.
 */
struct miss {
    struct bench_program program;
    struct bench_pods pods;
    uint32_t pids[BENCH_MISS_NAMESPACES];
    struct bench_stopwatch *stopwatch;
    struct bench_daemon daemon;
    size_t a_message;
    bool known; /* to the daemon */
    bool today; /* beside what people do today, too */
};

/* All of it, with room for so many more pods. Zeroed, with no daemon, before; clear it away in any case. 0 or
 * -errno, told on stderr. */
int bench_miss_furnish(const struct bench_options *options, struct miss *miss, size_t more);
void bench_miss_clear_away(struct miss *miss);

/* Adds a row beside the floor, and one beside each of the others, with that variant. */
int bench_miss_measure(const struct bench_options *options, struct bench_report *report, struct miss *miss,
                       size_t a_message, const char *variant);

#endif

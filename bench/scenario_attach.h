/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SCENARIO_ATTACH_H
#define BENCH_SCENARIO_ATTACH_H

#include <stdint.h>

#include "io/tc.h"
#include "pairs.h"
#include "pods.h"
#include "today/today.h"

/* What the ways of today need beyond the devices (scenario_attach_today.c). */
struct attach_today {
    struct today_originals *originals;
    int *sockets; /* of each namespace, opened before anything is timed */
    int *kept;    /* links or programs of a turn, two a device; -1: none */
};

/*
 * All attach to the devices of the same namespaces. Before anybody's turn, qdiscs and filters are removed, so
 * that each attach finds a bare device.
 */
struct attach {
    struct bench_pods pods;
    unsigned devices; /* of each, ifindexes 1 to devices */
    uint32_t *ifindexes;
    struct nns_tc_job *jobs;
    struct nns_tc_set set;
    int programs[2];
    struct attach_today today;
};

/* Microseconds per device since then. */
double attach_per_device(const struct attach *attach, uint64_t since);

/* The kernel is asked whether everything carries one filter on both hooks. */
int attach_verify(void *context);

/* When the devices are there; deinit in any case, before they go. 0 or -errno, told. */
int attach_today_init(struct attach *attach);
void attach_today_deinit(struct attach *attach);

/* Add them to the experiment. with_links: also the one that takes hundreds of times as long. */
void attach_today_take_part(struct bench_experiment *experiment, bool with_links);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PACKET_PROGRAMS_H
#define BENCH_PACKET_PROGRAMS_H

#include <stdint.h>

#include "core/tc_work.h"
#include "io/meter.h"

/*
 * The meter, and what it is measured beside (packet.bpf.c): an ingress and an egress program of each, and the
 * kernel's own ways of running and timing them. The bench's only user of libbpf for them.
 *
 * All return 0 or -errno, told on stderr.
 */
enum bench_counting {
    BENCH_COUNTING_NOTHING,
    BENCH_COUNTING_BARE,
    BENCH_COUNTING_METER,
    BENCH_COUNTING_PERCPU_HASH,
    BENCH_COUNTING_HASH,
    BENCH_COUNTINGS
};

struct packet_bpf;

struct bench_packet_programs {
    struct nns_meter *meter;
    struct packet_bpf *skeleton;
    struct nns_tc_set sets[BENCH_COUNTINGS]; /* as nns_tc_attach wants them */
};

#define BENCH_PACKET_PROGRAMS_NULL ((struct bench_packet_programs){.meter = NULL})

/* Load them all. Close it in any case. */
int bench_packet_programs_open(struct bench_packet_programs *programs);
void bench_packet_programs_close(struct bench_packet_programs *programs);

/* Run a program so many times over the same packet, with nothing else going on; how long each run took, in
 * nanoseconds, with what it takes to call it. */
int bench_packet_test_run(int program, unsigned repeat, double *nanoseconds);

/* The kernel's totals for a program, of the time in which anybody had them taken. */
struct bench_packet_totals {
    uint64_t time, runs;
};

int bench_packet_totals(int program, struct bench_packet_totals *totals);

/* Have them taken as long as this fd is open. */
int bench_packet_time(void);

#endif

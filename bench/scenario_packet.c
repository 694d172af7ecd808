/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "packet_programs.h"
#include "packet_wire.h"

/* A turn: so many looks at each program, and right before each at an empty one of the same hook. */
#define LOOKS        15u
#define REPEAT       200000u
#define REPEAT_SMALL 100000u

#define BURSTS       200u
#define BURSTS_SMALL 5u

/* What the meter takes for a packet, and what the least that counts would. */
struct packet {
    struct bench_packet_programs programs;
    struct bench_packet_wire wire;
    unsigned repeat, bursts;
};

/*
 * Where the kernel puts a program's instructions in memory, and how they lie to the lines of the cache, is
 * drawn anew whenever it is loaded, and may matter as much as an instruction more or less. So each turn has
 * its own.
 */
static int load(void *context, enum bench_side side)
{
    struct packet *packet = context;

    bench_packet_programs_close(&packet->programs);
    return bench_packet_programs_open(&packet->programs);
}

/* ---- run by the kernel's own loop ---- */

static int keep_least(int program, unsigned repeat, double *least)
{
    double nanoseconds;
    int result = bench_packet_test_run(program, repeat, &nanoseconds);

    if (result == 0 && nanoseconds < *least)
        *least = nanoseconds;
    return result;
}

/* The same instructions over the same packet can only be held up: the least is what they take. Where the
 * empty program was held up more than the other in all of its looks, there is no value. */
static int compare_runs(const struct packet *packet, int program, int empty, double *value)
{
    double least = HUGE_VAL, least_empty = HUGE_VAL;
    int result = 0;

    for (unsigned i = 0; i < LOOKS && result == 0; i++) {
        result = keep_least(empty, packet->repeat, &least_empty);
        if (result == 0)
            result = keep_least(program, packet->repeat, &least);
    }
    *value = least > least_empty ? least - least_empty : NAN;
    return result;
}

/* What it adds to an empty one. */
static int test_run(const struct packet *packet, enum bench_counting counting, double *values)
{
    const struct nns_tc_set *sets = packet->programs.sets;
    int result = 0;

    for (int hook = 0; hook < NNS_HOOKS && result == 0; hook++)
        result = compare_runs(packet, sets[counting].programs[hook].fd,
                              sets[BENCH_COUNTING_NOTHING].programs[hook].fd, &values[hook]);
    return result;
}

static int test_run_bare(void *context, double *values)
{
    return test_run(context, BENCH_COUNTING_BARE, values);
}

static int test_run_meter(void *context, double *values)
{
    return test_run(context, BENCH_COUNTING_METER, values);
}

static int test_run_percpu_hash(void *context, double *values)
{
    return test_run(context, BENCH_COUNTING_PERCPU_HASH, values);
}

static int test_run_hash(void *context, double *values)
{
    return test_run(context, BENCH_COUNTING_HASH, values);
}

static int measure_test_runs(const struct bench_options *options, struct bench_report *report,
                             struct packet *packet)
{
    struct bench_experiment experiment = {
        .scenario = "packet",
        .metrics = {[NNS_INGRESS] = {"ingress, more than an empty program", "ns"},
                    [NNS_EGRESS] = {"egress, more than an empty program", "ns"}},
        .prepare = load,
        .run = {test_run_bare, test_run_meter},
        .others = {{.name = "per-CPU hash by device", .run = test_run_percpu_hash},
                   {.name = "hash by device, atomic", .run = test_run_hash}},
        .context = packet,
    };

    return bench_run_pairs(options, &experiment, report);
}

/* ---- real packets ---- */

static int send_counted(const struct packet *packet, enum bench_counting counting, double *values)
{
    return bench_packet_wire_measure(&packet->wire, &packet->programs.sets[counting], packet->bursts, values);
}

static int send_bare(void *context, double *values)
{
    return send_counted(context, BENCH_COUNTING_BARE, values);
}

static int send_meter(void *context, double *values)
{
    const struct packet *packet = context;
    int result = send_counted(packet, BENCH_COUNTING_METER, values);

    return result ? result : bench_packet_wire_verify(packet->programs.meter, packet->bursts);
}

static int send_nothing(void *context, double *values)
{
    return send_counted(context, BENCH_COUNTING_NOTHING, values);
}

static int send_percpu_hash(void *context, double *values)
{
    return send_counted(context, BENCH_COUNTING_PERCPU_HASH, values);
}

static int send_hash(void *context, double *values)
{
    return send_counted(context, BENCH_COUNTING_HASH, values);
}

/* The kernel's clock is too coarse for a nanosecond, so that nothing is taken off: the empty program has a
 * row of its own. */
static int measure_wire(const struct bench_options *options, struct bench_report *report,
                        struct packet *packet)
{
    struct bench_experiment experiment = {
        .scenario = "packet",
        .metrics = {[NNS_INGRESS] = {"ingress, a run on veth, with the kernel's clock", "ns"},
                    [NNS_EGRESS] = {"egress, a run on veth, with the kernel's clock", "ns"}},
        .prepare = load,
        .run = {send_bare, send_meter},
        .others = {{.name = "empty program", .run = send_nothing},
                   {.name = "per-CPU hash by device", .run = send_percpu_hash},
                   {.name = "hash by device, atomic", .run = send_hash}},
        .context = packet,
    };
    int result = bench_packet_wire_open(&packet->wire);

    return result ? result : bench_run_pairs(options, &experiment, report);
}

int bench_packet(const struct bench_options *options, struct bench_report *report)
{
    struct packet packet = {.programs = BENCH_PACKET_PROGRAMS_NULL,
                            .wire = BENCH_PACKET_WIRE_NULL,
                            .repeat = options->small ? REPEAT_SMALL : REPEAT,
                            .bursts = options->small ? BURSTS_SMALL : BURSTS};
    int result = measure_test_runs(options, report, &packet);

    if (result == 0)
        result = measure_wire(options, report, &packet);
    bench_packet_wire_close(&packet.wire);
    bench_packet_programs_close(&packet.programs);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include "io/meter.h"
#include "pods.h"

/*
 * The built-in meter, loaded once by the bench: floors and ours attach the same programs.
 *
 * It also sits on the loopback of a namespace of its own as long as it is open. The kernel patches its own
 * code when the first clsact or filter of a host appears and the last one goes, which costs more than
 * attaching does; on a host with containers that has long happened, so it must not happen within what is
 * timed.
 */
struct bench_program {
    struct nns_meter *meter;
    struct bench_pods keeper;
    int fds[2];
};

#define BENCH_PROGRAM_NULL ((struct bench_program){.meter = NULL})

/* 0 or -errno, told on stderr; close it in both cases. */
int bench_program_open(struct bench_program *program);
void bench_program_close(struct bench_program *program);

#endif

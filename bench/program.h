/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include "io/meter.h"

/*
 * The built-in meter, loaded once by the bench: floors and ours attach the same programs.
 */
int bench_program_open(struct nns_meter **meter, int programs[2]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_METER_H
#define NNS_IO_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/params.h"
#include "core/report.h"

/*
 * The programs that are attached: the built-in meter (src/bpf/meter.bpf.c), or two programs of an object file
 * the operator names. Loaded once for the whole host. The only user of libbpf for them.
 *
 * The meter counts packets and bytes per direction in a per-CPU array indexed by slot, the filter's classid.
 * The array takes 32 bytes × slots × possible CPUs; meter.memory bounds that (64 MiB: all 65,535 slots on 32
 * CPUs, 16,383 on 128).
 */
struct nns_meter;

/* A loaded program as the kernel describes it. */
struct nns_program {
    int fd; /* owned by the meter */
    uint32_t id;
    char name[16];
    uint8_t tag[8];
};

/* Load. 0; -errno with a sentence in error[size]. */
int nns_meter_open(const struct nns_params *params, struct nns_meter **out, char *error, size_t size);
void nns_meter_close(struct nns_meter *meter); /* NULL is fine */

const struct nns_program *nns_meter_program(const struct nns_meter *meter, enum nns_hook hook);

/* Highest slot; 0 when the operator's own programs are attached: nothing is counted then. */
uint32_t nns_meter_slots(const struct nns_meter *meter);

/* Bytes of kernel memory the counts take. */
uint64_t nns_meter_bytes(const struct nns_meter *meter);

/* Read the counts of a slot, folded over CPUs. Any thread. 0 or -errno. */
int nns_meter_read(const struct nns_meter *meter, uint16_t slot, struct nns_traffic traffic[NNS_HOOKS]);

/* Set a slot's counts to zero, before its next holder. 0 or -errno. */
int nns_meter_clear(struct nns_meter *meter, uint16_t slot);

#endif

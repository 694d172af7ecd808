/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_METER_H
#define NNS_IO_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/params.h"
#include "core/pins.h"
#include "core/report.h"
#include "core/slots.h"

/*
 * The programs that are attached: the built-in meter (src/bpf/meter.bpf.c), or two programs of an object file
 * the operator names. Loaded once for the whole host. The only user of libbpf for them.
 *
 * The meter counts packets and bytes per direction in a per-CPU array indexed by slot, the filter's classid.
 * The array takes 32 bytes × slots × possible CPUs; meter.memory bounds that (64 MiB: all 65,535 slots on 32
 * CPUs, 16,383 on 128).
 *
 * Pinned, the counts and the records of who holds which slot outlive the daemon: filters that stay go on
 * counting, and the next daemon of the instance, whose programs count in the same map, goes on from there.
 * Both maps are used again or neither, and only where they have the shape that this daemon would give them.
 */
struct nns_meter;

/* A loaded program as the kernel describes it. */
struct nns_program {
    int fd; /* owned by the meter */
    uint32_t id;
    char name[16];
    uint8_t tag[8];
};

/* Load, with the maps that are pinned at these places, which are ours alone to change, or, with NULL, none.
 * Nothing is pinned or replaced yet. 0; -errno with a sentence in error[size]. */
int nns_meter_open(const struct nns_params *params, const struct nns_pins *pins, struct nns_meter **out,
                   char *error, size_t size);

/* Pin the maps that were loaded there, unless they came from there; what is of no use there goes. What cannot
 * be pinned is said in the log. Before others use the meter. */
void nns_meter_pin(struct nns_meter *meter, const struct nns_pins *pins);

/* Pinned maps stay pinned. */
void nns_meter_close(struct nns_meter *meter); /* NULL is fine */

const struct nns_program *nns_meter_program(const struct nns_meter *meter, enum nns_hook hook);

enum nns_meter_pinned {
    NNS_METER_UNPINNED,
    NNS_METER_PINNED,   /* counts begin at nothing, and stay when the daemon ends */
    NNS_METER_INHERITED /* counts go on from where a former daemon left them, and stay likewise */
};
enum nns_meter_pinned nns_meter_pinned(const struct nns_meter *meter);

/* Records of who holds which slot, one more than there are slots, or NULL where nothing can be pinned. For
 * the owner to write while the meter is open. */
struct nns_slot_holder *nns_meter_holders(const struct nns_meter *meter);

/* What tells the map of counts from all others on this host; 0 for the operator's programs. */
uint32_t nns_meter_counts_id(const struct nns_meter *meter);

/* Highest slot; 0 when the operator's own programs are attached: nothing is counted then. */
uint32_t nns_meter_slots(const struct nns_meter *meter);

/* Bytes of kernel memory the counts take. */
uint64_t nns_meter_bytes(const struct nns_meter *meter);

/* Read the counts of a slot, folded over CPUs. Any thread. 0 or -errno. */
int nns_meter_read(const struct nns_meter *meter, uint16_t slot, struct nns_traffic traffic[NNS_HOOKS]);

/* Set a slot's counts to zero, before its next holder. 0 or -errno. */
int nns_meter_clear(struct nns_meter *meter, uint16_t slot);

#endif

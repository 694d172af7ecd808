/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_SLOTS_H
#define NNS_CORE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/role.h"

/*
 * The numbers that tell devices apart inside the one program all of them share: 1 … limit, at most 65535 (a
 * filter's classid has 16 bits for them). 0 means "no slot": such devices are classified, but counted
 * together.
 *
 * A slot given back goes to the end of the line, so that a packet still in flight under it is not counted for
 * its next holder. Owner thread only.
 */
struct nns_slots {
    uint16_t *line;       /* ring of slots given back, oldest first */
    uint32_t limit;       /* highest slot */
    uint32_t fresh;       /* next slot never used; > limit when none is left */
    uint32_t head, count; /* of the ring */
};

/* 0, -EINVAL for a limit of 0 or above 65535, -ENOMEM. */
int nns_slots_init(struct nns_slots *slots, uint32_t limit);
void nns_slots_deinit(struct nns_slots *slots);

/* A slot, or 0 when none is free. *used says whether somebody held it before: its counts must be
 * cleared. */
uint16_t nns_slots_take(struct nns_slots *slots, bool *used) NNS_OWNER_ONLY;

/* Give one back; 0 is ignored. */
void nns_slots_give(struct nns_slots *slots, uint16_t slot) NNS_OWNER_ONLY;

uint32_t nns_slots_in_use(const struct nns_slots *slots);

#endif

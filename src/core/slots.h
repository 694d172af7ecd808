/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_SLOTS_H
#define NNS_CORE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/role.h"

/*
 * The numbers that tell devices apart inside the one program all of them share: 1 … limit, at most 65535 (a
 * filter's classid has 16 bits for them). 0 means "no slot": such devices are classified, but counted
 * together.
 *
 * A slot given back goes to the end of the line, so that a packet still in flight under it is not counted for
 * its next holder.
 *
 * Who holds which slot is written into records that can outlive the daemon together with the counts. A slot
 * that stands there at the beginning is reserved for exactly its device, a cookie and an ifindex, until all
 * reservations are released. Each change is a store of the cookie before or after all else: whenever the
 * daemon is killed, a record with a cookie is whole. Owner thread only.
 */
struct nns_slot_holder {
    uint64_t cookie;  /* 0: nobody */
    uint32_t ifindex; /* its last holder's; 0: there never was one */
    uint32_t unused;
};

struct nns_slot_reserved {
    uint64_t cookie;
    uint32_t ifindex;
    uint16_t slot; /* 0: taken */
};

struct nns_slots {
    struct nns_slot_holder *holders;    /* limit + 1, borrowed; or NULL */
    struct nns_slot_reserved *reserved; /* by cookie and ifindex */
    uint16_t *line;                     /* ring of slots given back, oldest first */
    uint32_t limit;                     /* highest slot */
    uint32_t fresh;                     /* no slot below this was never used; > limit when none is left */
    uint32_t head, count;               /* of the ring */
    uint32_t held;
    uint32_t reserved_count, reserved_left,
        reserved_next; /* the last one: where the search for any goes on */
    bool released;
};

/* What a slot's counts are to its new holder. */
enum nns_slot_past {
    NNS_SLOT_FRESH, /* nothing: they are zero */
    NNS_SLOT_USED,  /* somebody else's: to be cleared */
    NNS_SLOT_KEPT   /* its own, from a daemon before this one, if it is still the same device */
};

/* With the records of who holds what, as a former daemon left them or zeroed; without them nothing is
 * recorded. 0, -EINVAL for a limit of 0 or above 65535, -ENOMEM. */
int nns_slots_init(struct nns_slots *slots, uint32_t limit, struct nns_slot_holder *holders);
void nns_slots_deinit(struct nns_slots *slots); /* the records stay as they are */

/* A slot for a device, or 0 when none is free: the one reserved for it, else one never used, else the one
 * given back first, else, once they are released, one reserved for another. */
uint16_t nns_slots_take(struct nns_slots *slots, uint64_t cookie, uint32_t ifindex,
                        enum nns_slot_past *past) NNS_OWNER_ONLY;

/* Give one back; 0 is ignored. */
void nns_slots_give(struct nns_slots *slots, uint16_t slot) NNS_OWNER_ONLY;

/* From now on a slot reserved for one device may be had by another when there is no other left: whoever
 * was to come for it had the time. Devices that come later still find theirs, unless it was needed. */
void nns_slots_release_reserved(struct nns_slots *slots) NNS_OWNER_ONLY;

/* Is any reserved for a device of this namespace? */
bool nns_slots_expect(const struct nns_slots *slots, uint64_t cookie);

/* None of its devices will come: what is reserved for them is as good as given back. */
void nns_slots_dismiss(struct nns_slots *slots, uint64_t cookie) NNS_OWNER_ONLY;

uint32_t nns_slots_in_use(const struct nns_slots *slots);   /* held by devices */
uint32_t nns_slots_reserved(const struct nns_slots *slots); /* for devices that have not come yet */

#endif

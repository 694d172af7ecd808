/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_BPF_METER_H
#define NNS_BPF_METER_H

#include <linux/types.h>

/* One slot's counts on one CPU: what the meter's programs write and io/meter.c reads. Only the CPU it belongs
 * to writes it, and each hook has fields of its own, so no atomic operation is needed. */
struct nns_meter_count {
    __u64 packets;
    __u64 bytes;
};

struct nns_meter_slot {
    struct nns_meter_count ingress;
    struct nns_meter_count egress;
};

/* Who holds a slot: core/slots.h says how it is written. No program reads it; it is a map because a map can
 * outlive the daemon. Slot 0 is nobody's: what stands there as its holder's cookie is NNS_METER_LAYOUT. */
struct nns_meter_holder {
    __u64 cookie;
    __u32 ifindex;
    __u32 unused;
};

/* Counted up with every change of where a member of these stands, or of what it means, which no size tells.
 */
#define NNS_METER_LAYOUT 1

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The built-in meter: packets and bytes per device and direction.
 *
 * One program a hook, loaded once for every device of the host. A device is told by its filter's classid,
 * which cls_bpf puts into skb->tc_classid before it runs the program: the index of its slot. Devices without
 * a slot share slot 0. A segmented packet counts as the packets it stands for. TC_ACT_UNSPEC lets the chain
 * go on, whoever is next in it.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "bpf/meter.h"

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1); /* set before loading: io/meter.c */
    __type(key, __u32);
    __type(value, struct nns_meter_slot);
} nns_slots SEC(".maps");

/* The owner's notes beside the counts, made only where both are pinned. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* likewise */
    __type(key, __u32);
    __type(value, struct nns_meter_holder);
} nns_holders SEC(".maps");

static __always_inline struct nns_meter_slot *slot_of(const struct __sk_buff *skb)
{
    __u32 slot = skb->tc_classid; /* 16 bits in the kernel */

    return bpf_map_lookup_elem(&nns_slots, &slot);
}

/* gso_segs is 0 for most packets, which stand for themselves. A branch on that would cost as much as half of
 * the update. */
static __always_inline __u64 packets_in(const struct __sk_buff *skb)
{
    __u64 segments = skb->gso_segs;

    return segments + ((segments - 1) >> 63);
}

static __always_inline void count(struct nns_meter_count *count, const struct __sk_buff *skb)
{
    count->bytes += skb->len;
    count->packets += packets_in(skb);
}

SEC("tc")
int nns_meter_in(struct __sk_buff *skb)
{
    struct nns_meter_slot *slot = slot_of(skb);

    if (slot)
        count(&slot->ingress, skb);
    return TC_ACT_UNSPEC;
}

SEC("tc")
int nns_meter_out(struct __sk_buff *skb)
{
    struct nns_meter_slot *slot = slot_of(skb);

    if (slot)
        count(&slot->egress, skb);
    return TC_ACT_UNSPEC;
}

char nns_license[] SEC("license") = "Dual BSD/GPL";

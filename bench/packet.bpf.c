/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the meter is measured beside, a program a hook each: nothing at all, the least that counts, and what
 * who has no slots does today to tell devices apart.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "bpf/kernel.h"

#define DEVICES_MAX 65536

struct count {
    __u64 packets;
    __u64 bytes;
};

/* ---- nothing ---- */

SEC("tc")
int bench_empty_in(struct __sk_buff *skb)
{
    return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_empty_out(struct __sk_buff *skb)
{
    return TC_ACT_UNSPEC;
}

/* ---- the floor: one slot, and which one is known to the compiler ---- */

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct count);
} bench_slots SEC(".maps");

static __always_inline int count_bare(const struct __sk_buff *skb, __u32 slot)
{
    struct count *count = bpf_map_lookup_elem(&bench_slots, &slot);

    if (count) {
        count->packets++;
        count->bytes += skb->len;
    }
    return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_bare_in(struct __sk_buff *skb)
{
    return count_bare(skb, 0);
}

SEC("tc")
int bench_bare_out(struct __sk_buff *skb)
{
    return count_bare(skb, 1);
}

/* ---- a hash of devices ---- */

struct sk_buff {
    struct net_device *dev;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *context) __ksym;

struct device {
    __u64 cookie; /* of its namespace */
    __u32 ifindex;
    __u32 egress;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, DEVICES_MAX);
    __type(key, struct device);
    __type(value, struct count);
} bench_hash SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, DEVICES_MAX);
    __type(key, struct device);
    __type(value, struct count);
} bench_percpu_hash SEC(".maps");

static __always_inline struct count *count_of(void *map, struct __sk_buff *skb, __u32 egress)
{
    struct sk_buff *packet = bpf_cast_to_kern_ctx(skb);
    struct device device = {
        .cookie = packet->dev->nd_net.net->net_cookie, .ifindex = skb->ifindex, .egress = egress};
    struct count *count = bpf_map_lookup_elem(map, &device), none = {};

    if (count)
        return count;
    bpf_map_update_elem(map, &device, &none, BPF_NOEXIST);
    return bpf_map_lookup_elem(map, &device);
}

static __always_inline int count_in_percpu_hash(struct __sk_buff *skb, __u32 egress)
{
    struct count *count = count_of(&bench_percpu_hash, skb, egress);

    if (count) {
        count->packets++;
        count->bytes += skb->len;
    }
    return TC_ACT_UNSPEC;
}

static __always_inline int count_in_hash(struct __sk_buff *skb, __u32 egress)
{
    struct count *count = count_of(&bench_hash, skb, egress);

    if (count) {
        __sync_fetch_and_add(&count->packets, 1);
        __sync_fetch_and_add(&count->bytes, skb->len);
    }
    return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_percpu_hash_in(struct __sk_buff *skb)
{
    return count_in_percpu_hash(skb, 0);
}

SEC("tc")
int bench_percpu_hash_out(struct __sk_buff *skb)
{
    return count_in_percpu_hash(skb, 1);
}

SEC("tc")
int bench_hash_in(struct __sk_buff *skb)
{
    return count_in_hash(skb, 0);
}

SEC("tc")
int bench_hash_out(struct __sk_buff *skb)
{
    return count_in_hash(skb, 1);
}

char bench_license[] SEC("license") = "Dual BSD/GPL";

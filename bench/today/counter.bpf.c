/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* As small as a program can be that counts packets and bytes of one device: what a copy is made of for each.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct count {
    __u64 packets;
    __u64 bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct count);
} counts SEC(".maps");

static __always_inline int add(const struct __sk_buff *skb, __u32 hook)
{
    struct count *count = bpf_map_lookup_elem(&counts, &hook);

    if (count) {
        count->packets++;
        count->bytes += skb->len;
    }
    return TC_ACT_UNSPEC;
}

SEC("tc")
int count_in(struct __sk_buff *skb)
{
    return add(skb, 0);
}

SEC("tc")
int count_out(struct __sk_buff *skb)
{
    return add(skb, 1);
}

char counter_license[] SEC("license") = "Dual BSD/GPL";

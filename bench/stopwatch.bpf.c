/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * When devices came up and when they were attached, taken where it happens: whoever attaches, and however, is
 * neither asked nor held up, and both sides of a comparison pay the same few nanoseconds.
 *
 * Up: the kernel makes a device's first qdisc. Attached: the netlink message that made its clsact has been
 * worked off to its end, with all that followed in the same send, its filters.
 */
#include <linux/bpf.h>
#include <linux/pkt_sched.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/kernel.h"
#include "bpf/trace.h"

#define DEVICES_MAX 65536
#define TASKS_MAX   1024
#define A_SEND_MAX  64 /* a power of 2 */

struct sk_buff {
    unsigned int len;
} __attribute__((preserve_access_index));

/* On the monotonic clock; 0: not yet. */
struct moments {
    __u64 up, attached;
};

__u32 bench_process;

/* Of devices that the bench itself set up, each time one was attached: how often, and the last time. */
__u64 bench_attached, bench_last_attached;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, DEVICES_MAX);
    __type(key, struct nns_trace_device);
    __type(value, struct moments);
} bench_devices SEC(".maps");

/* The devices that got a clsact in the message a task is just sending. */
struct sending {
    __u32 count;
    __u32 ours; /* of the bench's making, whether or not there is room for them here */
    struct nns_trace_device devices[A_SEND_MAX];
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, TASKS_MAX);
    __type(key, __u32);
    __type(value, struct sending);
} bench_sending SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sending);
} bench_nothing SEC(".maps"); /* all zero: too large for the stack */

/* Run once by the bench itself. */
SEC("syscall")
int bench_learn(void *context)
{
    bench_process = bpf_get_current_pid_tgid() >> 32;
    return 0;
}

/* Two CPUs may be at the same device, one setting it up, one attaching. */
static __always_inline struct moments *moments_of(const struct nns_trace_device *key)
{
    struct moments *known = bpf_map_lookup_elem(&bench_devices, key), none = {};

    if (known)
        return known;
    bpf_map_update_elem(&bench_devices, key, &none, BPF_NOEXIST);
    return bpf_map_lookup_elem(&bench_devices, key);
}

static __always_inline void note_up(const struct nns_trace_device *key)
{
    __u64 now = bpf_ktime_get_ns();
    struct moments *moments;

    if (bpf_get_current_pid_tgid() >> 32 != bench_process)
        return;
    moments = moments_of(key);
    if (moments && !moments->up)
        moments->up = now;
}

static __always_inline struct sending *sending_of(__u32 task)
{
    struct sending *sending = bpf_map_lookup_elem(&bench_sending, &task), *nothing;
    __u32 first = 0;

    if (sending)
        return sending;
    nothing = bpf_map_lookup_elem(&bench_nothing, &first);
    if (nothing)
        bpf_map_update_elem(&bench_sending, &task, nothing, BPF_NOEXIST);
    return bpf_map_lookup_elem(&bench_sending, &task);
}

static __always_inline void note_made(const struct nns_trace_device *key)
{
    struct sending *sending = sending_of((__u32)bpf_get_current_pid_tgid());
    struct moments *moments = bpf_map_lookup_elem(&bench_devices, key);

    if (!sending)
        return;
    sending->ours += moments && moments->up;
    if (sending->count < A_SEND_MAX)
        sending->devices[sending->count++ & (A_SEND_MAX - 1)] = *key;
}

SEC("tp_btf/qdisc_create")
int BPF_PROG(bench_qdisc_create, const void *ops, struct net_device *device, __u32 parent)
{
    struct nns_trace_device key = {.cookie = device->nd_net.net->net_cookie, .ifindex = device->ifindex};

    if (parent == TC_H_ROOT)
        note_up(&key);
    else if (parent == TC_H_CLSACT)
        note_made(&key);
    return 0;
}

static __always_inline void note_attached(const struct nns_trace_device *key, __u64 now)
{
    struct moments *moments = moments_of(key);

    if (moments && !moments->attached)
        moments->attached = now;
}

static __always_inline void count_attached(__u32 count, __u64 now)
{
    if (!count)
        return;
    if (bench_last_attached < now)
        bench_last_attached = now;
    __sync_fetch_and_add(&bench_attached, count);
}

/* A message that was sent to the kernel is let go when all of it was worked off; only such a one is empty
 * then. */
SEC("tp_btf/consume_skb")
int BPF_PROG(bench_consume_skb, struct sk_buff *buffer)
{
    __u32 task = (__u32)bpf_get_current_pid_tgid();
    struct sending *sending = bpf_map_lookup_elem(&bench_sending, &task);
    __u64 now;

    if (!sending || !sending->count || buffer->len)
        return 0;
    now = bpf_ktime_get_ns();
    for (__u32 i = 0; i < A_SEND_MAX && i < sending->count; i++)
        note_attached(&sending->devices[i], now);
    count_attached(sending->ours, now);
    sending->count = sending->ours = 0;
    return 0;
}

char bench_license[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What happens to namespaces and devices, as the kernel's tracepoints see it, and a walk over all tasks.
 *
 * The programs run in the midst of what the whole host does: a fork, a link set up. What is no news ends at
 * one look-up of a hash. A full buffer is counted and the event dropped: whoever reads looks for itself then.
 *
 * Nothing read here is held still, the nsproxy of another task above all. Torn data names a namespace that
 * does not exist, or another one: the reader verifies what it opens.
 *
 * Following a pointer directly is the faster way at run time; but for each such place in a program the kernel
 * looks through all of its type information four times when it is loaded, a millisecond or more. So only what
 * runs often does: tasks, not devices.
 */
#include <linux/bpf.h>
#include <linux/pkt_sched.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/kernel.h"
#include "bpf/trace.h"

#define RING_BYTES     (512 * 1024) /* 16,384 records */
#define TOLD_MAX       4096
#define TOLD_PERIOD_NS 1000000000ULL
#define TOLD_BURST     4

/* The kernel's, for its own qdiscs that stand where no other does. */
#define TCQ_F_BUILTIN 1

/* linux/if.h's, which needs a libc. */
#define IFF_UP 1

/* The loopback device's number in every namespace. */
#define LOOPBACK_IFINDEX 1

__u64 nns_lost; /* records that found no room */
__u32 nns_walk_all;
__u64 nns_walk_last; /* the namespace of the last task that needed no more; 0: none yet */

/* The daemon's pid namespace: how deep, and its inum. */
__u32 nns_pid_level;
__u32 nns_pid_namespace;

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, RING_BYTES);
} nns_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1); /* set before loading, like the next two: io/trace.c */
    __type(key, __u64);
    __type(value, __u8);
} nns_known SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct nns_trace_device);
    __type(value, __u8);
} nns_covered SEC(".maps");

/* The namespaces that the present walk has reported. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, __u8);
} nns_walked SEC(".maps");

/* When tasks of an unknown namespace were reported. */
struct told {
    __u64 since;
    __u32 number; /* the last one's */
    __u32 times;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, TOLD_MAX);
    __type(key, __u64);
    __type(value, struct told);
} nns_told SEC(".maps");

static __always_inline bool report(__u32 kind, __u64 cookie, __u32 inum, __u32 number)
{
    struct nns_trace_record *record = bpf_ringbuf_reserve(&nns_ring, sizeof(*record), 0);

    if (!record) {
        __sync_fetch_and_add(&nns_lost, 1);
        return false;
    }
    *record = (struct nns_trace_record){.cookie = cookie, .inum = inum, .number = number, .kind = kind};
    bpf_ringbuf_submit(record, 0);
    return true;
}

/* ---- devices ---- */

/*
 * A device that comes up for the first time, or for the first time after a move, gets a qdisc as its root,
 * one for each transmit queue or one for all. Its first queue is still without one (that is, has one of those
 * built in) then only when this is the first of them. What has another parent, clsact's is TC_H_INGRESS, says
 * nothing of a device.
 */
SEC("tp_btf/qdisc_create")
int BPF_PROG(nns_qdisc_create, const void *ops, struct net_device *device, __u32 parent)
{
    struct nns_trace_device key = {};
    struct net *net;
    __u32 ifindex;

    if (parent != TC_H_ROOT || !(BPF_CORE_READ(device, _tx, qdisc_sleeping, flags) & TCQ_F_BUILTIN))
        return 0;
    net = BPF_CORE_READ(device, nd_net.net);
    key.cookie = BPF_CORE_READ(net, net_cookie);
    key.ifindex = ifindex = device->ifindex;
    if (bpf_map_lookup_elem(&nns_covered, &key))
        return 0;
    key.ifindex = 0;
    if (!bpf_map_lookup_elem(&nns_covered, &key))
        report(NNS_RECORD_UP, key.cookie, BPF_CORE_READ(net, ns.inum), ifindex);
    return 0;
}

/*
 * A device that moves or goes away, alone or with its namespace, loses its qdiscs before it leaves: nd_net is
 * still the namespace that it was covered in, also while that one dies, and ifindex its number there. An
 * attempt to make a clsact that fails may end here, too, with nothing lost: the key is gone then for no
 * reason, and the reader covers the device again.
 *
 * Nor is clsact always the last to know: one that a filter is being added to outlives the move of its device,
 * takes the filter, and ends where the device is by then. The end of the root of a device that is down, which
 * comes before, tells of it then.
 *
 * Nobody can move or delete a loopback device: it is unregistered only with its namespace, which nobody is in
 * then or can come into any more. That holds of what is read here: the device is held by the qdisc, and its
 * namespace waits for the device.
 */
static __always_inline __u32 what_went(struct net_device *device, __u32 ifindex)
{
    return ifindex == LOOPBACK_IFINDEX && BPF_CORE_READ(device, dismantle) ? NNS_RECORD_DEAD
                                                                           : NNS_RECORD_BARE;
}

SEC("tp_btf/qdisc_destroy")
int BPF_PROG(nns_qdisc_destroy, struct Qdisc *qdisc)
{
    struct nns_trace_device key = {};
    struct net_device *device;
    struct net *net;

    device = BPF_CORE_READ(qdisc, dev_queue, dev);
    if (qdisc->parent != TC_H_CLSACT && (qdisc->parent != TC_H_ROOT || BPF_CORE_READ(device, flags) & IFF_UP))
        return 0;
    net = BPF_CORE_READ(device, nd_net.net);
    key.cookie = BPF_CORE_READ(net, net_cookie);
    key.ifindex = BPF_CORE_READ(device, ifindex);
    if (!bpf_map_delete_elem(&nns_covered, &key))
        report(what_went(device, key.ifindex), key.cookie, BPF_CORE_READ(net, ns.inum), key.ifindex);
    return 0;
}

/* ---- tasks ---- */

/* Run once by the daemon itself: a task's last number is that of its own pid namespace. */
SEC("syscall")
int nns_learn(void *context)
{
    struct task_struct *daemon = bpf_get_current_task_btf();
    struct pid *pid = BPF_CORE_READ(daemon, thread_pid);
    struct upid upid = {};

    nns_pid_level = BPF_CORE_READ(pid, level);
    bpf_core_read(&upid, sizeof(upid), &pid->numbers[nns_pid_level]);
    nns_pid_namespace = BPF_CORE_READ(upid.ns, ns.inum);
    return 0;
}

/* A task's number in the daemon's pid namespace; 0: it has none there. */
static __always_inline __u32 number_of(struct task_struct *task)
{
    struct pid *pid = BPF_CORE_READ(task, thread_pid);
    struct upid upid = {};

    if (!pid || BPF_CORE_READ(pid, level) < nns_pid_level)
        return 0;
    bpf_core_read(&upid, sizeof(upid), &pid->numbers[nns_pid_level]);
    return BPF_CORE_READ(upid.ns, ns.inum) == nns_pid_namespace ? upid.nr : 0;
}

/*
 * The number of who leads to a task's namespace: the process, which lives longer, unless the thread has one
 * of its own. A task that the daemon does not see is asked for nothing else: on a host whose containers each
 * have a daemon those are most.
 */
static __always_inline __u32 guide_to(struct net *net, struct task_struct *task)
{
    struct task_struct *leader;
    __u32 number = number_of(task);

    if (!number)
        return 0;
    leader = BPF_CORE_READ(task, group_leader);
    return leader != task && BPF_CORE_READ(leader, nsproxy, net_ns) == net ? number_of(leader) : number;
}

/*
 * A namespace that nobody can or will open stays unknown, and its tasks would report it for ever. It is told
 * of a few times a second, each time by another task, as the first may be gone when it is looked at.
 */
static __always_inline bool may_tell(const struct told *told, __u64 now, __u32 number)
{
    return !told || now - told->since >= TOLD_PERIOD_NS ||
           (told->number != number && told->times < TOLD_BURST);
}

static __always_inline void tell(struct task_struct *task, struct net *net, __u64 cookie)
{
    __u32 number = guide_to(net, task);
    struct told next = {.number = number, .times = 1}, *told;
    __u64 now;

    if (!number)
        return;
    now = next.since = bpf_ktime_get_ns();
    told = bpf_map_lookup_elem(&nns_told, &cookie);
    if (!may_tell(told, now, number) || !report(NNS_RECORD_TASK, cookie, BPF_CORE_READ(net, ns.inum), number))
        return;
    if (told && now - told->since < TOLD_PERIOD_NS) {
        next.since = told->since;
        next.times = told->times + 1;
    }
    bpf_map_update_elem(&nns_told, &cookie, &next, BPF_ANY);
}

static __always_inline int look_at(struct task_struct *task)
{
    struct nsproxy *proxy = task->nsproxy;
    struct net *net;
    __u64 cookie;

    if (!proxy)
        return 0;
    net = proxy->net_ns;
    cookie = net->net_cookie;
    if (cookie && !bpf_map_lookup_elem(&nns_known, &cookie))
        tell(task, net, cookie);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(nns_fork, struct task_struct *parent, struct task_struct *child)
{
    return look_at(child);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(nns_exec, struct task_struct *task)
{
    return look_at(task);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(nns_exit, struct task_struct *task)
{
    return look_at(task);
}

/* ---- the walk ---- */

/*
 * When the reader's buffer is full the kernel throws the record away and comes back with the same task: a
 * namespace may count as reported only after its record was written.
 */
SEC("iter/task")
int nns_walk(struct bpf_iter__task *context)
{
    struct nns_trace_record record = {.kind = NNS_RECORD_TASK};
    struct task_struct *task = context->task;
    struct nsproxy *proxy = task ? task->nsproxy : NULL;
    struct net *net;
    __u8 yes = 1;

    if (!proxy)
        return 0;
    net = proxy->net_ns;
    record.cookie = net->net_cookie;
    /* Who was started together stands together, mostly in one namespace. */
    if (!record.cookie || record.cookie == nns_walk_last)
        return 0;
    if ((nns_walk_all || !bpf_map_lookup_elem(&nns_known, &record.cookie)) &&
        !bpf_map_lookup_elem(&nns_walked, &record.cookie)) {
        record.inum = BPF_CORE_READ(net, ns.inum);
        record.number = guide_to(net, task);
        if (!record.number || bpf_seq_write(context->meta->seq, &record, sizeof(record)))
            return 0;
        bpf_map_update_elem(&nns_walked, &record.cookie, &yes, BPF_ANY);
    }
    nns_walk_last = record.cookie;
    return 0;
}

char nns_license[] SEC("license") = "Dual BSD/GPL";

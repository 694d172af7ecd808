/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Pids to network namespaces, many in one run, and a namespace's devices, without entering it.
 *
 * One program for each way to find a task: io/resolve.c loads the first that this kernel has, hence the weak
 * symbols. Pids are looked up in the pid namespace of whoever runs it, or in the initial one.
 *
 * Run by bpf(2) itself, in the caller's context; 0, or -errno.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/kernel.h"
#include "bpf/resolve.h"

extern struct task_struct *bpf_task_from_vpid(__s32 pid) __ksym __weak;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* one a worker, set before loading: io/resolve.c */
    __type(key, __u32);
    __type(value, struct nns_resolve_slot);
} nns_resolve_slots SEC(".maps");

/* ---- pids ---- */

/* What the loop carries from pid to pid. */
struct walk {
    struct nns_resolve_slot *slot;
    bool restless; /* some task changed its namespaces as often as we looked; a count the verifier would
                      count, too */
};

enum { LOOKS = 4 };

/* What is read before it is read before what is read after it, on every processor: barrier() tells that to
 * the compiler alone, and an exchange, of whatever, is the full barrier that a BPF program has. */
static __always_inline void in_order(void)
{
    volatile __u64 spot = 0;

    barrier();
    __sync_lock_test_and_set(&spot, 1);
    barrier();
}

/*
 * A task's nsproxy is its own to change, and freed at once: while we read, it may become somebody else's.
 * Reading cannot fault, and what was read holds if the task still has the same one afterwards: it kept the
 * namespace alive all that time.
 */
static __always_inline bool look_once(struct task_struct *task, struct nns_resolve_answer *answer)
{
    struct nsproxy *nsproxy = task->nsproxy;
    struct net *net;

    *answer = (struct nns_resolve_answer){.cookie = 0};
    if (!nsproxy)
        return true;
    net = nsproxy->net_ns;
    if (net) {
        answer->cookie = net->net_cookie;
        answer->inum = net->ns.inum;
    }
    in_order();
    return task->nsproxy == nsproxy;
}

/*
 * The same one, or one that was put in its place after another task had it: where a processor of a virtual
 * machine stands still between two readings, there is time for both. It does not stand still twice in a row.
 */
static __always_inline bool look_at(struct task_struct *task, struct nns_resolve_answer *answer)
{
    for (int look = 0; look < LOOKS; look++) {
        struct nns_resolve_answer again;

        if (look_once(task, answer) && look_once(task, &again) && again.cookie == answer->cookie &&
            again.inum == answer->inum)
            return true;
    }
    return false;
}

/*
 * The same object, as one of which the verifier is to believe nothing: of each pointer that is followed from
 * one that it trusts it looks up four times whether to trust that, too, in all of the kernel's type
 * information, and does so for every look. That takes more than all else in a load.
 */
#define UNTRUSTED(object, type) ((type *)bpf_rdonly_cast((object), bpf_core_type_id_kernel(type)))

static __always_inline void answer_one(struct walk *walk, __u32 at, struct task_struct *task)
{
    struct nns_resolve_answer answer = {.cookie = 0};

    if (task) {
        if (!look_at(UNTRUSTED(task, struct task_struct), &answer))
            walk->restless = true;
        bpf_task_release(task);
    }
    walk->slot->answers[at].cookie = answer.cookie;
    walk->slot->answers[at].inum = answer.inum;
}

static long resolve_vpid(__u32 at, struct walk *walk)
{
    if (at >= NNS_RESOLVE_SLOT_PIDS)
        return 1;
    answer_one(walk, at, bpf_task_from_vpid((__s32)walk->slot->pids[at]));
    return 0;
}

static long resolve_pid(__u32 at, struct walk *walk)
{
    if (at >= NNS_RESOLVE_SLOT_PIDS)
        return 1;
    answer_one(walk, at, bpf_task_from_pid((__s32)walk->slot->pids[at]));
    return 0;
}

static __always_inline int resolve(const struct nns_resolve_call *call, long (*one)(__u32, struct walk *))
{
    __u32 worker = call->worker;
    struct walk walk = {.slot = bpf_map_lookup_elem(&nns_resolve_slots, &worker)};

    if (!walk.slot || call->count > NNS_RESOLVE_SLOT_PIDS)
        return -EINVAL;
    bpf_loop(call->count, one, &walk, 0);
    return walk.restless ? -EAGAIN : 0;
}

SEC("syscall")
int nns_resolve_vpid(struct nns_resolve_call *call)
{
    return resolve(call, resolve_vpid);
}

SEC("syscall")
int nns_resolve_pid(struct nns_resolve_call *call)
{
    return resolve(call, resolve_pid);
}

/* ---- devices ---- */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct nns_list_slot);
} nns_list_slots SEC(".maps");

/* What the walk carries from device to device. */
struct listing {
    struct nns_list_slot *slot;
    struct net *net;
    struct list_head *head, *at;
    int error;
};

/* The namespace of an open file of ours, which holds it as long as the file stays open; or whatever lies
 * where one would have it, if it is a file of something else. */
static __always_inline struct net *net_of(__s32 fd)
{
    struct task_struct *task = UNTRUSTED((void *)bpf_get_current_task(), struct task_struct);
    struct fdtable *table = UNTRUSTED(UNTRUSTED(task->files, struct files_struct)->fdt, struct fdtable);
    struct file **files = table->fd, *file = NULL;
    struct inode *inode;
    void *ns;

    if (fd < 0 || fd >= table->max_fds || bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
        return NULL;
    inode = UNTRUSTED(UNTRUSTED(file, struct file)->f_inode, struct inode);
    ns = inode->i_private;
    return ns ? UNTRUSTED(ns - bpf_core_field_offset(struct net, ns), struct net) : NULL;
}

static __always_inline void read_kind(struct nns_list_device *device, struct net_device *from)
{
    const struct rtnl_link_ops *ops = from->rtnl_link_ops;

    device->kind[0] = '\0';
    if (ops)
        bpf_probe_read_kernel_str(device->kind, sizeof(device->kind),
                                  UNTRUSTED(ops, struct rtnl_link_ops)->kind);
}

static __always_inline void read_ingress(struct nns_list_device *device, struct net_device *from)
{
    struct netdev_queue *queue = from->ingress_queue;
    const struct Qdisc_ops *ops;
    struct Qdisc *qdisc;

    device->ingress[0] = '\0';
    if (!queue)
        return;
    qdisc = UNTRUSTED(queue, struct netdev_queue)->qdisc_sleeping;
    if (!qdisc)
        return;
    ops = UNTRUSTED(qdisc, struct Qdisc)->ops;
    bpf_probe_read_kernel_str(device->ingress, sizeof(device->ingress),
                              (const void *)ops + bpf_core_field_offset(struct Qdisc_ops, id));
}

/* A name is written, in two words, while nobody is kept from reading it. Where two readings agree it is one,
 * but for a writer that stands still between the words for as long. */
static __always_inline bool read_name(struct nns_list_device *device, const struct net_device *from)
{
    __u64 *name = (__u64 *)device->name, again[2];
    const void *at = (const void *)from + bpf_core_field_offset(struct net_device, name);

    bpf_probe_read_kernel(device->name, sizeof(device->name), at);
    bpf_probe_read_kernel(again, sizeof(again), at);
    return name[0] == again[0] && name[1] == again[1];
}

static long list_one(__u32 at, struct listing *listing)
{
    struct nns_list_device *device;
    struct net_device *from;

    if (listing->at == listing->head)
        return 1;
    if (at >= NNS_LIST_DEVICES) {
        listing->error = -E2BIG;
        return 1;
    }
    asm volatile("%0 &= %1" : "+r"(at) : "i"(NNS_LIST_DEVICES - 1)); /* which the verifier sees in any case */
    device = &listing->slot->devices[at];
    from = UNTRUSTED((void *)listing->at - bpf_core_field_offset(struct net_device, dev_list),
                     struct net_device);
    device->ifindex = from->ifindex;
    device->flags = from->flags;
    read_kind(device, from);
    read_ingress(device, from);
    if (!read_name(device, from) || from->nd_net.net != listing->net) {
        listing->error = -EAGAIN;
        return 1;
    }
    listing->slot->count = at + 1;
    listing->at = from->dev_list.next;
    return 0;
}

/* Nothing but the namespace itself has its cookie where it has it. */
static __always_inline int list(const struct nns_list_call *call, struct listing *listing)
{
    struct net *net = net_of(call->fd);

    if (!net)
        return -EBADF;
    if (net->net_cookie != call->cookie)
        return -ESTALE;
    listing->net = net;
    listing->slot->count = 0;
    listing->head = (void *)net + bpf_core_field_offset(struct net, dev_base_head);
    listing->at = net->dev_base_head.next;
    bpf_loop(NNS_LIST_DEVICES + 1, list_one, listing, 0);
    return listing->error;
}

/*
 * The kernel's list of devices may be walked under RCU: who is there all the time is met, and one that goes
 * away, or to another namespace, leads on until a grace period later. So may a process's table of files.
 */
SEC("syscall")
int nns_list(struct nns_list_call *call)
{
    __u32 key = 0;
    struct listing listing = {.slot = bpf_map_lookup_elem(&nns_list_slots, &key)};
    int result;

    if (!listing.slot)
        return -EINVAL;
    bpf_rcu_read_lock();
    result = list(call, &listing);
    bpf_rcu_read_unlock();
    return result;
}

char nns_license[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Pids to network namespaces, many in one run. One program for each way to find a task: io/resolve.c loads
 * the first that this kernel has, hence the weak symbols. Pids are looked up in the pid namespace of whoever
 * runs it, or in the initial one.
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
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* one a worker, set before loading: io/resolve.c */
    __type(key, __u32);
    __type(value, struct nns_resolve_slot);
} nns_resolve_slots SEC(".maps");

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
 * The same task, as one of whom the verifier is to believe nothing: of each pointer that is followed from one
 * that it trusts it looks up four times whether to trust that, too, in all of the kernel's type information,
 * and does so for every look. That takes more than all else in a load.
 */
static __always_inline struct task_struct *untrusted(struct task_struct *task)
{
    return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
}

static __always_inline void answer_one(struct walk *walk, __u32 at, struct task_struct *task)
{
    struct nns_resolve_answer answer = {.cookie = 0};

    if (task) {
        if (!look_at(untrusted(task), &answer))
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

char nns_license[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef NNS_BPF_KERNEL_H
#define NNS_BPF_KERNEL_H

#include <linux/types.h>

/*
 * The kernel's structures that our programs read, and of each only what they read. The order and the places
 * of the fields are the running kernel's: the loader looks them up in its BTF by name.
 */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
    unsigned int inum;
};

struct list_head {
    struct list_head *next;
};

struct net {
    struct ns_common ns;
    __u64 net_cookie;
    struct list_head dev_base_head; /* of its devices */
};

struct nsproxy {
    struct net *net_ns;
};

struct pid_namespace {
    struct ns_common ns;
};

/* A process's number in one of the pid namespaces that see it. */
struct upid {
    int nr;
    struct pid_namespace *ns;
};

struct pid {
    unsigned int level; /* of numbers, the last: its own namespace's; 0 is the initial one's */
    struct upid numbers[];
};

struct task_struct {
    int pid;  /* in the initial pid namespace */
    int tgid; /* likewise, of its thread group */
    struct task_struct *group_leader;
    struct pid *thread_pid;
    struct nsproxy *nsproxy; /* NULL: it is a zombie */
    struct files_struct *files;
};

struct files_struct {
    struct fdtable *fdt;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct file {
    struct inode *f_inode;
};

struct inode {
    void *i_private; /* of a namespace's file: its ns_common */
};

typedef struct {
    struct net *net;
} possible_net_t;

struct net_device {
    unsigned int flags;
    int ifindex;
    _Bool dismantle; /* it is being unregistered, for good */
    char name[16];
    struct list_head dev_list;
    possible_net_t nd_net;
    struct netdev_queue *_tx;
    struct netdev_queue *ingress_queue;        /* NULL: there never was a qdisc */
    const struct rtnl_link_ops *rtnl_link_ops; /* NULL: it is of no kind */
};

struct rtnl_link_ops {
    const char *kind;
};

struct netdev_queue {
    struct net_device *dev;
    struct Qdisc *qdisc_sleeping;
};

struct Qdisc_ops {
    char id[16];
};

struct Qdisc {
    const struct Qdisc_ops *ops;
    unsigned int flags;
    __u32 parent;
    struct netdev_queue *dev_queue;
};

/* What a task iterator hands to its program. */
struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
};

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task; /* NULL: there are no more */
};

#pragma clang attribute pop

#endif

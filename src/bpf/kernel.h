/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef NNS_BPF_KERNEL_H
#define NNS_BPF_KERNEL_H

#include <linux/types.h>

/*
 * What our programs read of the kernel's own structs: names and types only. The loader finds the places in
 * the running kernel's BTF and refuses a program whose field is not there.
 */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
    unsigned int inum;
};

struct net {
    struct ns_common ns;
    __u64 net_cookie;
};

struct nsproxy {
    struct net *net_ns;
};

struct task_struct {
    struct nsproxy *nsproxy; /* NULL once it has left its namespaces, on its way out */
};

#pragma clang attribute pop

#endif

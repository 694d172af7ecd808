/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_BPF_RESOLVE_H
#define NNS_BPF_RESOLVE_H

#include <linux/types.h>

#define NNS_RESOLVE_SLOT_PIDS 1024

/* What a run of the resolver's program is told: whose slot, and how many of its pids. */
struct nns_resolve_call {
    __u32 worker;
    __u32 count;
};

struct nns_resolve_answer {
    __u64 cookie;
    __u32 inum;
};

/* One worker's, shared with the program by mmap: it writes pids, runs the program and reads the answers. */
struct nns_resolve_slot {
    __u32 pids[NNS_RESOLVE_SLOT_PIDS];
    struct nns_resolve_answer answers[NNS_RESOLVE_SLOT_PIDS];
};

#endif

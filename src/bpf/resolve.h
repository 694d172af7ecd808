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

/* What a listing is told: an open file of the process that runs the program, and of which namespace it is. */
struct nns_list_call {
    __u64 cookie;
    __s32 fd;
};

#define NNS_LIST_DEVICES 256
#define NNS_LIST_NAME    16 /* as IFNAMSIZ, for qdiscs and kinds too */

struct nns_list_device {
    __u32 ifindex;
    __u32 flags; /* IFF_… */
    char name[NNS_LIST_NAME];
    char kind[NNS_LIST_NAME];    /* "" for none */
    char ingress[NNS_LIST_NAME]; /* the qdisc at its ingress place, "" or "noop" for none */
};

/* The owner's, shared in the same way. */
struct nns_list_slot {
    __u32 count;
    __u32 unused; /* names are compared eight bytes at a time, and not every processor reads these anywhere */
    struct nns_list_device devices[NNS_LIST_DEVICES];
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_BPF_TRACE_H
#define NNS_BPF_TRACE_H

#include <linux/types.h>

/* What the programs of trace.bpf.c and io/trace.c tell each other. */

enum { NNS_RECORD_UP, NNS_RECORD_BARE, NNS_RECORD_TASK, NNS_RECORD_DEAD };

struct nns_trace_record {
    __u64 cookie;
    __u32 inum;
    __u32 number; /* the device's ifindex, or the task's pid */
    __u32 kind;
    __u32 unused;
};

/* A key of the covered devices' table: no byte may be left to chance. ifindex 0: whatever comes up there is
 * no news. */
struct nns_trace_device {
    __u64 cookie;
    __u32 ifindex;
    __u32 zero;
};

#endif

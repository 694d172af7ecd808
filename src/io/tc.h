/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_TC_H
#define NNS_IO_TC_H

#include <stddef.h>
#include <stdint.h>

#include "core/tc_work.h"

/*
 * Attaching programs with clsact and cls_bpf (direct action), many devices in one netlink exchange. The only
 * speaker of tc.
 *
 * What is ours (I7): a filter whose handle is NNS_TC_HANDLE, whose name is
 * "netnsync:<instance>:<program name>:<program tag>", and whose program, as the kernel reports it, has that
 * name and that tag. Nothing else is ever replaced or deleted, and no qdisc is, save by the one function that
 * says so in its name. A program that the kernel will not tell us of (no permission, no descriptor left)
 * leaves its filter neither ours nor not ours (I9).
 *
 * All functions take a NETLINK_ROUTE socket opened inside the namespace (nns_netns_enter) and block until the
 * kernel has answered; netlink answers synchronously, so they do not wait on anybody. One thread a socket.
 * A set's programs are held by their fds: what the set says of an id is believed, the kernel not asked again.
 */

/*
 * Make every job's device carry the set's programs on both hooks. Devices without a qdisc get clsact and both
 * filters in one batched exchange (NLM_F_EXCL throughout); devices that have clsact are looked at first, so
 * that ours is replaced in place and a priority that somebody else uses is left to them, the next free one
 * taken, at most NNS_TC_PRIORITIES; under a legacy ingress qdisc no egress filter is sent. 0 when every job
 * has its answer in hooks[]; -errno when the socket failed. Either way hooks[] say NNS_REASON_UNKNOWN where
 * nothing was heard, or where a filter could not be told from ours.
 */
int nns_tc_attach(int socket, const struct nns_tc_set *set, struct nns_tc_job *jobs, size_t count,
                  struct nns_tc_stats *stats);

/* Remove what the jobs say we put there, after asking the kernel whether it is still ours. A hook that comes
 * with NNS_REASON_UNKNOWN is looked over for it at every priority. 0 or -errno as above. */
int nns_tc_detach(int socket, const struct nns_tc_set *set, struct nns_tc_job *jobs, size_t count,
                  struct nns_tc_stats *stats);

/*
 * Remove all filters of an instance from all given devices, known or not: for what a dead daemon left behind.
 * Program name and tag are asked of the kernel by program id. removed[], unless NULL, is counted up by the
 * filters that each device lost. 0 when none is left; -errno when some may be.
 */
int nns_tc_sweep(int socket, const char *instance, const uint32_t *ifindexes, size_t count, unsigned *removed,
                 struct nns_tc_stats *stats);

/* A filter that went with its qdisc. The texts are the callee's only. */
struct nns_tc_taken {
    enum nns_hook hook;
    uint16_t priority;
    uint32_t chain;
    bool shared; /* in a block shared with other devices, where it may live on */
    const char *kind;
    const char *name;    /* cls_bpf's; "" for none */
    uint32_t program_id; /* 0: none */
    const char *program; /* its name; "" when the kernel does not tell */
};

enum nns_tc_clsact {
    NNS_TC_CLSACT_DELETED,
    NNS_TC_CLSACT_ABSENT, /* no such device, no such qdisc, or a legacy ingress, which stays */
    NNS_TC_CLSACT_IN_USE, /* the instance has filters in it: it stays */
};

struct nns_tc_witness {
    void (*take)(void *context, const struct nns_tc_taken *taken);
    void *context;
};

/*
 * Delete a device's clsact with all filters in it, and then show each of these. They are listed right before:
 * there is no conditional delete, so a filter that somebody adds in between goes along unseen, a few
 * microseconds' chance. Where not all could be listed, or be told from the instance's, nothing is deleted:
 * -EAGAIN or another -errno. 0 with *result, or -errno.
 */
int nns_tc_delete_clsact(int socket, const char *instance, uint32_t ifindex,
                         const struct nns_tc_witness *witness, enum nns_tc_clsact *result);

#endif

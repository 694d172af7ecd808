/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_TC_MESSAGE_H
#define NNS_CORE_TC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/netlink.h"

/*
 * The few tc messages we speak: writing requests, reading what the kernel shows. Pure: no system calls.
 */
#define NNS_TC_HANDLE 0x2e /* of all our filters */

void nns_tc_put_clsact(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t about);

/* Delete a device's clsact, and all filters with it. The kernel compares the kind: a legacy ingress qdisc,
 * which has the same parent and handle, stays and the answer is EINVAL. */
void nns_tc_put_delete_clsact(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t about);

/* One of our filters' places. */
struct nns_tc_spot {
    uint32_t ifindex;
    uint16_t priority;
    uint8_t hook; /* enum nns_hook */
};

/* Put a program there: only where nothing is, or instead of what is there. */
void nns_tc_put_filter(struct nns_netlink_batch *batch, struct nns_tc_spot spot, int program_fd,
                       const char *name, uint16_t slot, bool replace, uint32_t about);

/* Ask for, or delete, the filter with our handle there. */
void nns_tc_put_get(struct nns_netlink_batch *batch, struct nns_tc_spot spot, uint32_t about);
void nns_tc_put_delete(struct nns_netlink_batch *batch, struct nns_tc_spot spot, uint32_t about);

/*
 * Questions to which there is no answer but an error, and nothing to tell to listeners: for a filter of a
 * class that clsact does not have, -ENOENT from clsact alone; for one in a chain beyond the last, -EOPNOTSUPP
 * where the hook belongs to a shared block. Where there is no qdisc and where it is the legacy one both say
 * -EINVAL, or -EOPNOTSUPP of the latter's shared block.
 */
void nns_tc_put_ask_clsact(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t about);
void nns_tc_put_ask_shared(struct nns_netlink_batch *batch, uint32_t ifindex, enum nns_hook hook,
                           uint32_t about);

/* The parent of a hook's filters. */
uint32_t nns_tc_parent(enum nns_hook hook);

/* A filter as the kernel shows it. */
struct nns_tc_filter {
    uint32_t ifindex;
    uint32_t handle; /* 0: the head of a priority, not a filter */
    uint32_t chain;
    uint16_t priority;
    bool table;          /* one of u32's hash tables, not a filter */
    bool like_ours;      /* cls_bpf with our handle, for every protocol, in chain 0 */
    const char *kind;    /* inside the message; NULL: none, which no kernel sends */
    const char *name;    /* likewise; cls_bpf alone has one, and what follows */
    uint32_t program_id; /* 0: none, or none that the kernel names */
    uint32_t classid;    /* 0: none */
    uint8_t tag[8];
};

/* False when the message is none of RTM_NEWTFILTER, or damaged. */
bool nns_tc_read_filter(const struct nlmsghdr *message, struct nns_tc_filter *filter);

/* What is at a device's ingress/clsact place. */
struct nns_tc_qdisc {
    uint32_t ifindex;
    enum nns_qdisc kind; /* UNKNOWN: one we have never heard of */
    bool shared[NNS_HOOKS];
};

/* Which device's any qdisc is; 0 when the message is none of RTM_NEWQDISC, or damaged. */
uint32_t nns_tc_qdisc_ifindex(const struct nlmsghdr *message);

/* False when the message is none of RTM_NEWQDISC, damaged, or about another place. */
bool nns_tc_read_qdisc(const struct nlmsghdr *message, struct nns_tc_qdisc *qdisc);

#endif

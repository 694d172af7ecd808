/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tc_message.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

static void put_clsact(struct nns_netlink_batch *batch, uint16_t type, uint16_t flags, uint32_t ifindex,
                       uint32_t about)
{
    struct tcmsg head = {
        .tcm_ifindex = (int)ifindex,
        .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
        .tcm_parent = TC_H_CLSACT,
    };
    nns_netlink_begin(batch, type, flags, &head, sizeof(head));
    nns_netlink_put_string(batch, TCA_KIND, "clsact");
    nns_netlink_end(batch, about);
}

void nns_tc_put_clsact(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t about)
{
    put_clsact(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex, about);
}

void nns_tc_put_delete_clsact(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t about)
{
    put_clsact(batch, RTM_DELQDISC, 0, ifindex, about);
}

uint32_t nns_tc_parent(enum nns_hook hook)
{
    return TC_H_MAKE(TC_H_CLSACT, hook == NNS_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

/* Everything that makes it exactly one filter: a deletion with handle 0 would take everybody's. */
static void begin(struct nns_netlink_batch *batch, uint16_t type, uint16_t flags, struct nns_tc_spot spot)
{
    struct tcmsg head = {
        .tcm_ifindex = (int)spot.ifindex,
        .tcm_parent = nns_tc_parent(spot.hook),
        .tcm_handle = NNS_TC_HANDLE,
        .tcm_info = TC_H_MAKE((uint32_t)spot.priority << 16, htons(ETH_P_ALL)),
    };
    nns_netlink_begin(batch, type, flags, &head, sizeof(head));
    nns_netlink_put_string(batch, TCA_KIND, "bpf");
}

void nns_tc_put_filter(struct nns_netlink_batch *batch, struct nns_tc_spot spot, int program_fd,
                       const char *name, uint16_t slot, bool replace, uint32_t about)
{
    begin(batch, RTM_NEWTFILTER, NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL), spot);
    size_t options = nns_netlink_nest(batch, TCA_OPTIONS);
    nns_netlink_put_u32(batch, TCA_BPF_FD, (uint32_t)program_fd);
    nns_netlink_put_string(batch, TCA_BPF_NAME, name);
    nns_netlink_put_u32(batch, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    if (slot)
        nns_netlink_put_u32(batch, TCA_BPF_CLASSID, slot);
    nns_netlink_unnest(batch, options);
    nns_netlink_end(batch, about);
}

void nns_tc_put_get(struct nns_netlink_batch *batch, struct nns_tc_spot spot, uint32_t about)
{
    begin(batch, RTM_GETTFILTER, 0, spot);
    nns_netlink_end(batch, about);
}

/* The kernel looks for the class before it looks at the chain. */
static void put_ask(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t parent, uint32_t about)
{
    struct tcmsg head = {
        .tcm_ifindex = (int)ifindex,
        .tcm_parent = parent,
        .tcm_handle = NNS_TC_HANDLE,
        .tcm_info = TC_H_MAKE(1u << 16, htons(ETH_P_ALL)),
    };
    nns_netlink_begin(batch, RTM_GETTFILTER, 0, &head, sizeof(head));
    nns_netlink_put_u32(batch, TCA_CHAIN, UINT32_MAX);
    nns_netlink_end(batch, about);
}

void nns_tc_put_ask_clsact(struct nns_netlink_batch *batch, uint32_t ifindex, uint32_t about)
{
    put_ask(batch, ifindex, TC_H_MAKE(TC_H_CLSACT, 1), about);
}

void nns_tc_put_ask_shared(struct nns_netlink_batch *batch, uint32_t ifindex, enum nns_hook hook,
                           uint32_t about)
{
    put_ask(batch, ifindex, nns_tc_parent(hook), about);
}

void nns_tc_put_delete(struct nns_netlink_batch *batch, struct nns_tc_spot spot, uint32_t about)
{
    begin(batch, RTM_DELTFILTER, 0, spot);
    nns_netlink_end(batch, about);
}

static bool read_head(const struct nlmsghdr *message, uint16_t type, struct tcmsg *head)
{
    if (message->nlmsg_type != type || message->nlmsg_len < NLMSG_HDRLEN + sizeof(*head))
        return false;
    memcpy(head, (const char *)message + NLMSG_HDRLEN, sizeof(*head));
    return true;
}

static const struct nlattr *find(const struct nlmsghdr *message, uint16_t type, size_t least)
{
    return nns_netlink_find(message, sizeof(struct tcmsg), type, least);
}

static const char *kind_of(const struct nlmsghdr *message)
{
    const struct nlattr *attribute = find(message, TCA_KIND, 1);
    return attribute ? nns_netlink_text(attribute) : NULL;
}

static bool is_kind(const char *kind, const char *wanted)
{
    return kind && strcmp(kind, wanted) == 0;
}

static void read_options(const struct nlattr *options, struct nns_tc_filter *filter)
{
    const struct nlattr *name = nns_netlink_find_in(options, TCA_BPF_NAME, 1);
    const struct nlattr *id = nns_netlink_find_in(options, TCA_BPF_ID, sizeof(uint32_t));
    const struct nlattr *tag = nns_netlink_find_in(options, TCA_BPF_TAG, sizeof(filter->tag));
    const struct nlattr *classid = nns_netlink_find_in(options, TCA_BPF_CLASSID, sizeof(uint32_t));
    if (name)
        filter->name = nns_netlink_text(name);
    if (id)
        filter->program_id = nns_netlink_u32(id);
    if (classid)
        filter->classid = nns_netlink_u32(classid);
    if (tag)
        memcpy(filter->tag, nns_netlink_data(tag), sizeof(filter->tag));
}

bool nns_tc_read_filter(const struct nlmsghdr *message, struct nns_tc_filter *filter)
{
    struct tcmsg head;
    if (!read_head(message, RTM_NEWTFILTER, &head))
        return false;
    const struct nlattr *chain = find(message, TCA_CHAIN, sizeof(uint32_t));
    const struct nlattr *options = find(message, TCA_OPTIONS, 0);
    *filter = (struct nns_tc_filter){
        .ifindex = (uint32_t)head.tcm_ifindex,
        .handle = head.tcm_handle,
        .chain = chain ? nns_netlink_u32(chain) : 0,
        .priority = (uint16_t)(TC_H_MAJ(head.tcm_info) >> 16),
        .kind = kind_of(message),
    };
    bool bpf = is_kind(filter->kind, "bpf");
    filter->table = is_kind(filter->kind, "u32") && TC_U32_KEY(filter->handle) == 0;
    filter->like_ours = bpf && filter->handle == NNS_TC_HANDLE && filter->chain == 0 &&
                        TC_H_MIN(head.tcm_info) == htons(ETH_P_ALL);
    if (bpf && options)
        read_options(options, filter);
    return true;
}

uint32_t nns_tc_qdisc_ifindex(const struct nlmsghdr *message)
{
    struct tcmsg head;
    return read_head(message, RTM_NEWQDISC, &head) ? (uint32_t)head.tcm_ifindex : 0;
}

bool nns_tc_read_qdisc(const struct nlmsghdr *message, struct nns_tc_qdisc *qdisc)
{
    struct tcmsg head;
    if (!read_head(message, RTM_NEWQDISC, &head) || head.tcm_parent != TC_H_CLSACT)
        return false;
    const char *kind = kind_of(message);
    *qdisc = (struct nns_tc_qdisc){.ifindex = (uint32_t)head.tcm_ifindex, .kind = NNS_QDISC_UNKNOWN};
    if (is_kind(kind, "clsact"))
        qdisc->kind = NNS_QDISC_CLSACT;
    else if (is_kind(kind, "ingress"))
        qdisc->kind = NNS_QDISC_INGRESS;
    qdisc->shared[NNS_INGRESS] = find(message, TCA_INGRESS_BLOCK, sizeof(uint32_t)) != NULL;
    qdisc->shared[NNS_EGRESS] = find(message, TCA_EGRESS_BLOCK, sizeof(uint32_t)) != NULL;
    return true;
}

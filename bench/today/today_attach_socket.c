/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "today_device.h"

struct request {
    struct nlmsghdr header;
    struct tcmsg tc;
    char attributes[128];
};

/* Returns where it stands, so that attributes can be nested in it. */
static struct rtattr *put(struct request *request, unsigned short type, const void *data, size_t length)
{
    struct rtattr *attribute = (struct rtattr *)((char *)request + request->header.nlmsg_len);

    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(length);
    if (length)
        memcpy(RTA_DATA(attribute), data, length);
    request->header.nlmsg_len += RTA_ALIGN(attribute->rta_len);
    return attribute;
}

/* Send it and take the answer to it. */
static int transact(int socket, struct request *request)
{
    static uint32_t sequence;
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[512];
    } answer;

    request->header.nlmsg_seq = ++sequence;
    if (send(socket, request, request->header.nlmsg_len, 0) < 0 ||
        recv(socket, &answer, sizeof(answer), 0) < 0)
        return -errno;
    if (answer.header.nlmsg_type != NLMSG_ERROR || answer.header.nlmsg_seq != sequence)
        return -EPROTO;
    return answer.error.error;
}

static struct request begin(unsigned short type, uint32_t ifindex)
{
    return (struct request){
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg)),
                   .nlmsg_type = type,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
        .tc = {.tcm_ifindex = (int)ifindex},
    };
}

static int add_clsact(int socket, uint32_t ifindex)
{
    struct request request = begin(RTM_NEWQDISC, ifindex);

    request.tc.tcm_parent = TC_H_CLSACT;
    request.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    put(&request, TCA_KIND, "clsact", sizeof("clsact"));
    return transact(socket, &request);
}

static int add_filter(int socket, uint32_t ifindex, uint32_t parent, int program)
{
    static const char name[] = "today";
    const uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;
    struct request request = begin(RTM_NEWTFILTER, ifindex);
    struct rtattr *options;

    request.tc.tcm_handle = 1;
    request.tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, parent);
    request.tc.tcm_info = TC_H_MAKE(10u << 16, htons(ETH_P_ALL));
    put(&request, TCA_KIND, "bpf", sizeof("bpf"));
    options = put(&request, TCA_OPTIONS, NULL, 0);
    put(&request, TCA_BPF_FD, &program, sizeof(program));
    put(&request, TCA_BPF_NAME, name, sizeof(name));
    put(&request, TCA_BPF_FLAGS, &flags, sizeof(flags));
    options->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)options);
    return transact(socket, &request);
}

int today_device_socket(int socket, uint32_t ifindex, const int programs[2])
{
    int result = add_clsact(socket, ifindex);

    if (result == 0)
        result = add_filter(socket, ifindex, TC_H_MIN_INGRESS, programs[0]);
    if (result == 0)
        result = add_filter(socket, ifindex, TC_H_MIN_EGRESS, programs[1]);
    return result;
}

int today_attach_socket(int socket, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = today_device_socket(socket, ifindexes[i], programs);
    return result;
}

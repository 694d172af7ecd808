/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct qdisc_request {
    struct nlmsghdr header;
    struct tcmsg tc;
    struct rtattr kind;
    char clsact[8];
};

struct filter_request {
    struct nlmsghdr header;
    struct tcmsg tc;
    struct rtattr kind;
    char bpf[4];
    struct rtattr options;
    struct rtattr fd;
    uint32_t fd_value;
    struct rtattr flags;
    uint32_t flags_value;
};

struct device_request {
    struct qdisc_request qdisc;
    struct filter_request filters[2];
};

/* No acknowledgement is asked for: errors are reported without, and their absence after the send says that
 * all was done, as the kernel works a request off inside sendmsg. */
#define REQUEST(type)                                                                                        \
    {                                                                                                        \
        .nlmsg_type = (type), .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL                       \
    }

static const struct qdisc_request qdisc_template = {
    .header = REQUEST(RTM_NEWQDISC),
    .tc = {.tcm_parent = TC_H_CLSACT, .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0)},
    .kind = {.rta_len = RTA_LENGTH(7), .rta_type = TCA_KIND},
    .clsact = "clsact",
};

static const struct filter_request filter_template = {
    .header = REQUEST(RTM_NEWTFILTER),
    .tc = {.tcm_handle = FLOOR_HANDLE},
    .kind = {.rta_len = RTA_LENGTH(4), .rta_type = TCA_KIND},
    .bpf = "bpf",
    .options = {.rta_len = RTA_LENGTH(16), .rta_type = TCA_OPTIONS},
    .fd = {.rta_len = RTA_LENGTH(4), .rta_type = TCA_BPF_FD},
    .flags = {.rta_len = RTA_LENGTH(4), .rta_type = TCA_BPF_FLAGS},
    .flags_value = TCA_BPF_FLAG_ACT_DIRECT,
};

static void write_filters(struct filter_request filters[2], uint32_t ifindex, const int programs[2])
{
    static const uint32_t parents[2] = {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS};

    for (int hook = 0; hook < 2; hook++) {
        struct filter_request *filter = &filters[hook];

        *filter = filter_template;
        filter->header.nlmsg_len = sizeof(*filter);
        filter->tc.tcm_ifindex = (int)ifindex;
        filter->tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, parents[hook]);
        filter->tc.tcm_info = TC_H_MAKE(FLOOR_PRIORITY << 16, htons(ETH_P_ALL));
        filter->fd_value = (uint32_t)programs[hook];
    }
}

static void write_device(struct device_request *request, uint32_t ifindex, const int programs[2])
{
    request->qdisc = qdisc_template;
    request->qdisc.header.nlmsg_len = sizeof(request->qdisc);
    request->qdisc.tc.tcm_ifindex = (int)ifindex;
    write_filters(request->filters, ifindex, programs);
}

int floor_first_error(int socket)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
    } answer;
    ssize_t length = recv(socket, &answer, sizeof(answer), MSG_DONTWAIT);

    if (length < 0)
        return errno == EAGAIN ? 0 : -errno;
    return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
}

static int attach_some(int socket, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    static struct device_request requests[FLOOR_SEND_MAX];

    for (size_t i = 0; i < count; i++)
        write_device(&requests[i], ifindexes[i], programs);
    if (send(socket, requests, count * sizeof(requests[0]), 0) < 0)
        return -errno;
    return floor_first_error(socket);
}

/* The same handle, without EXCL: the kernel swaps them, and no packet goes by in between. */
static int replace_some(int socket, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    static struct filter_request requests[2 * FLOOR_SEND_MAX];

    for (size_t i = 0; i < count; i++)
        write_filters(&requests[2 * i], ifindexes[i], programs);
    for (size_t i = 0; i < 2 * count; i++)
        requests[i].header.nlmsg_flags = NLM_F_REQUEST | NLM_F_REPLACE;
    if (send(socket, requests, 2 * count * sizeof(requests[0]), 0) < 0)
        return -errno;
    return floor_first_error(socket);
}

typedef int some_fn(int socket, const uint32_t *ifindexes, size_t count, const int programs[2]);

static int in_parts(some_fn *some, int socket, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    int result = 0;

    for (size_t done = 0; done < count && result == 0; done += FLOOR_SEND_MAX)
        result = some(socket, ifindexes + done, count - done < FLOOR_SEND_MAX ? count - done : FLOOR_SEND_MAX,
                      programs);
    return result;
}

int floor_attach_on(int socket, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    return in_parts(attach_some, socket, ifindexes, count, programs);
}

int floor_replace_on(int socket, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    return in_parts(replace_some, socket, ifindexes, count, programs);
}

int floor_attach(int netns, int home, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    int netlink, result;

    if (setns(netns, CLONE_NEWNET))
        return -errno;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    result = netlink < 0 ? -errno : floor_attach_on(netlink, ifindexes, count, programs);
    if (netlink >= 0)
        close(netlink);
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

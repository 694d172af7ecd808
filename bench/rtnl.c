/* SPDX-License-Identifier: Apache-2.0 */
#include "rtnl.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_NETNS_HERE (-1)
#define WATCHER_BYTES   (16 * 1024 * 1024)

/* A request being written. Big enough for all that is sent from here: a few hundred bytes. */
struct request {
    union {
        struct nlmsghdr header;
        char bytes[1024];
    };
};

static void *append(struct request *request, size_t length)
{
    void *place = request->bytes + request->header.nlmsg_len;

    memset(place, 0, NLMSG_ALIGN(length));
    request->header.nlmsg_len += NLMSG_ALIGN(length);
    return place;
}

static void *begin(struct request *request, uint16_t type, uint16_t flags, size_t body)
{
    memset(&request->header, 0, sizeof(request->header));
    request->header.nlmsg_len = sizeof(request->header);
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    return append(request, body);
}

static void put(struct request *request, uint16_t type, const void *value, size_t length)
{
    struct rtattr *attribute = append(request, RTA_LENGTH(length));

    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(length);
    if (length)
        memcpy(RTA_DATA(attribute), value, length);
}

static struct rtattr *nest(struct request *request, uint16_t type)
{
    struct rtattr *attribute = append(request, sizeof(*attribute));

    attribute->rta_type = type;
    return attribute;
}

static void nest_end(struct request *request, struct rtattr *attribute)
{
    char *end = request->bytes + request->header.nlmsg_len;

    attribute->rta_len = (unsigned short)(end - (char *)attribute);
}

int bench_rtnl_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    return fd < 0 ? -errno : fd;
}

/* Send and wait for the acknowledgement. */
static int transact(int socket, struct request *request)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[1024];
    } answer;
    ssize_t length;

    request->header.nlmsg_flags |= NLM_F_ACK;
    if (send(socket, request->bytes, request->header.nlmsg_len, 0) < 0)
        return -errno;
    length = recv(socket, &answer, sizeof(answer), 0);
    if (length < 0)
        return -errno;
    return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
}

static int set_up(int socket, uint32_t ifindex, unsigned flags)
{
    struct request request;
    struct ifinfomsg *link = begin(&request, RTM_NEWLINK, 0, sizeof(*link));

    link->ifi_index = (int)ifindex;
    link->ifi_flags = flags;
    link->ifi_change = IFF_UP;
    return transact(socket, &request);
}

int bench_rtnl_up(int socket, uint32_t ifindex)
{
    return set_up(socket, ifindex, IFF_UP);
}

int bench_rtnl_down(int socket, uint32_t ifindex)
{
    return set_up(socket, ifindex, 0);
}

static int add_veth(int socket, uint32_t ifindex, const char *name, uint32_t peer_ifindex,
                    const char *peer_name, int peer_netns)
{
    struct request request;
    struct ifinfomsg *link = begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*link));
    struct rtattr *info, *data, *peer;

    link->ifi_index = (int)ifindex;
    link->ifi_flags = link->ifi_change = IFF_UP;
    put(&request, IFLA_IFNAME, name, strlen(name) + 1);
    info = nest(&request, IFLA_LINKINFO);
    put(&request, IFLA_INFO_KIND, "veth", 4);
    data = nest(&request, IFLA_INFO_DATA);
    peer = nest(&request, VETH_INFO_PEER);
    link = append(&request, sizeof(*link));
    link->ifi_index = (int)peer_ifindex; /* still down: a veth cannot come up before it knows its other end */
    put(&request, IFLA_IFNAME, peer_name, strlen(peer_name) + 1);
    if (peer_netns != PEER_NETNS_HERE)
        put(&request, IFLA_NET_NS_FD, &peer_netns, sizeof(peer_netns));
    nest_end(&request, peer);
    nest_end(&request, data);
    nest_end(&request, info);
    return transact(socket, &request);
}

int bench_rtnl_add_pair(int socket, uint32_t ifindex, uint32_t peer_ifindex)
{
    char name[IFNAMSIZ], peer_name[IFNAMSIZ];
    int result;

    snprintf(name, sizeof(name), "v%u", ifindex);
    snprintf(peer_name, sizeof(peer_name), "v%u", peer_ifindex);
    result = add_veth(socket, ifindex, name, peer_ifindex, peer_name, PEER_NETNS_HERE);
    return result ? result : bench_rtnl_up(socket, peer_ifindex);
}

int bench_rtnl_add_uplink(int socket, int peer_netns, uint32_t peer_ifindex)
{
    char peer_name[IFNAMSIZ];

    snprintf(peer_name, sizeof(peer_name), "p%u", peer_ifindex);
    return add_veth(socket, 2, "eth0", peer_ifindex, peer_name, peer_netns);
}

int bench_rtnl_delete_link(int socket, uint32_t ifindex)
{
    struct request request;
    struct ifinfomsg *link = begin(&request, RTM_DELLINK, 0, sizeof(*link));

    link->ifi_index = (int)ifindex;
    return transact(socket, &request);
}

int bench_rtnl_add_clsact(int socket, uint32_t ifindex)
{
    struct request request;
    struct tcmsg *tc = begin(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, sizeof(*tc));

    tc->tcm_ifindex = (int)ifindex;
    tc->tcm_parent = TC_H_CLSACT;
    tc->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    put(&request, TCA_KIND, "clsact", sizeof("clsact"));
    return transact(socket, &request);
}

int bench_rtnl_clear(int socket, uint32_t ifindex)
{
    struct request request;
    struct tcmsg *tc = begin(&request, RTM_DELQDISC, 0, sizeof(*tc));
    int result;

    tc->tcm_ifindex = (int)ifindex;
    tc->tcm_parent = TC_H_CLSACT;
    result = transact(socket, &request);
    return result == -ENOENT || result == -EINVAL ? 0 : result;
}

static int is_kind(struct nlmsghdr *header, const char *kind)
{
    struct tcmsg *tc = NLMSG_DATA(header);
    struct rtattr *attribute = (struct rtattr *)((char *)tc + NLMSG_ALIGN(sizeof(*tc)));
    unsigned length = header->nlmsg_len - NLMSG_LENGTH(sizeof(*tc));

    for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length))
        if (attribute->rta_type == TCA_KIND)
            return strcmp(RTA_DATA(attribute), kind) == 0;
    return 0;
}

/* Whether a filter in a dump is a BPF one with a handle: each chain also shows a head without. */
static int is_bpf_filter(struct nlmsghdr *header)
{
    struct tcmsg *tc = NLMSG_DATA(header);

    return tc->tcm_handle != 0 && is_kind(header, "bpf");
}

static int is_clsact(struct nlmsghdr *header)
{
    return is_kind(header, "clsact");
}

static int is_link(struct nlmsghdr *header)
{
    return header->nlmsg_type == RTM_NEWLINK;
}

/* Count what a dump shows. */
static int count_dump(int socket, struct request *request, int (*matches)(struct nlmsghdr *), unsigned *count)
{
    static char answer[65536] __attribute__((aligned(8)));

    request->header.nlmsg_flags |= NLM_F_DUMP;
    if (send(socket, request->bytes, request->header.nlmsg_len, 0) < 0)
        return -errno;
    *count = 0;
    for (;;) {
        struct nlmsghdr *header = (struct nlmsghdr *)answer;
        ssize_t length = recv(socket, answer, sizeof(answer), 0);

        if (length < 0)
            return -errno;
        for (size_t left = (size_t)length; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE)
                return 0;
            if (header->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
            *count += matches(header) != 0;
        }
    }
}

int bench_rtnl_count_filters(int socket, uint32_t ifindex, int hook, unsigned *count)
{
    struct request request;
    struct tcmsg *tc = begin(&request, RTM_GETTFILTER, 0, sizeof(*tc));

    tc->tcm_ifindex = (int)ifindex;
    tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, hook == 0 ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    return count_dump(socket, &request, is_bpf_filter, count);
}

int bench_rtnl_count_clsact(int socket, unsigned *count)
{
    struct request request;

    begin(&request, RTM_GETQDISC, 0, sizeof(struct tcmsg));
    return count_dump(socket, &request, is_clsact, count);
}

int bench_rtnl_count_links(int socket, unsigned *count)
{
    struct request request;

    begin(&request, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    return count_dump(socket, &request, is_link, count);
}

int bench_rtnl_watch(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int room = WATCHER_BYTES, fd = bench_rtnl_open();

    if (fd < 0)
        return fd;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

int bench_rtnl_await_gone(int watcher, unsigned seconds, unsigned *gone)
{
    char answer[8192] __attribute__((aligned(8)));
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    struct pollfd news = {.fd = watcher, .events = POLLIN};
    int ready = poll(&news, 1, (int)seconds * 1000);
    ssize_t length;

    if (ready <= 0)
        return ready ? -errno : -ETIMEDOUT;
    length = recv(watcher, answer, sizeof(answer), 0);
    if (length < 0)
        return -errno;
    for (size_t left = (size_t)length; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
        *gone += header->nlmsg_type == RTM_DELLINK;
    return 0;
}

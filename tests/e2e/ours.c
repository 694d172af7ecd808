/* SPDX-License-Identifier: Apache-2.0 */
#include "ours.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUR_HANDLE   0x2eu
#define OUR_NAME     "netnsync:"
#define ROOM_BYTES   (16 * 1024 * 1024)
#define ANSWER_BYTES 65536

static const uint32_t parents[OURS_HOOKS] = {TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                                             TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)};

static const struct rtattr *find(const struct rtattr *attribute, unsigned length, unsigned short type)
{
    for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length))
        if ((attribute->rta_type & NLA_TYPE_MASK) == type)
            return attribute;
    return NULL;
}

static bool begins_with(const struct rtattr *attribute, const char *text, size_t length)
{
    return attribute && RTA_PAYLOAD(attribute) >= length && memcmp(RTA_DATA(attribute), text, length) == 0;
}

static bool is_ours(const struct nlmsghdr *header)
{
    const struct tcmsg *tc = NLMSG_DATA(header);
    const struct rtattr *first = (const struct rtattr *)((const char *)tc + NLMSG_ALIGN(sizeof(*tc)));
    unsigned length = header->nlmsg_len - NLMSG_LENGTH(sizeof(*tc));
    const struct rtattr *options = find(first, length, TCA_OPTIONS);

    if (header->nlmsg_type != RTM_NEWTFILTER || tc->tcm_handle != OUR_HANDLE || !options)
        return false;
    return begins_with(find(first, length, TCA_KIND), "bpf", sizeof("bpf")) &&
           begins_with(find(RTA_DATA(options), RTA_PAYLOAD(options), TCA_BPF_NAME), OUR_NAME,
                       strlen(OUR_NAME));
}

int ours_listen(void)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_TC};
    int room = ROOM_BYTES;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address))) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

static void tell(const struct nlmsghdr *header, void (*told)(void *, uint32_t, unsigned), void *context)
{
    const struct tcmsg *tc = NLMSG_DATA(header);

    for (unsigned hook = 0; hook < OURS_HOOKS; hook++)
        if (tc->tcm_parent == parents[hook])
            told(context, (uint32_t)tc->tcm_ifindex, hook);
}

void ours_hear(int listener, void (*told)(void *context, uint32_t ifindex, unsigned hook), void *context)
{
    static char news[ANSWER_BYTES] __attribute__((aligned(8)));

    for (;;) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)news;
        ssize_t length = recv(listener, news, sizeof(news), 0);

        if (length < 0 && (errno == ENOBUFS || errno == EINTR))
            continue;
        if (length <= 0)
            return;
        for (size_t left = (size_t)length; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
            if (is_ours(header))
                tell(header, told, context);
    }
}

/* Of one part of a dump: 1 when it is the last, 0, or -errno. */
static int count_part(const char *answer, ssize_t length, unsigned *count)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer;

    for (size_t left = (size_t)length; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
        if (header->nlmsg_type == NLMSG_DONE)
            return 1;
        if (header->nlmsg_type == NLMSG_ERROR)
            return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
        *count += is_ours(header);
    }
    return 0;
}

int ours_count(int socket, uint32_t ifindex, unsigned hook)
{
    static char answer[ANSWER_BYTES] __attribute__((aligned(8)));
    struct {
        struct nlmsghdr header;
        struct tcmsg tc;
    } request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_GETTFILTER,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = parents[hook]},
    };
    unsigned count = 0;
    int r = 0;

    if (send(socket, &request, sizeof(request), 0) < 0)
        return -errno;
    while (r == 0) {
        ssize_t length = recv(socket, answer, sizeof(answer), 0);

        r = length < 0 ? -errno : count_part(answer, length, &count);
    }
    return r < 0 ? r : (int)count;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct list_request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr mask;
    uint32_t mask_value;
};

/* By the pidfd itself: an fd of the namespace is not needed to get in. */
static int enter(uint32_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int result;

    if (pidfd < 0)
        return -errno;
    result = setns(pidfd, CLONE_NEWNET) ? -errno : 0;
    close(pidfd);
    return result;
}

/* One received part of the dump. 1: more to come, 0: it was the last, or -errno. */
static int take_links(struct nlmsghdr *header, size_t length, uint32_t *ifindexes, size_t *count)
{
    for (; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
        if (header->nlmsg_type == NLMSG_DONE)
            return 0;
        if (header->nlmsg_type != RTM_NEWLINK)
            return -EPROTO;
        if (*count == FLOOR_DEVICES_MAX)
            return -E2BIG;
        ifindexes[(*count)++] = (uint32_t)((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index;
    }
    return 1;
}

static int list(int socket, uint32_t *ifindexes, size_t *count)
{
    static char answer[32768] __attribute__((aligned(8)));
    struct list_request request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_GETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        /* Statistics are the larger half of an answer, and of the kernel's work for it. */
        .mask = {.rta_len = RTA_LENGTH(4), .rta_type = IFLA_EXT_MASK},
        .mask_value = RTEXT_FILTER_SKIP_STATS,
    };
    int more;

    *count = 0;
    if (send(socket, &request, sizeof(request), 0) < 0)
        return -errno;
    do {
        ssize_t length = recv(socket, answer, sizeof(answer), 0);

        if (length < 0)
            return -errno;
        more = take_links((struct nlmsghdr *)answer, (size_t)length, ifindexes, count);
    } while (more > 0);
    return more;
}

int floor_open_list(uint32_t pid, uint32_t ifindexes[FLOOR_DEVICES_MAX], size_t *count)
{
    int netlink, result = enter(pid);

    if (result)
        return result;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0)
        return -errno;
    result = list(netlink, ifindexes, count);
    if (result) {
        close(netlink);
        return result;
    }
    return netlink;
}

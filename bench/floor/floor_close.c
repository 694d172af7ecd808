/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

/* Handle, priority and protocol make it exactly one filter; naming its kind would only be one more thing for
 * the kernel to look up. As elsewhere, errors come without an acknowledgement being asked for. */
struct delete_request {
    struct nlmsghdr header;
    struct tcmsg tc;
};

static void write_filter(struct delete_request *request, uint32_t ifindex, uint32_t parent)
{
    *request = (struct delete_request){
        .header = {.nlmsg_len = sizeof(*request), .nlmsg_type = RTM_DELTFILTER, .nlmsg_flags = NLM_F_REQUEST},
        .tc = {.tcm_ifindex = (int)ifindex,
               .tcm_handle = FLOOR_HANDLE,
               .tcm_parent = TC_H_MAKE(TC_H_CLSACT, parent),
               .tcm_info = TC_H_MAKE(FLOOR_PRIORITY << 16, htons(ETH_P_ALL))},
    };
}

static int bare(int pidfd, const struct delete_request *requests, size_t length)
{
    int netlink, result;

    if (setns(pidfd, CLONE_NEWNET))
        return -errno;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0)
        return -errno;
    result = send(netlink, requests, length, 0) < 0 ? -errno : floor_first_error(netlink);
    close(netlink);
    return result;
}

/* All namespaces have the same devices, so that what is sent is written once. */
int floor_close(const int *pidfds, size_t count, int home, const uint32_t *ifindexes, size_t devices)
{
    static struct delete_request requests[2 * FLOOR_SEND_MAX];
    int result = 0;

    if (devices > FLOOR_SEND_MAX)
        return -E2BIG;
    for (size_t i = 0; i < devices; i++) {
        write_filter(&requests[2 * i], ifindexes[i], TC_H_MIN_INGRESS);
        write_filter(&requests[2 * i + 1], ifindexes[i], TC_H_MIN_EGRESS);
    }
    for (size_t i = 0; i < count && result == 0; i++)
        result = bare(pidfds[i], requests, 2 * devices * sizeof(requests[0]));
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

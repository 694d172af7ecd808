/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <errno.h>
#include <sched.h>

#include <bpf/bpf.h>

/* Younger than the oldest headers we build with: BPF_TCX_INGRESS, BPF_TCX_EGRESS. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS  ((enum bpf_attach_type)47)

static int attach_device(uint32_t ifindex, const int programs[2], int links[2])
{
    links[0] = bpf_link_create(programs[0], (int)ifindex, TCX_INGRESS, NULL);
    if (links[0] < 0)
        return links[0];
    links[1] = bpf_link_create(programs[1], (int)ifindex, TCX_EGRESS, NULL);
    return links[1] < 0 ? links[1] : 0;
}

int today_attach_tcx(int netns, int home, const uint32_t *ifindexes, size_t count, const int programs[2],
                     int *links)
{
    int result = 0;

    for (size_t i = 0; i < 2 * count; i++)
        links[i] = -1;
    if (setns(netns, CLONE_NEWNET))
        return -errno;
    for (size_t i = 0; i < count && result == 0; i++)
        result = attach_device(ifindexes[i], programs, links + 2 * i);
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

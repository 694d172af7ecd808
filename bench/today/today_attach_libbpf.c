/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <errno.h>
#include <sched.h>

#include <bpf/libbpf.h>

#include "today_device.h"

/* Handle and priority are named, as by those who want to find their filters again. */
static int attach_hook(struct bpf_tc_hook *hook, enum bpf_tc_attach_point point, int program)
{
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 10, .prog_fd = program);

    hook->attach_point = point;
    return bpf_tc_attach(hook, &options);
}

int today_device_libbpf(uint32_t ifindex, const int programs[2])
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
    int result = bpf_tc_hook_create(&hook);

    if (result == -EEXIST) /* somebody else's, which serves as well */
        result = 0;
    if (result == 0)
        result = attach_hook(&hook, BPF_TC_INGRESS, programs[0]);
    if (result == 0)
        result = attach_hook(&hook, BPF_TC_EGRESS, programs[1]);
    return result;
}

int today_attach_libbpf(int netns, int home, const uint32_t *ifindexes, size_t count, const int programs[2])
{
    int result = 0;

    if (setns(netns, CLONE_NEWNET))
        return -errno;
    for (size_t i = 0; i < count && result == 0; i++)
        result = today_device_libbpf(ifindexes[i], programs);
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

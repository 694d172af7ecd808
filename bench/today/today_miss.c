/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "today_device.h"

static int attach_all(const int programs[2])
{
    struct if_nameindex *devices = if_nameindex();
    int result = 0;

    if (!devices)
        return -errno;
    for (const struct if_nameindex *device = devices; device->if_index && result == 0; device++)
        result = today_device_libbpf(device->if_index, programs);
    if_freenameindex(devices);
    return result;
}

static int inside(int netns, int home, const int programs[2])
{
    struct stat identity;
    int result;

    if (fstat(netns, &identity) || setns(netns, CLONE_NEWNET))
        return -errno;
    result = attach_all(programs);
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

int today_miss(const uint32_t *pids, size_t count, int home, const int programs[2])
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        char path[64];
        int netns;

        snprintf(path, sizeof(path), "/proc/%u/ns/net", pids[i]);
        netns = open(path, O_RDONLY | O_CLOEXEC);
        if (netns < 0)
            return -errno;
        result = inside(netns, home, programs);
        close(netns);
    }
    return result;
}

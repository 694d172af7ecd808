/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

static int cover(uint32_t pid, const int programs[2])
{
    static uint32_t ifindexes[FLOOR_DEVICES_MAX];
    size_t count;
    int result, socket = floor_open_list(pid, ifindexes, &count);

    if (socket < 0)
        return socket;
    result = floor_attach_on(socket, ifindexes, count, programs);
    close(socket);
    return result;
}

/* From one namespace straight to the next: going home in between is not needed for the work. */
int floor_miss(const uint32_t *pids, size_t count, int home, const int programs[2])
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = cover(pids[i], programs);
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

typedef int act_fn(int socket, const uint32_t *ifindexes, size_t count, const int programs[2]);

static int cover(uint32_t pid, const int programs[2], act_fn *act)
{
    static uint32_t ifindexes[FLOOR_DEVICES_MAX];
    size_t count;
    int result, socket = floor_open_list(pid, ifindexes, &count);

    if (socket < 0)
        return socket;
    result = act(socket, ifindexes, count, programs);
    close(socket);
    return result;
}

/* From one namespace straight to the next: going home in between is not needed for the work. */
static int cover_all(const uint32_t *pids, size_t count, int home, const int programs[2], act_fn *act)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = cover(pids[i], programs, act);
    if (setns(home, CLONE_NEWNET))
        return -errno;
    return result;
}

int floor_miss(const uint32_t *pids, size_t count, int home, const int programs[2])
{
    return cover_all(pids, count, home, programs, floor_attach_on);
}

int floor_restart(const uint32_t *pids, size_t count, int home, const int programs[2])
{
    return cover_all(pids, count, home, programs, floor_replace_on);
}

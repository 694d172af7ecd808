/* SPDX-License-Identifier: Apache-2.0 */
#include "today_sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    int error;
    unsigned descriptors;
};

static int listen_here(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int socket_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (socket_fd < 0)
        return -errno;
    if (bind(socket_fd, (struct sockaddr *)&address, sizeof(address))) {
        int result = -errno;

        close(socket_fd);
        return result;
    }
    return 0;
}

/* Both descriptors stay. */
static int know(uint32_t pid)
{
    char path[64];
    int netns;

    snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
    netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return -errno;
    return setns(netns, CLONE_NEWNET) ? -errno : listen_here();
}

static int count_descriptors(unsigned *count)
{
    struct dirent *entry;
    DIR *fds = opendir("/proc/self/fd");

    if (!fds)
        return -errno;
    *count = 0;
    while ((entry = readdir(fds)))
        *count += entry->d_name[0] != '.';
    closedir(fds);
    *count -= 2; /* the directory's own, and the one to answer on */
    return 0;
}

/* None of the bench's own but that to answer on. */
static struct answer know_all(const uint32_t *pids, size_t count, int out)
{
    struct answer answer = {0};

    if (out != 3 && dup2(out, 3) < 0)
        return (struct answer){.error = -errno};
    close_range(4, ~0u, 0);
    for (size_t i = 0; i < count && !answer.error; i++)
        answer.error = know(pids[i]);
    if (!answer.error)
        answer.error = count_descriptors(&answer.descriptors);
    return answer;
}

static _Noreturn void be_the_agent(const uint32_t *pids, size_t count, int out)
{
    struct answer answer = know_all(pids, count, out);

    _exit(write(3, &answer, sizeof(answer)) != sizeof(answer));
}

int today_sockets_count(const uint32_t *pids, size_t count, unsigned *descriptors)
{
    struct answer answer;
    int ends[2], result;
    pid_t agent;

    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    agent = fork();
    if (agent == 0)
        be_the_agent(pids, count, ends[1]);
    result = agent < 0 ? -errno : 0;
    close(ends[1]);
    if (!result && read(ends[0], &answer, sizeof(answer)) != sizeof(answer))
        result = -EPIPE;
    close(ends[0]);
    if (agent > 0)
        waitpid(agent, NULL, 0);
    if (result)
        return result;
    *descriptors = answer.descriptors;
    return answer.error;
}

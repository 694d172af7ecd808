/* SPDX-License-Identifier: Apache-2.0 */
#include "sleepers.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

#define STACK_BYTES 8192u

static int sleeper(void *unused)
{
    /* A copy of our fds would keep other pods' namespaces alive. */
    close_range(3, ~0u, 0);
    for (;;)
        pause();
    return 0;
}

char *bench_stacks_new(size_t count)
{
    void *stacks = mmap(NULL, count * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return stacks == MAP_FAILED ? NULL : stacks;
}

void bench_stacks_free(char *stacks, size_t count)
{
    if (stacks)
        munmap(stacks, count * STACK_BYTES);
}

pid_t bench_sleeper_start(char *stacks, size_t number, int flags)
{
    return clone(sleeper, stacks + (number + 1) * STACK_BYTES, CLONE_VM | SIGCHLD | flags, NULL);
}

void bench_sleepers_end(const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    for (size_t i = 0; i < count; i++)
        waitpid(pids[i], NULL, 0);
}

void bench_silence_ipv6(void)
{
    static const char *const switches[] = {"/proc/sys/net/ipv6/conf/all/disable_ipv6",
                                           "/proc/sys/net/ipv6/conf/default/disable_ipv6"};

    for (size_t i = 0; i < 2; i++) {
        int fd = open(switches[i], O_WRONLY | O_CLOEXEC);

        if (fd < 0)
            continue; /* a kernel without IPv6 */
        if (write(fd, "1", 1) != 1)
            bench_error(-errno, "%s", switches[i]);
        close(fd);
    }
}

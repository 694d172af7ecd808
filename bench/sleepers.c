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

/* The way there is long where there are many namespaces: all of their directories lie in one place of the
 * kernel's cache. It is gone once. */
void bench_silence_ipv6(void)
{
    static const char *const switches[] = {"all/disable_ipv6", "default/disable_ipv6"};
    int directory = open("/proc/sys/net/ipv6/conf", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0)
        return; /* a kernel without IPv6 */
    for (size_t i = 0; i < 2; i++) {
        int fd = openat(directory, switches[i], O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "1", 1) != 1)
            bench_error(-errno, "%s", switches[i]);
        if (fd >= 0)
            close(fd);
    }
    close(directory);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "containers.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pairs.h"
#include "private_host.h"
#include "report.h"
#include "rtnl.h"
#include "sleepers.h"

#define LOOPBACK     1
#define WAIT_SECONDS 30u

/* The ifindexes of all peers so far; beyond those of pods. */
static uint32_t last_peer = 2000000;

int bench_containers_init(struct bench_containers *containers, size_t capacity)
{
    *containers = BENCH_CONTAINERS_NULL;
    containers->capacity = capacity;
    containers->ring = calloc(capacity, sizeof(containers->ring[0]));
    containers->stacks = bench_stacks_new(capacity);
    containers->home = bench_rtnl_open();
    if (!containers->ring || !containers->stacks)
        return bench_error(-ENOMEM, "containers");
    if (containers->home < 0)
        return bench_error(containers->home, "netlink");
    bench_silence_ipv6();
    return bench_rtnl_count_links(containers->home, &containers->links);
}

static int enter(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int result;

    if (pidfd < 0)
        return -errno;
    result = setns(pidfd, CLONE_NEWNET) ? -errno : 0;
    close(pidfd);
    return result;
}

static int furnish(const struct bench_container *container)
{
    int socket, result = enter(container->pid);

    if (result)
        return result;
    bench_silence_ipv6();
    socket = bench_rtnl_open();
    result = socket < 0 ? socket : bench_rtnl_up(socket, LOOPBACK);
    if (result == 0)
        result = bench_rtnl_add_uplink(socket, bench_home(), container->peer);
    if (socket >= 0)
        close(socket);
    bench_go_home();
    return result;
}

int bench_containers_start(struct bench_containers *containers, const struct bench_container **container)
{
    size_t at = (containers->first + containers->count) % containers->capacity;
    struct bench_container *fresh = &containers->ring[at];
    int result;

    if (containers->count == containers->capacity)
        return bench_error(-ENOSPC, "containers");
    fresh->pid = bench_sleeper_start(containers->stacks, at, CLONE_NEWNET);
    if (fresh->pid < 0)
        return bench_error(-errno, "starting a process in a namespace of its own");
    containers->count++;
    fresh->peer = ++last_peer;
    result = furnish(fresh);
    if (result)
        return bench_error(result, "making a container's devices");
    *container = fresh;
    return 0;
}

int bench_containers_enter(const struct bench_container *container)
{
    int result = enter(container->pid);

    return result ? bench_error(result, "entering a container's namespace") : 0;
}

int bench_containers_plug(struct bench_containers *containers, const struct bench_container *container)
{
    int result = bench_rtnl_up(containers->home, container->peer);

    return result ? bench_error(result, "setting a container's peer up") : 0;
}

/* -EAGAIN when a hook has another number of filters than one. */
static int check_hooks(int socket)
{
    for (uint32_t ifindex = LOOPBACK; ifindex <= BENCH_CONTAINER_ETH0; ifindex++) {
        for (int hook = 0; hook < 2; hook++) {
            unsigned count;
            int result = bench_rtnl_count_filters(socket, ifindex, hook, &count);

            if (result || count != 1)
                return result ? result : -EAGAIN;
        }
    }
    return 0;
}

static int check_container(const struct bench_container *container)
{
    int socket, result = enter(container->pid);

    if (result)
        return result;
    socket = bench_rtnl_open();
    result = socket < 0 ? socket : check_hooks(socket);
    if (socket >= 0)
        close(socket);
    bench_go_home();
    return result;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

int bench_containers_await_attached(const struct bench_containers *containers)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);

    for (size_t i = 0; i < containers->count;) {
        int result = check_container(&containers->ring[(containers->first + i) % containers->capacity]);

        if (result == 0)
            i++;
        else if (result != -EAGAIN || bench_now() > deadline)
            return bench_error(result, "a container's devices do not carry one filter on each hook");
        else
            nap();
    }
    return 0;
}

void bench_containers_stop(struct bench_containers *containers)
{
    bench_sleepers_end(&containers->ring[containers->first].pid, 1);
    containers->first = (containers->first + 1) % containers->capacity;
    containers->count--;
}

int bench_containers_clear(struct bench_containers *containers)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
    unsigned links;
    int result;

    while (containers->count)
        bench_containers_stop(containers);
    while ((result = bench_rtnl_count_links(containers->home, &links)) == 0 && links > containers->links) {
        if (bench_now() > deadline)
            return bench_error(-ETIMEDOUT, "waiting for containers to die");
        nap();
    }
    return result ? bench_error(result, "counting devices") : 0;
}

/* At once, as far as one thread can: nobody waits for one before the next is told. */
static void end_all(struct bench_containers *containers)
{
    for (size_t i = 0; i < containers->count; i++)
        kill(containers->ring[(containers->first + i) % containers->capacity].pid, SIGKILL);
    while (containers->count)
        bench_containers_stop(containers);
}

/* Who listened all the time would hear of all that happens at home, and of nothing any more once its buffer
 * was full. */
int bench_containers_vanish(struct bench_containers *containers, uint64_t *nanoseconds)
{
    unsigned wanted = (unsigned)containers->count, gone = 0;
    int watcher = bench_rtnl_watch(), result = 0;
    uint64_t since;

    if (watcher < 0)
        return bench_error(watcher, "listening for devices that vanish");
    since = bench_now();
    end_all(containers);
    while (gone < wanted && result == 0)
        result = bench_rtnl_await_gone(watcher, WAIT_SECONDS, &gone);
    *nanoseconds = bench_now() - since;
    close(watcher);
    return result ? bench_error(result, "waiting for containers to die: %u of %u have", gone, wanted) : 0;
}

void bench_containers_deinit(struct bench_containers *containers)
{
    if (containers->home >= 0)
        bench_containers_clear(containers);
    bench_stacks_free(containers->stacks, containers->capacity);
    free(containers->ring);
    if (containers->home >= 0)
        close(containers->home);
    *containers = BENCH_CONTAINERS_NULL;
}

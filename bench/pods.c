/* SPDX-License-Identifier: Apache-2.0 */
#include "pods.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lodgers.h"
#include "pairs.h"
#include "private_host.h"
#include "report.h"
#include "rtnl.h"
#include "sleepers.h"

#define WAIT_SECONDS 30u
#define PEER_IFINDEX                                                                                         \
    10u /* the first pod's uplink ends at this ifindex at home, the next one's at the next                   \
         */

static int enter(const struct bench_pod *pod)
{
    return setns(pod->netns, CLONE_NEWNET) ? -errno : 0;
}

/* Do something over a netlink socket in a pod. */
static int inside(const struct bench_pod *pod, int (*act)(int socket, const void *argument),
                  const void *argument)
{
    int socket, result = enter(pod);

    if (result)
        return result;
    socket = bench_rtnl_open();
    result = socket < 0 ? socket : act(socket, argument);
    if (socket >= 0)
        close(socket);
    bench_go_home();
    return result;
}

static int start_pod(struct bench_pods *pods, struct bench_pod *pod)
{
    char path[64];

    pod->lodger = pods->lodgers != NULL;
    if (pod->lodger)
        pod->pid = bench_lodgers_add(pods->lodgers);
    else
        pod->pid = bench_sleeper_start(pods->stacks, pods->count, CLONE_NEWNET);
    if (pod->pid < 0)
        return bench_error(-errno, "starting somebody in a namespace of its own");
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pod->pid);
    pod->netns = open(path, O_RDONLY | O_CLOEXEC);
    pods->count++; /* it is there, even if it could not be opened */
    return pod->netns < 0 ? bench_error(-errno, "%s", path) : 0;
}

struct furniture {
    unsigned pairs; /* 0: an uplink instead */
    uint32_t peer_ifindex;
};

static int furnish(int socket, const void *argument)
{
    const struct furniture *wanted = argument;
    int result = bench_rtnl_up(socket, 1);

    bench_silence_ipv6();
    if (result == 0 && wanted->pairs == 0)
        result = bench_rtnl_add_uplink(socket, bench_home(), wanted->peer_ifindex);
    for (unsigned i = 0; i < wanted->pairs && result == 0; i++)
        result = bench_rtnl_add_pair(socket, 2 + 2 * i, 3 + 2 * i);
    return result;
}

static int up_at_home(uint32_t ifindex)
{
    int socket = bench_rtnl_open();
    int result = socket < 0 ? socket : bench_rtnl_up(socket, ifindex);

    if (socket >= 0)
        close(socket);
    return result;
}

static int add_pod(struct bench_pods *pods, unsigned pairs)
{
    struct bench_pod *pod = &pods->items[pods->count];
    struct furniture wanted = {pairs, PEER_IFINDEX + (uint32_t)pods->count};
    int result = start_pod(pods, pod);

    if (result)
        return result;
    result = inside(pod, furnish, &wanted);
    if (result == 0 && pairs == 0)
        result = up_at_home(wanted.peer_ifindex);
    return result ? bench_error(result, "making devices") : 0;
}

int bench_pods_init(struct bench_pods *pods, size_t capacity)
{
    *pods = (struct bench_pods){.capacity = capacity,
                                .items = calloc(capacity, sizeof(pods->items[0])),
                                .stacks = bench_stacks_new(capacity)};
    bench_silence_ipv6(); /* at home, where the uplinks' peers are */
    return pods->items && pods->stacks ? 0 : bench_error(-ENOMEM, "pods");
}

int bench_pods_init_threads(struct bench_pods *pods, size_t capacity)
{
    int result = bench_pods_init(pods, capacity);

    return result ? result : bench_pods_use_threads(pods);
}

int bench_pods_use_threads(struct bench_pods *pods)
{
    pods->lodgers = bench_lodgers_new(pods->capacity - pods->count);
    return pods->lodgers ? 0 : bench_error(-ENOMEM, "threads");
}

int bench_pods_grow(struct bench_pods *pods, size_t count)
{
    int result = 0;

    while (pods->count < count && result == 0)
        result = add_pod(pods, 0);
    return result;
}

int bench_pods_add_wide(struct bench_pods *pods, unsigned pairs)
{
    return add_pod(pods, pairs);
}

static int clear(int socket, const void *argument)
{
    const unsigned *devices = argument;
    int result = 0;

    for (uint32_t ifindex = 1; ifindex <= *devices && result == 0; ifindex++)
        result = bench_rtnl_clear(socket, ifindex);
    return result;
}

int bench_pods_clear(const struct bench_pods *pods, size_t from, size_t count, unsigned devices)
{
    int result = 0;

    for (size_t i = from; i < from + count && result == 0; i++)
        result = inside(&pods->items[i], clear, &devices);
    return result ? bench_error(result, "removing qdiscs") : 0;
}

int bench_pods_clear_home(const struct bench_pods *pods)
{
    int socket = bench_rtnl_open();
    int result = socket < 0 ? socket : bench_rtnl_clear(socket, 1);

    for (size_t i = 0; i < pods->count && result == 0; i++)
        result = bench_rtnl_clear(socket, PEER_IFINDEX + (uint32_t)i);
    if (socket >= 0)
        close(socket);
    return result ? bench_error(result, "removing qdiscs at home") : 0;
}

/* -ENODATA when a hook has more or fewer. */
static int verify_device(int socket, uint32_t ifindex, unsigned expected)
{
    for (int hook = 0; hook < 2; hook++) {
        unsigned count;
        int result = bench_rtnl_count_filters(socket, ifindex, hook, &count);

        if (result)
            return result;
        if (count != expected)
            return -ENODATA;
    }
    return 0;
}

static int verify_filters(int socket, unsigned devices, unsigned expected)
{
    int result = 0;

    for (uint32_t ifindex = 1; ifindex <= devices && result == 0; ifindex++)
        result = verify_device(socket, ifindex, expected);
    return result;
}

static int verify(int socket, const void *argument)
{
    const unsigned *devices = argument;

    return verify_filters(socket, *devices, 1);
}

static int verify_emptied(int socket, const void *argument)
{
    const unsigned *devices = argument;
    unsigned count;
    int result = bench_rtnl_count_clsact(socket, &count);

    if (result)
        return result;
    return count == *devices ? verify_filters(socket, *devices, 0) : -ENODATA;
}

int bench_pods_verify(const struct bench_pods *pods, size_t from, size_t count, unsigned devices)
{
    int result = 0;

    for (size_t i = from; i < from + count && result == 0; i++)
        result = inside(&pods->items[i], verify, &devices);
    return result ? bench_error(result, "not every device carries one filter on each hook") : 0;
}

int bench_pods_verify_home(const struct bench_pods *pods)
{
    int socket = bench_rtnl_open();
    int result = socket < 0 ? socket : verify_filters(socket, 1, 1);

    for (size_t i = 0; i < pods->count && result == 0; i++)
        result = verify_device(socket, PEER_IFINDEX + (uint32_t)i, 1);
    if (socket >= 0)
        close(socket);
    return result ? bench_error(result, "not every device at home carries one filter on each hook") : 0;
}

int bench_pods_verify_emptied(const struct bench_pods *pods, size_t from, size_t count, unsigned devices)
{
    int result = 0;

    for (size_t i = from; i < from + count && result == 0; i++)
        result = inside(&pods->items[i], verify_emptied, &devices);
    return result ? bench_error(result, "not every device has kept its qdisc and lost its filters") : 0;
}

/* The more there are the dearer it is to count them, and counting keeps them from going. */
static void nap(unsigned links)
{
    long microseconds = 2000 + 20 * (long)links;

    nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL);
}

/* Namespaces die in the background, and their devices' peers at home with them. That may take long, but not
 * stand still for long. */
static void await_bare_home(void)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
    int socket = bench_rtnl_open();
    unsigned links, before = 0;

    if (socket < 0)
        return;
    while (bench_rtnl_count_links(socket, &links) == 0 && links > 1 && bench_now() < deadline) {
        if (links != before)
            deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
        before = links;
        nap(links);
    }
    close(socket);
}

static void end_children(struct bench_pods *pods)
{
    for (size_t i = 0; i < pods->count; i++)
        if (!pods->items[i].lodger)
            kill(pods->items[i].pid, SIGKILL);
    for (size_t i = 0; i < pods->count; i++)
        if (!pods->items[i].lodger)
            waitpid(pods->items[i].pid, NULL, 0);
}

void bench_pods_deinit(struct bench_pods *pods)
{
    for (size_t i = 0; i < pods->count; i++)
        if (pods->items[i].netns >= 0)
            close(pods->items[i].netns);
    if (pods->lodgers)
        bench_lodgers_free(pods->lodgers);
    end_children(pods);
    bench_stacks_free(pods->stacks, pods->capacity);
    free(pods->items);
    await_bare_home();
    *pods = BENCH_PODS_NULL;
}

/* Filters die after an RCU grace period, in a work queue that takes RTNL. Deleting a device waits for all
 * grace periods that began before (the kernel calls rcu_barrier there); the second one finds the work queue
 * past what the first let go. */
int bench_settle(void)
{
    int socket = bench_rtnl_open(), result = 0;

    if (socket < 0)
        return bench_error(socket, "netlink");
    for (int i = 0; i < 2 && result == 0; i++) {
        result = bench_rtnl_add_pair(socket, 1000000, 1000001);
        if (result == 0)
            result = bench_rtnl_delete_link(socket, 1000000);
    }
    close(socket);
    return result ? bench_error(result, "settling") : 0;
}

static int join_pod(const struct bench_pod *pod, struct bench_crowd *crowd, size_t each)
{
    int result = enter(pod);

    if (result)
        return result;
    for (size_t i = 0; i < each && result == 0; i++) {
        pid_t pid = bench_sleeper_start(crowd->stacks, crowd->count, 0);

        if (pid < 0)
            result = -errno;
        else
            crowd->pids[crowd->count++] = pid;
    }
    bench_go_home();
    return result;
}

int bench_crowd_init(struct bench_crowd *crowd, const struct bench_pods *pods, size_t each)
{
    int result = 0;

    *crowd = (struct bench_crowd){.capacity = pods->count * each,
                                  .pids = calloc(pods->count * each, sizeof(crowd->pids[0])),
                                  .stacks = bench_stacks_new(pods->count * each)};
    if (!crowd->pids || !crowd->stacks)
        return bench_error(-ENOMEM, "processes");
    for (size_t i = 0; i < pods->count && result == 0; i++)
        result = join_pod(&pods->items[i], crowd, each);
    return result ? bench_error(result, "starting processes") : 0;
}

void bench_crowd_deinit(struct bench_crowd *crowd)
{
    bench_sleepers_end(crowd->pids, crowd->count);
    bench_stacks_free(crowd->stacks, crowd->capacity);
    free(crowd->pids);
    *crowd = BENCH_CROWD_NULL;
}

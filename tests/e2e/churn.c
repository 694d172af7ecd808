/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn COUNT LIVE RESIDENTS: COUNT containers come and go, at most LIVE of them at a time, and RESIDENTS
 * more, spread over the run, stay until standard input ends. A container is a process in a namespace of its
 * own: lo and eth0, whose peer stays in the namespace this was started in. It sends packets, asks the kernel
 * every other millisecond which devices carry a filter on both hooks, and writes what it saw to standard
 * output, in nanoseconds of the monotonic clock:
 *
 *   born PID
 *   device PID NAME UP COVERED GONE    COVERED is 0 when that was never seen; GONE is when it began to die
 *   failed PID ERRNO WHAT
 *   done COUNT NANOSECONDS             all but the residents have ended
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rtnl.h"

#define FIRST_PEER      1000u /* ifindex of the first container's peer at home */
#define LOOK_EVERY_MS   2
#define LONGEST_BARE_MS 60u
#define SHORTEST_MS     20u
#define LONGEST_MS      300u
#define NS_PER_MS       1000000ull
#define STACK_BYTES     65536
#define DISCARD_PORT    9
#define HOOKS           2

enum { LO, ETH0, PEER, DEVICES };

struct device {
    uint32_t ifindex;
    char name[16];
    int rtnl; /* a socket where it is */
    uint64_t up, covered;
};

/* What all containers share. */
struct run {
    int home;     /* a fd of the namespace this began in */
    int leash[2]; /* a pipe that ends with the run */
    int frames;   /* a packet socket at home */
    unsigned started, live, failed;
};

struct container {
    struct device devices[DEVICES];
    const struct run *run;
    int datagrams;
    unsigned bare_ms, life_ms; /* before eth0 comes, and from then on */
    bool resident;
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 * NS_PER_MS + (uint64_t)time.tv_nsec;
}

/* One write a line: lines of several processes do not mix. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[256];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(2); /* nobody reads: end, and with it the leash */
}

_Noreturn static void fail(int error, const char *what)
{
    say("failed %d %d %s\n", getpid(), error, what);
    _exit(1);
}

static void need(int result, const char *what)
{
    if (result < 0)
        fail(-result, what);
}

/* ---- a container ---- */

static void set_up(struct container *container)
{
    struct device *devices = container->devices;
    int inside = bench_rtnl_open();

    need(inside, "socket");
    devices[LO].rtnl = devices[ETH0].rtnl = inside;
    devices[LO].up = now();
    need(bench_rtnl_up(inside, devices[LO].ifindex), "lo up");
    poll(NULL, 0, (int)container->bare_ms);
    devices[ETH0].up = now();
    need(bench_rtnl_add_uplink(inside, container->run->home, devices[PEER].ifindex), "eth0");
    devices[PEER].up = now();
    need(bench_rtnl_up(devices[PEER].rtnl, devices[PEER].ifindex), "peer up");
    container->datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    need(container->datagrams < 0 ? -errno : 0, "datagrams");
}

/* Something for the filters: over lo, and from the peer into eth0. Whether it arrives is of no interest here.
 */
static void send_some(const struct container *container)
{
    const struct sockaddr_in over_lo = {
        .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_ll to_eth0 = {
        .sll_family = AF_PACKET, .sll_ifindex = (int)container->devices[PEER].ifindex, .sll_halen = ETH_ALEN};
    static const char frame[ETH_ZLEN];

    sendto(container->datagrams, frame, sizeof(frame), MSG_DONTWAIT, (const struct sockaddr *)&over_lo,
           sizeof(over_lo));
    sendto(container->run->frames, frame, sizeof(frame), MSG_DONTWAIT, (const struct sockaddr *)&to_eth0,
           sizeof(to_eth0));
}

static bool is_covered(const struct device *device)
{
    for (int hook = 0; hook < HOOKS; hook++) {
        unsigned count;

        need(bench_rtnl_count_filters(device->rtnl, device->ifindex, hook, &count), "filters");
        if (!count)
            return false;
    }
    return true;
}

/* True when there is nothing more to wait for. */
static bool look(struct container *container)
{
    bool all = true;

    for (int i = 0; i < DEVICES; i++) {
        struct device *device = &container->devices[i];

        if (!device->covered && is_covered(device))
            device->covered = now();
        all = all && device->covered;
    }
    return all;
}

static int milliseconds_until(uint64_t end)
{
    uint64_t time = now();

    return time < end ? (int)((end - time + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

static void live(struct container *container)
{
    struct pollfd leash = {.fd = container->run->leash[0], .events = POLLIN};
    uint64_t end = now() + container->life_ms * NS_PER_MS;
    int wait;

    do {
        bool covered = look(container);

        send_some(container);
        wait = container->resident ? -1 : milliseconds_until(end);
        if (!covered && (wait < 0 || wait > LOOK_EVERY_MS))
            wait = LOOK_EVERY_MS;
    } while (wait && poll(&leash, 1, wait) == 0);
    look(container);
}

static void report(const struct container *container)
{
    uint64_t time = now();

    for (int i = 0; i < DEVICES; i++) {
        const struct device *device = &container->devices[i];

        say("device %d %s %llu %llu %llu\n", getpid(), device->name, (unsigned long long)device->up,
            (unsigned long long)device->covered, (unsigned long long)time);
    }
}

static int be_container(void *argument)
{
    struct container *container = argument;

    close(container->run->leash[1]);
    say("born %d\n", getpid());
    set_up(container);
    live(container);
    report(container);
    _exit(0);
}

/* ---- all of them ---- */

static void describe(const struct run *run, struct container *container)
{
    struct device *devices = container->devices;

    devices[LO] = (struct device){.ifindex = 1, .name = "lo"};
    devices[ETH0] = (struct device){.ifindex = 2, .name = "eth0"};
    devices[PEER] = (struct device){.ifindex = FIRST_PEER + run->started, .rtnl = bench_rtnl_open()};
    snprintf(devices[PEER].name, sizeof(devices[PEER].name), "p%u", devices[PEER].ifindex);
    need(devices[PEER].rtnl, "socket at home");
    container->run = run;
    container->bare_ms = random() % 2 ? (unsigned)random() % LONGEST_BARE_MS : 0;
    container->life_ms = SHORTEST_MS + (unsigned)random() % (LONGEST_MS - SHORTEST_MS);
}

/* Without CLONE_VM: the child has a copy of all, the stack too. */
static void start(struct run *run, bool resident)
{
    static char stack[STACK_BYTES] __attribute__((aligned(16)));
    struct container container = {.resident = resident};
    int pid;

    describe(run, &container);
    pid = clone(be_container, stack + sizeof(stack), CLONE_NEWNET | SIGCHLD, &container);
    need(pid < 0 ? -errno : 0, "clone");
    close(container.devices[PEER].rtnl);
    run->started++;
    run->live += !resident;
}

static void wait_for_one(struct run *run)
{
    int status;

    need(waitpid(-1, &status, 0) < 0 ? -errno : 0, "waitpid");
    run->live--;
    run->failed += status != 0;
}

static void churn(struct run *run, unsigned count, unsigned most, unsigned residents)
{
    uint64_t begin = now();

    for (unsigned i = 0; i < count; i++) {
        while (run->live >= most)
            wait_for_one(run);
        if (residents && i % ((count + residents - 1) / residents) == 0)
            start(run, true);
        start(run, false);
    }
    while (run->live)
        wait_for_one(run);
    say("done %u %llu\n", count, (unsigned long long)(now() - begin));
}

static void end_residents(struct run *run)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    close(run->leash[1]);
    for (int status; waitpid(-1, &status, 0) > 0;)
        run->failed += status != 0;
}

static void open_all(struct run *run, const char *home)
{
    run->home = open(home, O_RDONLY | O_CLOEXEC);
    need(run->home < 0 ? -errno : 0, home);
    need(pipe2(run->leash, O_CLOEXEC) ? -errno : 0, "pipe");
    run->frames = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    need(run->frames < 0 ? -errno : 0, "frames");
}

int main(int count, char **arguments)
{
    struct run run = {.live = 0};

    if (count != 4) {
        fprintf(stderr, "usage: churn COUNT LIVE RESIDENTS\n");
        return 2;
    }
    open_all(&run, "/proc/self/ns/net");
    churn(&run, (unsigned)atoi(arguments[1]), (unsigned)atoi(arguments[2]), (unsigned)atoi(arguments[3]));
    end_residents(&run);
    return run.failed ? 1 : 0;
}

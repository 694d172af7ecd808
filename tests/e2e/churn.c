/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn COUNT RATE MOST RESIDENTS EXCUSE SLOWNESS: COUNT containers come and go, RATE of them a second, at
 * most MOST at a time; RESIDENTS more, spread over the run, stay until standard input ends. A container is a
 * process in a namespace of its own: lo and eth0, whose peer stays in the namespace this was started in. It
 * sends packets, and listens which devices are given a filter of ours on both hooks. Once, when its youngest
 * device is EXCUSE milliseconds old, or when it is to die earlier, it asks the kernel. Half of them live
 * longer than that. Nobody asks over and over: that would hold the very lock that is waited for. With an
 * EXCUSE of 0 all have lives of the same kind, and ask when they die. On a machine that is SLOWNESS times
 * slower than others they live as much longer, and send as much more seldom. What they saw goes to standard
 * output, in nanoseconds of the monotonic clock:
 *
 *   born PID
 *   device PID NAME UP TOLD ASKED COVERED GONE    TOLD: when it was heard of, 0 when it was not; COVERED:
 * what the kernel said then, 1 for one filter a hook; GONE: it begins to die failed PID ERRNO WHAT done COUNT
 * NANOSECONDS    all but the residents have ended; from the first one's start to the last one's
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ours.h"
#include "rtnl.h"

#define FIRST_PEER      1000u /* ifindex of the first container's peer at home */
#define SEND_EVERY_MS   50
#define LONGEST_BARE_MS 60u
#define SHORTEST_MS     20u
#define USUAL_MS        250u /* where nobody is excused: 250 to 500 ms */
#define NS_PER_MS       1000000ull
#define NS_PER_S        (1000 * NS_PER_MS)
#define STACK_BYTES     65536
#define DISCARD_PORT    9
#define BOTH_HOOKS      3u

enum { LO, ETH0, PEER, DEVICES };

struct device {
    uint32_t ifindex;
    char name[16];
    int rtnl;       /* a socket where it is */
    unsigned hooks; /* of which it was heard, a bit each */
    bool covered;   /* when it was asked */
    uint64_t up, told, asked;
};

/* What all containers share. */
struct run {
    int home;     /* a fd of the namespace this began in */
    int leash[2]; /* a pipe that ends with the run */
    int frames;   /* a packet socket at home */
    unsigned count, rate, most, residents, excuse_ms, slowness;
    unsigned started, live, failed;
    /* When the peers at home were covered, by those who listen there: one process for all, in memory they
     * share. */
    _Atomic uint64_t *peers_told;
    pid_t listener;
};

struct container {
    struct device devices[DEVICES];
    const struct run *run;
    _Atomic uint64_t *peer_told;
    int datagrams, news;
    unsigned bare_ms, life_ms; /* before eth0 comes, and from then on */
    bool resident, asked;
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
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

static void take_news(void *context, uint32_t ifindex, unsigned hook)
{
    struct container *container = context;

    for (int i = LO; i <= ETH0; i++) {
        struct device *device = &container->devices[i];

        if (device->ifindex != ifindex)
            continue;
        device->hooks |= 1u << hook;
        if (device->hooks == BOTH_HOOKS && !device->told)
            device->told = now();
    }
}

/* Who finds new namespaces may have been here before anybody listened. */
static void take_what_is_there(struct container *container)
{
    const struct device *lo = &container->devices[LO];

    for (unsigned hook = 0; hook < OURS_HOOKS; hook++) {
        int count = ours_count(lo->rtnl, lo->ifindex, hook);

        need(count, "filters");
        if (count)
            take_news(container, lo->ifindex, hook);
    }
}

static void set_up(struct container *container)
{
    struct device *devices = container->devices;
    int inside = bench_rtnl_open();

    need(inside, "socket");
    container->news = ours_listen();
    need(container->news, "listen");
    devices[LO].rtnl = devices[ETH0].rtnl = inside;
    take_what_is_there(container);
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
    for (unsigned hook = 0; hook < OURS_HOOKS; hook++) {
        int count = ours_count(device->rtnl, device->ifindex, hook);

        need(count, "filters");
        if (count != 1)
            return false;
    }
    return true;
}

static void ask(struct container *container)
{
    for (int i = 0; i < DEVICES; i++) {
        struct device *device = &container->devices[i];

        device->asked = now();
        device->covered = is_covered(device);
    }
    container->asked = true;
}

static int milliseconds_until(uint64_t end)
{
    uint64_t time = now();

    return time < end ? (int)((end - time + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

/* Until the next thing to do at the latest; false when the leash is gone. */
static bool wait_until(struct container *container, uint64_t end)
{
    struct pollfd polled[] = {{.fd = container->run->leash[0], .events = POLLIN},
                              {.fd = container->news, .events = POLLIN}};
    int wait = milliseconds_until(end), most = SEND_EVERY_MS * (int)container->run->slowness;

    poll(polled, 2, wait < most ? wait : most);
    ours_hear(container->news, take_news, container);
    return !polled[0].revents;
}

static void live(struct container *container)
{
    uint64_t begin = container->devices[PEER].up, age = container->run->excuse_ms * NS_PER_MS;
    uint64_t end = container->resident ? UINT64_MAX : begin + container->life_ms * NS_PER_MS;

    do {
        send_some(container);
        if (age && !container->asked && now() >= begin + age)
            ask(container);
    } while (now() < end &&
             wait_until(container, age && !container->asked && begin + age < end ? begin + age : end));
    if (!container->asked)
        ask(container);
    container->devices[PEER].told = *container->peer_told;
}

static void report(const struct container *container)
{
    uint64_t time = now();

    for (int i = 0; i < DEVICES; i++) {
        const struct device *device = &container->devices[i];

        say("device %d %s %llu %llu %llu %d %llu\n", getpid(), device->name, (unsigned long long)device->up,
            (unsigned long long)device->told, (unsigned long long)device->asked, device->covered,
            (unsigned long long)time);
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

/* ---- who listens at home ---- */

struct listening {
    const struct run *run;
    int news;
    unsigned char *hooks;
};

static void take_peers_news(void *context, uint32_t ifindex, unsigned hook)
{
    struct listening *listening = context;
    unsigned index = ifindex - FIRST_PEER;

    if (index >= listening->run->count + listening->run->residents)
        return;
    listening->hooks[index] |= (unsigned char)(1u << hook);
    if (listening->hooks[index] == BOTH_HOOKS && !listening->run->peers_told[index])
        listening->run->peers_told[index] = now();
}

static int be_listener(void *argument)
{
    struct listening *listening = argument;
    struct pollfd polled[] = {{.fd = listening->run->leash[0], .events = POLLIN},
                              {.fd = listening->news, .events = POLLIN}};

    close(listening->run->leash[1]);
    do {
        poll(polled, 2, -1);
        ours_hear(listening->news, take_peers_news, listening);
    } while (!polled[0].revents);
    _exit(0);
}

/* It listens before the first container is there. It raises no signal at its end: whoever waits for
 * containers does not meet it. */
static void start_listener(struct run *run)
{
    static char stack[STACK_BYTES] __attribute__((aligned(16)));
    size_t all = run->count + run->residents;
    struct listening listening = {.run = run, .news = ours_listen(), .hooks = calloc(all, 1)};

    need(listening.news, "listen at home");
    need(listening.hooks ? 0 : -ENOMEM, "listen at home");
    run->peers_told =
        mmap(NULL, all * sizeof(*run->peers_told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(run->peers_told == MAP_FAILED ? -errno : 0, "memory");
    run->listener = clone(be_listener, stack + sizeof(stack), 0, &listening);
    need(run->listener < 0 ? -errno : 0, "clone");
    close(listening.news);
    free(listening.hooks);
}

/* ---- all of them ---- */

static unsigned between(unsigned least, unsigned most)
{
    return least + (unsigned)random() % (most - least + 1);
}

static unsigned choose_life(const struct run *run)
{
    unsigned excuse = run->excuse_ms;

    if (!excuse)
        return between(USUAL_MS, 2 * USUAL_MS) * run->slowness;
    if (random() % 2)
        return between(excuse + SHORTEST_MS, excuse + SHORTEST_MS + excuse / 4);
    return between(SHORTEST_MS, excuse > SHORTEST_MS ? excuse : SHORTEST_MS);
}

static void describe(const struct run *run, struct container *container)
{
    struct device *devices = container->devices;

    devices[LO] = (struct device){.ifindex = 1, .name = "lo"};
    devices[ETH0] = (struct device){.ifindex = 2, .name = "eth0"};
    devices[PEER] = (struct device){.ifindex = FIRST_PEER + run->started, .rtnl = bench_rtnl_open()};
    snprintf(devices[PEER].name, sizeof(devices[PEER].name), "p%u", devices[PEER].ifindex);
    need(devices[PEER].rtnl, "socket at home");
    container->run = run;
    container->peer_told = &run->peers_told[run->started];
    container->bare_ms = random() % 2 ? (unsigned)random() % LONGEST_BARE_MS : 0;
    container->life_ms = choose_life(run);
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

static bool take_one_that_ended(struct run *run, int options)
{
    int status, pid = waitpid(-1, &status, options);

    need(pid < 0 && errno != ECHILD ? -errno : 0, "waitpid");
    if (pid <= 0)
        return false;
    run->live--;
    run->failed += status != 0;
    return true;
}

/* Those that are to come at a time, whatever became of those before. */
static void wait_for_turn(struct run *run, uint64_t turn)
{
    while (run->live >= run->most)
        take_one_that_ended(run, 0);
    while (take_one_that_ended(run, WNOHANG))
        ;
    poll(NULL, 0, milliseconds_until(turn));
}

static void churn(struct run *run)
{
    uint64_t begin = now(), last = begin;

    for (unsigned i = 0; i < run->count; i++) {
        wait_for_turn(run, begin + i * NS_PER_S / run->rate);
        if (run->residents && i % ((run->count + run->residents - 1) / run->residents) == 0)
            start(run, true);
        last = now();
        start(run, false);
    }
    while (run->live)
        take_one_that_ended(run, 0);
    say("done %u %llu\n", run->count, (unsigned long long)(last - begin));
}

static void end_residents(struct run *run)
{
    char byte;
    int status;

    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    close(run->leash[1]);
    while (waitpid(-1, &status, 0) > 0)
        run->failed += status != 0;
    if (waitpid(run->listener, &status, __WCLONE) != run->listener || status != 0)
        run->failed++;
}

static void open_all(struct run *run, const char *home)
{
    run->home = open(home, O_RDONLY | O_CLOEXEC);
    need(run->home < 0 ? -errno : 0, home);
    need(pipe2(run->leash, O_CLOEXEC) ? -errno : 0, "pipe");
    run->frames = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    need(run->frames < 0 ? -errno : 0, "frames");
    start_listener(run);
}

int main(int count, char **arguments)
{
    struct run run = {.live = 0};
    unsigned *const numbers[] = {&run.count,     &run.rate,      &run.most,
                                 &run.residents, &run.excuse_ms, &run.slowness};

    for (int i = 0; i < 6 && i + 1 < count; i++)
        *numbers[i] = (unsigned)strtoul(arguments[i + 1], NULL, 10);
    if (count != 7 || !run.count || !run.rate || !run.most || !run.slowness) {
        fprintf(stderr, "usage: churn COUNT RATE MOST RESIDENTS EXCUSE SLOWNESS\n");
        return 2;
    }
    open_all(&run, "/proc/self/ns/net");
    churn(&run);
    end_residents(&run);
    return run.failed ? 1 : 0;
}

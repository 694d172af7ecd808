/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <bpf/libbpf.h>

#include "io/netns.h"
#include "io/trace.h"

/* Tracepoints are the whole host's: each test looks only at namespaces it made itself. */
static struct {
    struct nns_trace *trace;
    struct nns_trace_abilities can;
    uint64_t cookie; /* of the test's own namespace */
} here;

static struct {
    struct nns_trace_event events[1 << 16];
    size_t count;
} seen;

static void take(void *context, const struct nns_trace_event *event)
{
    cr_assert_eq(context, &seen);
    cr_assert_lt(seen.count, sizeof(seen.events) / sizeof(seen.events[0]));
    seen.events[seen.count++] = *event;
}

static uint64_t own_cookie(void)
{
    uint64_t cookie = 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)nns_netns_socket_cookie(fd, &cookie);
    close(fd);
    return cookie;
}

static uint32_t own_inum(void)
{
    struct stat st = {0};
    (void)stat("/proc/thread-self/ns/net", &st);
    return (uint32_t)st.st_ino;
}

static void set_up(void)
{
    host_new();
    here.cookie = own_cookie();
    struct nns_netns_abilities abilities;
    cr_assert_eq(nns_netns_probe(&abilities), 0);
}

static void open_trace(bool discover)
{
    cr_assert_eq(nns_trace_open(1024, 1024, discover, &here.trace, &here.can), 0);
}

static void set_up_and_open(void)
{
    set_up();
    open_trace(true);
    cr_assert(here.can.devices && here.can.tasks && here.can.walk);
}

static void tear_down(void)
{
    nns_trace_close(here.trace);
    here.trace = NULL;
    host_free();
}

TestSuite(trace, .init = set_up_and_open, .fini = tear_down, .timeout = 60);
TestSuite(trace_without, .init = set_up, .fini = tear_down, .timeout = 60);

/* What a system call caused has been written when it returns: one look tells, also that there is nothing. */
static void look(void)
{
    int taken;
    do {
        size_t before = seen.count;
        taken = nns_trace_read(here.trace, 1024, take, &seen);
        cr_assert_geq(taken, 0, "%s", strerror(-taken));
        cr_assert_eq(seen.count - before, (size_t)taken);
    } while (taken);
}

static unsigned count_of(enum nns_trace_kind kind, uint64_t cookie, uint32_t number)
{
    unsigned count = 0;
    for (size_t i = 0; i < seen.count; i++) {
        const struct nns_trace_event *event = &seen.events[i];
        count += event->kind == kind && event->cookie == cookie && (!number || event->number == number);
    }
    return count;
}

static const struct nns_trace_event *last_of(enum nns_trace_kind kind, uint64_t cookie)
{
    for (size_t i = seen.count; i-- > 0;) {
        if (seen.events[i].kind == kind && seen.events[i].cookie == cookie)
            return &seen.events[i];
    }
    cr_assert_fail("kind %d never came", kind);
    return NULL;
}

static void expect(unsigned wanted, enum nns_trace_kind kind, uint64_t cookie, uint32_t number)
{
    look();
    cr_assert_eq(count_of(kind, cookie, number), wanted, "kind %d, number %u: %u instead of %u", kind, number,
                 count_of(kind, cookie, number), wanted);
}

/* A task may be reported again when it takes more than a second, which is up to the host. */
static void expect_task(uint64_t cookie, uint32_t number)
{
    look();
    cr_assert_gt(count_of(NNS_TRACE_TASK, cookie, number), 0, "no %u", number);
    cr_assert_eq(count_of(NNS_TRACE_TASK, cookie, 0), count_of(NNS_TRACE_TASK, cookie, number));
}

/* For what the kernel does in its own time. */
static void await(enum nns_trace_kind kind, uint64_t cookie, uint32_t number)
{
    time_t deadline = time(NULL) + 30;
    for (;;) {
        look();
        if (count_of(kind, cookie, number))
            return;
        struct pollfd poll_fd = {.fd = nns_trace_fd(here.trace), .events = POLLIN};
        cr_assert_lt(time(NULL), deadline, "kind %d, number %u never came", kind, number);
        cr_assert_geq(poll(&poll_fd, 1, 1000), 0);
    }
}

static void cover(uint64_t cookie, uint32_t ifindex)
{
    cr_assert_eq(nns_trace_cover(here.trace, cookie, ifindex), 0);
}

/* ---- guests: processes in a namespace of their own ---- */

struct guest {
    pid_t pid;
    int line;
    struct hello {
        uint64_t cookie;
        uint32_t inum;
        pid_t pid; /* as the guest has it */
        pid_t tid;
    } is;
};

static void say_hello(int line)
{
    struct hello hello = {.cookie = own_cookie(), .inum = own_inum(), .pid = getpid(), .tid = gettid()};
    (void)!write(line, &hello, sizeof(hello));
}

/* Forks whenever it is told to and says the child's pid; ends with the line. */
static void serve(int line)
{
    char order;
    while (read(line, &order, 1) == 1) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
        (void)!write(line, &pid, sizeof(pid));
    }
}

static void be_plain(int line)
{
    say_hello(line);
    serve(line);
}

static void *say_hello_and_wait(void *line)
{
    char end;
    say_hello(*(int *)line);
    (void)!read(*(int *)line, &end, 1);
    return NULL;
}

static struct guest start(void (*be)(int line), int unshared)
{
    int pair[2];
    struct guest guest;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    guest.pid = fork();
    if (guest.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        if (unshare(unshared) == 0)
            be(pair[1]);
        _exit(0);
    }
    close(pair[1]);
    guest.line = pair[0];
    cr_assert_eq(read(pair[0], &guest.is, sizeof(guest.is)), (ssize_t)sizeof(guest.is));
    cr_assert_neq(guest.is.cookie, 0);
    return guest;
}

static pid_t have_fork(struct guest *guest)
{
    pid_t pid = 0;
    cr_assert_eq(write(guest->line, "f", 1), 1);
    cr_assert_eq(read(guest->line, &pid, sizeof(pid)), (ssize_t)sizeof(pid));
    return pid;
}

static void stop(struct guest *guest)
{
    close(guest->line);
    waitpid(guest->pid, NULL, 0);
}

/* Who follows an event gets to its namespace. */
static void expect_way(const struct nns_trace_event *event)
{
    enum nns_netns_way way;
    struct nns_netns_id id = {0};
    int fd = nns_netns_open_pid(event->number, &way);
    cr_assert_geq(fd, 0, "%u: %s", event->number, strerror(-fd));
    cr_assert_eq(nns_netns_identify(fd, &id), 0);
    close(fd);
    cr_assert(!id.cookie || id.cookie == event->cookie);
    cr_assert_eq(id.inum, event->inum);
}

/* ---- devices ---- */

Test(trace, a_device_comes_up_once)
{
    host_run("ip link add v0 type veth peer name v1");
    uint32_t v0 = if_nametoindex("v0"), v1 = if_nametoindex("v1");
    expect(0, NNS_TRACE_DEVICE_UP, here.cookie, 0);
    host_run("ip link set v0 up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, v0);
    cr_assert_eq(last_of(NNS_TRACE_DEVICE_UP, here.cookie)->inum, own_inum());
    host_run("ip link set v1 up && ip link set lo up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, v1);
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("lo"));
    host_run("ip link set v0 down && ip link set v0 up && tc qdisc replace dev v0 root pfifo");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, v0);
    expect(3, NNS_TRACE_DEVICE_UP, here.cookie, 0);
}

/* With a qdisc for each queue, and with one for all of them. */
Test(trace, many_queues_are_one_device)
{
    host_run("ip link add v0 numtxqueues 8 type veth peer name v1 numtxqueues 8 && ip link set v0 up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("v0"));
    host_run("ip tuntap add t0 mode tun multi_queue && ip link set t0 up");
    cr_assert_not_null(strstr(host_ask("tc qdisc show dev t0"), "qdisc mq"));
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("t0"));
}

Test(trace, every_kind_comes_up)
{
    host_run("ip link add v0 type veth peer name v1 && ip link add br0 type bridge && "
             "ip link add m0 link v0 type macvlan && ip tuntap add p0 mode tap && ip link add i0 type ifb && "
             "ip link add x0 type vxlan id 7 dstport 4789");
    static const char *const names[] = {"v0", "br0", "m0", "p0", "i0", "x0"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        host_run("ip link set %s up", names[i]);
        expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex(names[i]));
    }
}

Test(trace, a_covered_device_is_silent)
{
    host_run("ip link add v0 type veth peer name v1");
    uint32_t v0 = if_nametoindex("v0"), v1 = if_nametoindex("v1");
    cover(here.cookie, v0);
    cover(here.cookie + 1, v1);
    cover(here.cookie, v1 + 100);
    host_run("ip link set v0 up && ip link set v1 up && ip link set v0 down && ip link set v0 up && "
             "tc qdisc add dev v0 clsact && tc qdisc add dev v0 root pfifo && tc qdisc del dev v0 root");
    expect(0, NNS_TRACE_DEVICE_UP, here.cookie, v0);
    expect(0, NNS_TRACE_DEVICE_BARE, here.cookie, 0);
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, v1);
}

Test(trace, clsact_deleted_by_hand)
{
    host_run(
        "ip link add v0 type veth peer name v1 && tc qdisc add dev v0 clsact && tc qdisc del dev v0 clsact");
    uint32_t v0 = if_nametoindex("v0");
    expect(0, NNS_TRACE_DEVICE_BARE, here.cookie, 0);
    expect(0, NNS_TRACE_DEVICE_UP, here.cookie, 0);
    cr_assert_not(nns_trace_covers(here.trace, here.cookie, v0));
    host_run("tc qdisc add dev v0 clsact");
    cover(here.cookie, v0);
    cr_assert(nns_trace_covers(here.trace, here.cookie, v0));
    cr_assert_not(nns_trace_covers(here.trace, here.cookie + 1, v0));
    host_run("tc qdisc del dev v0 clsact");
    cr_assert_not(nns_trace_covers(here.trace, here.cookie, v0));
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, v0);
    cr_assert_eq(last_of(NNS_TRACE_DEVICE_BARE, here.cookie)->inum, own_inum());
    /* It is no longer in the table. */
    host_run("tc qdisc add dev v0 clsact && tc qdisc del dev v0 clsact && ip link set v0 up");
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, v0);
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, v0);
    host_run("tc qdisc add dev v0 clsact");
    cover(here.cookie, v0);
    cr_assert_eq(nns_trace_uncover(here.trace, here.cookie, v0), 0);
    cr_assert_eq(nns_trace_uncover(here.trace, here.cookie, v0), 0);
    host_run("tc qdisc del dev v0 clsact");
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, v0);
}

/* The event names the namespace and the number it was covered under, not where it went. */
Test(trace, a_device_moves_there_and_back)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    host_run("ip link add v0 index 4711 type veth peer name v1 && ip link set v0 up && tc qdisc add dev v0 "
             "clsact");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, 4711);
    cover(here.cookie, 4711);
    host_run("nsenter -t %d -n ip link add w0 index 4711 type veth peer name w1", guest.pid);
    host_run("ip link set v0 netns %d", guest.pid);
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, 4711);
    expect(0, NNS_TRACE_DEVICE_BARE, guest.is.cookie, 0);

    uint32_t there = (uint32_t)atoi(host_ask("nsenter -t %d -n ip -o link show v0", guest.pid));
    cr_assert_neq(there, 0);
    cr_assert_neq(there, 4711);
    host_run("nsenter -t %d -n ip link set v0 up && nsenter -t %d -n tc qdisc add dev v0 clsact", guest.pid,
             guest.pid);
    expect(1, NNS_TRACE_DEVICE_UP, guest.is.cookie, there);
    cover(guest.is.cookie, there);
    host_run("nsenter -t %d -n ip link set v0 netns %d", guest.pid, getpid());
    expect(1, NNS_TRACE_DEVICE_BARE, guest.is.cookie, there);
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, 0);
    host_run("ip link set v0 up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("v0"));
    stop(&guest);
}

Test(trace, a_namespace_whose_devices_are_no_news)
{
    uint32_t lo = if_nametoindex("lo");
    cover(here.cookie, NNS_TRACE_ALL_DEVICES);
    host_run("ip link set lo up");
    expect(0, NNS_TRACE_DEVICE_UP, here.cookie, 0);
    cr_assert_eq(nns_trace_uncover(here.trace, here.cookie, NNS_TRACE_ALL_DEVICES), 0);
    host_run("ip link add v0 type veth peer name v1 && ip link set v0 up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("v0"));
    expect(0, NNS_TRACE_DEVICE_UP, here.cookie, lo);
}

/* As when a filter was being added to its clsact, which ends elsewhere then and too late. */
Test(trace, a_device_moves_and_its_clsact_says_nothing)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    host_run("ip link add v0 index 4711 type veth peer name v1 && ip link set v0 up");
    cover(here.cookie, 4711);
    host_run("ip link set v0 netns %d", guest.pid);
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, 4711);
    expect(0, NNS_TRACE_DEVICE_BARE, guest.is.cookie, 0);
    stop(&guest);
}

Test(trace, devices_go_with_their_namespace)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    host_run("nsenter -t %d -n sh -ec 'ip link add v0 index 10 type veth peer name v1 index 11; ip link set "
             "v0 up; "
             "ip link set lo up; for i in v0 v1 lo; do tc qdisc add dev $i clsact; done'",
             guest.pid);
    cover(guest.is.cookie, 10);
    cover(guest.is.cookie, 11);
    cover(guest.is.cookie, 1);
    expect(0, NNS_TRACE_DEVICE_BARE, guest.is.cookie, 0);
    stop(&guest);
    await(NNS_TRACE_DEVICE_BARE, guest.is.cookie, 10);
    await(NNS_TRACE_DEVICE_BARE, guest.is.cookie, 11);
    await(NNS_TRACE_DEAD, guest.is.cookie, 1);
    expect(2, NNS_TRACE_DEVICE_BARE, guest.is.cookie, 0);
    expect(1, NNS_TRACE_DEAD, guest.is.cookie, 0);
}

/* A loopback device may lose its clsact, go down, and be asked to move or to vanish: only a death ends it. */
static void namespace_dies(const char *loopback)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    host_run("nsenter -t %d -n sh -ec 'ip link set lo %s; tc qdisc add dev lo clsact'", guest.pid, loopback);
    cover(guest.is.cookie, 1);
    host_run("nsenter -t %d -n tc qdisc del dev lo clsact", guest.pid);
    expect(1, NNS_TRACE_DEVICE_BARE, guest.is.cookie, 1);
    host_run("nsenter -t %d -n sh -c 'ip link set lo up; ip link set lo down; ip link del lo; ip link set lo "
             "netns %d; ip link set lo %s; tc qdisc add dev lo clsact' 2>/dev/null",
             guest.pid, getpid(), loopback);
    cover(guest.is.cookie, 1);
    expect(0, NNS_TRACE_DEAD, guest.is.cookie, 0);
    stop(&guest);
    await(NNS_TRACE_DEAD, guest.is.cookie, 1);
    expect(1, NNS_TRACE_DEAD, guest.is.cookie, 0);
    expect(1, NNS_TRACE_DEVICE_BARE, guest.is.cookie, 1);
}

Test(trace, a_namespace_dies_with_its_loopback_up)
{
    namespace_dies("up");
}

Test(trace, a_namespace_dies_with_its_loopback_down)
{
    namespace_dies("down");
}

Test(trace, a_device_deleted)
{
    host_run("ip link add v0 type veth peer name v1 && tc qdisc add dev v0 clsact");
    uint32_t v0 = if_nametoindex("v0");
    cover(here.cookie, v0);
    host_run("ip link del v0");
    expect(1, NNS_TRACE_DEVICE_BARE, here.cookie, v0);
}

/* ---- tasks ---- */

Test(trace, a_task_forks_in_an_unknown_namespace)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    /* Who unshares and stays is not seen. */
    expect(0, NNS_TRACE_TASK, guest.is.cookie, 0);
    pid_t child = have_fork(&guest);
    expect_task(guest.is.cookie, (uint32_t)child);
    cr_assert_eq(last_of(NNS_TRACE_TASK, guest.is.cookie)->inum, guest.is.inum);
    stop(&guest);
}

Test(trace, a_task_ends)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    expect(0, NNS_TRACE_TASK, guest.is.cookie, 0);
    stop(&guest);
    expect(1, NNS_TRACE_TASK, guest.is.cookie, (uint32_t)guest.pid);
}

static void be_cat(int line)
{
    say_hello(line);
    dup2(line, 0);
    dup2(line, 1);
    execlp("cat", "cat", NULL);
}

Test(trace, a_task_executes)
{
    struct guest guest = start(be_cat, CLONE_NEWNET);
    /* It echoes: it was executed. */
    char echo = 0;
    cr_assert_eq(write(guest.line, "x", 1), 1);
    cr_assert_eq(read(guest.line, &echo, 1), 1);
    expect(1, NNS_TRACE_TASK, guest.is.cookie, (uint32_t)guest.pid);
    expect_way(last_of(NNS_TRACE_TASK, guest.is.cookie));
    stop(&guest);
}

Test(trace, tasks_of_a_known_namespace_are_silent)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    cr_assert_eq(nns_trace_know(here.trace, guest.is.cookie), 0);
    cr_assert_eq(nns_trace_know(here.trace, guest.is.cookie), 0);
    have_fork(&guest);
    expect(0, NNS_TRACE_TASK, guest.is.cookie, 0);
    cr_assert_eq(nns_trace_forget(here.trace, guest.is.cookie), 0);
    cr_assert_eq(nns_trace_forget(here.trace, guest.is.cookie), 0);
    pid_t child = have_fork(&guest);
    expect_task(guest.is.cookie, (uint32_t)child);
    stop(&guest);
}

/* Otherwise a namespace that nobody can open would keep the daemon busy. */
Test(trace, an_unknown_namespace_does_not_flood)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    pid_t first = have_fork(&guest), second = have_fork(&guest);
    for (int i = 0; i < 300; i++)
        have_fork(&guest);
    clock_gettime(CLOCK_MONOTONIC, &to);
    unsigned periods = (unsigned)(to.tv_sec - from.tv_sec) + 2;
    look();
    cr_assert_gt(count_of(NNS_TRACE_TASK, guest.is.cookie, (uint32_t)first), 0);
    cr_assert_gt(count_of(NNS_TRACE_TASK, guest.is.cookie, (uint32_t)second), 0);
    cr_assert_leq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 4 * periods);
    cr_assert_lt(4 * periods, 300, "too slow to tell");

    /* It is not forgotten either. */
    unsigned before = count_of(NNS_TRACE_TASK, guest.is.cookie, 0);
    time_t deadline = time(NULL) + 30;
    while (count_of(NNS_TRACE_TASK, guest.is.cookie, 0) == before) {
        cr_assert_lt(time(NULL), deadline, "reported no more");
        have_fork(&guest);
        look();
    }
    stop(&guest);
}

static void be_init(int line)
{
    /* The first child of who unshared its pid namespace is that namespace's first process. */
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_plain(line);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static pid_t only_child_of(pid_t pid)
{
    return atoi(host_ask("cat /proc/%d/task/%d/children", pid, pid));
}

/* Pids are ours, whatever a task takes for its own. */
Test(trace, pids_of_a_nested_pid_namespace)
{
    struct guest guest = start(be_init, CLONE_NEWNET | CLONE_NEWPID);
    cr_assert_eq(guest.is.pid, 1);
    pid_t init = only_child_of(guest.pid);
    cr_assert_gt(init, 1);
    expect_task(guest.is.cookie, (uint32_t)init);
    expect_way(last_of(NNS_TRACE_TASK, guest.is.cookie));
    cr_assert_eq(have_fork(&guest), 2);
    expect(0, NNS_TRACE_TASK, guest.is.cookie, 2);
    cr_assert_gt(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 1);

    seen.count = 0;
    cr_assert_eq(nns_trace_walk(here.trace, false, take, &seen), 0);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 1);
    expect_way(last_of(NNS_TRACE_TASK, guest.is.cookie));
    stop(&guest);
}

static void be_in_a_thread(int line)
{
    pthread_t thread;
    pthread_create(&thread, NULL, say_hello_and_wait, &line);
    pthread_join(thread, NULL);
}

/* It lives longer than its threads. */
Test(trace, a_process_stands_for_its_threads)
{
    struct guest guest = start(be_in_a_thread, CLONE_NEWNET);
    cr_assert_neq(guest.is.tid, guest.pid);
    expect_task(guest.is.cookie, (uint32_t)guest.pid);
    stop(&guest);
}

/* Tells of nobody outside: in a pid namespace of its own. Says how it went by its exit status. */
static int trace_from_inside(int line)
{
    uint64_t outside[2], inside = own_cookie();
    open_trace(true);
    (void)!write(line, "r", 1);
    if (read(line, outside, sizeof(outside)) != sizeof(outside))
        return 2;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    look();
    if (count_of(NNS_TRACE_TASK, outside[0], 0) || count_of(NNS_TRACE_TASK, outside[1], 0))
        return 3;
    if (!count_of(NNS_TRACE_TASK, inside, (uint32_t)pid))
        return 4;
    seen.count = 0;
    if (nns_trace_walk(here.trace, true, take, &seen))
        return 5;
    return seen.count == 1 && count_of(NNS_TRACE_TASK, inside, 1) == 1 ? 0 : 6;
}

/* Neither of those above it nor of those beside it. */
Test(trace_without, tasks_outside_the_pid_namespace)
{
    struct guest above = start(be_plain, CLONE_NEWNET), beside = start(be_init, CLONE_NEWNET | CLONE_NEWPID);
    uint64_t cookies[] = {above.is.cookie, beside.is.cookie};
    int pair[2], status;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(unshare(CLONE_NEWPID), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        _exit(unshare(CLONE_NEWNET) == 0 ? trace_from_inside(pair[1]) : 8);
    }
    close(pair[1]);
    char ready;
    cr_assert_eq(read(pair[0], &ready, 1), 1);
    have_fork(&above);
    have_fork(&beside);
    cr_assert_eq(write(pair[0], cookies, sizeof(cookies)), (ssize_t)sizeof(cookies));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "exit status %d", WEXITSTATUS(status));
    /* The later one holds the earlier one's line, too. */
    stop(&beside);
    stop(&above);
}

/* ---- the walk ---- */

static void *unshare_and_wait(void *line)
{
    return unshare(CLONE_NEWNET) == 0 ? say_hello_and_wait(line) : NULL;
}

static void be_threaded(int line)
{
    pthread_t thread;
    pthread_create(&thread, NULL, unshare_and_wait, &line);
    pthread_join(thread, NULL);
}

static void walk(bool all)
{
    seen.count = 0;
    cr_assert_eq(nns_trace_walk(here.trace, all, take, &seen), 0);
}

Test(trace, a_thread_that_unshared_is_walked_past)
{
    struct guest guest = start(be_threaded, 0);
    cr_assert_neq(guest.is.cookie, here.cookie);
    expect(0, NNS_TRACE_TASK, guest.is.cookie, 0);
    walk(false);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, (uint32_t)guest.is.tid), 1);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 1);
    cr_assert_eq(count_of(NNS_TRACE_TASK, here.cookie, 0), 1);
    for (size_t i = 0; i < seen.count; i++)
        expect_way(&seen.events[i]);
    stop(&guest);
}

/* What takes out of the tables may be refused, by want of memory for one. */
static int no_delete; /* an errno */

int __real_bpf_map_delete_elem(int map, const void *key);
int __wrap_bpf_map_delete_elem(int map, const void *key);

int __wrap_bpf_map_delete_elem(int map, const void *key)
{
    return no_delete ? -no_delete : __real_bpf_map_delete_elem(map, key);
}

Test(trace, one_that_cannot_be_forgotten_is_found_by_the_next_walk)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    cr_assert_eq(nns_trace_know(here.trace, guest.is.cookie), 0);
    no_delete = ENOMEM;
    cr_assert_eq(nns_trace_forget(here.trace, guest.is.cookie), -ENOMEM);
    no_delete = 0;
    walk(false);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 1);
    walk(false);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 0, "once: it is known, or not to be had");
    stop(&guest);
}

Test(trace, a_walk_leaves_out_the_known)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    for (int i = 0; i < 2; i++) {
        walk(false);
        cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, (uint32_t)guest.pid), 1);
    }
    cr_assert_eq(nns_trace_know(here.trace, guest.is.cookie), 0);
    walk(false);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 0);
    walk(true);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 1);
    stop(&guest);
    walk(true);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 0);
}

Test(trace, a_zombie_is_in_no_namespace)
{
    struct guest guest = start(be_plain, CLONE_NEWNET);
    close(guest.line);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)guest.pid, &info, WEXITED | WNOWAIT), 0);
    walk(true);
    cr_assert_eq(count_of(NNS_TRACE_TASK, guest.is.cookie, 0), 0);
    waitpid(guest.pid, NULL, 0);
}

enum { MANY = 400 }; /* more than one read of the walk takes */

static void be_many(int line)
{
    static pthread_t threads[MANY];
    for (int i = 0; i < MANY; i++)
        pthread_create(&threads[i], NULL, unshare_and_wait, &line);
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
}

Test(trace, many_namespaces_are_walked_past_once_each)
{
    static struct hello hello[MANY];
    struct guest guest = start(be_many, 0);
    hello[0] = guest.is;
    for (int i = 1; i < MANY; i++)
        cr_assert_eq(recv(guest.line, &hello[i], sizeof(hello[i]), MSG_WAITALL), (ssize_t)sizeof(hello[i]));
    for (int again = 0; again < 2; again++) {
        walk(false);
        for (int i = 0; i < MANY; i++) {
            cr_assert_eq(count_of(NNS_TRACE_TASK, hello[i].cookie, (uint32_t)hello[i].tid), 1, "%d", i);
            cr_assert_eq(count_of(NNS_TRACE_TASK, hello[i].cookie, 0), 1, "%d", i);
        }
    }
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(nns_trace_know(here.trace, hello[i].cookie), 0);
    walk(false);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(count_of(NNS_TRACE_TASK, hello[i].cookie, 0), 0, "%d", i);
    stop(&guest);
}

/* ---- bounds ---- */

/* The root qdisc of a device that is down comes and goes at little cost, each time as if the device came up.
 */
Test(trace, a_full_buffer_is_counted_and_read_on)
{
    enum { FIT = 16384, MORE = 1000 };
    host_run("ip link add v0 type veth peer name v1");
    uint32_t v0 = if_nametoindex("v0");
    expect(0, NNS_TRACE_DEVICE_UP, here.cookie, 0);
    cr_assert_eq(nns_trace_lost(here.trace), 0);
    FILE *batch = popen("tc -batch -", "w");
    for (int i = 0; i < FIT + MORE; i++)
        fprintf(batch, "qdisc add dev v0 root pfifo\nqdisc del dev v0 root\n");
    cr_assert_eq(pclose(batch), 0);
    uint64_t lost = nns_trace_lost(here.trace);
    cr_assert_geq(lost, MORE);
    struct pollfd poll_fd = {.fd = nns_trace_fd(here.trace), .events = POLLIN};
    cr_assert_eq(poll(&poll_fd, 1, 0), 1);
    look();
    cr_assert_gt(count_of(NNS_TRACE_DEVICE_UP, here.cookie, v0), FIT - MORE);
    cr_assert_leq(count_of(NNS_TRACE_DEVICE_UP, here.cookie, v0), FIT);
    seen.count = 0;
    host_run("ip link set v0 up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, v0);
}

/* One call does not go on for as long as there are new ones. */
Test(trace, a_read_is_bounded)
{
    host_run("ip link add v0 type veth peer name v1");
    FILE *batch = popen("tc -batch -", "w");
    for (int i = 0; i < 1500; i++)
        fprintf(batch, "qdisc add dev v0 root pfifo\nqdisc del dev v0 root\n");
    cr_assert_eq(pclose(batch), 0);
    struct pollfd poll_fd = {.fd = nns_trace_fd(here.trace), .events = POLLIN};
    cr_assert_eq(nns_trace_read(here.trace, 1024, take, &seen), 1024);
    cr_assert_eq(poll(&poll_fd, 1, 0), 1);
    cr_assert_eq(seen.count, 1024);
    expect(1500, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("v0"));
    cr_assert_eq(nns_trace_lost(here.trace), 0);
}

Test(trace_without, full_tables_say_so)
{
    cr_assert_eq(nns_trace_open(2, 2, true, &here.trace, &here.can), 0);
    for (uint32_t i = 1; i <= 2; i++) {
        cr_assert_eq(nns_trace_know(here.trace, i), 0);
        cr_assert_eq(nns_trace_cover(here.trace, 1, i), 0);
    }
    cr_assert_eq(nns_trace_know(here.trace, 3), -ENOSPC);
    cr_assert_eq(nns_trace_cover(here.trace, 1, 3), -ENOSPC);
    cr_assert_eq(nns_trace_know(here.trace, 2), 0);
    cr_assert_eq(nns_trace_forget(here.trace, 1), 0);
    cr_assert_eq(nns_trace_uncover(here.trace, 1, 1), 0);
    cr_assert_eq(nns_trace_know(here.trace, 3), 0);
    cr_assert_eq(nns_trace_cover(here.trace, 1, 3), 0);
}

/* ---- what the kernel does not let us have ---- */

/* From now on bpf(2) answers EPERM, to one command or (-1) to all. */
static void deny_bpf(int command)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)command, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (command < 0)
        code[3] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0, "%s", strerror(errno));
}

/* Opens without a word on standard error. */
static void open_in_silence(bool discover)
{
    int before = dup(2), words = memfd_create("words", 0);
    struct stat st;
    dup2(words, 2);
    int rc = nns_trace_open(1024, 1024, discover, &here.trace, &here.can);
    dup2(before, 2);
    cr_assert_eq(rc, 0);
    cr_assert_eq(fstat(words, &st), 0);
    cr_assert_eq(st.st_size, 0, "%d bytes were said", (int)st.st_size);
    close(before);
    close(words);
}

/* All the rest is quiet, and does no harm. */
static void expect_nothing(void)
{
    cr_assert(!here.can.devices && !here.can.tasks && !here.can.walk);
    cr_assert_eq(nns_trace_fd(here.trace), -1);
    cr_assert_eq(nns_trace_read(here.trace, 1024, take, &seen), 0);
    cr_assert_eq(nns_trace_lost(here.trace), 0);
    cr_assert_eq(nns_trace_know(here.trace, 1), 0);
    cr_assert_eq(nns_trace_forget(here.trace, 1), 0);
    cr_assert_eq(nns_trace_cover(here.trace, 1, 1), 0);
    cr_assert_eq(nns_trace_uncover(here.trace, 1, 1), 0);
    cr_assert_eq(nns_trace_walk(here.trace, true, take, &seen), -EOPNOTSUPP);
}

Test(trace_without, any_bpf)
{
    deny_bpf(-1);
    open_in_silence(true);
    expect_nothing();
}

Test(trace_without, programs)
{
    deny_bpf(BPF_PROG_LOAD);
    open_in_silence(true);
    expect_nothing();
}

Test(trace_without, tracepoints)
{
    deny_bpf(BPF_RAW_TRACEPOINT_OPEN);
    open_in_silence(true);
    cr_assert(!here.can.devices && !here.can.tasks && here.can.walk);
    cr_assert_eq(nns_trace_fd(here.trace), -1);
    walk(true);
    cr_assert_eq(count_of(NNS_TRACE_TASK, here.cookie, 0), 1);
    cr_assert_eq(nns_trace_know(here.trace, here.cookie), 0);
    walk(false);
    cr_assert_eq(count_of(NNS_TRACE_TASK, here.cookie, 0), 0);
}

Test(trace_without, the_walk)
{
    deny_bpf(BPF_LINK_CREATE);
    open_in_silence(true);
    cr_assert(here.can.devices && here.can.tasks && !here.can.walk);
    struct guest guest = start(be_plain, CLONE_NEWNET);
    pid_t child = have_fork(&guest);
    expect_task(guest.is.cookie, (uint32_t)child);
    cr_assert_eq(nns_trace_walk(here.trace, true, take, &seen), -EOPNOTSUPP);
    stop(&guest);
}

Test(trace_without, knowing_its_pid_namespace)
{
    deny_bpf(BPF_PROG_TEST_RUN);
    open_in_silence(true);
    cr_assert(here.can.devices && !here.can.tasks && !here.can.walk);
    host_run("ip link set lo up");
    expect(1, NNS_TRACE_DEVICE_UP, here.cookie, 1);
    expect(0, NNS_TRACE_TASK, here.cookie, 0);
}

Test(trace_without, discovery)
{
    open_in_silence(false);
    cr_assert(here.can.devices && !here.can.tasks && !here.can.walk);
    struct guest guest = start(be_plain, CLONE_NEWNET);
    have_fork(&guest);
    expect(0, NNS_TRACE_TASK, guest.is.cookie, 0);
    cr_assert_eq(nns_trace_know(here.trace, guest.is.cookie), 0);
    host_run("nsenter -t %d -n ip link set lo up", guest.pid);
    expect(1, NNS_TRACE_DEVICE_UP, guest.is.cookie, 1);
    stop(&guest);
}

Test(trace, a_walk_that_cannot_begin_says_so)
{
    deny_bpf(BPF_ITER_CREATE);
    cr_assert_eq(nns_trace_walk(here.trace, true, take, &seen), -EPERM);
    cr_assert_eq(seen.count, 0);
}

/* Else it would leave out what the last one reported. */
Test(trace, a_walk_that_cannot_forget_the_last_says_so)
{
    walk(true);
    deny_bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH);
    cr_assert_eq(nns_trace_walk(here.trace, true, take, &seen), -EPERM);
}

/* A kernel that refuses one program, or all for want of memory; a buffer that cannot be mapped. */
int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
struct ring_buffer *__real_ring_buffer__new(int map_fd, ring_buffer_sample_fn take_sample, void *context,
                                            const struct ring_buffer_opts *options);
struct ring_buffer *__wrap_ring_buffer__new(int map_fd, ring_buffer_sample_fn take_sample, void *context,
                                            const struct ring_buffer_opts *options);

static const char *refused;
static bool out_of_memory, no_ring, unmapped;

static int load_unmapped(struct bpf_object_skeleton *skeleton)
{
    int rc = __real_bpf_object__load_skeleton(skeleton);

    for (int i = 0; i < skeleton->map_cnt; i++)
        if (skeleton->maps[i].mmaped)
            *skeleton->maps[i].mmaped = NULL;
    return rc;
}

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton)
{
    if (unmapped)
        return load_unmapped(skeleton);
    if (out_of_memory)
        return -ENOMEM;
    if (refused && bpf_program__autoload(bpf_object__find_program_by_name(*skeleton->obj, refused)))
        return -EINVAL;
    return __real_bpf_object__load_skeleton(skeleton);
}

struct ring_buffer *__wrap_ring_buffer__new(int map_fd, ring_buffer_sample_fn take_sample, void *context,
                                            const struct ring_buffer_opts *options)
{
    if (!no_ring)
        return __real_ring_buffer__new(map_fd, take_sample, context, options);
    errno = EAGAIN;
    return NULL;
}

Test(trace_without, memory)
{
    unsigned fds = host_open_fds();
    out_of_memory = true;
    cr_assert_eq(nns_trace_open(1, 1, true, &here.trace, &here.can), -ENOMEM);
    cr_assert_null(here.trace);
    cr_assert_eq(host_open_fds(), fds);
}

Test(trace_without, maps_that_are_mapped)
{
    unmapped = true;
    cr_assert_eq(nns_trace_open(1, 1, true, &here.trace, &here.can), 0);
    cr_expect_not(here.can.devices || here.can.tasks || here.can.walk);
    cr_expect_eq(nns_trace_lost(here.trace), 0);
}

Test(trace_without, a_buffer)
{
    no_ring = true;
    open_trace(true);
    cr_assert(!here.can.devices && !here.can.tasks && here.can.walk);
    cr_assert_eq(nns_trace_fd(here.trace), -1);
    cr_assert_eq(nns_trace_read(here.trace, 1024, take, &seen), 0);
    walk(true);
    cr_assert_eq(count_of(NNS_TRACE_TASK, here.cookie, 0), 1);
}

static void open_refusing(const char *name, bool devices, bool tasks, bool can_walk)
{
    unsigned fds = host_open_fds();
    refused = name;
    open_trace(true);
    cr_assert_eq(here.can.devices, devices, "%s", name);
    cr_assert_eq(here.can.tasks, tasks, "%s", name);
    cr_assert_eq(here.can.walk, can_walk, "%s", name);
    if (devices) {
        host_run("ip link add v0 type veth peer name v1 && ip link set v0 up");
        expect(1, NNS_TRACE_DEVICE_UP, here.cookie, if_nametoindex("v0"));
        host_run("ip link del v0");
    }
    host_run("true");
    look();
    cr_assert_eq(count_of(NNS_TRACE_TASK, here.cookie, 0) > 0, tasks, "%s", name);
    nns_trace_close(here.trace);
    cr_assert_eq(host_open_fds(), fds);
    refused = NULL;
    seen.count = 0;
}

Test(trace_without, what_the_kernel_refuses)
{
    open_refusing("nns_qdisc_destroy", false, true, true);
    open_refusing("nns_exec", true, false, true);
    open_refusing("nns_walk", true, true, false);
    open_refusing("nns_learn", true, false, false);
    open_refusing(NULL, true, true, true);
    open_trace(true);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "io/link_events.h"

/* ---- refusals ---- */

static struct {
    int socket, option, bind, recvmsg; /* the errno of the call, each time; 0: none */
    int sockets;                       /* that are still let through */
    int level_option;                  /* which of SOL_NETLINK */
    int interruptions;                 /* of recvmsg still to come */
} refused;

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

static int refuse(int error)
{
    errno = error;
    return -1;
}

int __wrap_socket(int domain, int type, int protocol)
{
    if (refused.socket && refused.sockets-- <= 0)
        return refuse(refused.socket);
    return __real_socket(domain, type, protocol);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    if (refused.option && level == SOL_NETLINK && name == refused.level_option)
        return refuse(refused.option);
    return __real_setsockopt(fd, level, name, value, length);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    return refused.bind ? refuse(refused.bind) : __real_bind(fd, address, length);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    if (refused.interruptions && refused.interruptions--)
        return refuse(EINTR);
    return refused.recvmsg ? refuse(refused.recvmsg) : __real_recvmsg(fd, message, flags);
}

/* ---- the test's namespaces ---- */

enum { GUESTS = 4 };

static struct {
    struct nns_link_events *events;
    int guests[GUESTS]; /* -1: none */
} here;

static struct {
    struct nns_link_event events[1 << 14];
    size_t count;
    bool lost;
} seen;

static int own_namespace(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    return fd;
}

/* A namespace that only its descriptor keeps. */
static int guest_new(int which)
{
    int own = own_namespace();

    host_new();
    here.guests[which] = own_namespace();
    cr_assert_eq(setns(own, CLONE_NEWNET), 0);
    close(own);
    return here.guests[which];
}

static void guest_end(int which)
{
    close(here.guests[which]);
    here.guests[which] = -1;
}

#define guest_run(which, words, ...)                                                                         \
    host_run("exec nsenter --net=/proc/%d/fd/%d " words, (int)getpid(),                                      \
             here.guests[which] __VA_OPT__(, ) __VA_ARGS__)

static void set_up(void)
{
    host_new();
    for (int i = 0; i < GUESTS; i++)
        here.guests[i] = -1;
    cr_assert_eq(nns_link_events_open(&here.events), 0);
}

static void tear_down(void)
{
    nns_link_events_close(here.events);
    for (int i = 0; i < GUESTS; i++)
        if (here.guests[i] >= 0)
            guest_end(i);
}

TestSuite(link_events, .init = set_up, .fini = tear_down, .timeout = 60);

static int32_t hear_guest(int which)
{
    int32_t nsid = NNS_NSID_NONE;

    cr_assert_eq(nns_link_events_hear(here.events, here.guests[which], &nsid), 0);
    cr_assert_geq(nsid, 0);
    return nsid;
}

/* ---- events ---- */

static void take(void *context, const struct nns_link_event *event)
{
    cr_assert_eq(context, &seen);
    cr_assert_lt(seen.count, sizeof(seen.events) / sizeof(seen.events[0]));
    seen.events[seen.count++] = *event;
}

static int look(void)
{
    return nns_link_events_read(here.events, take, &seen, &seen.lost);
}

/* Those that the kernel told of before it answered the command that caused them are there. */
static void look_anew(void)
{
    seen.count = 0;
    cr_assert_geq(look(), 0);
}

/* A name "" stands for any, a number 0, too. */
static bool is(const struct nns_link_event *event, enum nns_link_event_kind kind, int32_t nsid,
               uint32_t number, const char *name)
{
    return event->kind == kind && event->nsid == nsid && (!number || event->number == number) &&
           (!*name || strcmp(event->name, name) == 0);
}

static size_t count_of(enum nns_link_event_kind kind, int32_t nsid, uint32_t number, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < seen.count; i++)
        count += is(&seen.events[i], kind, nsid, number, name);
    return count;
}

#define expect(kind, nsid, number, name)                                                                     \
    cr_assert_geq(count_of(kind, nsid, number, name), 1, "%s of %s: not among %zu", #kind, name, seen.count)

/* What the kernel does behind a command's back. */
static void await(enum nns_link_event_kind kind, int32_t nsid, uint32_t number)
{
    struct timespec pause = {.tv_nsec = 1000000};
    time_t deadline = time(NULL) + 20;

    while (!count_of(kind, nsid, number, "")) {
        cr_assert_lt(time(NULL), deadline, "not told");
        nanosleep(&pause, NULL);
        cr_assert_geq(look(), 0);
    }
}

Test(link_events, of_its_own_namespace)
{
    host_run("ip link add v0 type veth peer name v1");
    uint32_t v0 = if_nametoindex("v0"), v1 = if_nametoindex("v1");
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, v0, "v0");
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, v1, "v1");
    host_run("ip link set v0 name renamed");
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, v0, "renamed");
    host_run("ip link set renamed up");
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, v0, "renamed");
    cr_assert_eq(count_of(NNS_LINK_GONE, NNS_NSID_NONE, 0, ""), 0);
    host_run("ip link del renamed");
    look_anew();
    expect(NNS_LINK_GONE, NNS_NSID_NONE, v0, "renamed");
    expect(NNS_LINK_GONE, NNS_NSID_NONE, v1, "v1");
    cr_assert_not(seen.lost);
}

Test(link_events, of_a_namespace_from_when_it_has_a_number)
{
    guest_new(0);
    guest_run(0, "ip link add v0 index 70 type veth peer name v1 index 71");
    look_anew();
    cr_assert_eq(seen.count, 0);
    int32_t nsid = hear_guest(0);
    guest_run(0, "ip link set v0 name renamed");
    look_anew();
    expect(NNS_LINK_CHANGED, nsid, 70, "renamed");
    guest_run(0, "ip link add v2 index 72 type bridge");
    look_anew();
    expect(NNS_LINK_CHANGED, nsid, 72, "v2");
    guest_run(0, "ip link del renamed");
    look_anew();
    expect(NNS_LINK_GONE, nsid, 70, "renamed");
    expect(NNS_LINK_GONE, nsid, 71, "v1");
    cr_assert_eq(count_of(NNS_LINK_GONE, NNS_NSID_NONE, 0, ""), 0);
}

/* The kernel names the namespace that a device went to, and its ifindex there, in numbers of the one it left.
 */
Test(link_events, of_a_device_that_moves)
{
    guest_new(0);
    guest_new(1);
    guest_run(1, "ip link add w0 index 70 type bridge");
    int32_t first = hear_guest(0), second = hear_guest(1);
    cr_assert_neq(first, second);
    guest_run(0, "ip link add v0 index 70 type veth peer name v1 index 71");
    look_anew();
    guest_run(0, "ip link set v0 netns /proc/%d/fd/%d", (int)getpid(), here.guests[1]);
    look_anew();
    expect(NNS_LINK_GONE, first, 70, "v0");
    expect(NNS_LINK_CHANGED, second, 0, "v0");
    cr_assert_eq(count_of(NNS_LINK_CHANGED, second, 70, ""), 0);
    guest_run(1, "ip link set v0 netns /proc/%d/fd/%d", (int)getpid(), here.guests[0]);
    look_anew();
    expect(NNS_LINK_GONE, second, 0, "v0");
    expect(NNS_LINK_CHANGED, first, 0, "v0");
}

Test(link_events, of_a_bridges_ports_only_what_is_true_of_them)
{
    host_run("ip link add br0 type bridge && ip link set br0 up && ip link add v0 type veth peer name v1 && "
             "ip link set v0 up master br0");
    look_anew();
    host_run("ip link set v0 nomaster");
    look_anew();
    cr_assert_gt(seen.count, 0);
    cr_assert_eq(count_of(NNS_LINK_GONE, NNS_NSID_NONE, 0, ""), 0);
}

/* Only the head of a message is read, and names can be many. */
Test(link_events, of_a_device_of_many_names)
{
    FILE *batch = popen("ip -batch -", "w");
    fprintf(batch, "link add a123456789bcdef type veth peer name v1\n");
    for (int i = 0; i < 100; i++)
        fprintf(batch, "link property add dev v1 altname %0120d\n", i);
    cr_assert_eq(pclose(batch), 0);
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, if_nametoindex("a123456789bcdef"), "a123456789bcdef");
    host_run("ip link set v1 name v2");
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, if_nametoindex("v2"), "v2");
}

/* ---- numbers ---- */

Test(link_events, a_number_is_given_once)
{
    int32_t nsid = NNS_NSID_NONE;

    guest_new(0);
    guest_new(1);
    int32_t first = hear_guest(0);
    cr_assert_eq(hear_guest(0), first);
    cr_assert_neq(hear_guest(1), first);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(nns_link_events_hear(here.events, null, &nsid), -EINVAL);
    cr_assert_eq(nns_link_events_hear(here.events, -1, &nsid), -EBADF);
    cr_assert_eq(nsid, NNS_NSID_NONE);
    close(null);
    cr_assert_eq(hear_guest(0), first);
}

Test(link_events, a_number_is_free_with_its_namespace_and_given_again)
{
    guest_new(0);
    int32_t nsid = hear_guest(0);
    look_anew();
    guest_end(0);
    await(NNS_LINK_NSID_GONE, NNS_NSID_NONE, (uint32_t)nsid);
    guest_new(1);
    cr_assert_eq(hear_guest(1), nsid);
}

/* Two that share a veth pair have numbers for each other. */
Test(link_events, a_number_in_anothers_table_is_told_as_such)
{
    for (int i = 0; i < 3; i++)
        guest_new(i);
    int32_t first = hear_guest(0);
    guest_run(0, "ip link add v0 type veth peer name v1 netns /proc/%d/fd/%d", (int)getpid(), here.guests[1]);
    look_anew();
    guest_end(1);
    await(NNS_LINK_NSID_GONE, first, 0);
    cr_assert_eq(count_of(NNS_LINK_NSID_GONE, NNS_NSID_NONE, 0, ""), 0);
}

static void note(void *context, int32_t nsid)
{
    cr_assert_lt(nsid, 64);
    *(uint64_t *)context |= (uint64_t)1 << nsid;
}

Test(link_events, all_that_are_given)
{
    uint64_t given = 0;

    cr_assert_eq(nns_link_events_each(here.events, note, &given), 0);
    cr_assert_eq(given, 0);
    guest_new(0);
    guest_new(1);
    uint64_t first = (uint64_t)1 << hear_guest(0), second = (uint64_t)1 << hear_guest(1);
    cr_assert_eq(nns_link_events_each(here.events, note, &given), 0);
    cr_assert_eq(given, first | second);
    guest_end(0);
    await(NNS_LINK_NSID_GONE, NNS_NSID_NONE, 0);
    given = 0;
    cr_assert_eq(nns_link_events_each(here.events, note, &given), 0);
    cr_assert_eq(given, second);
}

/* ---- bounds ---- */

static void make_links(int count)
{
    FILE *batch = popen("ip -batch -", "w");

    for (int i = 0; i < count; i++)
        fprintf(batch, "link add a%d type veth peer name b%d\n", i, i);
    cr_assert_eq(pclose(batch), 0);
}

static short state(void)
{
    struct pollfd asked = {.fd = nns_link_events_fd(here.events), .events = POLLIN};

    cr_assert_geq(poll(&asked, 1, 0), 0);
    return asked.revents;
}

static void have_room_for(int bytes)
{
    cr_assert_eq(
        setsockopt(nns_link_events_fd(here.events), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
}

Test(link_events, what_found_no_room_is_told_once_when_all_is_read)
{
    have_room_for(1);
    make_links(20);
    cr_assert(state() & POLLERR);
    cr_assert_geq(look(), 1);
    cr_assert(seen.lost);
    cr_assert_eq(seen.count, 0, "after a loss what waits says nothing");
    cr_assert_eq(state(), 0);
    seen.lost = false;
    cr_assert_eq(look(), 0);
    cr_assert_not(seen.lost);
    have_room_for(1 << 20);
    host_run("ip link set a0 name renamed");
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, 0, "renamed");
    cr_assert_not(seen.lost);
}

/* While something waits the kernel takes no more, however much room there is. */
Test(link_events, a_loss_that_takes_more_than_one_read)
{
    have_room_for(4 << 20);
    make_links(1000);
    have_room_for(1);
    host_run("ip link set a0 name renamed");
    cr_assert_eq(look(), 1024);
    cr_assert_not(seen.lost, "the last was not read yet");
    cr_assert(state() & POLLIN);
    for (int i = 0; i < 10 && !seen.lost; i++)
        cr_assert_geq(look(), 0);
    cr_assert(seen.lost);
    cr_assert_eq(seen.count, 0);
    cr_assert_eq(state(), 0);
}

Test(link_events, a_read_is_bounded)
{
    have_room_for(16 << 20);
    make_links(600);
    cr_assert_eq(look(), 1024);
    cr_assert(state() & POLLIN);
    look_anew();
    cr_assert_gt(seen.count, 0);
    cr_assert_eq(state(), 0);
    cr_assert_not(seen.lost);
}

/* ---- refusals ---- */

static int open_again(void)
{
    struct nns_link_events *events = NULL;
    unsigned before = host_open_fds();
    int rc = nns_link_events_open(&events);

    if (rc) {
        cr_assert_null(events);
        cr_assert_eq(host_open_fds(), before);
    }
    nns_link_events_close(events);
    return rc;
}

Test(link_events, refused_at_the_start)
{
    cr_assert_eq(open_again(), 0);
    for (int let = 0; let < 2; let++) {
        refused.socket = EMFILE;
        refused.sockets = let;
        cr_assert_eq(open_again(), -EMFILE);
    }
    refused.socket = 0;
    refused.bind = ENOMEM;
    cr_assert_eq(open_again(), -ENOMEM);
    refused.bind = 0;
    refused.option = EPERM;
    refused.level_option = NETLINK_LISTEN_ALL_NSID;
    cr_assert_eq(open_again(), -EPERM);
    refused.level_option = NETLINK_ADD_MEMBERSHIP;
    cr_assert_eq(open_again(), -EPERM);
    refused.option = 0;
    cr_assert_eq(open_again(), 0);
}

Test(link_events, refused_while_it_reads)
{
    host_run("ip link add v0 type veth peer name v1");
    refused.recvmsg = ENOMEM;
    cr_assert_eq(look(), -ENOMEM);
    cr_assert_eq(seen.count, 0);
    refused.recvmsg = 0;
    refused.interruptions = 3;
    look_anew();
    expect(NNS_LINK_CHANGED, NNS_NSID_NONE, if_nametoindex("v0"), "v0");
    cr_assert_not(seen.lost);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "io/links.h"
#include "io/netns.h"
#include "io/resolve.h"

/* Devices listed by the program, beside what a dump over rtnetlink says. */
static struct {
    struct nns_resolver *resolver;
    struct nns_netns_id id;
    int netns;
    struct nns_links links;
} here;

static bool kernel_has(const char *function)
{
    char command[64];
    snprintf(command, sizeof(command), "grep -qw %s /proc/kallsyms", function);
    return system(command) == 0;
}

/* The program is loaded with the one that looks pids up, which older kernels do in the first pid namespace
 * alone. */
static bool kernel_lists(void)
{
    struct stat own;
    bool first = stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == 0xeffffffcu;
    return kernel_has("bpf_task_from_vpid") || (first && kernel_has("bpf_task_from_pid"));
}

/* The one under test: this thread's, at the moment. */
static void open_here(void)
{
    here.netns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(nns_netns_identify_fully(here.netns, &here.id), 0);
}

static void set_up(void)
{
    struct nns_netns_abilities abilities;
    if (!kernel_lists())
        cr_skip_test("this kernel has no program for that");
    host_new();
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    open_here();
    cr_assert_eq(nns_resolver_open(1, &here.resolver), 0);
    cr_assert(nns_resolver_lists(here.resolver));
}

static void tear_down(void)
{
    nns_links_deinit(&here.links);
    nns_resolver_close(here.resolver);
    close(here.netns);
}

TestSuite(list, .init = set_up, .fini = tear_down, .timeout = 90);

/* Whatever the kernel has: a resolver that lists, or none. */
Test(list_anywhere, says_what_it_can, .timeout = 90)
{
    struct nns_resolver *resolver = NULL;
    int r = nns_resolver_open(1, &resolver);
    cr_assert_eq(r == 0, kernel_lists(), "%d", r);
    cr_assert_eq(nns_resolver_lists(resolver), kernel_lists());
    nns_resolver_close(resolver);
}

static int try_list(void)
{
    return nns_resolver_list(here.resolver, here.netns, here.id.cookie, &here.links);
}

static void list(void)
{
    cr_assert_eq(try_list(), 0);
    for (size_t i = 1; i < here.links.count; i++)
        cr_assert_lt(here.links.items[i - 1].ifindex, here.links.items[i].ifindex);
}

/* A dump may pass a device over, and says so of those without a qdisc; the program does not. */
static void expect_what_a_dump_shows(void)
{
    struct nns_links dumped = NNS_LINKS_NULL;
    int socket = nns_netns_enter(here.netns, 1);
    cr_assert_geq(socket, 0);
    cr_assert_eq(nns_links_list(socket, &dumped), NNS_LINKS_ALL);
    nns_netns_leave(socket);
    cr_assert_eq(here.links.count, dumped.count);
    for (size_t i = 0; i < dumped.count; i++) {
        const struct nns_link *ours = &here.links.items[i], *theirs = &dumped.items[i];
        uint8_t qdisc = theirs->qdisc == NNS_QDISC_PRESUMED_NONE ? NNS_QDISC_NONE : theirs->qdisc;
        cr_assert_eq(ours->ifindex, theirs->ifindex);
        cr_assert_str_eq(ours->name, theirs->name);
        cr_assert_str_eq(ours->kind, theirs->kind, "%s: %s", ours->name, ours->kind);
        cr_assert_eq(ours->qdisc, qdisc, "%s: %u", ours->name, ours->qdisc);
    }
    nns_links_deinit(&dumped);
}

Test(list, shows_what_a_dump_shows)
{
    host_run(
        "ip link add v0 type veth peer name v1 && ip link add br0 type bridge && "
        "ip link add m0 link v0 type macvlan && ip tuntap add t0 mode tun && ip link add x0 type vxlan id 7 "
        "dstport 4789 && "
        "ip link add a123456789bcdef index 4000 type veth peer name v3 && ip link set up dev v0 && "
        "ip link set up dev lo && "
        "tc qdisc add dev v0 clsact && tc qdisc add dev v1 ingress && tc qdisc add dev br0 root pfifo && "
        "tc qdisc add dev m0 clsact && tc qdisc del dev m0 clsact");
    list();
    cr_assert_eq(here.links.count, 9);
    expect_what_a_dump_shows();
    cr_assert_eq(nns_links_find(&here.links, if_nametoindex("v0"))->qdisc, NNS_QDISC_CLSACT);
    cr_assert_eq(nns_links_find(&here.links, if_nametoindex("v1"))->qdisc, NNS_QDISC_INGRESS);
}

Test(list, follows_what_changes)
{
    host_run("ip link add v0 type veth peer name v1");
    list();
    cr_assert_eq(here.links.count, 3);
    host_run("ip link set v0 name w0 && tc qdisc add dev w0 clsact && ip link del v1 && ip link add b0 type "
             "bridge");
    list();
    cr_assert_eq(here.links.count, 2);
    expect_what_a_dump_shows();
}

/* The thread stays where it is, and a namespace that nobody is in is listed, too. */
Test(list, a_namespace_that_nobody_is_in)
{
    struct stat before, after;
    host_run("ip link add v0 type veth peer name v1");
    cr_assert_eq(unshare(CLONE_NEWNET), 0);
    cr_assert_eq(stat("/proc/thread-self/ns/net", &before), 0);
    list();
    cr_assert_eq(here.links.count, 3);
    cr_assert_eq(stat("/proc/thread-self/ns/net", &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    open_here();
    list();
    cr_assert_eq(here.links.count, 1);
    cr_assert_str_eq(here.links.items[0].name, "lo");
}

/* Whatever else a descriptor is of: nothing is listed for it, and nothing breaks. */
Test(list, only_what_was_meant)
{
    list();
    const struct nns_links before = here.links;
    const int fd = here.netns;
    here.id.cookie++;
    cr_assert_eq(try_list(), -ESTALE);
    static const char *const paths[] = {
        "/dev/null", "/proc/self/ns/uts", "/proc/self/ns/pid", "/etc/passwd", "/", "/proc"};
    here.id.cookie--;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        here.netns = open(paths[i], O_RDONLY | O_CLOEXEC);
        cr_assert_geq(here.netns, 0);
        int r = try_list();
        cr_assert(r == -ESTALE || r == -EBADF, "%s: %d", paths[i], r);
        close(here.netns);
    }
    int sockets[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    for (int i = 0; i < 2; i++) {
        here.netns = sockets[i];
        int r = try_list();
        cr_assert(r == -ESTALE || r == -EBADF, "a socket: %d", r);
    }
    static const int never[] = {-1, 999, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        here.netns = never[i];
        cr_assert_eq(try_list(), -EBADF);
    }
    here.netns = fd;
    cr_assert_eq(memcmp(&before, &here.links, sizeof(before)), 0);
}

static void add_devices(int from, int pairs)
{
    FILE *batch = popen("ip -batch -", "w");
    for (int i = from; i < from + pairs; i++)
        fprintf(batch, "link add a%d type veth peer name b%d\n", i, i);
    cr_assert_eq(pclose(batch), 0);
}

Test(list, as_many_as_there_is_room_for)
{
    add_devices(0, 127);
    host_run("ip link add b0000 type bridge");
    list();
    cr_assert_eq(here.links.count, 256);
    expect_what_a_dump_shows();
    host_run("ip link add b0001 type bridge");
    const struct nns_links before = here.links;
    cr_assert_eq(try_list(), -E2BIG);
    cr_assert_eq(memcmp(&before, &here.links, sizeof(before)), 0);
}

/* ---- while others change them ---- */

#define OLD_NAME "aaaaaaaaaaaaaaa"
#define NEW_NAME "bbbbbbbbbbbbbbb"

static atomic_bool enough;
static int elsewhere;

static void *keep_renaming(void *unused)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uintptr_t renamed = 0;
    for (; !atomic_load(&enough); renamed++) {
        strcpy(request.ifr_name, renamed % 2 ? NEW_NAME : OLD_NAME);
        strcpy(request.ifr_newname, renamed % 2 ? OLD_NAME : NEW_NAME);
        if (ioctl(fd, SIOCSIFNAME, &request) < 0)
            break;
    }
    close(fd);
    return (void *)renamed;
}

/* One moves to the other namespace and back, one comes and goes. */
static void *keep_changing(void *unused)
{
    char command[256];
    uintptr_t rounds = 0;
    snprintf(command, sizeof(command),
             "ip link set dev m0 netns /proc/%d/fd/%d && ip link add c0 type veth peer name c1 && "
             "nsenter --net=/proc/%d/fd/%d ip link set dev m0 netns /proc/%d/fd/%d && ip link del c0",
             getpid(), elsewhere, getpid(), elsewhere, getpid(), here.netns);
    while (!atomic_load(&enough) && system(command) == 0)
        rounds++;
    return (void *)rounds;
}

static void check_those_that_stay(uint32_t renamed, uint32_t stays)
{
    const struct nns_link *link = nns_links_find(&here.links, renamed);
    cr_assert_not_null(link);
    cr_assert(strcmp(link->name, OLD_NAME) == 0 || strcmp(link->name, NEW_NAME) == 0, "%s", link->name);
    link = nns_links_find(&here.links, stays);
    cr_assert_not_null(link);
    cr_assert_str_eq(link->name, "stays");
    cr_assert_str_eq(link->kind, "bridge");
    cr_assert_eq(link->qdisc, NNS_QDISC_CLSACT);
    for (size_t i = 1; i < here.links.count; i++)
        cr_assert_lt(here.links.items[i - 1].ifindex, here.links.items[i].ifindex);
}

/* No name is put together of two, who stays is always there, who is elsewhere leads nobody astray. */
Test(list, holds_while_devices_are_renamed_move_come_and_go)
{
    int home = here.netns;
    cr_assert_eq(unshare(CLONE_NEWNET), 0);
    host_run("ip link add e0 type bridge");
    elsewhere = open("/proc/thread-self/ns/net", O_RDONLY);
    cr_assert_eq(setns(home, CLONE_NEWNET), 0);
    host_run("ip link add " OLD_NAME " type bridge && ip link add m0 type veth peer name m1 && "
             "ip link add stays type bridge && tc qdisc add dev stays clsact");
    uint32_t renamed = if_nametoindex(OLD_NAME), stays = if_nametoindex("stays");
    pthread_t renaming, changing;
    cr_assert_eq(pthread_create(&renaming, NULL, keep_renaming, NULL), 0);
    cr_assert_eq(pthread_create(&changing, NULL, keep_changing, NULL), 0);
    unsigned listed = 0, again = 0;
    for (time_t until = time(NULL) + 5; time(NULL) < until;) {
        int r = try_list();
        cr_assert(r == 0 || r == -EAGAIN, "%d", r);
        again += r != 0;
        listed += r == 0;
        if (r == 0)
            check_those_that_stay(renamed, stays);
        nns_links_deinit(&here.links);
    }
    atomic_store(&enough, true);
    void *renames, *rounds;
    pthread_join(renaming, &renames);
    pthread_join(changing, &rounds);
    cr_assert_gt((uintptr_t)renames, 100);
    cr_assert_gt((uintptr_t)rounds, 3);
    cr_assert_gt(listed, 1000, "%u, and again %u", listed, again);
    close(elsewhere);
}

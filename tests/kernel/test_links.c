/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "core/counters.h"
#include "core/looks.h"
#include "io/links.h"
#include "io/netns.h"

static struct {
    int netns, socket;
    struct nns_links links;
    unsigned lost; /* so many of the next answers are */
} here;

ssize_t __real_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    for (; here.lost; here.lost--)
        if (__real_recv(fd, bytes, length, flags) < 0)
            return -1;
    return __real_recv(fd, bytes, length, flags);
}

static void set_up(void)
{
    host_new();
    struct nns_netns_abilities abilities;
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    enum nns_netns_way way;
    here.netns = nns_netns_open_pid((uint32_t)getpid(), &way);
    here.socket = nns_netns_enter(here.netns, 1);
    cr_assert_geq(here.socket, 0);
}

static void tear_down(void)
{
    nns_links_deinit(&here.links);
    nns_netns_leave(here.socket);
    close(here.netns);
}

TestSuite(links, .init = set_up, .fini = tear_down);

static const struct nns_link *find(const char *name)
{
    for (size_t i = 0; i < here.links.count; i++) {
        if (strcmp(here.links.items[i].name, name) == 0)
            return &here.links.items[i];
    }
    cr_assert_fail("%s is not listed", name);
    return NULL;
}

static void expect(const char *name, const char *kind, enum nns_qdisc qdisc)
{
    const struct nns_link *link = find(name);
    cr_assert_eq(link->ifindex, if_nametoindex(name));
    cr_assert_str_eq(link->kind, kind);
    cr_assert_eq(link->qdisc, qdisc, "%s: %u", name, link->qdisc);
}

static void list(void)
{
    cr_assert_eq(nns_links_list(here.socket, &here.links), 0);
    for (size_t i = 1; i < here.links.count; i++)
        cr_assert_lt(here.links.items[i - 1].ifindex, here.links.items[i].ifindex);
}

Test(links, names_kinds_and_qdiscs)
{
    host_run("ip link add v0 type veth peer name v1 && ip link add br0 type bridge && "
             "ip link add m0 link v0 type macvlan && ip tuntap add t0 mode tun && "
             "ip link add a123456789bcdef type veth peer name v3 && "
             "tc qdisc add dev v0 clsact && tc qdisc add dev v1 ingress && tc qdisc add dev br0 root pfifo");
    list();
    cr_assert_eq(here.links.count, 8);
    expect("lo", "loopback", NNS_QDISC_PRESUMED_NONE);
    expect("v0", "veth", NNS_QDISC_CLSACT);
    expect("v1", "veth", NNS_QDISC_INGRESS);
    expect("br0", "bridge", NNS_QDISC_NONE);
    expect("m0", "macvlan", NNS_QDISC_PRESUMED_NONE);
    expect("t0", "tun", NNS_QDISC_PRESUMED_NONE);
    expect("a123456789bcdef", "veth", NNS_QDISC_PRESUMED_NONE);
}

Test(links, lists_again_from_scratch)
{
    list();
    cr_assert_eq(here.links.count, 1);
    host_run("ip link add v0 type veth peer name v1 && tc qdisc add dev v0 clsact");
    list();
    cr_assert_eq(here.links.count, 3);
    host_run("ip link del v0");
    list();
    cr_assert_eq(here.links.count, 1);
}

/* 300 devices are several datagrams; high ifindexes come out of order on kernels that dump by hash. */
Test(links, many_devices)
{
    FILE *batch = popen("ip -batch -", "w");
    for (int i = 0; i < 150; i++)
        fprintf(batch, "link add a%d index %d type veth peer name b%d\n", i, 100000 - 37 * i, i);
    cr_assert_eq(pclose(batch), 0);
    host_run("tc qdisc add dev a149 clsact");
    list();
    cr_assert_eq(here.links.count, 301);
    expect("a0", "veth", NNS_QDISC_PRESUMED_NONE);
    expect("a149", "veth", NNS_QDISC_CLSACT);
    expect("b75", "veth", NNS_QDISC_PRESUMED_NONE);
}

/* Alternative names make one device's message longer than any datagram of a usual dump. */
Test(links, a_device_that_fills_more_than_a_datagram)
{
    FILE *batch = popen("ip -batch -", "w");
    fprintf(batch, "link add v0 type veth peer name v1\n");
    for (int i = 0; i < 450; i++)
        fprintf(batch, "link property add dev v0 altname %0120d\n", i);
    cr_assert_eq(pclose(batch), 0);
    list();
    cr_assert_eq(here.links.count, 3);
    expect("v0", "veth", NNS_QDISC_PRESUMED_NONE);
    expect("v1", "veth", NNS_QDISC_PRESUMED_NONE);
}

Test(links, a_failure_is_not_an_empty_list)
{
    list();
    struct nns_links before = here.links;
    cr_assert_eq(nns_links_list(-1, &here.links), -EBADF);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert_eq(nns_links_list(null, &here.links), -ENOTSOCK);
    cr_assert_eq(memcmp(&before, &here.links, sizeof(before)), 0);
    cr_assert_str_eq(here.links.items[0].name, "lo");
}

/* What an earlier exchange left in the socket is not taken for this one's. */
Test(links, strangers_in_the_socket_are_ignored)
{
    struct {
        struct nlmsghdr head;
        struct rtgenmsg family;
    } request = {.head = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK, .nlmsg_seq = 77}};
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    cr_assert_gt(send(here.socket, &request, sizeof(request), 0), 0);
    list();
    cr_assert_eq(here.links.count, 1);
}

static atomic_bool enough;

static void *keep_adding(void *unused)
{
    FILE *batch = popen("ip -batch -", "w");
    for (int i = 0; !atomic_load(&enough); i++)
        fprintf(batch, "link add c%d type veth peer name d%d\n", i, i);
    return pclose(batch) == 0 ? batch : NULL;
}

/* The kernel marks a dump that devices came and went under; it is counted, and asked for again. */
Test(links, a_change_during_the_dump_is_counted)
{
    FILE *batch = popen("ip -batch -", "w");
    for (int i = 0; i < 300; i++)
        fprintf(batch, "link add a%d type veth peer name b%d\n", i, i);
    cr_assert_eq(pclose(batch), 0);
    list();
    cr_assert_eq(nns_counter_read(NNS_COUNT_LIST_INTERRUPTED), 0);
    pthread_t adding;
    cr_assert_eq(pthread_create(&adding, NULL, keep_adding, NULL), 0);
    time_t deadline = time(NULL) + 30;
    while (!nns_counter_read(NNS_COUNT_LIST_INTERRUPTED) && time(NULL) < deadline) {
        int r = nns_links_list(here.socket, &here.links);
        cr_assert(r == NNS_LINKS_ALL || r == NNS_LINKS_PART, "%d", r);
    }
    atomic_store(&enough, true);
    void *added = NULL;
    pthread_join(adding, &added);
    cr_assert_not_null(added);
    cr_assert_gt(nns_counter_read(NNS_COUNT_LIST_INTERRUPTED), 0);
    list();
    cr_assert_gt(here.links.count, 601);
}

/* ---- some of them ---- */

static int get(const uint32_t *ifindexes, size_t count)
{
    int r = nns_links_get(here.socket, ifindexes, count, &here.links);
    for (size_t i = 1; r == 0 && i < here.links.count; i++)
        cr_assert_lt(here.links.items[i - 1].ifindex, here.links.items[i].ifindex);
    return r;
}

static void make_three(void)
{
    host_run("ip link add v0 index 20 type veth peer name v1 index 10 && "
             "ip link add br0 index 30 type bridge && tc qdisc add dev v0 clsact");
}

Test(links, some_are_asked_for_and_one_is_gone)
{
    make_three();
    host_run("tc qdisc add dev br0 root pfifo");
    cr_assert_eq(get((const uint32_t[]){20, 4711, 1, 10}, 4), 0);
    cr_assert_eq(here.links.count, 3);
    expect("lo", "loopback", NNS_QDISC_UNKNOWN);
    expect("v0", "veth", NNS_QDISC_UNKNOWN);
    expect("v1", "veth", NNS_QDISC_UNKNOWN);
    cr_assert_eq(get((const uint32_t[]){30}, 1), 0);
    cr_assert_eq(here.links.count, 1);
    expect("br0", "bridge", NNS_QDISC_UNKNOWN);
    cr_assert_eq(get((const uint32_t[]){4711}, 1), 0);
    cr_assert_eq(here.links.count, 0);
    cr_assert_eq(get(NULL, 0), 0);
    cr_assert_eq(here.links.count, 0);
}

Test(links, as_many_as_may_be_asked_for_at_once)
{
    uint32_t ifindexes[NNS_LOOKS_MAX];
    FILE *batch = popen("ip -batch -", "w");
    for (uint32_t i = 0; i < NNS_LOOKS_MAX; i++) {
        ifindexes[i] = 100 + i;
        fprintf(batch, "link add a%u index %u type veth peer name b%u index %u\n", i, 100 + i, i, 1000 + i);
    }
    cr_assert_eq(pclose(batch), 0);
    cr_assert_eq(get(ifindexes, NNS_LOOKS_MAX), 0);
    cr_assert_eq(here.links.count, NNS_LOOKS_MAX);
}

/* Also the word that there is no such device: without it that is not known. */
Test(links, an_answer_that_is_lost_is_asked_for_again)
{
    const uint32_t ifindexes[] = {10, 4711, 20};
    make_three();
    for (here.lost = 1; here.lost <= 3; here.lost++) {
        unsigned lost = here.lost;
        cr_assert_eq(get(ifindexes, 3), 0, "%u", lost);
        cr_assert_eq(here.links.count, 2, "%u", lost);
        here.lost = lost;
    }
}

Test(links, what_is_lost_again_and_again_is_not_gone)
{
    list();
    struct nns_links before = here.links;
    here.lost = 100;
    cr_assert_eq(get((const uint32_t[]){1}, 1), -EAGAIN);
    cr_assert_eq(memcmp(&before, &here.links, sizeof(before)), 0);
    cr_assert_eq(nns_links_get(-1, (const uint32_t[]){1}, 1, &here.links), -EBADF);
    cr_assert_eq(memcmp(&before, &here.links, sizeof(before)), 0);
}

Test(links, one_that_takes_more_than_a_datagram_is_got)
{
    FILE *batch = popen("ip -batch -", "w");
    fprintf(batch, "link add v0 index 20 type veth peer name v1\n");
    for (int i = 0; i < 450; i++)
        fprintf(batch, "link property add dev v0 altname %0120d\n", i);
    cr_assert_eq(pclose(batch), 0);
    cr_assert_eq(get((const uint32_t[]){20, 1}, 2), 0);
    cr_assert_eq(here.links.count, 2);
    expect("v0", "veth", NNS_QDISC_UNKNOWN);
}

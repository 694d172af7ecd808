/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/discover.h"

#include "feed_host.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>

/* With kernel and workers played by the test. */
static struct {
    int mounts_fd; /* readable while there is something */
    struct nns_discover *discover;
    unsigned wanted[NNS_CHORES];
    int mounts_changed; /* what is said of mounts */
    unsigned mount_looks;
    bool new_mounts;
} h;

/* ---- in place of io/mounts.c and pool.c ---- */

int nns_mounts_fd(const struct nns_mounts *mounts)
{
    return h.mounts_fd;
}

int nns_mounts_changed(struct nns_mounts *mounts)
{
    char byte;

    h.mount_looks++;
    /* By mountinfo to look is to take the word away, whatever becomes of it. */
    if (recv(h.mounts_fd, &byte, 1, MSG_OOB) < 0 && errno == ENOTSOCK && h.mounts_changed >= 0)
        feed_host_drain(h.mounts_fd);
    return h.mounts_changed;
}

bool nns_mounts_has_new(struct nns_mounts *mounts)
{
    return h.new_mounts;
}

void nns_pool_want(struct nns_pool *pool, enum nns_chore chore)
{
    h.wanted[chore]++;
}

/* ---- the test's side ---- */

static void open_with(enum nns_mounts_way way, bool look)
{
    cr_assert_eq(
        nns_discover_open(&loop, (struct nns_mounts *)&h, way, look, (struct nns_pool *)&h, &h.discover), 0);
}

static void set_up(void)
{
    h.mounts_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    feed_host_open();
}

static void end(void)
{
    nns_discover_close(h.discover);
    close(h.mounts_fd);
    feed_host_close();
}

TestSuite(discover, .init = set_up, .timeout = 60);

LOOP_TEST(discover, it_begins_with_a_look_at_everything_where_that_is_wanted, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, true);
    TURN_UNTIL(h.wanted[NNS_CHORE_SCAN]);
    turn(20);
    cr_expect_eq(h.wanted[NNS_CHORE_SCAN], 1);
}

LOOP_TEST(discover, without_that_it_does_not, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    turn(20);
    cr_expect_eq(h.wanted[NNS_CHORE_SCAN], 0);
}

LOOP_TEST(discover, only_mounts_that_are_new_are_looked_at, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.mounts_changed = 1;
    eventfd_write(h.mounts_fd, 1);
    TURN_UNTIL(h.mount_looks == 1);
    cr_expect_eq(h.wanted[NNS_CHORE_MOUNTS], 0, "one that went");
    h.new_mounts = true;
    eventfd_write(h.mounts_fd, 1);
    TURN_UNTIL(h.mount_looks == 2);
    cr_expect_eq(h.wanted[NNS_CHORE_MOUNTS], 1);
}

/* By mountinfo nothing stays readable that would have it look again. */
LOOP_TEST(discover, mounts_that_could_not_be_read_are_read_again, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.mounts_changed = -ENOMEM;
    eventfd_write(h.mounts_fd, 1);
    TURN_UNTIL(h.mount_looks == 1);
    turn(20);
    cr_expect_eq(h.mount_looks, 1, "with rests");
    h.mounts_changed = 1;
    h.new_mounts = true;
    TURN_UNTIL(h.mount_looks == 2);
    cr_expect_eq(h.wanted[NNS_CHORE_MOUNTS], 1);
}

LOOP_TEST(discover, pauses_grow_while_mounts_cannot_be_read, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.mounts_changed = -ENOMEM;
    pauses.ms = 1;
    eventfd_write(h.mounts_fd, 1);
    TURN_UNTIL(h.mount_looks == NNS_TRIES_MAX + 1);
    expect_growing_pauses(NNS_TRIES_MAX + 1);
    h.mounts_changed = 1;
    TURN_UNTIL(h.mount_looks == NNS_TRIES_MAX + 2);
    h.mounts_changed = -ENOMEM;
    eventfd_write(h.mounts_fd, 1);
    TURN_UNTIL(pauses.count == 1);
    expect_growing_pauses(1);
}

/* A connection whose one end has POLLPRI when the other was sent a byte out of band. */
static void connect_out_of_band(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(ends[1], (struct sockaddr *)&address, sizeof(address)), 0);
    ends[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    cr_assert_geq(ends[0], 0);
    close(listener);
}

LOOP_TEST(discover, mounts_by_mountinfo_that_could_not_be_read_are_read_again, end)
{
    int ends[2];

    close(h.mounts_fd);
    connect_out_of_band(ends);
    h.mounts_fd = ends[0];
    open_with(NNS_MOUNTS_MOUNTINFO, false);
    h.mounts_changed = -ENOMEM;
    cr_assert_eq(send(ends[1], "x", 1, MSG_OOB), 1);
    TURN_UNTIL(h.mount_looks == 1);
    turn(20);
    cr_expect_eq(h.mount_looks, 1, "its poll took the word away");
    cr_assert_eq(send(ends[1], "x", 1, MSG_OOB), 1);
    turn(20);
    cr_expect_eq(h.mount_looks, 1, "whatever changes meanwhile");
    h.mounts_changed = 1;
    TURN_UNTIL(h.mount_looks == 2);
    turn(20);
    cr_expect_eq(h.mount_looks, 2);
    close(ends[1]);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/discover.h"

#include "feed_host.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/counters.h"
#include "fail_alloc.h"

/* The feeds with kernel, workers and owner played by the test. */
enum { TASK = 77, KEPT = 64 * NNS_BATCH_MAX };

static struct {
    int trace_fd, mounts_fd; /* readable while there is something */
    struct nns_discover *discover;
    unsigned devices, tasks; /* that a read hands over */
    int error;               /* of each read; 0: none */
    uint64_t lost;           /* as the kernel counts */
    unsigned reads;
    bool busy;       /* the workers have no room */
    unsigned served; /* pids that they took */
    unsigned wanted[NNS_CHORES];
    int mounts_changed; /* what is said of mounts */
    unsigned mount_looks;
    bool new_mounts;
} h;

/* ---- in place of io/trace.c, io/mounts.c and pool.c ---- */

int nns_trace_fd(const struct nns_trace *trace)
{
    return h.trace_fd;
}

uint64_t nns_trace_lost(const struct nns_trace *trace)
{
    return h.lost;
}

int nns_trace_read(struct nns_trace *trace, nns_trace_taker *take, void *context)
{
    struct nns_trace_event event = {.kind = NNS_TRACE_DEVICE_BARE, .number = 7};

    h.reads++;
    if (h.error)
        return h.error;
    feed_host_drain(h.trace_fd);
    for (unsigned i = 0; i < h.devices; i++)
        take(context, &event);
    event = (struct nns_trace_event){.kind = NNS_TRACE_TASK, .number = TASK};
    for (unsigned i = 0; i < h.tasks; i++)
        take(context, &event);
    return (int)(h.devices + h.tasks);
}

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

bool nns_pool_submit(struct nns_pool *pool, struct nns_batch *batch)
{
    cr_assert(batch->found);
    if (h.busy)
        return false;
    cr_assert_eq(batch->results[0].pid, TASK);
    h.served += batch->count;
    free(batch);
    return true;
}

void nns_pool_want(struct nns_pool *pool, enum nns_chore chore)
{
    h.wanted[chore]++;
}

/* ---- the test's side ---- */

static void open_with(enum nns_mounts_way way, bool look)
{
    cr_assert_eq(nns_discover_open(&loop, (struct nns_trace *)&h, (struct nns_mounts *)&h, way, look,
                                   (struct nns_pool *)&h, &box, &h.discover),
                 0);
}

static void set_up(void)
{
    h.trace_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    h.mounts_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    feed_host_open();
}

static void end(void)
{
    nns_discover_close(h.discover);
    close(h.trace_fd);
    close(h.mounts_fd);
    feed_host_close();
}

TestSuite(discover, .init = set_up, .timeout = 60);

static void happen(unsigned devices, unsigned tasks)
{
    h.devices = devices;
    h.tasks = tasks;
    cr_assert_eq(eventfd_write(h.trace_fd, 1), 0);
}

static struct {
    unsigned letters, events, lost, passed_over;
} came;

static void see(const struct nns_letter *letter)
{
    const struct nns_events *events = (const struct nns_events *)letter;

    came.events += events->count;
    came.lost += events->lost;
    came.passed_over += events->passed_over;
}

static void collect(void)
{
    came.letters += feed_host_take(NNS_LETTER_EVENTS, see);
}

LOOP_TEST(discover, devices_go_to_the_owner_and_tasks_to_the_workers, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    happen(NNS_EVENTS_MAX + 1, NNS_BATCH_MAX + 1);
    TURN_UNTIL(h.reads == 1);
    collect();
    cr_expect_eq(came.letters, 2);
    cr_expect_eq(came.events, NNS_EVENTS_MAX + 1);
    cr_expect_eq(came.lost + came.passed_over, 0);
    cr_expect_eq(h.served, NNS_BATCH_MAX + 1);
}

LOOP_TEST(discover, devices_do_not_wait_for_busy_workers, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.busy = true;
    happen(1, NNS_BATCH_MAX + 1);
    TURN_UNTIL(h.reads == 1);
    collect();
    cr_expect_eq(came.events, 1);
    cr_expect_eq(came.lost, 0);
    happen(1, 1);
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_expect_eq(came.events, 2);
    cr_expect_eq(h.served, 0);
    h.busy = false;
    nns_discover_resume(h.discover);
    cr_expect_eq(h.served, NNS_BATCH_MAX + 2, "tasks do");
    cr_expect_eq(came.passed_over, 0);
}

LOOP_TEST(discover, tasks_that_there_is_no_room_for_are_passed_over_and_that_is_told, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.busy = true;
    happen(0, KEPT + 5);
    TURN_UNTIL(h.reads == 1);
    collect();
    cr_expect_eq(came.passed_over, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_DISCOVER_PASSED_OVER), 5);
    h.busy = false;
    nns_discover_resume(h.discover);
    cr_expect_eq(h.served, KEPT);
    happen(0, 1);
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_expect_eq(came.passed_over, 1);
    cr_expect_eq(h.served, KEPT + 1);
    cr_expect_eq(h.wanted[NNS_CHORE_SCAN], 0, "the owner has a pace for that");
}

LOOP_TEST(discover, tasks_that_nobody_took_are_no_leak, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.busy = true;
    happen(0, 2 * NNS_BATCH_MAX);
    TURN_UNTIL(h.reads == 1);
}

LOOP_TEST(discover, nothing_is_read_while_the_mailbox_is_full, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    happen(BOX * NNS_EVENTS_MAX, 0);
    TURN_UNTIL(h.reads == 1);
    happen(1, 1);
    turn(20);
    cr_assert_eq(h.reads, 1);
    collect();
    cr_assert(nns_mailbox_awaited(&box), "whoever takes is told");
    nns_discover_resume(h.discover);
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.events, BOX * NNS_EVENTS_MAX + 1);
}

LOOP_TEST(discover, losses_are_told_and_nothing_else_is_asked_for, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    for (unsigned i = 1; i <= 3; i++) {
        h.lost += 5;
        happen(0, 0);
        TURN_UNTIL(h.reads == i);
        collect();
    }
    happen(1, 0);
    TURN_UNTIL(h.reads == 4);
    collect();
    cr_expect_eq(came.lost, 3);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_LOST), 15);
    cr_expect_eq(h.wanted[NNS_CHORE_SCAN], 0);
}

/* No other event need come. */
static void lose_without_memory(unsigned devices, unsigned tasks)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    happen(devices, tasks);
    fail_alloc_after(0);
    TURN_UNTIL(h.reads == 1);
    cr_assert_gt(fail_alloc_stop(), 0);
    collect();
    cr_assert_eq(came.letters, 0);
    h.devices = h.tasks = 0;
    nns_discover_resume(h.discover);
    turn(20);
    cr_expect_eq(h.reads, 1, "it rests, whoever asks");
    TURN_UNTIL(h.reads == 2);
    collect();
}

LOOP_TEST(discover, without_memory_a_device_is_lost_and_that_is_told_later, end)
{
    lose_without_memory(1, 0);
    cr_expect_eq(came.lost, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_LOST), 1);
}

LOOP_TEST(discover, without_memory_a_task_is_passed_over_and_that_is_told_later, end)
{
    lose_without_memory(0, 1);
    cr_expect_eq(came.lost, 0);
    cr_expect_eq(came.passed_over, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_DISCOVER_PASSED_OVER), 1);
}

LOOP_TEST(discover, without_memory_the_kernels_loss_is_told_later, end)
{
    h.lost = 9;
    lose_without_memory(0, 0);
    cr_expect_eq(came.lost, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_EVENTS_LOST), 9);
}

LOOP_TEST(discover, what_cannot_be_read_rests, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.error = -ENOMEM;
    happen(1, 0);
    TURN_UNTIL(h.reads == 1);
    turn(20);
    cr_assert_eq(h.reads, 1);
    h.error = 0;
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.events, 1);
}

LOOP_TEST(discover, it_rests_longer_with_each_failure_in_a_row, end)
{
    open_with(NNS_MOUNTS_FANOTIFY, false);
    h.error = -ENOMEM;
    pauses.ms = 1;
    happen(1, 0);
    TURN_UNTIL(h.reads == NNS_TRIES_MAX + 1);
    expect_growing_pauses(NNS_TRIES_MAX + 1);
    h.error = 0;
    TURN_UNTIL(h.reads == NNS_TRIES_MAX + 2);
    h.error = -ENOMEM;
    happen(1, 0);
    TURN_UNTIL(pauses.count == 1);
    expect_growing_pauses(1);
}

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

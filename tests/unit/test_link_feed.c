/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/link_feed.h"

#include "feed_host.h"

#include <sys/eventfd.h>

#include "core/counters.h"
#include "fail_alloc.h"

/* The feed with rtnetlink and owner played by the test. */
static struct {
    int fd; /* readable while there are events */
    struct nns_link_feed *feed;
    int events; /* that a read hands over */
    int error;  /* of each read; 0: none */
    bool lost;  /* a read finds losses, once */
    unsigned reads;
} h;

/* ---- in place of io/link_events.c ---- */

int nns_link_events_open(struct nns_link_events **out)
{
    return -ENOSYS;
}

int nns_link_events_fd(const struct nns_link_events *events)
{
    return h.fd;
}

int nns_link_events_read(struct nns_link_events *events, nns_link_event_taker *take, void *context,
                         bool *lost)
{
    struct nns_link_event event = {.kind = NNS_LINK_CHANGED, .number = 7};
    int count = h.events;

    h.reads++;
    if (h.error)
        return h.error;
    feed_host_drain(h.fd);
    for (int i = 0; i < count; i++)
        take(context, &event);
    *lost = *lost || h.lost;
    h.lost = false;
    return count;
}

/* ---- the test's side ---- */

static void set_up(void)
{
    h.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cr_assert_geq(h.fd, 0);
    feed_host_open();
    cr_assert_eq(nns_link_feed_open(&loop, (struct nns_link_events *)&h, &box, &h.feed), 0);
}

static void end(void)
{
    nns_link_feed_close(h.feed);
    close(h.fd);
    feed_host_close();
}

TestSuite(link_feed, .init = set_up, .timeout = 60);

static void happen(int events)
{
    h.events = events;
    cr_assert_eq(eventfd_write(h.fd, 1), 0);
}

/* Letters that came, as numbers of events and of those that tell of losses; freed. */
static struct {
    unsigned letters, events, lost;
} came;

static void see(const struct nns_letter *letter)
{
    const struct nns_link_news *news = (const struct nns_link_news *)letter;

    came.events += news->count;
    came.lost += news->lost;
}

static void collect(void)
{
    came.letters += feed_host_take(NNS_LETTER_LINKS, see);
}

LOOP_TEST(link_feed, events_go_to_the_owner, end)
{
    happen(NNS_EVENTS_MAX + 1);
    TURN_UNTIL(h.reads == 1);
    collect();
    cr_assert_eq(came.letters, 2);
    cr_assert_eq(came.events, NNS_EVENTS_MAX + 1);
    cr_assert_eq(came.lost, 0);
    happen(1);
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.events, NNS_EVENTS_MAX + 2);
}

LOOP_TEST(link_feed, a_loss_is_told_once, end)
{
    h.lost = true;
    happen(0);
    TURN_UNTIL(h.reads == 1);
    happen(1);
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.lost, 1);
    cr_assert_eq(nns_counter_read(NNS_COUNT_EVENTS_OVERRUNS), 1);
}

LOOP_TEST(link_feed, nothing_is_read_while_the_mailbox_is_full, end)
{
    happen(BOX * NNS_EVENTS_MAX);
    TURN_UNTIL(h.reads == 1);
    happen(1);
    turn(20);
    cr_assert_eq(h.reads, 1);
    collect();
    cr_assert(nns_mailbox_awaited(&box), "whoever takes is told");
    cr_assert_not(nns_mailbox_awaited(&box), "once");
    nns_link_feed_resume(h.feed);
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.events, BOX * NNS_EVENTS_MAX + 1);
}

LOOP_TEST(link_feed, what_cannot_be_read_rests_and_is_a_loss, end)
{
    h.error = -ENOMEM;
    happen(1);
    TURN_UNTIL(h.reads == 1);
    turn(20);
    cr_assert_eq(h.reads, 1);
    nns_link_feed_resume(h.feed);
    turn(20);
    cr_assert_eq(h.reads, 1, "not even when asked");
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.letters, 0);
    h.error = 0;
    TURN_UNTIL(h.reads == 3);
    collect();
    cr_assert_eq(came.events, 1);
    cr_assert_eq(came.lost, 1);
    happen(1);
    TURN_UNTIL(h.reads == 4);
    collect();
    cr_assert_eq(came.lost, 1);
}

LOOP_TEST(link_feed, it_rests_longer_with_each_failure_in_a_row, end)
{
    h.error = -ENOMEM;
    pauses.ms = 1;
    happen(1);
    TURN_UNTIL(h.reads == NNS_TRIES_MAX + 1);
    expect_growing_pauses(NNS_TRIES_MAX + 1);
    h.error = 0;
    TURN_UNTIL(h.reads == NNS_TRIES_MAX + 2);
    h.error = -ENOMEM;
    happen(1);
    TURN_UNTIL(pauses.count == 1);
    expect_growing_pauses(1);
}

LOOP_TEST(link_feed, without_memory_an_event_is_lost_and_that_is_told_later, end)
{
    happen(1);
    fail_alloc_after(0);
    TURN_UNTIL(h.reads == 1);
    cr_assert_gt(fail_alloc_stop(), 0);
    collect();
    cr_assert_eq(came.letters, 0);
    h.events = 0;
    TURN_UNTIL(h.reads == 2);
    collect();
    cr_assert_eq(came.lost, 1);
}

LOOP_TEST(link_feed, without_events_there_is_none, end)
{
    struct nns_link_feed *none = h.feed;

    cr_assert_eq(nns_link_feed_open(&loop, NULL, &box, &none), 0);
    cr_assert_null(none);
    nns_link_feed_resume(none);
    nns_link_feed_close(none);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/link_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "io/netns.h"
#include "workers/letters.h"
#include "workers/rest.h"

struct nns_link_feed {
    uv_poll_t poll;
    struct nns_rest rest;
    struct nns_link_events *events;
    struct nns_mailbox *owner;
    struct nns_link_news *news; /* being filled */
    unsigned open;              /* handles not closed yet */
    bool reading;
    bool lost; /* to be told to the owner */
};

static struct nns_log_limit error_limit, lost_limit;

/* ---- events ---- */

static struct nns_link_news *news_under_way(struct nns_link_feed *feed)
{
    if (!feed->news) {
        feed->news = calloc(1, sizeof(*feed->news));
        if (feed->news)
            feed->news->letter.kind = NNS_LETTER_LINKS;
    }
    return feed->news;
}

static void hand_on(struct nns_link_feed *feed)
{
    if (feed->news)
        nns_mailbox_post_now(feed->owner, &feed->news->letter);
    feed->news = NULL;
}

/* Without memory an event is lost like one that the kernel had no room for. */
static void take_event(void *context, const struct nns_link_event *event)
{
    struct nns_link_feed *feed = context;
    struct nns_link_news *news = news_under_way(feed);

    nns_count(NNS_COUNT_EVENTS_READ, 1);
    if (!news) {
        feed->lost = true;
        return;
    }
    news->items[news->count++] = *event;
    if (news->count == NNS_EVENTS_MAX)
        hand_on(feed);
}

/* True when the owner will know. */
static bool tell_of_losses(struct nns_link_feed *feed)
{
    if (!feed->lost)
        return true;
    if (!news_under_way(feed))
        return false;
    nns_count(NNS_COUNT_EVENTS_OVERRUNS, 1);
    nns_log_limited(&lost_limit, NNS_LOG_WARNING, "events of rtnetlink were lost: looking at everything");
    feed->news->lost = true;
    feed->lost = false;
    return true;
}

static void stop_reading(struct nns_link_feed *feed)
{
    uv_poll_stop(&feed->poll);
    feed->reading = false;
}

/* True when all that was there is with the owner, or will be. */
static bool pass_on(struct nns_link_feed *feed)
{
    int rc = nns_link_events_read(feed->events, take_event, feed, &feed->lost);
    bool told = rc >= 0 && tell_of_losses(feed);

    hand_on(feed);
    if (rc >= 0)
        return told;
    nns_count(NNS_COUNT_EVENTS_ERRORS, 1);
    nns_log_limited(&error_limit, NNS_LOG_ERROR, "cannot read rtnetlink: %s", strerrordesc_np(-rc));
    feed->lost = true; /* nobody knows what it was to say */
    return false;
}

static void on_rest(uv_timer_t *timer);

static void read_events(struct nns_link_feed *feed)
{
    if (nns_mailbox_full(feed->owner)) {
        stop_reading(feed);
    } else if (pass_on(feed)) {
        nns_rest_forget(&feed->rest);
        nns_link_feed_resume(feed);
    } else {
        stop_reading(feed);
        nns_rest_begin(&feed->rest, on_rest);
    }
}

static void on_rest(uv_timer_t *timer)
{
    read_events(timer->data);
}

/* libuv tells of a socket in error, which is one that had no room, by an error of its own, and stops. */
static void on_links(uv_poll_t *poll, int status, int happened)
{
    struct nns_link_feed *feed = poll->data;

    feed->reading = feed->reading && status >= 0;
    read_events(feed);
}

/* ---- opening and closing ---- */

int nns_link_feed_prepare(struct nns_link_events **out)
{
    int rc = nns_netns_enter_new();

    if (rc)
        return rc;
    rc = nns_link_events_open(out);
    nns_netns_leave(-1);
    return rc;
}

void nns_link_feed_resume(struct nns_link_feed *feed)
{
    if (!feed || feed->reading || uv_is_closing((uv_handle_t *)&feed->poll) || nns_rest_lasts(&feed->rest))
        return;
    feed->reading = uv_poll_start(&feed->poll, UV_READABLE, on_links) == 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct nns_link_feed *feed = handle->data;

    if (--feed->open)
        return;
    free(feed->news);
    free(feed);
}

void nns_link_feed_close(struct nns_link_feed *feed)
{
    if (!feed)
        return;
    uv_close((uv_handle_t *)&feed->poll, on_closed);
    uv_close((uv_handle_t *)&feed->rest.timer, on_closed);
}

int nns_link_feed_open(uv_loop_t *loop, struct nns_link_events *events, struct nns_mailbox *owner,
                       struct nns_link_feed **out)
{
    struct nns_link_feed *feed;
    int rc;

    if (!events) {
        *out = NULL;
        return 0;
    }
    feed = calloc(1, sizeof(*feed));
    rc = feed ? uv_poll_init(loop, &feed->poll, nns_link_events_fd(events)) : -ENOMEM;
    if (rc) {
        free(feed);
        return rc;
    }
    nns_rest_init(&feed->rest, loop, feed);
    feed->poll.data = feed;
    feed->open = 2;
    feed->events = events;
    feed->owner = owner;
    nns_link_feed_resume(feed);
    *out = feed;
    return 0;
}

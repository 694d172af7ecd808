/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "core/pid_message.h"
#include "io/proc.h"
#include "io/queue.h"

/* Messages read before the loop looks at its other work. */
enum { MESSAGES_AT_ONCE = 64 };

struct nns_feed {
    uv_poll_t poll;
    struct nns_queue queue;
    struct nns_dispatch *dispatch;
    struct nns_batch *batch; /* being filled; small messages share one */
    char *message;           /* queue.msgsize bytes */
    bool reading;
};

static struct nns_log_limit refusal_limit, error_limit;

static const enum nns_counter counter_of[NNS_REFUSAL_COUNT] = {
    [NNS_REFUSED_EMPTY] = NNS_COUNT_REFUSED_EMPTY,
    [NNS_REFUSED_TOKEN] = NNS_COUNT_REFUSED_TOKEN,
    [NNS_REFUSED_RANGE] = NNS_COUNT_REFUSED_RANGE,
    [NNS_REFUSED_TRUNCATED] = NNS_COUNT_REFUSED_TRUNCATED,
    [NNS_REFUSED_TRAILING] = NNS_COUNT_REFUSED_TRAILING,
    [NNS_REFUSED_TYPE] = NNS_COUNT_REFUSED_TYPE,
    [NNS_REFUSED_COUNT] = NNS_COUNT_REFUSED_COUNT,
};

static void hand_on(struct nns_feed *feed)
{
    if (!feed->batch)
        return;
    nns_dispatch_add(feed->dispatch, feed->batch);
    feed->batch = NULL;
}

static void take_pid(void *context, uint32_t pid)
{
    struct nns_feed *feed = context;

    if (!feed->batch)
        feed->batch = nns_batch_new(NNS_BATCH_MAX);
    if (!feed->batch) {
        nns_count(NNS_COUNT_SYNC_ERROR, 1);
        nns_log_limited(&error_limit, NNS_LOG_ERROR, "pid %u: out of memory", pid);
        return;
    }
    nns_batch_add(feed->batch, pid);
    nns_count(NNS_COUNT_FEED_PIDS, 1);
    if (feed->batch->count == NNS_BATCH_MAX)
        hand_on(feed);
}

static void take_refusal(void *context, enum nns_refusal reason, const char *what, size_t length)
{
    nns_count(counter_of[reason], 1);
    if (what)
        nns_log_limited(&refusal_limit, NNS_LOG_WARNING, "queue: refused '%.*s': %s",
                        length < 64 ? (int)length : 64, what, nns_refusal_name(reason));
    else
        nns_log_limited(&refusal_limit, NNS_LOG_WARNING, "queue: refused a message of %zu bytes: %s", length,
                        nns_refusal_name(reason));
}

static void pause_reading(struct nns_feed *feed)
{
    uv_poll_stop(&feed->poll);
    feed->reading = false;
}

/* Read until the queue is empty, the workers are busy, or it is others' turn. */
static void drain(struct nns_feed *feed)
{
    const struct nns_pid_sink sink = {.pid = take_pid, .refused = take_refusal, .context = feed};
    const uint32_t pid_max = nns_proc_pid_max(); /* anew: an operator may raise it at any time */

    for (int i = 0; i < MESSAGES_AT_ONCE && nns_dispatch_clear(feed->dispatch); i++) {
        ssize_t length = nns_queue_receive(&feed->queue, feed->message);

        if (length == -EAGAIN)
            break;
        if (length < 0) {
            nns_count(NNS_COUNT_FEED_ERRORS, 1);
            nns_log_limited(&error_limit, NNS_LOG_ERROR, "queue: cannot read: %s", strerror((int)-length));
            break;
        }
        nns_count(NNS_COUNT_FEED_MESSAGES, 1);
        nns_pid_message_decode(feed->message, (size_t)length, pid_max, &sink);
    }
    hand_on(feed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct nns_feed *feed = poll->data;

    if (status < 0) {
        /* libuv stops a handle it reports an error on. */
        nns_count(NNS_COUNT_FEED_ERRORS, 1);
        nns_log_limited(&error_limit, NNS_LOG_ERROR, "queue: cannot poll: %s", uv_strerror(status));
        feed->reading = false;
        nns_feed_resume(feed);
        return;
    }
    drain(feed);
    if (!nns_dispatch_clear(feed->dispatch)) {
        pause_reading(feed);
        nns_count(NNS_COUNT_FEED_PAUSES, 1);
    }
}

void nns_feed_resume(struct nns_feed *feed)
{
    if (feed->reading || uv_is_closing((uv_handle_t *)&feed->poll))
        return;
    feed->reading = uv_poll_start(&feed->poll, UV_READABLE, on_readable) == 0;
}

int nns_feed_open(uv_loop_t *loop, const struct nns_params *params, struct nns_dispatch *dispatch,
                  struct nns_feed **out, char *error, size_t size)
{
    struct nns_feed *feed = calloc(1, sizeof(*feed));
    int rc = -ENOMEM;

    if (!feed) {
        snprintf(error, size, "out of memory");
        return rc;
    }
    feed->dispatch = dispatch;
    rc = nns_queue_open(params->queue_name, params->queue_depth, params->queue_msgsize, &feed->queue, error,
                        size);
    if (rc)
        goto no_queue;
    feed->message = malloc(feed->queue.msgsize);
    rc = feed->message ? uv_poll_init(loop, &feed->poll, feed->queue.fd) : -ENOMEM;
    if (rc) {
        snprintf(error, size, "cannot watch the queue: %s", strerror(-rc));
        goto no_poll;
    }
    feed->poll.data = feed;
    nns_feed_resume(feed);
    *out = feed;
    return 0;

no_poll:
    free(feed->message);
    nns_queue_close(&feed->queue);
no_queue:
    free(feed);
    return rc;
}

static void on_closed(uv_handle_t *handle)
{
    struct nns_feed *feed = handle->data;

    nns_queue_close(&feed->queue);
    free(feed->batch);
    free(feed->message);
    free(feed);
}

void nns_feed_close(struct nns_feed *feed)
{
    if (feed)
        uv_close((uv_handle_t *)&feed->poll, on_closed);
}

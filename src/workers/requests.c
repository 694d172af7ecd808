/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/protocol.h"
#include "workers/letters.h"
#include "workers/watchers.h"

/* Results sent between two looks at whether the client takes them, and a job's batches under way: the queue
 * and other clients come in between. */
enum { RESULTS_AT_ONCE = 256, BATCHES_AT_ONCE = 4 };

#define STOPPING "the daemon is stopping"
#define NOT_A_NUMBER                                                                                         \
    "the namespace must be a cookie or an inum, as a decimal number; a path is the client's to resolve"

struct nns_requests {
    struct nns_control *control;
    const struct nns_params *params;
    struct nns_dispatch *dispatch;
    struct nns_mailbox *owner;
    struct nns_watchers watchers;
    bool stopping; /* those who would do the work end: none is handed to them any more */
};

/* One request under way. It lives until its batches and its order are back, also when its client has left. */
struct job {
    struct nns_requests *requests;
    struct nns_control_client *client; /* NULL once it left */
    struct nns_control_request request;
    struct nns_result *results; /* SYNC: in the request's order */
    uint32_t submitted;         /* SYNC: pids handed to the workers so far */
    uint32_t batches_open;
    uint32_t sent;  /* SYNC: results sent so far */
    int wait_error; /* SYNC: why they end in a sentence instead of "done"; 0: they do not */
    bool answering;
    struct nns_order *order; /* LIST: the chunk last answered, for its cursor; WATCH: what it began with */
    struct nns_watcher *watcher; /* WATCH: once it has begun */
    bool order_open;
    bool held; /* one of our functions is at work on it: sending may find the client gone */
};

/* ---- jobs ---- */

static struct job *job_new(struct nns_requests *requests, struct nns_control_client *client,
                           struct nns_control_request *request)
{
    struct job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->requests = requests;
    job->client = client;
    job->request = *request;
    *request = NNS_CONTROL_REQUEST_NULL;
    nns_control_set_data(client, job);
    return job;
}

/* The order that had the owner tell its news has it stop doing so: nothing needs to be allocated for that. */
static void end_watch(struct job *job)
{
    struct nns_order *order = job->order;

    if (job->watcher)
        nns_watchers_remove(job->watcher);
    job->watcher = NULL;
    if (!order || order->kind != NNS_ORDER_WATCH || job->requests->stopping)
        return;
    job->order = NULL;
    order->kind = NNS_ORDER_UNWATCH;
    order->job = NULL;
    nns_mailbox_post_now(job->requests->owner, &order->letter);
}

static void job_free(struct job *job)
{
    end_watch(job);
    nns_control_request_deinit(&job->request);
    nns_order_free(job->order);
    free(job->results);
    free(job);
}

/* Every call that comes in from outside is bracketed by these two. */
static void hold(struct job *job)
{
    job->held = true;
}

/* Free a job that is answered, or has nobody to answer any more, and has nothing under way. */
static void release(struct job *job)
{
    job->held = false;
    if (!job->client && !job->batches_open && !job->order_open)
        job_free(job);
}

static void finish(struct job *job, char *last_line)
{
    struct nns_control_client *client = job->client;

    job->client = NULL;
    if (client) {
        nns_control_set_data(client, NULL);
        nns_control_send(client, last_line);
        nns_control_finish(client);
    } else {
        free(last_line);
    }
}

static void fail(struct job *job, int error)
{
    switch (error) {
    case -ENOENT:
        finish(job, nns_answer_error("no such namespace"));
        break;
    case -EPERM:
        finish(job, nns_answer_error("the host's own namespace is never flushed alone"));
        break;
    case -EBUSY:
        finish(job, nns_answer_error(
                        "not all filters could be removed (the log says why); what is left stays covered"));
        break;
    case -ECANCELED:
        finish(job, nns_answer_error(STOPPING));
        break;
    case -EDOM:
        finish(job, nns_answer_error(NOT_A_NUMBER));
        break;
    default:
        finish(job, nns_answer_error(strerror(-error)));
    }
}

/* The pids' namespaces are known, but not all of their devices could be waited for. */
static void fail_to_wait(struct job *job, int error)
{
    char sentence[160];

    switch (error) {
    case NNS_WAIT_FORGOTTEN:
        finish(job, nns_answer_error("a namespace was flushed or evicted meanwhile: ask again"));
        break;
    case NNS_WAIT_ASTRAY:
        finish(job,
               nns_answer_error("no process and no mount is found that leads to a namespace: ask again"));
        break;
    case NNS_WAIT_INTERRUPTED:
        finish(job,
               nns_answer_error("the devices of a namespace change faster than they are listed: ask again"));
        break;
    case NNS_WAIT_UNANSWERED:
        finish(job, nns_answer_error("the kernel has not answered for every device: ask again"));
        break;
    case -ECANCELED:
        finish(job, nns_answer_error(STOPPING));
        break;
    default:
        snprintf(sentence, sizeof(sentence), "the devices of a namespace cannot be listed or reached: %s",
                 strerror(-error));
        finish(job, nns_answer_error(sentence));
    }
}

static void post(struct job *job, struct nns_order *order)
{
    /* The owner would never read it. */
    if (job->requests->stopping) {
        nns_order_free(order);
        fail(job, -ECANCELED);
        return;
    }
    job->order_open = true;
    nns_mailbox_post_now(job->requests->owner, &order->letter);
}

/* ---- sync ---- */

static void send_results(struct job *job)
{
    uint32_t until = job->sent + RESULTS_AT_ONCE;

    job->answering = true;
    while (job->client && job->sent < job->request.pid_count && job->sent < until)
        nns_control_send(job->client, nns_answer_result(&job->results[job->sent++]));
    if (!job->client || job->sent < job->request.pid_count)
        return;
    if (job->wait_error)
        fail_to_wait(job, job->wait_error);
    else
        finish(job, nns_answer_done());
}

/* What the pids came to is told whatever became of the waiting. */
static void end_wait(struct job *job, int error)
{
    job->wait_error = error;
    send_results(job);
}

static int by_value(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* There is nothing to wait for in a namespace that is excluded, though its cookie is told. */
static bool has_devices(const struct nns_result *result)
{
    return result->cookie && (result->outcome == NNS_OUTCOME_NEW || result->outcome == NNS_OUTCOME_KNOWN);
}

/* The distinct namespaces the results name. */
static int collect_cookies(const struct job *job, struct nns_order *order)
{
    size_t count = 0;

    order->cookies = calloc(job->request.pid_count + 1, sizeof(*order->cookies));
    if (!order->cookies)
        return -ENOMEM;
    for (size_t i = 0; i < job->request.pid_count; i++)
        if (has_devices(&job->results[i]))
            order->cookies[count++] = job->results[i].cookie;
    qsort(order->cookies, count, sizeof(*order->cookies), by_value);
    for (size_t i = 0; i < count; i++)
        if (!i || order->cookies[i] != order->cookies[i - 1])
            order->cookies[order->cookie_count++] = order->cookies[i];
    return 0;
}

static void wait_for_devices(struct job *job)
{
    struct nns_order *order;

    /* The owner would never read it. */
    if (job->requests->stopping) {
        end_wait(job, -ECANCELED);
        return;
    }
    order = nns_order_new(NNS_ORDER_WAIT, job);
    if (!order || collect_cookies(job, order)) {
        nns_order_free(order);
        end_wait(job, -ENOMEM);
        return;
    }
    post(job, order);
}

static int submit_batch(struct job *job)
{
    size_t left = job->request.pid_count - job->submitted;
    uint32_t count = left < NNS_BATCH_MAX ? (uint32_t)left : NNS_BATCH_MAX;
    struct nns_batch *batch = nns_batch_new(count);

    if (!batch)
        return -ENOMEM;
    batch->job = job;
    batch->first = job->submitted;
    while (batch->count < count)
        nns_batch_add(batch, job->request.pids[job->submitted++]);
    job->batches_open++;
    nns_dispatch_add(job->requests->dispatch, batch);
    return 0;
}

/* Keep some batches under way until all are; then answer. */
static void sync_on(struct job *job)
{
    while (job->submitted < job->request.pid_count && job->batches_open < BATCHES_AT_ONCE) {
        if (submit_batch(job)) {
            fail(job, -ENOMEM);
            return;
        }
    }
    if (job->batches_open)
        return;
    if (job->request.wait)
        wait_for_devices(job);
    else
        send_results(job);
}

static void start_sync(struct job *job)
{
    job->results = calloc(job->request.pid_count + 1, sizeof(*job->results));
    if (job->results)
        sync_on(job);
    else
        fail(job, -ENOMEM);
}

void nns_requests_batch(struct nns_requests *requests, struct nns_batch *batch)
{
    struct job *job = batch->job;

    memcpy(job->results + batch->first, batch->results, batch->count * sizeof(batch->results[0]));
    free(batch);
    hold(job);
    job->batches_open--;
    if (job->client)
        sync_on(job);
    release(job);
}

/* ---- orders ---- */

/* A cookie or an inum, told apart by the owner. Never a path: this thread serves everybody, and opening one
 * can hang on a mount for as long as somebody likes. 0; -EDOM when it is no number; -ENOENT when none is so
 * high. */
static int select_namespace(const char *text, struct nns_selector *selector)
{
    if (!*text || text[strspn(text, "0123456789")])
        return -EDOM;
    errno = 0;
    selector->cookie = strtoull(text, NULL, 10);
    if (errno || !selector->cookie)
        return -ENOENT;
    selector->inum = selector->cookie <= UINT32_MAX ? (uint32_t)selector->cookie : 0;
    return 0;
}

static void order_now(struct job *job, enum nns_order_kind kind)
{
    struct nns_order *order = nns_order_new(kind, job);
    int rc = order ? 0 : -ENOMEM;

    if (!rc && job->request.namespace)
        rc = select_namespace(job->request.namespace, &order->selector);
    if (rc) {
        nns_order_free(order);
        fail(job, rc);
        return;
    }
    post(job, order);
}

static void send_rows(struct job *job, const struct nns_order *order)
{
    for (size_t i = 0; i < order->row_count && job->client; i++)
        nns_control_send(job->client, nns_answer_namespace(&order->rows[i]));
}

/* A chunk of the list: more of it is asked for when the client has taken this one. */
static void answer_list(struct job *job, struct nns_order *order)
{
    send_rows(job, order);
    nns_order_free(job->order);
    job->order = order;
    if (!order->more)
        finish(job, nns_answer_done());
    else
        job->answering = true;
}

static void list_on(struct job *job)
{
    struct nns_order *order = nns_order_new(NNS_ORDER_LIST, job);

    if (!order) {
        fail(job, -ENOMEM);
        return;
    }
    order->cursor = job->order->cursor;
    order->evicted_cursor = job->order->evicted_cursor;
    post(job, order);
}

/* ---- watch ---- */

static void start_watch(struct job *job)
{
    nns_control_follow(job->client);
    order_now(job, NNS_ORDER_WATCH);
}

/* From here on the owner tells what happens. */
static void begin_watch(struct job *job, struct nns_order *order)
{
    struct nns_requests *requests = job->requests;

    job->order = order;
    if (requests->stopping) {
        fail(job, -ECANCELED);
        return;
    }
    job->watcher = nns_watchers_add(&requests->watchers, job->client, order->selector, order->news_sequence,
                                    requests->params->instance);
    if (!job->watcher)
        fail(job, -ENOMEM);
}

void nns_requests_news(struct nns_requests *requests, struct nns_news_batch *batches, uint64_t sequence)
{
    nns_watchers_take(&requests->watchers, batches, sequence);
}

static void dismiss_watchers(struct nns_requests *requests)
{
    while (requests->watchers.first) {
        struct job *job = nns_control_data(requests->watchers.first->client);

        hold(job);
        fail(job, -ECANCELED);
        release(job);
    }
}

/* ---- answers of the owner ---- */

static void answer_status(struct job *job, struct nns_status *status)
{
    status->watchers = job->requests->watchers.count;
    nns_control_send(job->client, nns_answer_status(status));
}

static void answer_order(struct job *job, struct nns_order *order)
{
    if (order->kind == NNS_ORDER_WAIT) {
        end_wait(job, order->error);
    } else if (order->error) {
        fail(job, order->error);
    } else if (order->kind == NNS_ORDER_LIST) {
        answer_list(job, order);
        return;
    } else if (order->kind == NNS_ORDER_WATCH) {
        begin_watch(job, order);
        return;
    } else {
        send_rows(job, order);
        if (order->status && job->client)
            answer_status(job, order->status);
        finish(job, nns_answer_done());
    }
    nns_order_free(order);
}

void nns_requests_order(struct nns_requests *requests, struct nns_order *order)
{
    struct job *job = order->job;

    if (!job) {
        nns_order_free(order);
        return;
    }
    job->order_open = false;
    hold(job);
    if (job->client)
        answer_order(job, order);
    else if (order->kind == NNS_ORDER_WATCH && !order->error)
        job->order = order; /* to be taken back */
    else
        nns_order_free(order);
    release(job);
}

static void start_detach(struct job *job)
{
    const char *own = job->requests->params->instance, *wanted = job->request.instance;
    char sentence[128];

    if (!wanted || strcmp(wanted, own) == 0) {
        order_now(job, NNS_ORDER_DETACH);
        return;
    }
    snprintf(sentence, sizeof(sentence), "this is instance %s", own);
    finish(job, nns_answer_error(sentence));
}

/* ---- the control socket's calls ---- */

static void start(struct job *job)
{
    switch (job->request.command) {
    case NNS_COMMAND_SYNC:
        start_sync(job);
        break;
    case NNS_COMMAND_LIST:
        order_now(job, NNS_ORDER_LIST);
        break;
    case NNS_COMMAND_GET:
        order_now(job, NNS_ORDER_GET);
        break;
    case NNS_COMMAND_STATUS:
        order_now(job, NNS_ORDER_STATUS);
        break;
    case NNS_COMMAND_FLUSH:
        order_now(job, NNS_ORDER_FLUSH);
        break;
    case NNS_COMMAND_DETACH:
        start_detach(job);
        break;
    case NNS_COMMAND_WATCH:
        start_watch(job);
        break;
    case NNS_COMMAND_COUNT:
        fail(job, -EINVAL);
    }
}

static void refuse(struct nns_control_client *client, const char *sentence)
{
    nns_control_send(client, nns_answer_error(sentence));
    nns_control_finish(client);
}

static void on_request(void *context, struct nns_control_client *client, const char *line, size_t length)
{
    struct nns_requests *requests = context;
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    char error[256];
    struct job *job;

    if (requests->stopping) {
        refuse(client, STOPPING);
        return;
    }
    if (nns_control_request_decode(line, length, &request, error, sizeof(error))) {
        nns_count(NNS_COUNT_CONTROL_REFUSED, 1);
        refuse(client, error);
        return;
    }
    job = job_new(requests, client, &request);
    if (!job) {
        nns_control_request_deinit(&request);
        refuse(client, "out of memory");
        return;
    }
    hold(job);
    start(job);
    release(job);
}

static void on_drained(void *context, struct nns_control_client *client)
{
    struct job *job = nns_control_data(client);

    if (job && job->watcher)
        nns_watcher_drained(job->watcher);
    if (!job || !job->answering)
        return;
    hold(job);
    job->answering = false;
    if (job->request.command == NNS_COMMAND_SYNC)
        send_results(job);
    else if (job->request.command == NNS_COMMAND_LIST)
        list_on(job);
    release(job);
}

static void on_client_closed(void *context, struct nns_control_client *client)
{
    struct job *job = nns_control_data(client);

    if (!job)
        return;
    job->client = NULL;
    if (!job->held)
        release(job);
}

int nns_requests_open(uv_loop_t *loop, const struct nns_params *params, struct nns_dispatch *dispatch,
                      struct nns_mailbox *owner, struct nns_requests **out)
{
    static const struct nns_control_ops ops = {
        .request = on_request, .drained = on_drained, .closed = on_client_closed};
    struct nns_requests *requests = calloc(1, sizeof(*requests));
    int rc;

    if (!requests)
        return -ENOMEM;
    *requests = (struct nns_requests){.params = params, .dispatch = dispatch, .owner = owner};
    rc = nns_control_listen(loop, params, &ops, requests, &requests->control);
    if (rc) {
        free(requests);
        return rc;
    }
    *out = requests;
    return 0;
}

void nns_requests_stop(struct nns_requests *requests)
{
    requests->stopping = true;
    dismiss_watchers(requests);
}

void nns_requests_close(struct nns_requests *requests)
{
    nns_requests_stop(requests);
    nns_control_close(requests->control);
    requests->control = NULL;
}

void nns_requests_free(struct nns_requests *requests)
{
    free(requests);
}

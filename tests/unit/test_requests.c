/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop_host.h"
#include "workers/letters.h"

/*
 * Requests with a real control socket. The test plays the workers (a pool that only collects) and the owner
 * (it empties the mailbox), so that it decides what comes back and when.
 */
#define STOPPING "{\"done\":false,\"error\":\"the daemon is stopping\"}\n"
#define DONE     "{\"done\":true}\n"
#define KNOWN_7  "{\"result\":{\"pid\":7,\"outcome\":\"known\",\"cookie\":11,\"inum\":0}}\n"

struct client {
    int fd;
    char text[64 * 1024];
    size_t length;
    bool ended;
};

static struct {
    char directory[64], path[96];
    struct nns_params params;
    struct nns_dispatch dispatch;
    struct nns_mailbox owner;
    struct nns_requests *requests;
    struct nns_batch *submitted;
    struct client client;
} h;

/* In place of the pool's. */
bool nns_pool_submit(struct nns_pool *pool, struct nns_batch *batch)
{
    batch->next = h.submitted;
    h.submitted = batch;
    return true;
}

/* ---- the client ---- */

static void ask(const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (h.client.fd < 0) {
        h.client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        strcpy(address.sun_path, h.path);
        cr_assert_eq(connect(h.client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        fcntl(h.client.fd, F_SETFL, O_NONBLOCK);
    }
    h.client.length = 0;
    h.client.text[0] = '\0';
    cr_assert_eq(send(h.client.fd, request, strlen(request), 0), (ssize_t)strlen(request));
}

static bool got(const char *text)
{
    struct client *client = &h.client;
    ssize_t count;

    while ((count = recv(client->fd, client->text + client->length, sizeof(client->text) - 1 - client->length,
                         0)) > 0)
        client->length += (size_t)count;
    client->text[client->length] = '\0';
    client->ended = client->ended || count == 0;
    return strstr(client->text, text) != NULL;
}

static bool ended(void)
{
    got("");
    return h.client.ended;
}

/* ---- the owner and the workers ---- */

static struct nns_order *next_order(enum nns_order_kind kind)
{
    struct nns_order *order = NULL;

    TURN_UNTIL((order = (struct nns_order *)nns_mailbox_take(&h.owner, 0)));
    cr_assert_null(order->letter.next);
    cr_assert_eq(order->kind, kind);
    return order;
}

static void settle_batches_as(uint64_t cookie, enum nns_outcome outcome)
{
    TURN_UNTIL(h.submitted);
    while (h.submitted) {
        struct nns_batch *batch = h.submitted;

        h.submitted = batch->next;
        for (uint32_t i = 0; i < batch->count; i++) {
            batch->results[i].outcome = (uint8_t)outcome;
            batch->results[i].cookie = cookie;
        }
        nns_dispatch_settled(&h.dispatch);
        nns_requests_batch(h.requests, batch);
    }
}

static void settle_batches(uint64_t cookie)
{
    settle_batches_as(cookie, NNS_OUTCOME_KNOWN);
}

static void expect_nothing_posted(void)
{
    cr_expect_null(nns_mailbox_take(&h.owner, 0));
    cr_expect_null(h.submitted);
    cr_expect_eq(h.dispatch.outstanding, 0);
}

/* ---- the bracket of every test ---- */

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    strcpy(h.directory, "/tmp/nns-requests-XXXXXX");
    cr_assert_not_null(mkdtemp(h.directory));
    snprintf(h.path, sizeof(h.path), "%s/control.sock", h.directory);
    h.params = (struct nns_params){
        .instance = (char *)"default",
        .control_path = h.path,
        .control_clients = 8,
        .control_timeout_ms = 60000,
    };
    h.client.fd = -1;
    loop_host_open();
    nns_dispatch_init(&h.dispatch, NULL);
    cr_assert_eq(nns_mailbox_init(&h.owner, 4), 0);
    cr_assert_eq(nns_requests_open(&loop, &h.params, &h.dispatch, &h.owner, &h.requests), 0);
}

/* As the daemon does it, and all that a client asks meanwhile must come to an end with it. */
static void finish(void)
{
    nns_requests_close(h.requests);
    loop_host_close();
    expect_nothing_posted();
    nns_mailbox_deinit(&h.owner);
    nns_requests_free(h.requests);
    h.requests = NULL;
    if (h.client.fd >= 0)
        close(h.client.fd);
    loop_host_expect_no_leak();
}

static void remove_files(void)
{
    unlink(h.path);
    strcat(h.path, ".lock");
    unlink(h.path);
    rmdir(h.directory);
}

TestSuite(requests, .init = set_up, .fini = remove_files, .timeout = 60);

#define REQUESTS_TEST(name) LOOP_TEST(requests, name, finish)

REQUESTS_TEST(status_is_ordered_and_answered)
{
    ask("{\"version\":1,\"command\":\"status\"}\n");
    nns_requests_order(h.requests, next_order(NNS_ORDER_STATUS));
    TURN_UNTIL(got(DONE));
    cr_expect(got("{\"status\":{"));
}

REQUESTS_TEST(after_the_stop_every_request_is_refused)
{
    static const char *const asked[] = {
        "{\"version\":1,\"command\":\"sync\",\"pids\":[1,2]}\n",
        "{\"version\":1,\"command\":\"sync\",\"pids\":[1],\"wait\":true}\n",
        "{\"version\":1,\"command\":\"list\"}\n",
        "{\"version\":1,\"command\":\"get\",\"namespace\":\"1\"}\n",
        "{\"version\":1,\"command\":\"status\"}\n",
        "{\"version\":1,\"command\":\"flush\",\"namespace\":\"1\"}\n",
        "{\"version\":1,\"command\":\"detach\"}\n",
        "{\"version\":1,\"command\":\"watch\"}\n",
    };

    nns_requests_stop(h.requests);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        ask(asked[i]);
        TURN_UNTIL(got("\n"));
        cr_expect_str_eq(h.client.text, STOPPING, "%s", asked[i]);
        expect_nothing_posted();
    }
}

/* Its batch was with the workers when the daemon was told to stop. */
REQUESTS_TEST(sync_that_would_wait_is_refused_after_the_stop)
{
    ask("{\"version\":1,\"command\":\"sync\",\"pids\":[7],\"wait\":true}\n");
    TURN_UNTIL(h.submitted);
    nns_requests_stop(h.requests);
    settle_batches(11);
    TURN_UNTIL(got("\"done\""));
    cr_expect_str_eq(h.client.text, KNOWN_7 STOPPING);
    expect_nothing_posted();
}

REQUESTS_TEST(sync_that_need_not_wait_is_answered_after_the_stop)
{
    ask("{\"version\":1,\"command\":\"sync\",\"pids\":[7]}\n");
    TURN_UNTIL(h.submitted);
    nns_requests_stop(h.requests);
    settle_batches(11);
    TURN_UNTIL(got(DONE));
    cr_expect(got("\"known\""));
}

/* The owner ends before the devices of that namespace were worked off. */
REQUESTS_TEST(wait_the_owner_gave_up_is_an_error)
{
    struct nns_order *order;

    ask("{\"version\":1,\"command\":\"sync\",\"pids\":[7],\"wait\":true}\n");
    settle_batches(11);
    order = next_order(NNS_ORDER_WAIT);
    cr_expect_eq(order->cookie_count, 1);
    nns_requests_stop(h.requests);
    order->error = -ECANCELED;
    nns_requests_order(h.requests, order);
    nns_requests_close(h.requests);
    TURN_UNTIL(ended());
    cr_expect_str_eq(h.client.text, KNOWN_7 STOPPING, "told before it is hung up on");
}

/* What the pids came to is known, whatever becomes of the waiting. */
REQUESTS_TEST(wait_that_fails_tells_the_results_and_why)
{
    static const struct {
        int error;
        const char *says;
    } cases[] = {
        {NNS_WAIT_FORGOTTEN, "flushed or evicted"},
        {NNS_WAIT_ASTRAY, "no process and no mount"},
        {NNS_WAIT_INTERRUPTED, "change faster than they are listed"},
        {NNS_WAIT_UNANSWERED, "has not answered"},
        {-EMFILE, "cannot be listed or reached: Too many open files"},
        {-EAGAIN, "cannot be listed or reached: Resource temporarily unavailable"},
        {-EINTR, "cannot be listed or reached: Interrupted system call"},
        {-ESTALE, "cannot be listed or reached: Stale file handle"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nns_order *order;

        ask("{\"version\":1,\"command\":\"sync\",\"pids\":[7],\"wait\":true}\n");
        settle_batches(11);
        order = next_order(NNS_ORDER_WAIT);
        order->error = cases[i].error;
        nns_requests_order(h.requests, order);
        TURN_UNTIL(got("\"done\":false"));
        cr_expect(got(KNOWN_7), "%s", h.client.text);
        cr_expect(got(cases[i].says), "%s", h.client.text);
    }
}

/* Their cookie is told, but the owner has no devices of theirs. */
REQUESTS_TEST(only_what_the_daemon_covers_is_waited_for)
{
    static const struct {
        enum nns_outcome outcome;
        size_t waited_for;
    } cases[] = {
        {NNS_OUTCOME_NEW, 1},    {NNS_OUTCOME_KNOWN, 1}, {NNS_OUTCOME_EXCLUDED, 0},
        {NNS_OUTCOME_DENIED, 0}, {NNS_OUTCOME_ERROR, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nns_order *order;

        ask("{\"version\":1,\"command\":\"sync\",\"pids\":[7],\"wait\":true}\n");
        settle_batches_as(11, cases[i].outcome);
        order = next_order(NNS_ORDER_WAIT);
        cr_expect_eq(order->cookie_count, cases[i].waited_for, "%s", nns_outcome_name(cases[i].outcome));
        nns_requests_order(h.requests, order);
        TURN_UNTIL(got(DONE));
    }
}

REQUESTS_TEST(list_that_is_not_at_its_end_is_cut_off_by_the_stop)
{
    struct nns_order *order;

    ask("{\"version\":1,\"command\":\"list\"}\n");
    order = next_order(NNS_ORDER_LIST);
    order->rows[order->row_count++] = (struct nns_namespace_row){.cookie = 4711};
    order->more = true;
    nns_requests_stop(h.requests);
    nns_requests_order(h.requests, order);
    nns_requests_close(h.requests);
    TURN_UNTIL(ended());
    cr_expect(got("4711"));
    cr_expect(got(STOPPING));
}

REQUESTS_TEST(answer_in_pieces_is_finished_after_the_stop)
{
    char request[8192] = "{\"version\":1,\"command\":\"sync\",\"pids\":[1", *end = request + strlen(request);

    for (int i = 1; i < 600; i++)
        end += sprintf(end, ",%d", i);
    strcpy(end, "]}\n");
    ask(request);
    settle_batches(11);
    nns_requests_close(h.requests);
    TURN_UNTIL(ended());
    cr_expect(got("\"pid\":599"));
    cr_expect(got(DONE));
}

REQUESTS_TEST(namespace_is_a_number)
{
    static const char *const names[] = {"/proc/self/ns/net", "blue", "-1", "+1", " 1", "1 ", "0x10", "1.5"};
    struct nns_order *order;
    char request[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(request, sizeof(request), "{\"version\":1,\"command\":\"get\",\"namespace\":\"%s\"}\n",
                 names[i]);
        ask(request);
        TURN_UNTIL(got("\n"));
        cr_expect(got("a decimal number"), "%s: %s", names[i], h.client.text);
        expect_nothing_posted();
    }
    ask("{\"version\":1,\"command\":\"get\",\"namespace\":\"99999999999999999999999\"}\n");
    TURN_UNTIL(got("no such namespace"));
    ask("{\"version\":1,\"command\":\"flush\",\"namespace\":\"4026531840\"}\n");
    order = next_order(NNS_ORDER_FLUSH);
    cr_expect_eq(order->selector.cookie, 4026531840);
    cr_expect_eq(order->selector.inum, 4026531840);
    nns_requests_order(h.requests, order);
    TURN_UNTIL(got(DONE));
    ask("{\"version\":1,\"command\":\"flush\",\"namespace\":\"4294967296\"}\n");
    order = next_order(NNS_ORDER_FLUSH);
    cr_expect_eq(order->selector.inum, 0, "no inum is that high");
    order->error = -ENOENT;
    nns_requests_order(h.requests, order);
    TURN_UNTIL(got("no such namespace"));
}

/* ---- watch ---- */

/* What the owner tells: pieces of a namespace with these numbers. */
static void tell(uint64_t first, uint64_t last, uint64_t cookie)
{
    struct nns_news_batch *batch = calloc(1, sizeof(*batch));

    while (first <= last)
        batch->items[batch->count++] = (struct nns_news){.sequence = first++,
                                                         .cookie = cookie,
                                                         .inum = (uint32_t)cookie + 1,
                                                         .kind = NNS_NEWS_NAMESPACE_GONE,
                                                         .text = "dead"};
    nns_requests_news(h.requests, batch, last);
}

static struct nns_order *ask_to_watch(const char *namespace)
{
    char request[128];

    snprintf(request, sizeof(request), "{\"version\":1,\"command\":\"watch\"%s%s%s}\n",
             namespace ? ",\"namespace\":\"" : "", namespace ? namespace : "", namespace ? "\"" : "");
    ask(request);
    return next_order(NNS_ORDER_WATCH);
}

/* To what comes after 7. */
static void begin_to_watch(const char *namespace)
{
    struct nns_order *order = ask_to_watch(namespace);

    order->news_sequence = 7;
    nns_requests_order(h.requests, order);
    TURN_UNTIL(got("\"event\":\"watching\""));
    cr_expect(got("\"sequence\":7,"));
}

static void hang_up(void)
{
    close(h.client.fd);
    h.client.fd = -1;
}

REQUESTS_TEST(watcher_is_told_what_comes_after_it_began)
{
    begin_to_watch(NULL);
    tell(6, 7, 42);
    tell(8, 9, 43);
    TURN_UNTIL(got("\"sequence\":9,"));
    cr_expect(got("\"sequence\":8,"));
    cr_expect(got("\"cookie\":43,"));
    cr_expect(!got("\"cookie\":42,"), "was before");
    cr_expect(!got("lost"));
    tell(10, 10, 44);
    TURN_UNTIL(got("\"cookie\":44,"));
    cr_expect(!got("done"));
}

REQUESTS_TEST(watcher_is_told_what_was_dropped_on_the_way)
{
    begin_to_watch(NULL);
    nns_requests_news(h.requests, NULL, 11);
    TURN_UNTIL(got("\"missed\":4"));
    cr_expect(got("\"sequence\":11,"));
}

REQUESTS_TEST(watcher_of_one_namespace_is_told_of_that_alone)
{
    begin_to_watch("43");
    tell(8, 8, 41);
    tell(9, 9, 43);
    tell(10, 10, 42); /* has 43 for its inum */
    nns_requests_news(h.requests, NULL, 12);
    TURN_UNTIL(got("\"missed\":2"));
    cr_expect(got("\"cookie\":43,"));
    cr_expect(!got("\"cookie\":41,"));
    cr_expect(!got("\"cookie\":42,"));
}

/* No namespace had it when the watch began. The next that has the inum is another (I5). */
REQUESTS_TEST(watcher_of_an_unknown_number_follows_the_first_met_under_it)
{
    begin_to_watch("43");
    tell(8, 8, 42); /* has 43 for its inum */
    tell(9, 9, 43);
    tell(10, 10, 42);
    nns_requests_news(h.requests, NULL, 12);
    TURN_UNTIL(got("\"missed\":2"));
    cr_expect(got("\"sequence\":8,"));
    cr_expect(got("\"sequence\":10,"));
    cr_expect(!got("\"cookie\":43,"));
}

/* The owner knew whose the inum was. */
REQUESTS_TEST(watcher_of_a_known_number_follows_its_cookie)
{
    struct nns_order *order = ask_to_watch("43");

    order->selector = (struct nns_selector){.cookie = 42};
    nns_requests_order(h.requests, order);
    TURN_UNTIL(got("\"event\":\"watching\""));
    tell(1, 1, 43);
    tell(2, 2, 42);
    TURN_UNTIL(got("\"cookie\":42,"));
    cr_expect(!got("\"cookie\":43,"));
}

REQUESTS_TEST(watcher_of_no_number_is_refused)
{
    ask("{\"version\":1,\"command\":\"watch\",\"namespace\":\"/run/netns/a\"}\n");
    TURN_UNTIL(got("a decimal number"));
}

REQUESTS_TEST(owner_is_told_when_a_watcher_leaves)
{
    begin_to_watch(NULL);
    hang_up();
    nns_requests_order(h.requests, next_order(NNS_ORDER_UNWATCH));
    tell(8, 9, 43);
}

REQUESTS_TEST(owner_is_told_when_a_watcher_leaves_before_it_began)
{
    struct nns_order *order = ask_to_watch(NULL);

    hang_up();
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_ONCE);
    nns_requests_order(h.requests, order);
    nns_requests_order(h.requests, next_order(NNS_ORDER_UNWATCH));
}

REQUESTS_TEST(watcher_is_told_of_the_stop)
{
    begin_to_watch(NULL);
    nns_requests_stop(h.requests);
    tell(8, 9, 43);
    nns_requests_close(h.requests);
    TURN_UNTIL(ended());
    cr_expect(got(STOPPING));
}

REQUESTS_TEST(watcher_that_begins_at_the_stop_is_told_of_it)
{
    struct nns_order *order = ask_to_watch(NULL);

    nns_requests_stop(h.requests);
    nns_requests_order(h.requests, order);
    nns_requests_close(h.requests);
    TURN_UNTIL(ended());
    cr_expect_str_eq(h.client.text, STOPPING);
}

REQUESTS_TEST(status_tells_how_many_watch)
{
    int watching;

    begin_to_watch(NULL);
    watching = h.client.fd;
    h.client.fd = -1;
    ask("{\"version\":1,\"command\":\"status\"}\n");
    nns_requests_order(h.requests, next_order(NNS_ORDER_STATUS));
    TURN_UNTIL(got(DONE));
    cr_expect(got("\"watchers\":1"));
    close(watching);
    nns_requests_order(h.requests, next_order(NNS_ORDER_UNWATCH));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/protocol.h"
#include "loop_host.h"

/*
 * The control server with real sockets: server and clients live in this one thread. Every test has a process
 * of its own, in which all counters begin at 0.
 */
#define CHUNK       ((size_t)64 * 1024)
#define CLIENTS_MAX 4

enum manner {
    MIRROR, /* the line comes back */
    SILENT, /* finished without an answer */
    HOLD,   /* the test answers */
    FOLLOW, /* likewise, and the server is told that it may take for ever */
    BIG,    /* chunk after chunk, as they are taken */
    BROKEN, /* no memory for the answer */
    LEAVE,  /* the server is closed from within the handler */
};

/* What a test wants of its server; what it leaves out stands in no client's way. */
struct setting {
    enum manner manner;
    unsigned chunks; /* of a BIG answer */
    uint32_t clients, timeout_ms;
};

struct client {
    int fd; /* -1: nobody */
    char *text;
    size_t length;
    bool ended;
};

static struct {
    struct nns_params params;
    struct nns_control *control;
    struct nns_control_client *held;
    struct client clients[CLIENTS_MAX];
    enum manner manner;
    char directory[64], run[80], path[96];
    unsigned chunks_left;
    unsigned requests, drained, closed;
    size_t last_length;
} h;

/* What the server's user does. */

static void close_server(void)
{
    nns_control_close(h.control);
    h.control = NULL;
}

static void send_chunk(struct nns_control_client *client)
{
    char *chunk = malloc(CHUNK + 1);

    memset(chunk, 'x', CHUNK);
    chunk[CHUNK - 1] = '\n';
    chunk[CHUNK] = '\0';
    nns_control_send(client, chunk);
    if (--h.chunks_left == 0)
        nns_control_finish(client);
}

static void on_request(void *context, struct nns_control_client *client, const char *line, size_t length)
{
    char *copy = NULL;

    cr_assert_eq(context, &h);
    cr_assert_null(nns_control_data(client));
    h.requests++;
    h.last_length = length;
    switch (h.manner) {
    case MIRROR:
        copy = strndup(line, length + 1);
        copy[strlen(copy) - 1] = '\n';
        nns_control_send(client, copy);
        nns_control_finish(client);
        break;
    case SILENT:
        nns_control_finish(client);
        break;
    case FOLLOW:
        nns_control_follow(client);
        nns_control_set_data(client, &h);
        h.held = client;
        break;
    case HOLD:
        nns_control_set_data(client, &h);
        h.held = client;
        break;
    case BIG:
        send_chunk(client);
        break;
    case BROKEN:
        nns_control_send(client, NULL);
        break;
    case LEAVE:
        close_server();
        nns_control_send(client, strdup("too late\n"));
        break;
    }
}

static void on_drained(void *context, struct nns_control_client *client)
{
    h.drained++;
    if (h.manner == BIG)
        send_chunk(client);
}

static void on_closed(void *context, struct nns_control_client *client)
{
    h.closed++;
    h.held = NULL;
}

/* What a HOLD test says in the end. */
static void answer_held(const char *text)
{
    nns_control_send(h.held, strdup(text));
    nns_control_finish(h.held);
}

static const struct nns_control_ops ops = {
    .request = on_request,
    .drained = on_drained,
    .closed = on_closed,
};

/* The test's clients. */

static struct client *connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct client *client = h.clients;

    while (client->fd >= 0)
        cr_assert_lt(++client, h.clients + CLIENTS_MAX, "more clients than a test can have");
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, h.path);
    cr_assert_eq(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    return client;
}

/* Those that are still there go at the test's end. */
static void drop_client(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    free(client->text);
    *client = (struct client){.fd = -1};
}

static bool take_some(struct client *client, size_t limit)
{
    char buffer[CHUNK];
    ssize_t count = recv(client->fd, buffer, limit < sizeof(buffer) ? limit : sizeof(buffer), 0);

    if (count < 0 && errno == EAGAIN)
        return false;
    if (count <= 0) {
        client->ended = true;
        return false;
    }
    client->text = realloc(client->text, client->length + (size_t)count + 1);
    memcpy(client->text + client->length, buffer, (size_t)count);
    client->length += (size_t)count;
    client->text[client->length] = '\0';
    return true;
}

static bool ended(struct client *client)
{
    while (take_some(client, CHUNK))
        ;
    return client->ended;
}

static bool got(struct client *client, const char *text)
{
    ended(client);
    return client->text && strstr(client->text, text);
}

/* All of it, the loop turning whenever the socket is full; stops when the server has hung up. */
static void send_all(struct client *client, const char *bytes, size_t length)
{
    uint64_t deadline = now_ms() + LOOP_HOST_DEADLINE_MS;

    while (length > 0) {
        ssize_t count = send(client->fd, bytes, length, MSG_NOSIGNAL);

        cr_assert_lt(now_ms(), deadline, "the server takes nothing");
        if (count < 0 && errno != EAGAIN)
            return;
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void say(struct client *client, const char *text)
{
    send_all(client, text, strlen(text));
}

/* As many bytes as a request may have at the most. */
static void say_longest(struct client *client, char last)
{
    char *line = malloc(NNS_REQUEST_BYTES_MAX);

    memset(line, 'a', NNS_REQUEST_BYTES_MAX);
    line[NNS_REQUEST_BYTES_MAX - 1] = last;
    send_all(client, line, NNS_REQUEST_BYTES_MAX);
    free(line);
}

/* Until the handler has it, and nothing behind it. */
static void request(struct client *client, const char *text)
{
    unsigned before = h.requests;

    say(client, text);
    TURN_UNTIL(h.requests == before + 1);
}

/* With MIRROR. */
static void expect_served(struct client *client, const char *line)
{
    say(client, line);
    TURN_UNTIL(got(client, line));
}

/* As what cannot be a request: the handler does not hear of it. */
static void expect_refused(struct client *client, const char *why)
{
    TURN_UNTIL(ended(client));
    cr_expect(got(client, why));
    cr_expect_eq(h.requests, 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_REFUSED), 1);
}

/* For what must not happen. */
static void turn(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        uv_run(&loop, UV_RUN_ONCE);
}

/* Set-up. */

static int try_listening(struct nns_control **control)
{
    return nns_control_listen(&loop, &h.params, &ops, &h, control);
}

static void listen_now(void)
{
    int result = try_listening(&h.control);

    cr_assert_eq(result, 0, "%s", strerror(-result));
}

/* Returns the first client. */
static struct client *serve(struct setting setting)
{
    h.manner = setting.manner;
    h.chunks_left = setting.chunks;
    if (setting.clients)
        h.params.control_clients = setting.clients;
    if (setting.timeout_ms)
        h.params.control_timeout_ms = setting.timeout_ms;
    listen_now();
    return connect_client();
}

#define SERVE(...) serve((struct setting){__VA_ARGS__})

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    strcpy(h.directory, "/tmp/nns-control-XXXXXX");
    cr_assert_not_null(mkdtemp(h.directory));
    snprintf(h.run, sizeof(h.run), "%s/run", h.directory);
    snprintf(h.path, sizeof(h.path), "%s/control.sock", h.run);
    h.params = (struct nns_params){
        .control_path = h.path,
        .control_clients = 8,
        .control_timeout_ms = 60000,
    };
    for (int i = 0; i < CLIENTS_MAX; i++)
        h.clients[i].fd = -1;
    loop_host_open();
}

static void finish(void)
{
    for (int i = 0; i < CLIENTS_MAX; i++)
        drop_client(&h.clients[i]);
    nns_control_close(h.control);
    loop_host_close();
    loop_host_expect_no_leak();
}

static const char *lock_file(void)
{
    static char name[128];

    snprintf(name, sizeof(name), "%s.lock", h.path);
    return name;
}

static void remove_files(void)
{
    unlink(lock_file());
    unlink(h.path);
    rmdir(h.run);
    rmdir(h.directory);
}

TestSuite(control, .init = set_up, .fini = remove_files, .timeout = 60);

#define CONTROL_TEST(name) LOOP_TEST(control, name, finish)

/* Requests and answers. */

CONTROL_TEST(answers_request)
{
    struct client *client = SERVE();

    expect_served(client, "hello\n");
    expect_served(client, "again\n");
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_REQUESTS), 2);
}

CONTROL_TEST(answers_request_that_comes_byte_by_byte)
{
    struct client *client = SERVE();

    for (const char *byte = "slowly\n"; *byte; byte++) {
        send_all(client, byte, 1);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    TURN_UNTIL(got(client, "slowly\n"));
}

CONTROL_TEST(answers_many_requests_of_one_write_in_order)
{
    struct client *client = SERVE();
    char text[64 * 1024], *end = text;

    for (int i = 0; i < 1000; i++)
        end += sprintf(end, "request %d\n", i);
    say(client, text);
    TURN_UNTIL(got(client, "request 999\n"));
    cr_expect_str_eq(client->text, text);
}

CONTROL_TEST(many_requests_without_output_do_not_stop_others)
{
    struct client *busy = SERVE(.manner = SILENT), *other = connect_client();

    for (int i = 0; i < 1000; i++)
        say(busy, "nothing\n");
    say(other, "nothing\n");
    TURN_UNTIL(h.requests == 1001);
}

CONTROL_TEST(garbage_is_a_line_like_any_other)
{
    struct client *client = SERVE();
    static const char garbage[] = "\xff\xfe\0\x01{{{\"\n";

    send_all(client, garbage, sizeof(garbage) - 1);
    TURN_UNTIL(h.requests == 1);
    cr_expect_eq(h.last_length, sizeof(garbage) - 2, "bytes behind a NUL belong to the line");
    say(client, "\nafter\n");
    TURN_UNTIL(got(client, "after\n"));
    cr_expect_eq(h.requests, 3);
}

CONTROL_TEST(next_request_waits_for_the_answer)
{
    struct client *client = SERVE(.manner = HOLD);

    request(client, "one\ntwo\n");
    turn(20);
    cr_expect_eq(h.requests, 1);
    cr_expect_eq(nns_control_data(h.held), &h);
    answer_held("first\n");
    TURN_UNTIL(got(client, "first\n") && h.requests == 2);
    nns_control_finish(h.held);
}

CONTROL_TEST(half_closed_client_gets_its_answer)
{
    struct client *client = SERVE(.manner = HOLD);

    say(client, "last one\n");
    shutdown(client->fd, SHUT_WR);
    TURN_UNTIL(h.requests == 1);
    turn(20);
    cr_assert_eq(h.closed, 0);
    answer_held("answer\n");
    TURN_UNTIL(ended(client));
    cr_expect_str_eq(client->text, "answer\n");
    cr_expect_eq(h.closed, 0);
}

/* Bounds. */

CONTROL_TEST(longest_line_is_taken)
{
    struct client *client = SERVE(.manner = HOLD);

    say_longest(client, '\n');
    TURN_UNTIL(h.requests == 1);
    cr_expect_eq(h.last_length, NNS_REQUEST_BYTES_MAX - 1);
    nns_control_finish(h.held);
}

CONTROL_TEST(longer_line_is_refused)
{
    struct client *client = SERVE();

    say_longest(client, 'a');
    expect_refused(client, "longer than 1048576 bytes");
}

CONTROL_TEST(request_cut_short_is_refused)
{
    struct client *client = SERVE();

    say(client, "half a requ");
    shutdown(client->fd, SHUT_WR);
    expect_refused(client, "without a newline");
}

CONTROL_TEST(client_above_the_limit_is_told)
{
    struct client *first = SERVE(.clients = 2), *second = connect_client(), *third = connect_client();

    TURN_UNTIL(ended(third));
    cr_expect(got(third, "too many clients"));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_BUSY), 1);

    expect_served(first, "first\n");
    expect_served(second, "second\n");
    drop_client(first);
    do {
        drop_client(third);
        third = connect_client();
        say(third, "third\n");
        TURN_UNTIL(got(third, "\n"));
    } while (!got(third, "third\n"));
}

CONTROL_TEST(stalled_request_is_closed_and_others_are_served)
{
    struct client *stalled = SERVE(.timeout_ms = 100), *other = connect_client();

    say(stalled, "{\"version\":1,");
    expect_served(other, "served\n");
    TURN_UNTIL(ended(stalled));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 1);
    cr_expect_eq(h.closed, 0, "no request was in progress");
    expect_served(other, "still\n");
}

CONTROL_TEST(dripping_request_is_closed)
{
    struct client *client = SERVE(.timeout_ms = 100);

    TURN_UNTIL((send_all(client, "x", 1), ended(client)));
    cr_expect_eq(h.requests, 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 1, "closed, but not for its time");
}

CONTROL_TEST(idle_client_is_closed_in_the_end)
{
    struct client *client = SERVE(.timeout_ms = 10);

    expect_served(client, "one\n");
    TURN_UNTIL(ended(client));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 1);
}

CONTROL_TEST(request_in_progress_is_not_timed)
{
    struct client *client = SERVE(.manner = HOLD, .timeout_ms = 1);
    uint64_t until;

    request(client, "slow work\n");
    until = now_ms() + 60;
    TURN_UNTIL(now_ms() > until);
    cr_assert_eq(h.closed, 0);
    answer_held("done\n");
    TURN_UNTIL(got(client, "done\n"));
}

/* Output. */

CONTROL_TEST(client_that_never_reads_is_closed)
{
    struct client *client = SERVE(.manner = BIG, .chunks = 100000, .timeout_ms = 100);
    unsigned taken;

    say(client, "everything\n");
    TURN_UNTIL(h.closed > 0);
    taken = h.drained;
    cr_expect_lt(taken, 100, "drained %u times although nobody reads", taken);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 1);
    turn(20);
    cr_expect_eq(h.closed, 1);
    cr_expect_eq(h.drained, taken);
}

/* Slower than control.timeout as a whole, faster than that at every step. */
CONTROL_TEST(slow_reader_gets_everything)
{
    struct client *client = SERVE(.manner = BIG, .chunks = 64, .timeout_ms = 800);
    uint64_t started = now_ms();

    say(client, "everything\n");
    for (int step = 0; step < 8; step++) {
        unsigned drained = h.drained;
        uint64_t pause = now_ms() + h.params.control_timeout_ms / 4;

        TURN_UNTIL((take_some(client, 4096), h.drained > drained));
        TURN_UNTIL(now_ms() > pause);
    }
    cr_expect_gt(now_ms() - started, h.params.control_timeout_ms, "too fast to prove anything");
    TURN_UNTIL((take_some(client, CHUNK), client->length == 64 * CHUNK || client->ended));
    cr_expect_eq(client->length, 64 * CHUNK);
    cr_expect_eq(h.closed, 0);
}

/* Ends. */

CONTROL_TEST(client_that_vanished_is_noticed_when_written_to)
{
    struct client *client = SERVE(.manner = HOLD);

    request(client, "bye\n");
    drop_client(client);
    nns_control_send(h.held, strdup("anybody?\n"));
    TURN_UNTIL(h.closed > 0);
    turn(20);
    cr_expect_eq(h.closed, 1);
}

/* Answers without end. */

CONTROL_TEST(followed_client_that_leaves_is_noticed_at_once)
{
    struct client *silent = SERVE(.manner = FOLLOW), *client = connect_client();

    request(silent, "watch\n");
    drop_client(silent);
    TURN_UNTIL(h.closed == 1);
    request(client, "watch\n");
    nns_control_send(h.held, strdup("one\n"));
    TURN_UNTIL(got(client, "one"));
    drop_client(client);
    TURN_UNTIL(h.closed == 2);
}

CONTROL_TEST(followed_client_may_stop_sending)
{
    struct client *client = SERVE(.manner = FOLLOW, .timeout_ms = 20);
    uint64_t begin = now_ms();

    request(client, "watch\n");
    shutdown(client->fd, SHUT_WR);
    while (now_ms() < begin + 5 * h.params.control_timeout_ms)
        turn(1);
    cr_assert_eq(h.closed, 0);
    nns_control_send(h.held, strdup("one\n"));
    TURN_UNTIL(got(client, "one"));
    drop_client(client);
    TURN_UNTIL(h.closed == 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 0);
}

CONTROL_TEST(followed_client_that_is_half_closed_already)
{
    struct client *client = SERVE(.manner = FOLLOW, .timeout_ms = 20);

    send(client->fd, "watch\n", 6, 0);
    shutdown(client->fd, SHUT_WR);
    TURN_UNTIL(h.requests == 1);
    turn(20);
    nns_control_send(h.held, strdup("one\n"));
    TURN_UNTIL(got(client, "one"));
    answer_held("end\n");
    TURN_UNTIL(ended(client));
    cr_expect(got(client, "end"));
}

CONTROL_TEST(next_request_of_a_followed_client_waits)
{
    struct client *client = SERVE(.manner = FOLLOW, .timeout_ms = 20);

    request(client, "watch\n");
    say(client, "another\n");
    turn(20);
    cr_expect_eq(h.requests, 1);
    nns_control_send(h.held, strdup("one\n"));
    TURN_UNTIL(got(client, "one"));
    h.manner = MIRROR;
    answer_held("end\n");
    TURN_UNTIL(got(client, "another"));
    cr_expect_eq(h.requests, 2);
    cr_expect_eq(h.closed, 0);
}

/* None of it is read on, and so none of it can fill anything. */
CONTROL_TEST(followed_client_that_keeps_sending_is_not_read)
{
    struct client *client = SERVE(.manner = FOLLOW, .timeout_ms = 20);
    char chunk[4096];
    unsigned drained;

    memset(chunk, 'a', sizeof(chunk));
    request(client, "watch\n");
    for (unsigned i = 0; i < 100; i++) {
        while (send(client->fd, chunk, sizeof(chunk), MSG_NOSIGNAL) > 0)
            uv_run(&loop, UV_RUN_NOWAIT);
        drained = h.drained;
        nns_control_send(h.held, strdup("one\n"));
        TURN_UNTIL(h.drained > drained);
    }
    cr_expect_eq(h.closed, 0);
    drop_client(client);
    TURN_UNTIL(h.closed == 1);
}

CONTROL_TEST(followed_client_is_given_more_time_to_take_its_output)
{
    struct client *client = SERVE(.manner = FOLLOW, .timeout_ms = 20);
    uint64_t begin = now_ms();
    char *text = calloc(1, 4 << 20);

    request(client, "watch\n");
    memset(text, 'x', (4 << 20) - 1);
    nns_control_send(h.held, text);
    TURN_UNTIL(h.closed == 1);
    cr_expect_geq(now_ms() - begin, NNS_CONTROL_IDLE_FACTOR * h.params.control_timeout_ms);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 1);
}

CONTROL_TEST(who_was_followed_has_the_usual_time_afterwards)
{
    struct client *client = SERVE(.manner = FOLLOW, .timeout_ms = 100);

    request(client, "watch\n");
    answer_held("end\n");
    TURN_UNTIL(got(client, "end"));
    h.manner = MIRROR;
    for (const char *piece = "another"; *piece; piece++) {
        send(client->fd, piece, 1, 0);
        turn(2);
    }
    say(client, "\n");
    TURN_UNTIL(got(client, "another"));
    say(client, "half a request");
    TURN_UNTIL(ended(client));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS), 1);
    cr_expect_eq(h.closed, 0);
}

CONTROL_TEST(close_does_not_wait_for_a_followed_client)
{
    struct client *client = SERVE(.manner = FOLLOW);

    request(client, "watch\n");
    close_server();
    TURN_UNTIL(ended(client));
    TURN_UNTIL(h.closed == 1);
}

CONTROL_TEST(vanished_client_of_a_finished_request_is_not_reported)
{
    struct client *client = SERVE(.manner = HOLD), *other;

    request(client, "bye\n");
    drop_client(client);
    answer_held("anybody?\n");
    h.manner = MIRROR;
    other = connect_client();
    expect_served(other, "other\n");
    cr_expect_eq(h.closed, 0);
}

CONTROL_TEST(no_memory_for_the_answer_closes_the_client)
{
    struct client *client = SERVE(.manner = BROKEN);

    say(client, "please\n");
    TURN_UNTIL(h.closed == 1 && ended(client));
}

static int accept_error; /* 0: none */
static unsigned accepts;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    accepts++;
    errno = accept_error;
    return accept_error ? -1 : __real_accept4(fd, address, length, flags);
}

CONTROL_TEST(connection_that_cannot_be_accepted_waits_and_the_loop_goes_on)
{
    struct client *client;

    accept_error = ENFILE;
    client = SERVE();
    TURN_UNTIL(accepts > 0);
    for (int i = 0; i < 100; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    cr_expect_eq(accepts, 1);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_ERRORS), 1);
    accept_error = 0;
    expect_served(client, "late\n");
}

CONTROL_TEST(accepting_goes_on_after_an_error_that_passes)
{
    struct client *client;

    accept_error = ECONNABORTED;
    client = SERVE();
    TURN_UNTIL(accepts > 0);
    accept_error = 0;
    expect_served(client, "early\n");
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_ERRORS), 0);
}

CONTROL_TEST(close_in_the_middle_of_requests)
{
    struct client *held = SERVE(.manner = HOLD), *partial = connect_client(), *idle = connect_client();

    say(partial, "part");
    request(held, "held\n");
    close_server();
    cr_expect_eq(h.closed, 0, "not from within the call");
    cr_expect_eq(access(h.path, F_OK), -1);
    nns_control_send(h.held, strdup("too late\n"));
    TURN_UNTIL(h.closed == 1 && ended(held) && ended(partial) && ended(idle));
    cr_expect_eq(held->length, 0);
}

CONTROL_TEST(close_from_within_a_request)
{
    struct client *client = SERVE(.manner = LEAVE);

    say(client, "leave\n");
    TURN_UNTIL(h.closed == 1 && ended(client));
}

CONTROL_TEST(close_while_an_answer_waits)
{
    struct client *client = SERVE(.manner = BIG, .chunks = 100000);

    request(client, "everything\n");
    turn(100);
    close_server();
    TURN_UNTIL(h.closed == 1);
}

CONTROL_TEST(close_lets_an_answer_be_taken)
{
    struct client *client = SERVE(.manner = BIG, .chunks = 16);

    request(client, "everything\n");
    close_server();
    TURN_UNTIL(ended(client));
    cr_expect_eq(client->length, 16 * CHUNK);
    cr_expect_eq(h.closed, 0);
}

CONTROL_TEST(close_lets_whole_requests_be_answered)
{
    struct client *client = SERVE(), *idle = connect_client();

    request(client, "one\ntwo\nthree\nand a ha");
    close_server();
    TURN_UNTIL(ended(client) && ended(idle));
    cr_expect_str_eq(client->text, "one\ntwo\nthree\n");
}

/* The socket file. */

static mode_t mode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status.st_mode & 07777;
}

static void listen_under(mode_t mask)
{
    mode_t before = umask(mask);

    listen_now();
    umask(before);
}

CONTROL_TEST(modes_do_not_depend_on_the_umask)
{
    listen_under(077);
    cr_expect_eq(mode_of(h.path), 0660, "%o", mode_of(h.path));
    cr_expect_eq(mode_of(lock_file()), 0600, "others could lock it");
    cr_expect_eq(mode_of(h.run), 0755, "%o", mode_of(h.run));
    cr_expect_eq(mode_of(h.directory), 0700, "a directory that was there keeps its mode");
}

CONTROL_TEST(open_umask_opens_nothing)
{
    listen_under(0);
    cr_expect_eq(mode_of(h.path), 0660, "%o", mode_of(h.path));
    cr_expect_eq(mode_of(lock_file()), 0600, "others could lock it");
}

static void make_stale_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    mkdir(h.run, 0755);
    strcpy(address.sun_path, h.path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    listen(fd, 1);
    close(fd);
    cr_assert_eq(access(h.path, F_OK), 0);
}

CONTROL_TEST(stale_socket_is_replaced)
{
    make_stale_socket();
    close(open(lock_file(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); /* the dead daemon's, too */
    expect_served(SERVE(), "alive\n");
}

CONTROL_TEST(live_socket_is_left_alone)
{
    struct client *client = SERVE();
    struct nns_control *second = NULL;

    for (int attempt = 0; attempt < 2; attempt++) {
        cr_expect_eq(try_listening(&second), -EADDRINUSE);
        cr_expect_null(second);
        unlink(lock_file()); /* somebody tidies up: still it answers */
    }
    expect_served(client, "alive\n");
}

/* Between bind and listen a socket answers like one whose daemon is dead. */
static bool rival_comes;
static int rival_result;

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

int __wrap_listen(int fd, int backlog)
{
    struct nns_control *rival = NULL;

    if (rival_comes) {
        rival_comes = false;
        rival_result = try_listening(&rival);
        nns_control_close(rival);
    }
    return __real_listen(fd, backlog);
}

CONTROL_TEST(second_server_that_comes_before_the_first_listens_is_refused)
{
    struct client *client;

    rival_comes = true;
    client = SERVE();
    cr_expect_eq(rival_result, -EADDRINUSE, "%s", strerror(-rival_result));
    expect_served(client, "alive\n");
}

CONTROL_TEST(place_is_free_as_soon_as_the_server_is_closed)
{
    struct nns_control *first;

    listen_now();
    first = h.control;
    nns_control_close(first);
    listen_now();
    cr_expect_eq(mode_of(h.path), 0660, "the first one's end took its successor's socket");
}

static bool modes_refused;

int __real_chmod(const char *path, mode_t mode);
int __wrap_chmod(const char *path, mode_t mode);

int __wrap_chmod(const char *path, mode_t mode)
{
    errno = EPERM;
    return modes_refused && strcmp(path, h.path) == 0 ? -1 : __real_chmod(path, mode);
}

CONTROL_TEST(socket_that_gets_no_mode_is_not_left_behind)
{
    umask(0777);
    modes_refused = true;
    cr_expect_eq(try_listening(&h.control), -EPERM);
    cr_expect_eq(access(h.path, F_OK), -1);
}

CONTROL_TEST(file_that_is_no_socket_is_left_alone)
{
    FILE *file;
    struct nns_control *control = NULL;

    make_stale_socket();
    unlink(h.path);
    file = fopen(h.path, "w");
    fputs("mine", file);
    fclose(file);
    cr_expect_eq(try_listening(&control), -EEXIST);
    cr_expect_eq(access(h.path, F_OK), 0);
}

CONTROL_TEST(impossible_paths)
{
    struct nns_control *control = NULL;
    char path[200];

    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    h.params.control_path = path;
    cr_expect_eq(try_listening(&control), -ENAMETOOLONG);
    strcpy(path, "/dev/null/control.sock");
    cr_expect_eq(try_listening(&control), -ENOTDIR);
    path[0] = '\0';
    cr_expect_eq(try_listening(&control), -EINVAL);
    cr_expect_null(control);
}

CONTROL_TEST(successors_socket_file_is_not_removed)
{
    listen_now();
    unlink(h.path);
    make_stale_socket();
    close_server();
    cr_expect_eq(access(h.path, F_OK), 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/control.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/protocol.h"

/*
 * The control server with real sockets: server and clients live in this one thread, which turns the loop
 * until what is waited for has come.
 */
#define DEADLINE_MS 10000
#define CHUNK       (64 * 1024)

enum manner {
    MIRROR, /* the line comes back */
    SILENT, /* finished without an answer */
    HOLD,   /* the test answers */
    BIG,    /* chunk after chunk, as they are taken */
    BROKEN, /* no memory for the answer */
    LEAVE,  /* the server is closed from within the handler */
};

struct harness {
    uv_loop_t loop;
    uv_timer_t ticker;
    struct nns_params params;
    struct nns_control *control;
    struct nns_control_client *held;
    enum manner manner;
    char directory[64], path[96];
    unsigned chunks_left;
    unsigned requests, drained, closed;
    size_t last_length;
};

struct client {
    int fd;
    char *text;
    size_t length;
    bool ended;
};

static struct harness h;

/* The sanitizer's look at exit comes too late to fail a test. */
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void tick(uv_timer_t *timer)
{
}

#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t deadline = now_ms() + DEADLINE_MS;                                                          \
        while (!(condition)) {                                                                               \
            cr_assert_lt(now_ms(), deadline, "waited in vain for %s", #condition);                           \
            uv_run(&h.loop, UV_RUN_ONCE);                                                                    \
        }                                                                                                    \
    } while (0)

/* What the server's user does. */

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
        nns_control_close(h.control);
        h.control = NULL;
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

static const struct nns_control_ops ops = {
    .request = on_request,
    .drained = on_drained,
    .closed = on_closed,
};

/* The test's clients. */

static struct client connect_client(void)
{
    struct client client = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, h.path);
    cr_assert_eq(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
    fcntl(client.fd, F_SETFL, O_NONBLOCK);
    return client;
}

static void drop_client(struct client *client)
{
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
    uint64_t deadline = now_ms() + DEADLINE_MS;

    while (length > 0) {
        ssize_t count = send(client->fd, bytes, length, MSG_NOSIGNAL);

        cr_assert_lt(now_ms(), deadline, "the server takes nothing");
        if (count < 0 && errno != EAGAIN)
            return;
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
        uv_run(&h.loop, UV_RUN_NOWAIT);
    }
}

static void say(struct client *client, const char *text)
{
    send_all(client, text, strlen(text));
}

/* Set-up. */

static void open_harness(void)
{
    h = (struct harness){.manner = MIRROR};
    signal(SIGPIPE, SIG_IGN);
    strcpy(h.directory, "/tmp/nns-control-XXXXXX");
    cr_assert_not_null(mkdtemp(h.directory));
    snprintf(h.path, sizeof(h.path), "%s/run/control.sock", h.directory);
    h.params = (struct nns_params){
        .control_path = h.path,
        .control_clients = 8,
        .control_timeout_ms = 60000,
    };
    uv_loop_init(&h.loop);
    uv_timer_init(&h.loop, &h.ticker);
    uv_timer_start(&h.ticker, tick, 1, 1);
}

static void listen_now(void)
{
    int result = nns_control_listen(&h.loop, &h.params, &ops, &h, &h.control);

    cr_assert_eq(result, 0, "%s", strerror(-result));
}

/* Part of the test: what fails in a fixture does not fail a test. */
static void finish_harness(void)
{
    nns_control_close(h.control);
    uv_close((uv_handle_t *)&h.ticker, NULL);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&h.loop), 0, "a handle was left open");
    if (__lsan_do_recoverable_leak_check)
        cr_expect_eq(__lsan_do_recoverable_leak_check(), 0, "memory leaked");
}

static const char *lock_of(const char *path)
{
    static char name[128];

    snprintf(name, sizeof(name), "%s.lock", path);
    return name;
}

static void remove_files(void)
{
    unlink(lock_of(h.path));
    unlink(h.path);
    *strrchr(h.path, '/') = '\0';
    rmdir(h.path);
    rmdir(h.directory);
}

TestSuite(control, .init = open_harness, .fini = remove_files, .timeout = 60);

#define CONTROL_TEST(name)                                                                                   \
    static void name(void);                                                                                  \
    Test(control, name)                                                                                      \
    {                                                                                                        \
        name();                                                                                              \
        finish_harness();                                                                                    \
    }                                                                                                        \
    static void name(void)

/* Requests and answers. */

CONTROL_TEST(answers_request)
{
    struct client client;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_REQUESTS);

    listen_now();
    client = connect_client();
    say(&client, "hello\n");
    TURN_UNTIL(got(&client, "hello\n"));
    say(&client, "again\n");
    TURN_UNTIL(got(&client, "again\n"));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_REQUESTS) - before, 2);
    drop_client(&client);
}

CONTROL_TEST(answers_request_that_comes_byte_by_byte)
{
    struct client client;

    listen_now();
    client = connect_client();
    for (const char *byte = "slowly\n"; *byte; byte++) {
        send_all(&client, byte, 1);
        uv_run(&h.loop, UV_RUN_NOWAIT);
    }
    TURN_UNTIL(got(&client, "slowly\n"));
    drop_client(&client);
}

CONTROL_TEST(answers_many_requests_of_one_write_in_order)
{
    struct client client;
    char text[64 * 1024], *end = text;

    listen_now();
    client = connect_client();
    for (int i = 0; i < 1000; i++)
        end += sprintf(end, "request %d\n", i);
    say(&client, text);
    TURN_UNTIL(got(&client, "request 999\n"));
    cr_expect_str_eq(client.text, text);
    drop_client(&client);
}

CONTROL_TEST(many_requests_without_output_do_not_stop_others)
{
    struct client busy, other;

    h.manner = SILENT;
    listen_now();
    busy = connect_client();
    other = connect_client();
    for (int i = 0; i < 1000; i++)
        say(&busy, "nothing\n");
    say(&other, "nothing\n");
    TURN_UNTIL(h.requests == 1001);
    drop_client(&busy);
    drop_client(&other);
}

CONTROL_TEST(garbage_is_a_line_like_any_other)
{
    struct client client;
    static const char garbage[] = "\xff\xfe\0\x01{{{\"\n";

    listen_now();
    client = connect_client();
    send_all(&client, garbage, sizeof(garbage) - 1);
    TURN_UNTIL(h.requests == 1);
    cr_expect_eq(h.last_length, sizeof(garbage) - 2, "bytes behind a NUL belong to the line");
    say(&client, "\nafter\n");
    TURN_UNTIL(got(&client, "after\n"));
    cr_expect_eq(h.requests, 3);
    drop_client(&client);
}

CONTROL_TEST(next_request_waits_for_the_answer)
{
    struct client client;

    h.manner = HOLD;
    listen_now();
    client = connect_client();
    say(&client, "one\ntwo\n");
    TURN_UNTIL(h.requests == 1);
    for (int i = 0; i < 20; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    cr_expect_eq(h.requests, 1);
    cr_expect_eq(nns_control_data(h.held), &h);
    nns_control_send(h.held, strdup("first\n"));
    nns_control_finish(h.held);
    TURN_UNTIL(got(&client, "first\n") && h.requests == 2);
    nns_control_finish(h.held);
    drop_client(&client);
}

CONTROL_TEST(half_closed_client_gets_its_answer)
{
    struct client client;

    h.manner = HOLD;
    listen_now();
    client = connect_client();
    say(&client, "last one\n");
    shutdown(client.fd, SHUT_WR);
    TURN_UNTIL(h.requests == 1);
    for (int i = 0; i < 20; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    cr_assert_eq(h.closed, 0);
    nns_control_send(h.held, strdup("answer\n"));
    nns_control_finish(h.held);
    TURN_UNTIL(ended(&client));
    cr_expect_str_eq(client.text, "answer\n");
    cr_expect_eq(h.closed, 0);
    drop_client(&client);
}

/* Bounds. */

CONTROL_TEST(longest_line_is_taken)
{
    struct client client;
    char *line = malloc(NNS_REQUEST_BYTES_MAX);

    h.manner = HOLD;
    listen_now();
    client = connect_client();
    memset(line, 'a', NNS_REQUEST_BYTES_MAX);
    line[NNS_REQUEST_BYTES_MAX - 1] = '\n';
    send_all(&client, line, NNS_REQUEST_BYTES_MAX);
    TURN_UNTIL(h.requests == 1);
    cr_expect_eq(h.last_length, NNS_REQUEST_BYTES_MAX - 1);
    nns_control_finish(h.held);
    drop_client(&client);
    free(line);
}

CONTROL_TEST(longer_line_is_refused)
{
    struct client client;
    char *line = malloc(NNS_REQUEST_BYTES_MAX);
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_REFUSED);

    listen_now();
    client = connect_client();
    memset(line, 'a', NNS_REQUEST_BYTES_MAX);
    send_all(&client, line, NNS_REQUEST_BYTES_MAX);
    TURN_UNTIL(ended(&client));
    cr_expect(got(&client, "longer than 1048576 bytes"));
    cr_expect_eq(h.requests, 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_REFUSED) - before, 1);
    drop_client(&client);
    free(line);
}

CONTROL_TEST(request_cut_short_is_refused)
{
    struct client client;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_REFUSED);

    listen_now();
    client = connect_client();
    say(&client, "half a requ");
    shutdown(client.fd, SHUT_WR);
    TURN_UNTIL(ended(&client));
    cr_expect(got(&client, "without a newline"));
    cr_expect_eq(h.requests, 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_REFUSED) - before, 1);
    drop_client(&client);
}

CONTROL_TEST(client_above_the_limit_is_told)
{
    struct client first, second, third;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_BUSY);

    h.params.control_clients = 2;
    listen_now();
    first = connect_client();
    second = connect_client();
    third = connect_client();
    TURN_UNTIL(ended(&third));
    cr_expect(got(&third, "too many clients"));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_BUSY) - before, 1);
    drop_client(&third);

    say(&first, "first\n");
    TURN_UNTIL(got(&first, "first\n"));
    say(&second, "second\n");
    TURN_UNTIL(got(&second, "second\n"));
    drop_client(&first);
    for (;;) {
        third = connect_client();
        say(&third, "third\n");
        TURN_UNTIL(got(&third, "\n"));
        if (got(&third, "third\n"))
            break;
        drop_client(&third);
    }
    drop_client(&second);
    drop_client(&third);
}

CONTROL_TEST(stalled_request_is_closed_and_others_are_served)
{
    struct client stalled, other;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS);

    h.params.control_timeout_ms = 100;
    listen_now();
    stalled = connect_client();
    other = connect_client();
    say(&stalled, "{\"version\":1,");
    say(&other, "served\n");
    TURN_UNTIL(got(&other, "served\n"));
    TURN_UNTIL(ended(&stalled));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS) - before, 1);
    cr_expect_eq(h.closed, 0, "no request was in progress");
    say(&other, "still\n");
    TURN_UNTIL(got(&other, "still\n"));
    drop_client(&stalled);
    drop_client(&other);
}

CONTROL_TEST(dripping_request_is_closed)
{
    struct client client;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS);

    h.params.control_timeout_ms = 100;
    listen_now();
    client = connect_client();
    TURN_UNTIL((send_all(&client, "x", 1), ended(&client)));
    cr_expect_eq(h.requests, 0);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS) - before, 1, "closed, but not for its time");
    drop_client(&client);
}

CONTROL_TEST(idle_client_is_closed_in_the_end)
{
    struct client client;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS);

    h.params.control_timeout_ms = 10;
    listen_now();
    client = connect_client();
    say(&client, "one\n");
    TURN_UNTIL(got(&client, "one\n"));
    TURN_UNTIL(ended(&client));
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS) - before, 1);
    drop_client(&client);
}

CONTROL_TEST(request_in_progress_is_not_timed)
{
    struct client client;
    uint64_t until;

    h.manner = HOLD;
    h.params.control_timeout_ms = 1;
    listen_now();
    client = connect_client();
    say(&client, "slow work\n");
    TURN_UNTIL(h.requests == 1);
    until = now_ms() + 60;
    TURN_UNTIL(now_ms() > until);
    cr_assert_eq(h.closed, 0);
    nns_control_send(h.held, strdup("done\n"));
    nns_control_finish(h.held);
    TURN_UNTIL(got(&client, "done\n"));
    drop_client(&client);
}

/* Output. */

CONTROL_TEST(client_that_never_reads_is_closed)
{
    struct client client;
    uint64_t before = nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS);
    unsigned taken;

    h.manner = BIG;
    h.chunks_left = 100000;
    h.params.control_timeout_ms = 100;
    listen_now();
    client = connect_client();
    say(&client, "everything\n");
    TURN_UNTIL(h.closed > 0);
    taken = h.drained;
    cr_expect_lt(taken, 100, "drained %u times although nobody reads", taken);
    cr_expect_eq(nns_counter_read(NNS_COUNT_CONTROL_TIMEOUTS) - before, 1);
    for (int i = 0; i < 20; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    cr_expect_eq(h.closed, 1);
    cr_expect_eq(h.drained, taken);
    drop_client(&client);
}

/* Slower than control.timeout as a whole, faster than that at every step. */
CONTROL_TEST(slow_reader_gets_everything)
{
    struct client client;
    uint64_t started = now_ms();

    h.manner = BIG;
    h.chunks_left = 64;
    h.params.control_timeout_ms = 800;
    listen_now();
    client = connect_client();
    say(&client, "everything\n");
    for (int step = 0; step < 8; step++) {
        unsigned drained = h.drained;
        uint64_t pause = now_ms() + h.params.control_timeout_ms / 4;

        TURN_UNTIL((take_some(&client, 4096), h.drained > drained));
        TURN_UNTIL(now_ms() > pause);
    }
    cr_expect_gt(now_ms() - started, h.params.control_timeout_ms, "too fast to prove anything");
    TURN_UNTIL((take_some(&client, CHUNK), client.length == (size_t)64 * CHUNK || client.ended));
    cr_expect_eq(client.length, (size_t)64 * CHUNK);
    cr_expect_eq(h.closed, 0);
    drop_client(&client);
}

/* Ends. */

CONTROL_TEST(client_that_vanished_is_noticed_when_written_to)
{
    struct client client;

    h.manner = HOLD;
    listen_now();
    client = connect_client();
    say(&client, "bye\n");
    TURN_UNTIL(h.requests == 1);
    drop_client(&client);
    nns_control_send(h.held, strdup("anybody?\n"));
    TURN_UNTIL(h.closed > 0);
    for (int i = 0; i < 20; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    cr_expect_eq(h.closed, 1);
}

CONTROL_TEST(vanished_client_of_a_finished_request_is_not_reported)
{
    struct client client;
    struct client other;

    h.manner = HOLD;
    listen_now();
    client = connect_client();
    say(&client, "bye\n");
    TURN_UNTIL(h.requests == 1);
    drop_client(&client);
    nns_control_send(h.held, strdup("anybody?\n"));
    nns_control_finish(h.held);
    h.manner = MIRROR;
    other = connect_client();
    say(&other, "other\n");
    TURN_UNTIL(got(&other, "other\n"));
    cr_expect_eq(h.closed, 0);
    drop_client(&other);
}

CONTROL_TEST(no_memory_for_the_answer_closes_the_client)
{
    struct client client;

    h.manner = BROKEN;
    listen_now();
    client = connect_client();
    say(&client, "please\n");
    TURN_UNTIL(h.closed == 1 && ended(&client));
    drop_client(&client);
}

CONTROL_TEST(close_in_the_middle_of_requests)
{
    struct client held, partial, idle;

    h.manner = HOLD;
    listen_now();
    held = connect_client();
    partial = connect_client();
    idle = connect_client();
    say(&held, "held\n");
    say(&partial, "part");
    TURN_UNTIL(h.requests == 1);
    nns_control_close(h.control);
    h.control = NULL;
    cr_expect_eq(h.closed, 0, "not from within the call");
    cr_expect_eq(access(h.path, F_OK), -1);
    nns_control_send(h.held, strdup("too late\n"));
    TURN_UNTIL(h.closed == 1 && ended(&held) && ended(&partial) && ended(&idle));
    cr_expect_eq(held.length, 0);
    drop_client(&held);
    drop_client(&partial);
    drop_client(&idle);
}

CONTROL_TEST(close_from_within_a_request)
{
    struct client client;

    h.manner = LEAVE;
    listen_now();
    client = connect_client();
    say(&client, "leave\n");
    TURN_UNTIL(h.closed == 1 && ended(&client));
    drop_client(&client);
}

CONTROL_TEST(close_while_an_answer_waits)
{
    struct client client;

    h.manner = BIG;
    h.chunks_left = 100000;
    listen_now();
    client = connect_client();
    say(&client, "everything\n");
    TURN_UNTIL(h.requests == 1);
    for (int i = 0; i < 100; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    nns_control_close(h.control);
    h.control = NULL;
    TURN_UNTIL(h.closed == 1);
    drop_client(&client);
}

CONTROL_TEST(close_lets_an_answer_be_taken)
{
    struct client client;

    h.manner = BIG;
    h.chunks_left = 64;
    listen_now();
    client = connect_client();
    say(&client, "everything\n");
    TURN_UNTIL(h.requests == 1);
    nns_control_close(h.control);
    h.control = NULL;
    TURN_UNTIL(ended(&client));
    cr_expect_eq(client.length, (size_t)64 * CHUNK);
    cr_expect_eq(h.closed, 0);
    drop_client(&client);
}

CONTROL_TEST(close_lets_whole_requests_be_answered)
{
    struct client client, idle;

    listen_now();
    client = connect_client();
    idle = connect_client();
    say(&client, "one\ntwo\nthree\nand a ha");
    TURN_UNTIL(h.requests == 1);
    nns_control_close(h.control);
    h.control = NULL;
    TURN_UNTIL(ended(&client) && ended(&idle));
    cr_expect_str_eq(client.text, "one\ntwo\nthree\n");
    drop_client(&client);
    drop_client(&idle);
}

/* The socket file. */

static mode_t mode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status.st_mode & 07777;
}

CONTROL_TEST(modes_do_not_depend_on_the_umask)
{
    char directory[sizeof(h.path)];
    mode_t before = umask(077);

    listen_now();
    umask(before);
    cr_expect_eq(mode_of(h.path), 0660, "%o", mode_of(h.path));
    cr_expect_eq(mode_of(lock_of(h.path)), 0600, "others could lock it");
    strcpy(directory, h.path);
    *strrchr(directory, '/') = '\0';
    cr_expect_eq(mode_of(directory), 0755, "%o", mode_of(directory));
    cr_expect_eq(mode_of(h.directory), 0700, "a directory that was there keeps its mode");
}

CONTROL_TEST(open_umask_opens_nothing)
{
    mode_t before = umask(0);

    listen_now();
    umask(before);
    cr_expect_eq(mode_of(h.path), 0660, "%o", mode_of(h.path));
    cr_expect_eq(mode_of(lock_of(h.path)), 0600, "others could lock it");
}

static void make_stale_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    *strrchr(h.path, '/') = '\0';
    mkdir(h.path, 0755);
    h.path[strlen(h.path)] = '/';
    strcpy(address.sun_path, h.path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    listen(fd, 1);
    close(fd);
    cr_assert_eq(access(h.path, F_OK), 0);
}

CONTROL_TEST(stale_socket_is_replaced)
{
    struct client client;

    make_stale_socket();
    close(open(lock_of(h.path), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); /* the dead daemon's, too */
    listen_now();
    client = connect_client();
    say(&client, "alive\n");
    TURN_UNTIL(got(&client, "alive\n"));
    drop_client(&client);
}

CONTROL_TEST(live_socket_is_left_alone)
{
    struct nns_control *second = NULL;
    struct client client;

    listen_now();
    for (int attempt = 0; attempt < 2; attempt++) {
        cr_expect_eq(nns_control_listen(&h.loop, &h.params, &ops, &h, &second), -EADDRINUSE);
        cr_expect_null(second);
        unlink(lock_of(h.path)); /* somebody tidies up: still it answers */
    }
    client = connect_client();
    say(&client, "alive\n");
    TURN_UNTIL(got(&client, "alive\n"));
    drop_client(&client);
}

/* Between bind and listen a socket answers like one whose daemon is dead. */
static bool rival_comes;
static int rival_result;

int __real_uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb connected);
int __wrap_uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb connected);

int __wrap_uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb connected)
{
    struct nns_control *rival = NULL;

    if (rival_comes) {
        rival_comes = false;
        rival_result = nns_control_listen(&h.loop, &h.params, &ops, &h, &rival);
        nns_control_close(rival);
    }
    return __real_uv_listen(stream, backlog, connected);
}

CONTROL_TEST(second_server_that_comes_before_the_first_listens_is_refused)
{
    struct client client;

    rival_comes = true;
    listen_now();
    cr_expect_eq(rival_result, -EADDRINUSE, "%s", strerror(-rival_result));
    client = connect_client();
    say(&client, "alive\n");
    TURN_UNTIL(got(&client, "alive\n"));
    drop_client(&client);
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

CONTROL_TEST(file_that_is_no_socket_is_left_alone)
{
    FILE *file;
    struct nns_control *control = NULL;

    make_stale_socket();
    unlink(h.path);
    file = fopen(h.path, "w");
    fputs("mine", file);
    fclose(file);
    cr_expect_eq(nns_control_listen(&h.loop, &h.params, &ops, &h, &control), -EEXIST);
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
    cr_expect_eq(nns_control_listen(&h.loop, &h.params, &ops, &h, &control), -ENAMETOOLONG);
    strcpy(path, "/dev/null/control.sock");
    cr_expect_eq(nns_control_listen(&h.loop, &h.params, &ops, &h, &control), -ENOTDIR);
    path[0] = '\0';
    cr_expect_eq(nns_control_listen(&h.loop, &h.params, &ops, &h, &control), -EINVAL);
    cr_expect_null(control);
}

CONTROL_TEST(successors_socket_file_is_not_removed)
{
    listen_now();
    unlink(h.path);
    make_stale_socket();
    nns_control_close(h.control);
    h.control = NULL;
    cr_expect_eq(access(h.path, F_OK), 0);
}

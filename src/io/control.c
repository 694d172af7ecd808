/* SPDX-License-Identifier: Apache-2.0 */
#include "io/control.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/log.h"
#include "core/protocol.h"
#include "io/control_place.h"

#define BACKLOG          128
#define BUFFER_FIRST     4096u /* bytes; what most requests fit in */
#define ACCEPT_RETRY_MS  1000
#define CLOSE_MS         1000
#define TOO_MANY_CLIENTS "too many clients are connected; try again later"
#define TOO_LONG         "the request is longer than 1048576 bytes"
#define CUT_SHORT        "the request ended without a newline"

_Static_assert(NNS_REQUEST_BYTES_MAX == 1048576, "TOO_LONG says another number");

struct nns_control {
    uv_loop_t *loop;
    struct nns_control_place place;
    uv_poll_t listener;
    uv_timer_t timer; /* for connections that cannot be accepted now; once closing, the end of all patience */
    struct nns_control_ops ops;
    void *context;
    struct nns_control_client *clients;
    uint64_t timeout_ms;
    uint32_t limit, admitted;
    unsigned references; /* open handles of our own, and clients not yet freed */
    bool closing;
};

/* What a client is at. It decides alone whether we read and what the timer waits for. */
enum phase {
    PHASE_NEW,
    PHASE_IDLE,      /* nothing buffered */
    PHASE_PARTIAL,   /* the beginning of a request is buffered */
    PHASE_READY,     /* a whole request is buffered, its turn is the loop's next round */
    PHASE_ANSWERING, /* the handler has it, nothing waits to be taken */
    PHASE_WRITING,   /* output waits to be taken */
};

struct nns_control_client {
    struct nns_control *control;
    struct nns_control_client *next, **link;
    uv_pipe_t pipe;
    uv_timer_t timer;
    void *data;
    char *buffer; /* bytes start..length are unread, start..scanned of them hold no newline */
    size_t start, scanned, length, capacity;
    uint64_t sent;           /* bytes handed to libuv */
    uint64_t taken_at_start; /* bytes the client had taken when the timer started */
    unsigned writes;         /* in flight */
    unsigned handles;
    enum phase phase;
    bool admitted;
    bool answering; /* between request and finish */
    bool following; /* likewise, and the answer has no end of its own */
    bool ended;     /* the client sends no more */
    bool last_words;
    bool closing;
};

struct write {
    uv_write_t request;
    char *line;
};

static void settle(struct nns_control_client *client);
static void end_following(struct nns_control_client *client);
static void enter_phase(struct nns_control_client *client, enum phase phase);

/* Ends. */

static void release(struct nns_control *control)
{
    if (--control->references == 0)
        free(control);
}

static void handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/* Nobody is left whose end the timer has to bring about. */
static void close_timer_if_alone(struct nns_control *control)
{
    if (control->closing && !control->clients && !uv_is_closing((uv_handle_t *)&control->timer))
        uv_close((uv_handle_t *)&control->timer, handle_closed);
}

static void client_closed(uv_handle_t *handle)
{
    struct nns_control_client *client = handle->data;
    struct nns_control *control = client->control;

    if (--client->handles > 0)
        return;
    if (client->answering)
        control->ops.closed(control->context, client);
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    control->admitted -= client->admitted;
    free(client->buffer);
    free(client);
    close_timer_if_alone(control);
    release(control);
}

/* The handler hears of it from the close callback, never from within a call of its own. */
static void close_client(struct nns_control_client *client)
{
    if (client->closing)
        return;
    client->closing = true;
    uv_close((uv_handle_t *)&client->pipe, client_closed);
    uv_close((uv_handle_t *)&client->timer, client_closed);
}

/* Writing. */

static uint64_t taken(const struct nns_control_client *client)
{
    return client->sent - uv_stream_get_write_queue_size((const uv_stream_t *)&client->pipe);
}

static void written(uv_write_t *request, int status)
{
    struct write *write = (struct write *)request;
    struct nns_control_client *client = request->data;

    free(write->line);
    free(write);
    client->writes--;
    if (client->closing)
        return;
    if (status < 0) {
        close_client(client);
        return;
    }
    if (client->writes == 0 && client->answering)
        client->control->ops.drained(client->control->context, client);
    settle(client);
}

void nns_control_send(struct nns_control_client *client, char *line)
{
    struct write *write = line && !client->closing ? malloc(sizeof(*write)) : NULL;
    uv_buf_t text;

    if (!write) {
        free(line);
        close_client(client);
        return;
    }
    text = uv_buf_init(line, (unsigned)strlen(line));
    write->line = line;
    write->request.data = client;
    client->sent += text.len;
    client->writes++;
    if (uv_write(&write->request, (uv_stream_t *)&client->pipe, &text, 1, written)) {
        client->writes--;
        free(line);
        free(write);
        close_client(client);
        return;
    }
    settle(client);
}

/* Say why and close, once that has been taken. */
static void dismiss(struct nns_control_client *client, const char *sentence)
{
    client->last_words = true;
    nns_control_send(client, nns_answer_error(sentence));
}

static void refuse(struct nns_control_client *client, const char *sentence)
{
    nns_count(NNS_COUNT_CONTROL_REFUSED, 1);
    dismiss(client, sentence);
}

/* Requests. */

/* Is a whole line buffered? Its newline is then at scanned. */
static bool line_ready(struct nns_control_client *client)
{
    char *newline;

    if (client->scanned == client->length)
        return false;
    newline = memchr(client->buffer + client->scanned, '\n', client->length - client->scanned);
    client->scanned = newline ? (size_t)(newline - client->buffer) : client->length;
    return newline != NULL;
}

static void deliver(struct nns_control_client *client)
{
    struct nns_control *control = client->control;
    const char *line = client->buffer + client->start;
    size_t length = client->scanned - client->start;

    nns_count(NNS_COUNT_CONTROL_REQUESTS, 1);
    client->start = client->scanned = client->scanned + 1;
    client->answering = true;
    client->data = NULL;
    enter_phase(client, PHASE_ANSWERING);
    control->ops.request(control->context, client, line, length);
}

void nns_control_finish(struct nns_control_client *client)
{
    client->answering = false;
    client->data = NULL;
    end_following(client);
    settle(client);
}

void nns_control_set_data(struct nns_control_client *client, void *data)
{
    client->data = data;
}

void *nns_control_data(const struct nns_control_client *client)
{
    return client->data;
}

/* Following. */

static void start_timer(struct nns_control_client *client);

/* Reading tells that a client has left. What it sends meanwhile is for later, and is not read on
 * to its end: then a look from time to time has to tell. */
static bool listens_for_end(const struct nns_control_client *client)
{
    return client->following && !client->ended && client->length == client->start;
}

/* Both directions are closed: nobody will take anything. */
static bool has_left(const struct nns_control_client *client)
{
    struct pollfd look = {.events = 0};

    return uv_fileno((const uv_handle_t *)&client->pipe, &look.fd) == 0 && poll(&look, 1, 0) == 1;
}

static void note_end(struct nns_control_client *client)
{
    uv_read_stop((uv_stream_t *)&client->pipe);
    if (has_left(client))
        close_client(client);
    else
        start_timer(client);
}

/* Reading. */

static bool grow(struct nns_control_client *client)
{
    size_t capacity = client->capacity ? 2 * client->capacity : BUFFER_FIRST;
    char *buffer;

    if (capacity > NNS_REQUEST_BYTES_MAX)
        return false;
    buffer = realloc(client->buffer, capacity);
    if (!buffer)
        return false;
    client->buffer = buffer;
    client->capacity = capacity;
    return true;
}

static void provide(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct nns_control_client *client = handle->data;

    if (client->start > 0) {
        memmove(client->buffer, client->buffer + client->start, client->length - client->start);
        client->length -= client->start;
        client->scanned -= client->start;
        client->start = 0;
    }
    /* Length 0 makes libuv report ENOBUFS. */
    *buffer = uv_buf_init(NULL, 0);
    if (client->length < client->capacity || grow(client))
        *buffer = uv_buf_init(client->buffer + client->length, (unsigned)(client->capacity - client->length));
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct nns_control_client *client = stream->data;

    if (client->closing)
        return;
    if (count > 0)
        client->length += (size_t)count;
    else if (count == UV_EOF)
        client->ended = true;
    else if (count < 0) {
        close_client(client);
        return;
    }
    if (client->following && !listens_for_end(client))
        note_end(client);
    settle(client);
}

void nns_control_follow(struct nns_control_client *client)
{
    if (client->closing)
        return;
    client->following = true;
    if (listens_for_end(client))
        uv_read_start((uv_stream_t *)&client->pipe, provide, received);
    else
        note_end(client);
}

static void end_following(struct nns_control_client *client)
{
    if (!client->following || client->closing)
        return;
    client->following = false;
    uv_read_stop((uv_stream_t *)&client->pipe);
    start_timer(client);
}

static void give_back_buffer(struct nns_control_client *client)
{
    client->start = client->scanned = client->length = 0;
    if (client->capacity > BUFFER_FIRST) {
        free(client->buffer);
        client->buffer = NULL;
        client->capacity = 0;
    }
}

/* Time. */

static void expired(uv_timer_t *timer);

static void start_timer(struct nns_control_client *client)
{
    uint64_t timeout = client->control->timeout_ms, patience = timeout * NNS_CONTROL_IDLE_FACTOR;

    client->taken_at_start = taken(client);
    switch (client->phase) {
    case PHASE_READY:
        uv_timer_start(&client->timer, expired, 0, 0);
        break;
    case PHASE_IDLE:
        uv_timer_start(&client->timer, expired, patience, 0);
        break;
    case PHASE_PARTIAL:
        uv_timer_start(&client->timer, expired, timeout, 0);
        break;
    case PHASE_WRITING:
        uv_timer_start(&client->timer, expired, client->following ? patience : timeout, 0);
        break;
    default:
        if (client->following && !listens_for_end(client))
            uv_timer_start(&client->timer, expired, timeout, 0);
        else
            uv_timer_stop(&client->timer);
        break;
    }
}

static void expired(uv_timer_t *timer)
{
    struct nns_control_client *client = timer->data;

    if (client->phase == PHASE_READY) {
        deliver(client);
        settle(client);
    } else if (client->phase == PHASE_WRITING && taken(client) > client->taken_at_start) {
        start_timer(client);
    } else if (client->phase == PHASE_ANSWERING) {
        note_end(client);
    } else {
        nns_count(NNS_COUNT_CONTROL_TIMEOUTS, 1);
        close_client(client);
    }
}

/* Phases. */

static enum phase phase_of(struct nns_control_client *client)
{
    if (client->writes > 0)
        return PHASE_WRITING;
    if (client->answering)
        return PHASE_ANSWERING;
    if (line_ready(client))
        return PHASE_READY;
    return client->length > client->start ? PHASE_PARTIAL : PHASE_IDLE;
}

static void enter_phase(struct nns_control_client *client, enum phase phase)
{
    /* Starting what is started is harmless, but a timer must not begin anew with every byte. */
    if (phase == client->phase)
        return;
    client->phase = phase;
    if (phase == PHASE_IDLE)
        give_back_buffer(client);
    if (phase == PHASE_IDLE || phase == PHASE_PARTIAL || listens_for_end(client))
        uv_read_start((uv_stream_t *)&client->pipe, provide, received);
    else
        uv_read_stop((uv_stream_t *)&client->pipe);
    start_timer(client);
}

/* While we close, a client keeps its place as long as something happens without its doing: output that waits
 * to be taken, and whole requests, which the handler refuses in its own words. */
static bool may_part(const struct nns_control_client *client, enum phase phase)
{
    if (client->control->closing)
        return phase != PHASE_WRITING && phase != PHASE_READY;
    return client->last_words && phase <= PHASE_PARTIAL;
}

/* Something changed: see what this client is at now and what follows from it. One request a round of the
 * loop, so that a client with a thousand of them in its buffer keeps nobody waiting. */
static void settle(struct nns_control_client *client)
{
    enum phase phase;

    if (client->closing)
        return;
    phase = phase_of(client);
    if (may_part(client, phase))
        close_client(client);
    else if (phase == PHASE_PARTIAL && client->length - client->start >= NNS_REQUEST_BYTES_MAX)
        refuse(client, TOO_LONG);
    else if (phase == PHASE_PARTIAL && client->ended)
        refuse(client, CUT_SHORT);
    else if (phase == PHASE_IDLE && client->ended)
        close_client(client);
    else
        enter_phase(client, phase);
}

/* Accepting. */

static void client_init(struct nns_control *control, struct nns_control_client *client)
{
    uv_pipe_init(control->loop, &client->pipe, 0);
    uv_timer_init(control->loop, &client->timer);
    client->pipe.data = client->timer.data = client;
    client->handles = 2;
    client->control = control;
    client->next = control->clients;
    client->link = &control->clients;
    if (client->next)
        client->next->link = &client->next;
    control->clients = client;
    control->references++;
}

static void admit(struct nns_control *control, struct nns_control_client *client)
{
    if (control->admitted >= control->limit) {
        nns_count(NNS_COUNT_CONTROL_BUSY, 1);
        dismiss(client, TOO_MANY_CLIENTS);
    } else {
        nns_count(NNS_COUNT_CONTROL_CLIENTS, 1);
        client->admitted = true;
        control->admitted++;
        settle(client);
    }
}

/* Memory first: a connection that is not accepted yet can wait, one that was could only be broken. 0 or
 * -errno.
 */
static int accept_one(struct nns_control *control)
{
    struct nns_control_client *client = calloc(1, sizeof(*client));
    int fd = client ? accept4(control->place.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    int error = client ? errno : ENOMEM;

    if (fd < 0) {
        free(client);
        return -error;
    }
    client_init(control, client);
    if (uv_pipe_open(&client->pipe, fd)) {
        nns_count(NNS_COUNT_CONTROL_ERRORS, 1);
        close(fd);
        close_client(client);
    } else {
        admit(control, client);
    }
    return 0;
}

static void accept_again(uv_timer_t *timer);

/* Whoever waits to be accepted keeps the listener readable: without a pause we would do nothing else. */
static void hold_off(struct nns_control *control, int error)
{
    static struct nns_log_limit limit;

    nns_count(NNS_COUNT_CONTROL_ERRORS, 1);
    nns_log_limited(&limit, NNS_LOG_WARNING, "control: cannot accept a connection: %s", strerror(-error));
    uv_poll_stop(&control->listener);
    uv_timer_start(&control->timer, accept_again, ACCEPT_RETRY_MS, 0);
}

/* Not by libuv's own listener, which goes on accepting until it is told that nobody waits: with an error that
 * stays it never comes back. */
static void connected(uv_poll_t *listener, int status, int events)
{
    struct nns_control *control = listener->data;
    int result = status;

    for (int i = 0; i < BACKLOG && !result; i++)
        result = accept_one(control);
    if (result && result != -EAGAIN && result != -EINTR && result != -ECONNABORTED)
        hold_off(control, result);
}

static int start_accepting(struct nns_control *control)
{
    return uv_poll_start(&control->listener, UV_READABLE, connected);
}

static void accept_again(uv_timer_t *timer)
{
    start_accepting(timer->data);
}

/* Listening. */

static void close_all(uv_timer_t *timer)
{
    struct nns_control *control = timer->data;

    for (struct nns_control_client *client = control->clients; client; client = client->next)
        close_client(client);
}

void nns_control_close(struct nns_control *control)
{
    if (!control || control->closing)
        return;
    control->closing = true;
    uv_close((uv_handle_t *)&control->listener, handle_closed);
    nns_control_place_leave(&control->place);
    uv_timer_start(&control->timer, close_all,
                   control->timeout_ms < CLOSE_MS ? control->timeout_ms : CLOSE_MS, 0);
    for (struct nns_control_client *client = control->clients; client; client = client->next)
        settle(client);
    close_timer_if_alone(control);
}

/* 0 with the place taken over, or -errno. */
static int control_new(uv_loop_t *loop, const struct nns_params *params, struct nns_control_place place,
                       struct nns_control **out)
{
    struct nns_control *control = calloc(1, sizeof(*control));
    int result = control ? uv_poll_init(loop, &control->listener, place.fd) : -ENOMEM;

    if (result) {
        free(control);
        return result;
    }
    control->place = place;
    control->loop = loop;
    control->limit = params->control_clients;
    control->timeout_ms = params->control_timeout_ms;
    uv_timer_init(loop, &control->timer);
    control->listener.data = control->timer.data = control;
    control->references = 2;
    *out = control;
    return 0;
}

int nns_control_listen(uv_loop_t *loop, const struct nns_params *params, const struct nns_control_ops *ops,
                       void *context, struct nns_control **out)
{
    struct nns_control_place place = NNS_CONTROL_PLACE_NULL;
    struct nns_control *control;
    int result = nns_control_place_take(&place, params->control_path);

    if (result)
        return result;
    result = control_new(loop, params, place, &control);
    if (result) {
        nns_control_place_leave(&place);
        return result;
    }
    control->ops = *ops;
    control->context = context;
    result = listen(place.fd, BACKLOG) ? -errno : start_accepting(control);
    if (result) {
        nns_control_close(control);
        return result;
    }
    *out = control;
    return 0;
}

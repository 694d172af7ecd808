/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_CONTROL_H
#define NNS_IO_CONTROL_H

#include <stddef.h>
#include <uv.h>

#include "core/params.h"

/*
 * The control socket: a Unix stream socket (mode 0660) of lines. It frames requests, bounds them, and knows
 * nothing of what they mean. Loop thread only.
 *
 * A client that sends a line longer than NNS_REQUEST_BYTES_MAX is told so and closed; connections above
 * control.clients are told so and closed. While a request is being answered, and until its answer has been
 * taken, no further one is read from that client. A client may close its sending side after its request and
 * still gets its answer.
 *
 * What bounds a client in time:
 * - a request that has begun must be complete within control.timeout of its first byte, or of the moment when
 *   the answer before it has been taken;
 * - output that waits must make progress within control.timeout;
 * - between requests a client may be idle for NNS_CONTROL_IDLE_FACTOR × control.timeout, so that forgotten
 *   connections do not use up control.clients.
 * How long a request takes to be answered is not bounded here.
 *
 * A connection that cannot be accepted, for want of memory or descriptors, waits and is tried again each
 * second.
 *
 * Counted here: control.clients, .requests, .busy, .timeouts, .errors, and in .refused what cannot be framed.
 * What does not decode is the handler's to count.
 */
#define NNS_CONTROL_IDLE_FACTOR 12

struct nns_control;
struct nns_control_client;

/* None of these is called from within nns_control_send, _finish, or _close. */
struct nns_control_ops {
    /* A whole line, without its newline, good until the handler returns or has called nns_control_finish,
     * with which it ends its answer, now or later. */
    void (*request)(void *context, struct nns_control_client *client, const char *line, size_t length);
    /* All that was sent has been taken: more can be. Only between request and finish. */
    void (*drained)(void *context, struct nns_control_client *client);
    /* The client went away (or was closed) in the middle of a request: answer nothing more, forget the
     * pointer. Once, and only between request and finish. Also follows nns_control_close, from the loop. */
    void (*closed)(void *context, struct nns_control_client *client);
};

/*
 * Listen. A file PATH.lock (0600) is made beside the socket and locked until nns_control_close; it is never
 * removed. Where it is locked already, or the socket answers, a daemon is alive: -EADDRINUSE. A socket file
 * that nobody listens on any more is replaced; a file that is no socket is left alone (-EEXIST). Missing
 * directories of the path are made (0755). 0 or -errno; without anything left behind on failure but those
 * directories and PATH.lock (and the loop must run once for memory to be freed). The process must ignore
 * SIGPIPE, which libuv's writes raise when a client has left.
 */
int nns_control_listen(uv_loop_t *loop, const struct nns_params *params, const struct nns_control_ops *ops,
                       void *context, struct nns_control **out);

/*
 * Stop listening, remove the socket file if it is still ours, and close the clients: those with output that
 * waits once they have taken it, all others, also those whose request is not answered yet, at once. Nobody is
 * waited for longer than control.timeout or a second. Until then `drained`, and `request` for what a client
 * had sent before, are still called. Frees *control from the loop, later. NULL is fine.
 */
void nns_control_close(struct nns_control *control);

/* Send text; the string is owned by the callee from here on, NULL closes the client (no memory). */
void nns_control_send(struct nns_control_client *client, char *line);

/* The request has been answered; the next one may be read. The pointer is the handler's no longer. */
void nns_control_finish(struct nns_control_client *client);

/* A place for the handler's state of the request being answered. NULL when a request begins. */
void nns_control_set_data(struct nns_control_client *client, void *data);
void *nns_control_data(const struct nns_control_client *client);

#endif

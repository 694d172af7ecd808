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
 * A client that sends a line longer than NNS_REQUEST_BYTES_MAX is told so and closed; one that stalls, in the
 * middle of a request or in taking its answer, is closed after control.timeout; connections above
 * control.clients are told so and closed. While a request is being answered no further one is read from that
 * client.
 */
struct nns_control;
struct nns_control_client;

struct nns_control_ops {
    /* A whole line, without its newline. The handler answers now or later, and ends with nns_control_finish.
     */
    void (*request)(void *context, struct nns_control_client *client, const char *line, size_t length);
    /* All that was sent has been taken: more can be. Only between request and finish. */
    void (*drained)(void *context, struct nns_control_client *client);
    /* The client went away (or was closed) in the middle of a request: answer nothing more, forget the
     * pointer. */
    void (*closed)(void *context, struct nns_control_client *client);
};

/*
 * Listen. A socket file that nobody listens on any more is replaced; one that answers is an error
 * (-EADDRINUSE), as the daemon that made it is alive. Missing directories of the path are made (0755). 0 or
 * -errno.
 */
int nns_control_listen(uv_loop_t *loop, const struct nns_params *params, const struct nns_control_ops *ops,
                       void *context, struct nns_control **out);

/* Stop listening, remove the socket file, close all clients. Frees *control from the loop, later. */
void nns_control_close(struct nns_control *control);

/* Send text; the string is owned by the callee from here on, NULL closes the client (no memory). */
void nns_control_send(struct nns_control_client *client, char *line);

/* The request has been answered; the next one may be read. */
void nns_control_finish(struct nns_control_client *client);

/* A place for the handler's state of the request being answered. */
void nns_control_set_data(struct nns_control_client *client, void *data);
void *nns_control_data(const struct nns_control_client *client);

#endif

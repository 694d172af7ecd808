/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_CLIENT_H
#define NNS_CLI_CLIENT_H

#include <jansson.h>
#include <stdio.h>

#include "core/protocol.h"

/*
 * A connection to the daemon, blocking. What comes is handed on line by line: an answer may be larger than
 * anybody wants to keep.
 */
struct nns_client {
    FILE *in; /* owned; its descriptor is the socket */
};

enum nns_ask {
    NNS_ASK_DONE,
    NNS_ASK_REFUSED, /* the daemon said no: its sentence */
    NNS_ASK_FAILED,  /* the connection or the answer broke: a sentence of ours */
};

/* What takes an answer: the member of the line ("namespace", "result", "status") and its object, borrowed. */
struct nns_taker {
    void (*take)(void *context, const char *member, const json_t *value);
    void *context;
};

/* 0 or -errno. */
int nns_client_open(struct nns_client *client, const char *path);
void nns_client_close(struct nns_client *client);

/* Send a request and take its answer to the end. error[size] is written unless DONE. */
enum nns_ask nns_client_ask(struct nns_client *client, const struct nns_control_request *request,
                            const struct nns_taker *taker, char *error, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_PROTOCOL_H
#define NNS_CORE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/news.h"
#include "core/report.h"

/*
 * The control protocol (docs/control-protocol.md): JSON objects, one a line, both ways.
 *
 * Request:  {"version":1,"command":"list"}   at most NNS_REQUEST_BYTES_MAX with its newline.
 * Answer:   any number of lines {"namespace":{…}}, {"result":{…}}, {"status":{…}} or {"event":{…}}, then one
 *           last line {"done":true} or {"done":false,"error":"a sentence"}.
 * A connection carries one request after the other.
 */
#define NNS_PROTOCOL_VERSION     1
#define NNS_CONTROL_PATH_DEFAULT "/run/netnsync/control.sock"
#define NNS_REQUEST_BYTES_MAX    (1u << 20)
#define NNS_REQUEST_PIDS_MAX     65536u

enum nns_command {
    NNS_COMMAND_SYNC, /* "pids":[…], "wait":bool */
    NNS_COMMAND_LIST,
    NNS_COMMAND_GET, /* "namespace": cookie or inum, decimal, as a string */
    NNS_COMMAND_STATUS,
    NNS_COMMAND_FLUSH,  /* "namespace" as for get */
    NNS_COMMAND_DETACH, /* "instance": whose; must be the daemon's own */
    NNS_COMMAND_WATCH,  /* "namespace" as for get, or none for all; its answer ends with the daemon */
    NNS_COMMAND_COUNT
};

struct nns_control_request {
    enum nns_command command;
    bool wait;
    uint32_t *pids; /* owned; values as given: whether they are pids is not decided here */
    size_t pid_count;
    char *namespace; /* owned, NULL where not given */
    char *instance;  /* owned, NULL where not given */
};

#define NNS_CONTROL_REQUEST_NULL ((struct nns_control_request){.command = NNS_COMMAND_COUNT})

/*
 * Decode one request line (without newline; may hold any bytes). 0; -EPROTO for another version; -EINVAL
 * otherwise; with a sentence for the client in error[size] and *request untouched. -ENOMEM likewise. Unknown
 * members are an error.
 */
int nns_control_request_decode(const char *line, size_t length, struct nns_control_request *request,
                               char *error, size_t size);
void nns_control_request_deinit(struct nns_control_request *request);

/* Encode a request as one line with its newline; malloc'ed. NULL with errno ENOMEM, or EILSEQ when a string
 * is no UTF-8: JSON cannot carry it, and a changed path would name something else. */
char *nns_control_request_encode(const struct nns_control_request *request);

/* Answer lines, each with its newline, malloc'ed; NULL without memory. */
char *nns_answer_namespace(const struct nns_namespace_row *row);
char *nns_answer_result(const struct nns_result *result);
char *nns_answer_status(const struct nns_status *status); /* folds in the counters */
char *nns_answer_news(const struct nns_news *news);
char *nns_answer_done(void);
char *nns_answer_error(const char *sentence);

const char *nns_command_name(enum nns_command command);

#endif

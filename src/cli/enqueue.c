/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/writer.h"
#include "core/pid_message.h"
#include "core/queue_name.h"
#include "io/queue.h"

enum { KEY_QUEUE = 'q' };

struct arguments {
    struct nns_cli_pids pids;
    const char *queue;
};

static const struct argp_option options[] = {
    {"queue", KEY_QUEUE, "NAME", 0, "The message queue (default " NNS_QUEUE_NAME_DEFAULT ")", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case KEY_QUEUE:
        if (!nns_queue_name_valid(argument))
            argp_error(state, "\"%s\" is no name of a queue: it must be " NNS_QUEUE_NAME_RULE, argument);
        arguments->queue = argument;
        return 0;
    default:
        return nns_cli_parse_pids(key, argument, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PID...",
    .doc =
        "Put pids on the message queue that a daemon reads, in as few messages as they fit in.\v"
        "Waits while the queue is full. What becomes of the pids is not heard: see sync for that. Pids are "
        "those of the daemon's pid namespace.",
    .children = nns_cli_children,
};

/* Send all. The pids sent are counted in *sent also when it fails. 0 or -errno. */
static int send_all(const struct nns_queue *queue, const struct nns_cli_pids *pids, void *message,
                    size_t capacity, size_t *sent, size_t *messages)
{
    int result = 0;

    while (!result && *sent < pids->count) {
        size_t left = pids->count - *sent, count = left < capacity ? left : capacity;
        size_t length = nns_pid_message_encode(message, pids->items + *sent, (uint16_t)count);

        result = nns_queue_send(queue, message, length);
        if (!result) {
            *sent += count;
            (*messages)++;
        }
    }
    return result;
}

static int enqueue(const struct arguments *arguments, const struct nns_queue *queue)
{
    size_t capacity = nns_pid_message_capacity(queue->msgsize), sent = 0, messages = 0;
    void *message;
    int result;

    if (!capacity) {
        nns_cli_complain("messages of %zu bytes, as the queue %s takes, hold no pid", queue->msgsize,
                         arguments->queue);
        return NNS_EXIT_FAILED;
    }
    message = malloc(nns_pid_message_size(capacity));
    if (!message)
        return nns_cli_no_memory();
    result = send_all(queue, &arguments->pids, message, capacity, &sent, &messages);
    free(message);
    if (result) {
        nns_cli_complain("only %zu of %zu pids were put on the queue %s: %s", sent, arguments->pids.count,
                         arguments->queue, strerror(-result));
        return NNS_EXIT_FAILED;
    }
    nns_writer_report(
        arguments->pids.cli->json,
        json_pack("{s:{s:I, s:I}}", "enqueued", "pids", (json_int_t)sent, "messages", (json_int_t)messages),
        "enqueued %zu pid%s in %zu message%s", sent, sent == 1 ? "" : "s", messages,
        messages == 1 ? "" : "s");
    return NNS_EXIT_DONE;
}

static int run(const struct arguments *arguments)
{
    struct nns_queue queue = NNS_QUEUE_NULL;
    int status, result = nns_queue_open_sender(arguments->queue, &queue);

    if (result) {
        nns_cli_complain("cannot open the queue %s: %s", arguments->queue, strerror(-result));
        return NNS_EXIT_FAILED;
    }
    status = enqueue(arguments, &queue);
    nns_queue_close(&queue);
    return status;
}

int nns_cli_enqueue(struct nns_cli *cli, int argc, char **argv)
{
    struct arguments arguments = {.pids.cli = cli, .queue = NNS_QUEUE_NAME_DEFAULT};
    int status;

    nns_cli_parse(&argp, argc, argv, &arguments);
    status = run(&arguments);
    free(arguments.pids.items);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"

enum { KEY_WAIT = 'w' };

struct arguments {
    struct nns_cli_pids pids;
    bool wait;
};

static const struct argp_option options[] = {
    {"wait", KEY_WAIT, NULL, 0,
     "Return when every device of these namespaces carries its programs, or has a reason why not", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case KEY_WAIT:
        arguments->wait = true;
        return 0;
    default:
        return nns_cli_parse_pids(key, argument, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PID...",
    .doc = "Look at the network namespace of each process, and attach to its devices if it is new.\v"
           "An outcome is new, known, gone, denied, disabled, excluded, refused or error. The exit status is "
           "0 when all are new or known and, with --wait, all could be waited for, else 1. Pids are those of "
           "the "
           "daemon's pid namespace.",
    .children = nns_cli_children,
};

struct outcomes {
    struct nns_writer writer;
    bool bad;
};

static void take(void *context, const char *member, const json_t *value)
{
    struct outcomes *outcomes = context;
    const char *outcome = json_string_value(json_object_get(value, "outcome"));

    if (strcmp(member, "result") != 0)
        return;
    nns_writer_item(&outcomes->writer, value);
    if (!outcome || (strcmp(outcome, "new") != 0 && strcmp(outcome, "known") != 0))
        outcomes->bad = true;
}

/* Pids by the thousand go in several requests: the protocol bounds one. */
static enum nns_ask ask_all(struct nns_client *client, const struct arguments *arguments,
                            struct outcomes *outcomes, char *error, size_t size)
{
    struct nns_taker taker = {take, outcomes};
    enum nns_ask result = NNS_ASK_DONE;
    size_t done = 0;

    while (result == NNS_ASK_DONE && done < arguments->pids.count) {
        size_t left = arguments->pids.count - done;
        size_t count = left < NNS_REQUEST_PIDS_MAX ? left : NNS_REQUEST_PIDS_MAX;
        struct nns_control_request request = {
            .command = NNS_COMMAND_SYNC,
            .wait = arguments->wait,
            .pids = arguments->pids.items + done,
            .pid_count = count,
        };

        result = nns_client_ask(client, &request, &taker, error, size);
        done += count;
    }
    if (result == NNS_ASK_DONE && outcomes->writer.items != arguments->pids.count) {
        snprintf(error, size, "the daemon answered for %zu pids of %zu", outcomes->writer.items,
                 arguments->pids.count);
        result = NNS_ASK_FAILED;
    }
    return result;
}

static int run(struct arguments *arguments)
{
    const struct nns_cli *cli = arguments->pids.cli;
    struct outcomes outcomes = {.writer = nns_writer_make(cli->json, NNS_SHAPE_RESULTS)};
    struct nns_client client;
    char error[512];
    enum nns_ask result;

    if (nns_cli_connect(cli, &client))
        return NNS_EXIT_FAILED;
    result = ask_all(&client, arguments, &outcomes, error, sizeof(error));
    nns_client_close(&client);
    nns_writer_end(&outcomes.writer, result == NNS_ASK_DONE ? NULL : error);
    if (result != NNS_ASK_DONE)
        nns_cli_complain("%s", error);
    return result != NNS_ASK_DONE || outcomes.bad ? NNS_EXIT_FAILED : NNS_EXIT_DONE;
}

int nns_cli_sync(struct nns_cli *cli, int argc, char **argv)
{
    struct arguments arguments = {.pids.cli = cli};
    int status;

    nns_cli_parse(&argp, argc, argv, &arguments);
    status = run(&arguments);
    free(arguments.pids.items);
    return status;
}

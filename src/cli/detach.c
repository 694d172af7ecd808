/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/sweep.h"

#define DEFAULT_INSTANCE "default"
#define INSTANCE_MAX     32
#define OTHER_INSTANCE   "this is instance"

enum { KEY_ALL = 'a', KEY_INSTANCE = 'i' };

struct arguments {
    struct nns_cli *cli;
    const char *instance; /* NULL where not given */
    bool all;
};

static const struct argp_option options[] = {
    {"all", KEY_ALL, NULL, 0, "In all namespaces; must be given", 0},
    {"instance", KEY_INSTANCE, "NAME", 0, "Whose filters (default " DEFAULT_INSTANCE ")", 0},
    {0},
};

static bool instance_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t length = strlen(name);

    return length > 0 && length <= INSTANCE_MAX && strspn(name, allowed) == length;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        nns_cli_parse_init(state);
        return 0;
    case KEY_ALL:
        arguments->all = true;
        return 0;
    case KEY_INSTANCE:
        if (!instance_valid(argument))
            argp_error(state, "\"%s\" is no instance: 1 to 32 letters, digits, '_' or '-'", argument);
        arguments->instance = argument;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is one argument too many", argument);
        return ARGP_ERR_UNKNOWN;
    case ARGP_KEY_END:
        if (!arguments->all)
            argp_error(state, "say --all: filters are detached in all namespaces");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "--all",
    .doc = "Remove all filters of an instance, from every device of every namespace.\v"
           "A daemon that answers does it itself and knows of it. Where none answers, the namespaces of all "
           "processes and mounts are looked through from here, which needs the rights of the daemon. Only "
           "filters that bear the instance's name are removed; qdiscs stay.",
    .children = nns_cli_children,
};

static int sweep(const struct arguments *arguments, const char *instance)
{
    struct nns_sweep sweep;
    int result = nns_sweep_all(instance, &sweep);
    json_t *object = json_pack("{s:{s:s, s:I, s:I, s:I, s:I}}", "detached", "by", "sweep", "filters",
                               (json_int_t)sweep.filters, "namespaces", (json_int_t)sweep.namespaces,
                               "looked_at", (json_int_t)sweep.looked_at, "failed", (json_int_t)sweep.failed);

    nns_writer_report(arguments->cli->json, object,
                      "removed %zu filters of instance %s from %zu namespaces, of %zu looked at",
                      sweep.filters, instance, sweep.namespaces, sweep.looked_at);
    return result || sweep.failed ? NNS_EXIT_FAILED : NNS_EXIT_DONE;
}

static void ignore(void *context, const char *member, const json_t *value)
{
}

static int ask_daemon(const struct arguments *arguments, const char *instance, struct nns_client *client)
{
    struct nns_control_request request = {.command = NNS_COMMAND_DETACH, .instance = (char *)instance};
    char error[512];
    enum nns_ask result =
        nns_client_ask(client, &request, &(struct nns_taker){ignore, NULL}, error, sizeof(error));

    nns_client_close(client);
    if (result == NNS_ASK_DONE) {
        nns_writer_report(arguments->cli->json, json_pack("{s:{s:s}}", "detached", "by", "daemon"),
                          "the daemon of instance %s removed its filters", instance);
        return NNS_EXIT_DONE;
    }
    if (result == NNS_ASK_REFUSED && !strncmp(error, OTHER_INSTANCE, strlen(OTHER_INSTANCE))) {
        if (arguments->instance)
            return sweep(arguments, instance);
        nns_cli_complain("the daemon at %s says: %s; say whose filters with --instance",
                         arguments->cli->socket, error);
        return NNS_EXIT_FAILED;
    }
    nns_cli_complain("%s", error);
    return NNS_EXIT_FAILED;
}

int nns_cli_detach(struct nns_cli *cli, int argc, char **argv)
{
    struct arguments arguments = {.cli = cli};
    struct nns_client client;
    const char *instance;
    int result;

    nns_cli_parse(&argp, argc, argv, &arguments);
    instance = arguments.instance ? arguments.instance : DEFAULT_INSTANCE;
    result = nns_client_open(&client, cli->socket);
    if (!result)
        return ask_daemon(&arguments, instance, &client);
    if (result == -ENOENT || result == -ECONNREFUSED)
        return sweep(&arguments, instance);
    nns_cli_complain("cannot reach the daemon at %s: %s", cli->socket, strerror(-result));
    return NNS_EXIT_FAILED;
}

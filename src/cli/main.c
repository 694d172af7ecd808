/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct nns_cli_command commands[] = {
    {"sync", "[--wait] PID...", "Look at each process's namespace", nns_cli_sync},
    {"enqueue", "[--queue NAME] PID...", "Put pids on the daemon's queue", nns_cli_enqueue},
    {"list", "", "Show all namespaces, their devices", nns_cli_list},
    {"get", "NS", "Show one namespace", nns_cli_get},
    {"status", "", "Show coverage and counters", nns_cli_status},
    {"watch", "[NS]", "Show what happens, as it happens", nns_cli_watch},
    {"flush", "NS", "Forget it, remove its filters", nns_cli_flush},
    {"detach", "--all [OPTION...]", "Remove all filters of an instance", nns_cli_detach},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

struct arguments {
    struct nns_cli *cli;
    const struct nns_cli_command *command;
    int at; /* where it stands in argv */
};

static const struct nns_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    }
    return NULL;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        nns_cli_parse_init(state);
        return 0;
    case ARGP_KEY_ARG:
        arguments->command = find_command(argument);
        if (!arguments->command)
            argp_error(state, "there is no command \"%s\"", argument);
        arguments->at = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no command given");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The list of commands in --help comes out of the table. The string is argp's to free. */
static char *help(int key, const char *text, void *input)
{
    char *list = NULL;
    size_t length = 0;
    FILE *out;

    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    out = open_memstream(&list, &length);
    if (!out)
        return NULL;
    fputs("Commands:\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %-24s %s\n", commands[i].name, commands[i].arguments, commands[i].summary);
    fputs("\nNS is a namespace's cookie, its inum, or a path such as /run/netns/NAME. "
          "`netnsync COMMAND --help' says more of a command.\n\n"
          "Exit status: 0 done, 1 failed, 2 wrong usage.",
          out);
    return fclose(out) ? NULL : list;
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "COMMAND [ARGUMENT...]",
    .doc = "Talk to netnsyncd, which keeps a BPF classifier on every device of every network namespace.\v ",
    .children = nns_cli_children,
    .help_filter = help,
};

static int run(struct nns_cli *cli, const struct nns_cli_command *command, int argc, char **argv)
{
    char name[64];

    snprintf(name, sizeof(name), "netnsync %s", command->name);
    argv[0] = name;
    return command->run(cli, argc, argv);
}

/* Output that nobody got is no success. */
static int check_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    nns_cli_complain("cannot write the output: %s", strerror(errno));
    return NNS_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct nns_cli cli = {.socket = NNS_CONTROL_PATH_DEFAULT};
    struct arguments arguments = {.cli = &cli};

    argp_err_exit_status = NNS_EXIT_USAGE;
    argp_program_version = "netnsync " NNS_VERSION;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &arguments);
    return check_output(run(&cli, arguments.command, argc - arguments.at, argv + arguments.at));
}

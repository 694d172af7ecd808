/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/params.h"
#include "workers/daemon.h"

const char *argp_program_version = "netnsyncd " NNS_VERSION;

enum { KEY_SET = 's', KEY_CONFIG = 'c', KEY_CHECK = 0x100 };

/* Nothing was started: the command line or a parameter is wrong. */
enum { STATUS_USAGE = 2 };

static const struct argp_option options[] = {
    {"config", KEY_CONFIG, "FILE", 0, "Read parameters from FILE: lines of NAME = VALUE", 0},
    {"set", KEY_SET, "NAME=VALUE", 0, "Set one parameter; may be repeated; goes before the file", 0},
    {"check-config", KEY_CHECK, NULL, 0, "Check the parameters, print them all, and exit", 0},
    {0},
};

/* What the command line asks for. Assignments are kept until the file has been read: they win over it. */
struct command_line {
    const char *config;
    char **assignments;
    size_t assignment_count;
    bool check;
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct command_line *line = state->input;

    switch (key) {
    case KEY_CONFIG:
        line->config = argument;
        return 0;
    case KEY_SET:
        line->assignments[line->assignment_count++] = argument;
        return 0;
    case KEY_CHECK:
        line->check = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", argument);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --help ends with the table of parameters. argp frees the text. */
static char *add_parameters(int key, const char *text, void *input)
{
    char *help = NULL;
    size_t size = 0;
    FILE *stream;

    if (key != ARGP_KEY_HELP_POST_DOC || !(stream = open_memstream(&help, &size)))
        return (char *)text;
    fputs("Parameters, for --set and for the file:\n\n", stream);
    nns_params_describe(stream);
    fclose(stream);
    return help;
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc =
        "Keeps a BPF classifier on every device of every network namespace, those it finds and those it is "
        "told of.\v ",
    .help_filter = add_parameters,
};

static int apply(struct nns_params *params, const struct command_line *line)
{
    char error[512];
    int rc = nns_params_init(params);

    if (!rc && line->config)
        rc = nns_params_load(params, line->config, stderr);
    for (size_t i = 0; i < line->assignment_count && rc != -ENOMEM; i++) {
        int set = nns_params_set(params, line->assignments[i], error, sizeof(error));

        if (set) {
            fprintf(stderr, "--set %s: %s\n", line->assignments[i], error);
            rc = set;
        }
    }
    if (!rc && (rc = nns_params_check(params, error, sizeof(error))))
        fprintf(stderr, "%s\n", error);
    return rc;
}

static int run(const struct command_line *line)
{
    struct nns_params params = {0};
    int status = 0;

    if (apply(&params, line)) {
        status = STATUS_USAGE;
    } else {
        nns_log_set_level(params.log_level);
        if (line->check)
            nns_params_dump(&params, stdout);
        else
            status = nns_daemon_run(&params);
    }
    nns_params_deinit(&params);
    return status;
}

int main(int argc, char **argv)
{
    struct command_line line = {.assignments = calloc((size_t)argc, sizeof(char *))};
    int status = STATUS_USAGE;

    if (!line.assignments)
        return 1;
    argp_err_exit_status = STATUS_USAGE;
    if (!argp_parse(&parser, argc, argv, 0, NULL, &line))
        status = run(&line);
    free(line.assignments);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_CLI_H
#define NNS_CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/protocol.h"

/*
 * The netnsync command. One file a subcommand; main.c has the table of them. A subcommand parses its own
 * arguments, and returns the exit status.
 */
enum nns_exit { NNS_EXIT_DONE, NNS_EXIT_FAILED, NNS_EXIT_USAGE };

/* What is said before or after the command's name alike. */
struct nns_cli {
    const char *socket;
    bool json;
};

struct nns_cli_command {
    const char *name, *arguments, *summary;
    int (*run)(struct nns_cli *cli, int argc, char **argv);
};

int nns_cli_sync(struct nns_cli *cli, int argc, char **argv);
int nns_cli_enqueue(struct nns_cli *cli, int argc, char **argv);
int nns_cli_list(struct nns_cli *cli, int argc, char **argv);
int nns_cli_get(struct nns_cli *cli, int argc, char **argv);
int nns_cli_status(struct nns_cli *cli, int argc, char **argv);
int nns_cli_watch(struct nns_cli *cli, int argc, char **argv);
int nns_cli_flush(struct nns_cli *cli, int argc, char **argv);
int nns_cli_detach(struct nns_cli *cli, int argc, char **argv);

/* --socket and --json: the child of every parser here; its input is a struct nns_cli. */
extern const struct argp_child nns_cli_children[];

/*
 * Parse with argp. *input must begin with a pointer to the struct nns_cli. Does not return on a usage error
 * (status 2) or --help (status 0).
 */
void nns_cli_parse(const struct argp *argp, int argc, char **argv, void *input);

/* The ARGP_KEY_INIT of a parser whose input begins as above. */
void nns_cli_parse_init(struct argp_state *state);

/*
 * Parsers, by the arguments that a command takes; others are a usage error. A command with options of its own
 * has a parser that leaves every other key to one of these.
 */

/* No argument. The input begins as above. */
error_t nns_cli_parse_nothing(int key, char *argument, struct argp_state *state);

/* One NS. The input begins with this. */
struct nns_cli_target {
    struct nns_cli *cli;
    const char *namespace;
};

error_t nns_cli_parse_namespace(int key, char *argument, struct argp_state *state);

/* PID..., decimal numbers that fit 32 bits. The input begins with this; items are the caller's to free. */
struct nns_cli_pids {
    struct nns_cli *cli;
    uint32_t *items;
    size_t count;
};

error_t nns_cli_parse_pids(int key, char *argument, struct argp_state *state);

/*
 * The namespace as the daemon understands it: a number as it is; for a path, opened here, the cookie of the
 * namespace it leads to. Where the kernel does not tell that of an fd, it is asked inside; who may not go in
 * is left with the inum. malloc'ed; NULL after a complaint.
 */
char *nns_cli_resolve_namespace(const char *namespace);

/* "netnsync: text" on standard error. What others had a hand in is made harmless to a terminal. */
void nns_cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Complain that memory ran out; returns NNS_EXIT_FAILED. */
int nns_cli_no_memory(void);

#endif

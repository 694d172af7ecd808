/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "io/netns.h"

enum { KEY_SOCKET = 's', KEY_JSON = 'j' };

static const struct argp_option options[] = {
    {"socket", KEY_SOCKET, "PATH", 0, "The daemon's control socket (default " NNS_CONTROL_PATH_DEFAULT ")",
     0},
    {"json", KEY_JSON, NULL, 0, "Print one JSON document instead of a table", 0},
    {0},
};

static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    struct nns_cli *cli = state->input;

    switch (key) {
    case KEY_SOCKET:
        cli->socket = argument;
        return 0;
    case KEY_JSON:
        cli->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common = {.options = options, .parser = parse_common};
const struct argp_child nns_cli_children[] = {{&common, 0, NULL, 0}, {0}};

void nns_cli_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    error_t error = argp_parse(argp, argc, argv, 0, NULL, input);

    if (error) {
        nns_cli_complain("cannot read the arguments: %s", strerror(error));
        exit(NNS_EXIT_USAGE);
    }
}

void nns_cli_parse_init(struct argp_state *state)
{
    struct nns_cli *const *input = state->input;

    state->child_inputs[0] = *input;
}

error_t nns_cli_parse_nothing(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_INIT:
        nns_cli_parse_init(state);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is one argument too many", argument);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

error_t nns_cli_parse_namespace(int key, char *argument, struct argp_state *state)
{
    struct nns_cli_target *target = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        if (target->namespace || !*argument)
            argp_error(state,
                       target->namespace ? "\"%s\" is one argument too many" : "\"%s\" is no namespace",
                       argument);
        target->namespace = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no namespace given");
        return EINVAL;
    default:
        return nns_cli_parse_nothing(key, argument, state);
    }
}

static uint32_t read_pid(const char *text, const struct argp_state *state)
{
    unsigned long long value;

    errno = 0;
    value = strtoull(text, NULL, 10);
    if (!*text || text[strspn(text, "0123456789")] || errno || value > UINT32_MAX)
        argp_error(state, "\"%s\" is not a pid", text);
    return (uint32_t)value;
}

error_t nns_cli_parse_pids(int key, char *argument, struct argp_state *state)
{
    struct nns_cli_pids *pids = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        nns_cli_parse_init(state);
        /* There can be no more of them than arguments. */
        pids->items = calloc((size_t)state->argc, sizeof(*pids->items));
        if (!pids->items)
            exit(nns_cli_no_memory());
        return 0;
    case ARGP_KEY_ARG:
        pids->items[pids->count++] = read_pid(argument, state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no pid given");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Kernels that do not tell the cookie of an fd tell that of a socket. Who may not go in is left with the
 * inum, which the daemon may remember of another. */
static void ask_inside(int fd, struct nns_netns_id *id)
{
    int socket = nns_netns_enter(fd, 1);

    if (socket < 0)
        return;
    nns_netns_socket_cookie(socket, &id->cookie);
    nns_netns_leave(socket);
}

/* The namespace a path leads to. 0 or -errno. */
static int look_at(const char *path, struct nns_netns_id *id)
{
    struct nns_netns_abilities abilities;
    int fd, result = nns_netns_probe(&abilities);

    if (result)
        return result;
    fd = nns_netns_open_path(path);
    if (fd < 0)
        return fd;
    result = nns_netns_identify(fd, id);
    if (!result && !id->cookie)
        ask_inside(fd, id);
    close(fd);
    return result;
}

static char *number(uint64_t value)
{
    char *text;

    return asprintf(&text, "%" PRIu64, value) < 0 ? NULL : text;
}

char *nns_cli_resolve_namespace(const char *namespace)
{
    struct nns_netns_id id = {0};
    char *resolved = NULL;
    int result = 0;

    if (!namespace[strspn(namespace, "0123456789")])
        resolved = strdup(namespace);
    else if (!(result = look_at(namespace, &id)))
        resolved = number(id.cookie ? id.cookie : id.inum);
    if (resolved)
        return resolved;
    if (result)
        nns_cli_complain("%s is neither a cookie, nor an inum, nor a path to a network namespace: %s",
                         namespace, result == -EINVAL ? "it is something else" : strerror(-result));
    else
        nns_cli_no_memory();
    return NULL;
}

void nns_cli_complain(const char *format, ...)
{
    char sentence[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    fflush(stdout);
    fputs("netnsync: ", stderr);
    nns_text_print(stderr, sentence);
    fputc('\n', stderr);
}

int nns_cli_no_memory(void)
{
    nns_cli_complain("out of memory");
    return NNS_EXIT_FAILED;
}

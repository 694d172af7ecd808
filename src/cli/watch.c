/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"

static error_t parse(int key, char *argument, struct argp_state *state)
{
    return key == ARGP_KEY_NO_ARGS ? 0 : nns_cli_parse_namespace(key, argument, state);
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "[NS]",
    .doc =
        "Show what happens to namespaces and devices, as it happens: a line each, until it is interrupted or "
        "the daemon ends.\v"
        "With NS, a cookie, an inum or a path, only what happens to that namespace. With --json a line is an "
        "object. The first says from when on nothing is left out; when this reader is too slow, one says "
        "how many events it has missed.",
    .children = nns_cli_children,
};

/* Every line has been flushed whole: the end can come at any moment. */
static void leave(int number)
{
    _exit(NNS_EXIT_DONE);
}

/* Whoever reads the output may leave at a quiet time, when no write would fail (`netnsync watch | head -1`).
 */
static void *leave_with_reader(void *unused)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    while (poll(&out, 1, -1) < 0 && errno == EINTR)
        ;
    if (out.revents & (POLLERR | POLLHUP))
        leave(0);
    return NULL;
}

/* To be interrupted is how it ends well. */
static void expect_the_end(void)
{
    const struct sigaction action = {.sa_handler = leave};
    pthread_t thread;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    if (pthread_create(&thread, NULL, leave_with_reader, NULL) == 0)
        pthread_detach(thread);
}

static void take(void *context, const char *member, const json_t *value)
{
    if (strcmp(member, "event") != 0)
        return;
    nns_writer_item(context, value);
    if (fflush(stdout) == 0)
        return;
    nns_cli_complain("cannot write the output: %s", strerror(errno));
    exit(NNS_EXIT_FAILED);
}

static int run(const struct nns_cli *cli, const struct nns_control_request *request)
{
    struct nns_writer writer = nns_writer_make(cli->json, NNS_SHAPE_EVENTS);
    struct nns_client client;
    char error[512] = "the daemon says that all is done";

    expect_the_end();
    if (nns_cli_connect(cli, &client))
        return NNS_EXIT_FAILED;
    nns_client_ask(&client, request, &(struct nns_taker){take, &writer}, error, sizeof(error));
    nns_client_close(&client);
    nns_cli_complain("%s", error);
    return NNS_EXIT_FAILED;
}

int nns_cli_watch(struct nns_cli *cli, int argc, char **argv)
{
    struct nns_cli_target target = {.cli = cli};
    struct nns_control_request request = {.command = NNS_COMMAND_WATCH};
    int status;

    nns_cli_parse(&argp, argc, argv, &target);
    request.namespace = target.namespace ? nns_cli_resolve_namespace(target.namespace) : NULL;
    if (target.namespace && !request.namespace)
        return NNS_EXIT_FAILED;
    status = run(cli, &request);
    free(request.namespace);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cli/ask.h"

static const struct argp argp = {
    .parser = nns_cli_parse_namespace,
    .args_doc = "NS",
    .doc =
        "Make the daemon forget a namespace: its filters there are removed.\v"
        "NS is the namespace's cookie, its inum, or a path to it. A pid of that namespace makes it known "
        "again; with discover.enabled, so does the next fork, exec or exit in it. The daemon's own namespace "
        "is not flushed.",
    .children = nns_cli_children,
};

static int flush(const struct nns_cli *cli, const struct nns_control_request *request)
{
    int status = nns_cli_ask(cli, request, NNS_SHAPE_NAMESPACE, NULL);

    if (status == NNS_EXIT_DONE)
        nns_writer_report(cli->json, json_pack("{s:s}", "flushed", request->namespace), "flushed %s",
                          request->namespace);
    return status;
}

int nns_cli_flush(struct nns_cli *cli, int argc, char **argv)
{
    struct nns_cli_target target = {.cli = cli};
    struct nns_control_request request = {.command = NNS_COMMAND_FLUSH};
    int status;

    nns_cli_parse(&argp, argc, argv, &target);
    request.namespace = nns_cli_resolve_namespace(target.namespace);
    if (!request.namespace)
        return NNS_EXIT_FAILED;
    status = flush(cli, &request);
    free(request.namespace);
    return status;
}

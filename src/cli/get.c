/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cli/ask.h"

static const struct argp argp = {
    .parser = nns_cli_parse_namespace,
    .args_doc = "NS",
    .doc = "Show one namespace and its devices.\v"
           "NS is the namespace's cookie, its inum, or a path to it such as /run/netns/NAME or "
           "/proc/PID/ns/net.",
    .children = nns_cli_children,
};

int nns_cli_get(struct nns_cli *cli, int argc, char **argv)
{
    struct nns_cli_target target = {.cli = cli};
    struct nns_control_request request = {.command = NNS_COMMAND_GET};
    int status;

    nns_cli_parse(&argp, argc, argv, &target);
    request.namespace = nns_cli_resolve_namespace(target.namespace);
    if (!request.namespace)
        return NNS_EXIT_FAILED;
    status = nns_cli_ask(cli, &request, NNS_SHAPE_NAMESPACE, "namespace");
    free(request.namespace);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

static const struct argp argp = {
    .parser = nns_cli_parse_nothing,
    .doc =
        "Show all namespaces the daemon knows, and their devices.\v"
        "NAMESPACE is the namespace's cookie, which the kernel never uses twice. The counts are packets and "
        "bytes that passed the device since it was attached; - where they are not counted.",
    .children = nns_cli_children,
};

int nns_cli_list(struct nns_cli *cli, int argc, char **argv)
{
    struct nns_control_request request = {.command = NNS_COMMAND_LIST};

    nns_cli_parse(&argp, argc, argv, &(struct nns_cli_target){.cli = cli});
    return nns_cli_ask(cli, &request, NNS_SHAPE_NAMESPACES, "namespace");
}

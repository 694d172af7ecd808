/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

static const struct argp argp = {
    .parser = nns_cli_parse_nothing,
    .doc = "Show what the daemon can do on this host, how much of it it covers, and its counters.\v"
           "Counters that are zero are left out of the table; --json has all of them.",
    .children = nns_cli_children,
};

int nns_cli_status(struct nns_cli *cli, int argc, char **argv)
{
    struct nns_control_request request = {.command = NNS_COMMAND_STATUS};

    nns_cli_parse(&argp, argc, argv, &(struct nns_cli_target){.cli = cli});
    return nns_cli_ask(cli, &request, NNS_SHAPE_STATUS, "status");
}

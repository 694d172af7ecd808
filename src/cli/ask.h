/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_ASK_H
#define NNS_CLI_ASK_H

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/writer.h"

/* What most commands do: ask the daemon and print what comes. Each complains of what fails. */

/* Connect, or complain and return NNS_EXIT_FAILED. */
int nns_cli_connect(const struct nns_cli *cli, struct nns_client *client);

/*
 * Ask one thing and print the members of that name, in that shape. An answer that must hold one (member not
 * NULL, and shape NAMESPACE or STATUS) and does not is a failure. The exit status.
 */
int nns_cli_ask(const struct nns_cli *cli, const struct nns_control_request *request, enum nns_shape shape,
                const char *member);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <string.h>

struct show {
    struct nns_writer writer;
    const char *member;
};

int nns_cli_connect(const struct nns_cli *cli, struct nns_client *client)
{
    int result = nns_client_open(client, cli->socket);

    if (!result)
        return NNS_EXIT_DONE;
    nns_cli_complain("cannot reach the daemon at %s: %s", cli->socket, strerror(-result));
    return NNS_EXIT_FAILED;
}

static void show(void *context, const char *member, const json_t *value)
{
    struct show *show = context;

    if (show->member && !strcmp(member, show->member))
        nns_writer_item(&show->writer, value);
}

static bool wants_one(const struct show *show)
{
    return show->member &&
           (show->writer.shape == NNS_SHAPE_NAMESPACE || show->writer.shape == NNS_SHAPE_STATUS);
}

int nns_cli_ask(const struct nns_cli *cli, const struct nns_control_request *request, enum nns_shape shape,
                const char *member)
{
    struct show context = {.writer = nns_writer_make(cli->json, shape), .member = member};
    struct nns_client client;
    char error[512];
    enum nns_ask result;

    if (nns_cli_connect(cli, &client))
        return NNS_EXIT_FAILED;
    result = nns_client_ask(&client, request, &(struct nns_taker){show, &context}, error, sizeof(error));
    nns_client_close(&client);
    if (result == NNS_ASK_DONE && wants_one(&context) && context.writer.items != 1) {
        snprintf(error, sizeof(error), "the daemon's answer holds %zu times what was asked for",
                 context.writer.items);
        result = NNS_ASK_FAILED;
    }
    if (member)
        nns_writer_end(&context.writer, result == NNS_ASK_DONE ? NULL : error);
    if (result == NNS_ASK_DONE)
        return NNS_EXIT_DONE;
    nns_cli_complain("%s", error);
    return NNS_EXIT_FAILED;
}

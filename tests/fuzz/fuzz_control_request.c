/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/protocol.h"

/*
 * Whatever a client sends either is refused, with a sentence that makes a valid answer and with the request
 * untouched, or is a request that says the same when it is encoded and decoded again.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static int same_text(const char *one, const char *other)
{
    return one && other ? !strcmp(one, other) : one == other;
}

static void check_refused(const struct nns_control_request *request, const char *error)
{
    char *line = nns_answer_error(error);

    require(request->command == NNS_COMMAND_COUNT && !request->pids && !request->namespace &&
                !request->instance,
            "a refused request was touched");
    require(*error != '\0', "refused without a sentence");
    require(line != NULL && strchr(line, '\n') == line + strlen(line) - 1, "the sentence makes no line");
    free(line);
}

static void check_accepted(const struct nns_control_request *request)
{
    struct nns_control_request again = NNS_CONTROL_REQUEST_NULL;
    char error[256] = "", *line = nns_control_request_encode(request);

    require(line != NULL, "what was decoded cannot be encoded");
    require(strchr(line, '\n') == line + strlen(line) - 1, "not one line");
    require(nns_control_request_decode(line, strlen(line) - 1, &again, error, sizeof(error)) == 0, error);
    require(again.command == request->command && again.wait == request->wait &&
                again.pid_count == request->pid_count && same_text(again.namespace, request->namespace) &&
                same_text(again.instance, request->instance),
            "it says something else after the trip");
    for (size_t i = 0; i < again.pid_count; i++)
        require(again.pids[i] == request->pids[i], "a pid became another");
    nns_control_request_deinit(&again);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    char error[256] = "";

    if (nns_control_request_decode((const char *)data, size, &request, error, sizeof(error)))
        check_refused(&request, error);
    else
        check_accepted(&request);
    nns_control_request_deinit(&request);
    return 0;
}

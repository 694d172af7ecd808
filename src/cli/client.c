/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, error;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

int nns_client_open(struct nns_client *client, const char *path)
{
    int fd = connect_to(path);
    FILE *in;

    if (fd < 0)
        return fd;
    in = fdopen(fd, "r");
    if (!in) {
        close(fd);
        return -ENOMEM;
    }
    client->in = in;
    return 0;
}

void nns_client_close(struct nns_client *client)
{
    if (client->in)
        fclose(client->in);
    client->in = NULL;
}

/* A daemon that hangs up while we send has said why before it did: that is read, so EPIPE is no error. */
static int send_line(struct nns_client *client, const char *line)
{
    size_t left = strlen(line);

    while (left > 0) {
        ssize_t count = send(fileno(client->in), line, left, MSG_NOSIGNAL);

        if (count < 0 && errno != EINTR)
            return errno == EPIPE || errno == ECONNRESET ? 0 : -errno;
        if (count > 0) {
            line += count;
            left -= (size_t)count;
        }
    }
    return 0;
}

static enum nns_ask failed(char *error, size_t size, const char *sentence)
{
    snprintf(error, size, "%s", sentence);
    return NNS_ASK_FAILED;
}

static enum nns_ask answer_ended(const json_t *object, char *error, size_t size)
{
    const char *sentence = json_string_value(json_object_get(object, "error"));

    if (json_is_true(json_object_get(object, "done")))
        return NNS_ASK_DONE;
    snprintf(error, size, "%s", sentence ? sentence : "the daemon refuses without saying why");
    return NNS_ASK_REFUSED;
}

static void hand_on(json_t *object, const struct nns_taker *taker)
{
    const char *member;
    json_t *value;

    json_object_foreach(object, member, value) taker->take(taker->context, member, value);
}

/* True when the answer has ended, *result then says how. */
static bool take_line(const char *line, size_t length, const struct nns_taker *taker, enum nns_ask *result,
                      char *error, size_t size)
{
    json_error_t parse;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &parse);
    bool ended = true;

    if (!json_is_object(object))
        *result = failed(error, size, "the daemon's answer is not understood");
    else if (json_object_get(object, "done"))
        *result = answer_ended(object, error, size);
    else {
        hand_on(object, taker);
        ended = false;
    }
    json_decref(object);
    return ended;
}

static enum nns_ask take_answer(struct nns_client *client, const struct nns_taker *taker, char *error,
                                size_t size)
{
    enum nns_ask result = NNS_ASK_FAILED;
    char *line = NULL;
    size_t capacity = 0;
    bool ended = false;

    while (!ended) {
        ssize_t length = getline(&line, &capacity, client->in);

        if (length > 0) {
            ended = take_line(line, (size_t)length, taker, &result, error, size);
        } else {
            result = failed(error, size, "the daemon closed the connection in the middle of its answer");
            ended = true;
        }
    }
    free(line);
    return result;
}

enum nns_ask nns_client_ask(struct nns_client *client, const struct nns_control_request *request,
                            const struct nns_taker *taker, char *error, size_t size)
{
    char *line = nns_control_request_encode(request);
    int result;

    if (!line)
        return failed(error, size,
                      errno == EILSEQ ? "the name is no UTF-8, which the protocol cannot carry"
                                      : "out of memory");
    result = send_line(client, line);
    free(line);
    if (result)
        return failed(error, size, strerror(-result));
    return take_answer(client, taker, error, size);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/protocol.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/protocol_json.h"

#define COMMAND_BIT(command) (1u << (command))

static const char *const command_names[NNS_COMMAND_COUNT] = {
    [NNS_COMMAND_SYNC] = "sync",     [NNS_COMMAND_LIST] = "list",   [NNS_COMMAND_GET] = "get",
    [NNS_COMMAND_STATUS] = "status", [NNS_COMMAND_FLUSH] = "flush", [NNS_COMMAND_DETACH] = "detach",
    [NNS_COMMAND_WATCH] = "watch",
};

const char *nns_command_name(enum nns_command command)
{
    return command < NNS_COMMAND_COUNT ? command_names[command] : "invalid";
}

/* Decoding. */

struct decoder {
    struct nns_control_request request;
    char *error;
    size_t size;
};

struct member {
    const char *name;
    unsigned allowed, required; /* COMMAND_BITs */
    int (*take)(struct decoder *decoder, const json_t *value);
};

__attribute__((format(printf, 3, 4))) static int refuse(struct decoder *decoder, int result,
                                                        const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(decoder->error, decoder->size, format, arguments);
    va_end(arguments);
    return result;
}

static int no_memory(struct decoder *decoder)
{
    return refuse(decoder, -ENOMEM, "no memory for the request");
}

static int take_pid(struct decoder *decoder, size_t index, const json_t *value)
{
    json_int_t pid = json_integer_value(value);

    if (json_is_real(value))
        return refuse(decoder, -EINVAL, "pid %g is not an integer", json_real_value(value));
    if (json_is_string(value))
        return refuse(decoder, -EINVAL, "pid \"%.40s\" is a string, not a number", json_string_value(value));
    if (!json_is_integer(value))
        return refuse(decoder, -EINVAL, "entry %zu of \"pids\" is not a number", index);
    if (pid < 0 || pid > (json_int_t)UINT32_MAX)
        return refuse(decoder, -EINVAL, "pid %" JSON_INTEGER_FORMAT " does not fit 0 to 4294967295", pid);
    decoder->request.pids[index] = (uint32_t)pid;
    return 0;
}

static int take_pids(struct decoder *decoder, const json_t *value)
{
    size_t count = json_array_size(value);
    int result = 0;

    if (!json_is_array(value))
        return refuse(decoder, -EINVAL, "\"pids\" is not a list");
    if (count == 0)
        return refuse(decoder, -EINVAL, "\"pids\" is empty");
    if (count > NNS_REQUEST_PIDS_MAX)
        return refuse(decoder, -EINVAL, "%zu pids are more than the %u that one request can carry", count,
                      NNS_REQUEST_PIDS_MAX);
    decoder->request.pids = malloc(count * sizeof(uint32_t));
    if (!decoder->request.pids)
        return no_memory(decoder);
    decoder->request.pid_count = count;
    for (size_t i = 0; i < count && !result; i++)
        result = take_pid(decoder, i, json_array_get(value, i));
    return result;
}

static int take_wait(struct decoder *decoder, const json_t *value)
{
    if (!json_is_boolean(value))
        return refuse(decoder, -EINVAL, "\"wait\" is neither true nor false");
    decoder->request.wait = json_is_true(value);
    return 0;
}

static int take_string(struct decoder *decoder, const char *name, const json_t *value, char **out)
{
    if (!json_is_string(value) || !json_string_length(value))
        return refuse(decoder, -EINVAL, "\"%s\" is not a string with something in it", name);
    if (json_string_length(value) >= PATH_MAX)
        return refuse(decoder, -EINVAL, "\"%s\" is longer than %d bytes", name, PATH_MAX - 1);
    *out = strdup(json_string_value(value));
    return *out ? 0 : no_memory(decoder);
}

static int take_namespace(struct decoder *decoder, const json_t *value)
{
    return take_string(decoder, "namespace", value, &decoder->request.namespace);
}

static int take_instance(struct decoder *decoder, const json_t *value)
{
    return take_string(decoder, "instance", value, &decoder->request.instance);
}

static int take_version(struct decoder *decoder, const json_t *value)
{
    if (!json_is_integer(value))
        return refuse(decoder, -EINVAL, "\"version\" is missing or not an integer");
    if (json_integer_value(value) != NNS_PROTOCOL_VERSION)
        return refuse(decoder, -EPROTO,
                      "version %" JSON_INTEGER_FORMAT " of the protocol is not spoken here, only version %d",
                      json_integer_value(value), NNS_PROTOCOL_VERSION);
    return 0;
}

static int take_command(struct decoder *decoder, const json_t *value)
{
    if (!json_is_string(value))
        return refuse(decoder, -EINVAL, "\"command\" is missing or not a string");
    for (unsigned i = 0; i < NNS_COMMAND_COUNT; i++) {
        if (!strcmp(json_string_value(value), command_names[i])) {
            decoder->request.command = (enum nns_command)i;
            return 0;
        }
    }
    return refuse(decoder, -EINVAL, "\"%.40s\" is not a command", json_string_value(value));
}

#define NAMES_ONE (COMMAND_BIT(NNS_COMMAND_GET) | COMMAND_BIT(NNS_COMMAND_FLUSH))

/* version and command come first whatever their place, so they are taken before the table is walked. */
static const struct member members[] = {
    {"version", ~0u, 0, NULL},
    {"command", ~0u, 0, NULL},
    {"pids", COMMAND_BIT(NNS_COMMAND_SYNC), COMMAND_BIT(NNS_COMMAND_SYNC), take_pids},
    {"wait", COMMAND_BIT(NNS_COMMAND_SYNC), 0, take_wait},
    {"namespace", NAMES_ONE | COMMAND_BIT(NNS_COMMAND_WATCH), NAMES_ONE, take_namespace},
    {"instance", COMMAND_BIT(NNS_COMMAND_DETACH), 0, take_instance},
};

static const struct member *find_member(const char *name)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (!strcmp(name, members[i].name))
            return &members[i];
    }
    return NULL;
}

static int check_names(struct decoder *decoder, json_t *object)
{
    unsigned command = COMMAND_BIT(decoder->request.command);
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        const struct member *member = find_member(key);

        if (!member)
            return refuse(decoder, -EINVAL, "\"%.40s\" is not a member of a request", key);
        if (!(member->allowed & command))
            return refuse(decoder, -EINVAL, "command \"%s\" takes no \"%s\"",
                          command_names[decoder->request.command], key);
    }
    return 0;
}

static int take_members(struct decoder *decoder, const json_t *object)
{
    unsigned command = COMMAND_BIT(decoder->request.command);
    int result = 0;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && !result; i++) {
        const json_t *value = json_object_get(object, members[i].name);

        if (value && members[i].take)
            result = members[i].take(decoder, value);
        else if (!value && (members[i].required & command))
            result = refuse(decoder, -EINVAL, "command \"%s\" needs \"%s\"",
                            command_names[decoder->request.command], members[i].name);
    }
    return result;
}

static int decode_object(struct decoder *decoder, json_t *object)
{
    int result;

    if (!json_is_object(object))
        return refuse(decoder, -EINVAL, "the request is not a JSON object");
    /* The version before all else: another version may have other members. */
    result = take_version(decoder, json_object_get(object, "version"));
    if (!result)
        result = take_command(decoder, json_object_get(object, "command"));
    if (!result)
        result = check_names(decoder, object);
    if (!result)
        result = take_members(decoder, object);
    return result;
}

/* A number beyond 64 bits fails in the parser, whose message leaves long ones out; the operator wants to see
 * which it was. end: one past what the parser had taken. */
static int refuse_number(struct decoder *decoder, const char *line, size_t end)
{
    size_t start = end;

    while (start > 0 && strchr("+-.0123456789eE", line[start - 1]) && line[start - 1])
        start--;
    return refuse(decoder, -EINVAL, "%.*s%s does not fit 0 to 4294967295",
                  (int)(end - start < 40 ? end - start : 40), line + start, end - start > 40 ? "…" : "");
}

static int refuse_text(struct decoder *decoder, const json_error_t *parse, const char *line, size_t length)
{
    size_t position = parse->position > 0 ? (size_t)parse->position : 0;

    switch (json_error_code(parse)) {
    case json_error_unknown: /* jansson says nothing at all when it could not allocate */
    case json_error_out_of_memory:
        return no_memory(decoder);
    case json_error_numeric_overflow:
        return refuse_number(decoder, line, position < length ? position : length);
    default:
        return refuse(decoder, -EINVAL, "the request is not one JSON object: %s", parse->text);
    }
}

int nns_control_request_decode(const char *line, size_t length, struct nns_control_request *request,
                               char *error, size_t size)
{
    struct decoder decoder = {.request = NNS_CONTROL_REQUEST_NULL, .error = error, .size = size};
    json_error_t parse;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &parse);
    int result;

    if (!object)
        return refuse_text(&decoder, &parse, line, length);
    result = decode_object(&decoder, object);
    json_decref(object);
    if (result)
        nns_control_request_deinit(&decoder.request);
    else
        *request = decoder.request;
    return result;
}

void nns_control_request_deinit(struct nns_control_request *request)
{
    free(request->pids);
    free(request->namespace);
    free(request->instance);
    *request = NNS_CONTROL_REQUEST_NULL;
}

/* Encoding. */

static json_t *pids_array(const struct nns_control_request *request)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < request->pid_count; i++) {
        if (json_array_append_new(array, json_integer(request->pids[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool add_members(json_t *object, const struct nns_control_request *request)
{
    switch (request->command) {
    case NNS_COMMAND_SYNC:
        return nns_json_add(object, "pids", pids_array(request)) &&
               nns_json_add(object, "wait", json_boolean(request->wait));
    case NNS_COMMAND_GET:
    case NNS_COMMAND_FLUSH:
        return nns_json_add(object, "namespace", json_string(request->namespace));
    case NNS_COMMAND_WATCH:
        return !request->namespace || nns_json_add(object, "namespace", json_string(request->namespace));
    case NNS_COMMAND_DETACH:
        return !request->instance || nns_json_add(object, "instance", json_string(request->instance));
    default:
        return true;
    }
}

char *nns_control_request_encode(const struct nns_control_request *request)
{
    json_t *object;

    if ((request->namespace && !nns_json_is_utf8(request->namespace)) ||
        (request->instance && !nns_json_is_utf8(request->instance))) {
        errno = EILSEQ;
        return NULL;
    }
    errno = ENOMEM;
    object = json_pack("{s:i, s:s}", "version", NNS_PROTOCOL_VERSION, "command",
                       nns_command_name(request->command));
    if (object && !add_members(object, request)) {
        json_decref(object);
        return NULL;
    }
    return nns_json_line(object);
}

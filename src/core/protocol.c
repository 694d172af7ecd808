/* SPDX-License-Identifier: Apache-2.0 */
#include "core/protocol.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/counters.h"

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

/* UTF-8: a device's name and a path are bytes to the kernel, JSON strings are not. */

/* Length of the well-formed sequence that starts at bytes; 0 when there is none. The ranges are those that
 * exclude overlong forms, surrogates and what lies above U+10FFFF. */
static size_t utf8_sequence(const unsigned char *bytes, size_t left)
{
    static const struct {
        unsigned char first, last, low, high, length;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    size_t form = 0;

    while (form < sizeof(forms) / sizeof(forms[0]) &&
           (bytes[0] < forms[form].first || bytes[0] > forms[form].last))
        form++;
    if (form == sizeof(forms) / sizeof(forms[0]) || forms[form].length > left)
        return 0;
    for (size_t i = 1; i < forms[form].length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    if (forms[form].length > 1 && (bytes[1] < forms[form].low || bytes[1] > forms[form].high))
        return 0;
    return forms[form].length;
}

static bool is_utf8(const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t length = utf8_sequence((const unsigned char *)text, left);

        if (!length)
            return false;
        text += length;
        left -= length;
    }
    return true;
}

/* A JSON string of any bytes up to the first NUL, at most `limit` of them; each byte that is no UTF-8 becomes
 * U+FFFD. */
static json_t *lossy_string(const char *bytes, size_t limit)
{
    size_t left = strnlen(bytes, limit), used = 0;
    char *text = malloc(3 * left + 1);
    json_t *string;

    if (!text)
        return NULL;
    while (left > 0) {
        size_t length = utf8_sequence((const unsigned char *)bytes, left);

        memcpy(text + used, length ? bytes : "\xef\xbf\xbd", length ? length : 3);
        used += length ? length : 3;
        bytes += length ? length : 1;
        left -= length ? length : 1;
    }
    string = json_stringn(text, used);
    free(text);
    return string;
}

/* Lines out. */

/* The object as a line; takes the reference, which may be NULL. */
static char *line_of(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    char *line = NULL;

    json_decref(object);
    if (text) {
        size_t length = strlen(text);

        line = realloc(text, length + 2);
        if (line)
            memcpy(line + length, "\n", 2);
        else
            free(text);
    }
    return line;
}

/* Takes the value's reference. False without memory. */
static bool add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/* json_t has signed 64 bits. A number above them is not to be had from a kernel that counts up from 1; should
 * one come, it is said to be unknown rather than given as another's. */
static json_t *number(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_null();
}

/* Requests: decoding. */

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

/* Requests: encoding. */

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
        return add(object, "pids", pids_array(request)) && add(object, "wait", json_boolean(request->wait));
    case NNS_COMMAND_GET:
    case NNS_COMMAND_FLUSH:
        return add(object, "namespace", json_string(request->namespace));
    case NNS_COMMAND_WATCH:
        return !request->namespace || add(object, "namespace", json_string(request->namespace));
    case NNS_COMMAND_DETACH:
        return !request->instance || add(object, "instance", json_string(request->instance));
    default:
        return true;
    }
}

char *nns_control_request_encode(const struct nns_control_request *request)
{
    json_t *object;

    if ((request->namespace && !is_utf8(request->namespace)) ||
        (request->instance && !is_utf8(request->instance))) {
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
    return line_of(object);
}

/* Answers. */

char *nns_answer_done(void)
{
    return line_of(json_pack("{s:b}", "done", 1));
}

char *nns_answer_error(const char *sentence)
{
    return line_of(json_pack("{s:b, s:o}", "done", 0, "error", lossy_string(sentence, SIZE_MAX)));
}

/* strerror() is not for threads; errnos the library has no text for do not come out of our system calls. */
static const char *errno_text(int error)
{
    const char *text = strerrordesc_np(error);

    return text ? text : "unknown error";
}

char *nns_answer_result(const struct nns_result *result)
{
    json_t *object = json_pack("{s:I, s:s, s:o, s:I}", "pid", (json_int_t)result->pid, "outcome",
                               nns_outcome_name((enum nns_outcome)result->outcome), "cookie",
                               number(result->cookie), "inum", (json_int_t)result->inum);

    if (object && result->error && !add(object, "error", json_string(errno_text(result->error)))) {
        json_decref(object);
        return NULL;
    }
    return line_of(json_pack("{s:o}", "result", object));
}

static const char *const hook_names[NNS_HOOKS] = {[NNS_INGRESS] = "ingress", [NNS_EGRESS] = "egress"};

static json_t *hook_object(const struct nns_device_row *row, unsigned hook)
{
    const struct nns_attachment *attachment = &row->device.attachments[0][hook];
    bool there = attachment->program_id != 0;
    json_t *object =
        json_pack("{s:o, s:o}", "program_id", there ? json_integer(attachment->program_id) : json_null(),
                  "priority", there ? json_integer(attachment->priority) : json_null());

    if (object && row->counted &&
        !(add(object, "packets", number(row->traffic[hook].packets)) &&
          add(object, "bytes", number(row->traffic[hook].bytes)))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static bool covered(const struct nns_device *device)
{
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (unsigned hook = 0; hook < NNS_HOOKS; hook++)
            if (!nns_attachment_covers(&device->attachments[set][hook]))
                return false;
    return device->state == NNS_DEVICE_ATTACHED;
}

/* "ingress: …; egress: …" of the hooks that have a reason, or null. */
static json_t *device_error(const struct nns_device *device)
{
    char sentence[512];
    size_t used = 0;

    for (unsigned i = 0; i < NNS_SETS_MAX * NNS_HOOKS; i++) {
        const struct nns_attachment *attachment = &device->attachments[i / NNS_HOOKS][i % NNS_HOOKS];
        enum nns_reason reason = (enum nns_reason)attachment->reason;

        if (reason == NNS_REASON_NONE || used >= sizeof(sentence))
            continue;
        used += (size_t)snprintf(
            sentence + used, sizeof(sentence) - used, "%s%s: %s", used ? "; " : "", hook_names[i % NNS_HOOKS],
            reason == NNS_REASON_KERNEL ? errno_text(attachment->error) : nns_reason_text(reason));
    }
    return used ? json_string(sentence) : json_null();
}

/* Which device it is. */
static bool add_link(json_t *object, const struct nns_link *link)
{
    return add(object, "ifindex", json_integer(link->ifindex)) &&
           add(object, "name", lossy_string(link->name, sizeof(link->name))) &&
           add(object, "kind", lossy_string(link->kind, sizeof(link->kind)));
}

/* What became of it. */
static bool add_state(json_t *object, const struct nns_device_row *row)
{
    const struct nns_device *device = &row->device;
    enum nns_device_state state = (enum nns_device_state)device->state;

    return add(object, "state", json_string(nns_device_state_name(state))) &&
           add(object, "covered", json_boolean(covered(device))) &&
           add(object, hook_names[NNS_INGRESS], hook_object(row, NNS_INGRESS)) &&
           add(object, hook_names[NNS_EGRESS], hook_object(row, NNS_EGRESS)) &&
           add(object, "error", device_error(device)) &&
           (!row->retry_in_ms || add(object, "retry_in_ms", number(row->retry_in_ms)));
}

static json_t *device_object(const struct nns_device_row *row)
{
    json_t *object = json_object();

    if (object && !(add_link(object, &row->device.link) && add_state(object, row))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *devices_array(const struct nns_namespace_row *row)
{
    json_t *array = json_array();

    for (uint32_t i = 0; array && i < row->device_count; i++) {
        if (json_array_append_new(array, device_object(&row->devices[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static const char *const handle_names[] = {
    [NNS_HANDLE_NONE] = "none", [NNS_HANDLE_PINNED] = "pinned", [NNS_HANDLE_WEAK] = "weak"};

static bool add_remarks(json_t *object, const struct nns_namespace_row *row)
{
    return (!row->host || add(object, "host", json_true())) &&
           (!row->evicted || add(object, "evicted", json_true())) &&
           (!row->list_error || add(object, "list_error", lossy_string(row->list_error, SIZE_MAX)));
}

char *nns_answer_namespace(const struct nns_namespace_row *row)
{
    json_t *object =
        json_pack("{s:o, s:I, s:s, s:o}", "cookie", number(row->cookie), "inum", (json_int_t)row->inum,
                  "handle", handle_names[row->handle], "devices", devices_array(row));

    if (object && !add_remarks(object, row)) {
        json_decref(object);
        return NULL;
    }
    return line_of(json_pack("{s:o}", "namespace", object));
}

static json_t *capabilities_object(const struct nns_capabilities *capabilities)
{
    return json_pack("{s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?}", "resolver", capabilities->resolver,
                     "handles", capabilities->handles, "identity", capabilities->identity, "first_scan",
                     capabilities->first_scan, "discovery",
                     *capabilities->discovery ? capabilities->discovery : NULL, "device_events",
                     *capabilities->device_events ? capabilities->device_events : NULL, "attach",
                     capabilities->attach, "meter_key", capabilities->meter_key);
}

static json_t *counters_object(void)
{
    json_t *object = json_object();

    for (unsigned i = 0; object && i < NNS_COUNTER_TOTAL; i++) {
        enum nns_counter counter = (enum nns_counter)i;

        if (!add(object, nns_counter_name(counter), number(nns_counter_read(counter)))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* Machines read these; nns_reason_text() is for people. A device without a reason waits for its turn. */
static const char *const reason_keys[NNS_REASON_COUNT] = {
    [NNS_REASON_NONE] = "waiting",
    [NNS_REASON_KERNEL] = "kernel",
    [NNS_REASON_GONE] = "gone",
    [NNS_REASON_LEGACY_INGRESS] = "legacy_ingress",
    [NNS_REASON_SHARED_BLOCK] = "shared_block",
    [NNS_REASON_NO_PRIORITY] = "no_priority",
    [NNS_REASON_UNKNOWN] = "unknown",
};

static json_t *missing_object(const struct nns_status *status)
{
    json_t *object = json_object();

    for (unsigned i = 0; object && i < NNS_REASON_COUNT; i++) {
        if (!add(object, reason_keys[i], number(status->missing_by_reason[i]))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *coverage_object(const struct nns_status *status)
{
    /* Nothing known is not everything covered. */
    json_t *ratio = status->devices_known
                        ? json_real((double)status->devices_covered / (double)status->devices_known)
                        : json_null();

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "devices_known", number(status->devices_known),
                     "devices_covered", number(status->devices_covered), "ratio", ratio, "queued",
                     number(status->devices_queued), "failed", number(status->devices_failed), "excluded",
                     number(status->devices_excluded), "missing", missing_object(status));
}

static json_t *namespaces_object(const struct nns_status *status)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "known", number(status->namespaces), "capacity",
                     number(status->namespaces_capacity), "pinned", number(status->namespaces_pinned),
                     "astray", number(status->namespaces_astray), "evicted",
                     number(status->namespaces_evicted_now));
}

static json_t *work_object(const struct nns_status *status)
{
    return json_pack("{s:o, s:o, s:o}", "batches_waiting", number(status->batches_waiting), "claims",
                     number(status->claims), "watchers", number(status->watchers));
}

static json_t *meter_object(const struct nns_status *status)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "slots_in_use", number(status->slots_in_use),
                     "slots_reserved", number(status->slots_reserved), "slots_limit",
                     number(status->slots_limit), "bytes", number(status->meter_bytes), "pinned",
                     (int)status->meter_pinned);
}

static json_t *programs_object(const struct nns_status *status)
{
    return json_pack("{s:I, s:I}", hook_names[NNS_INGRESS], (json_int_t)status->program_ids[NNS_INGRESS],
                     hook_names[NNS_EGRESS], (json_int_t)status->program_ids[NNS_EGRESS]);
}

char *nns_answer_status(const struct nns_status *status)
{
    json_t *object = json_pack(
        "{s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", status->version, "instance",
        lossy_string(status->instance, sizeof(status->instance)), "uptime_ms", number(status->uptime_ms),
        "capabilities", capabilities_object(&status->capabilities), "coverage", coverage_object(status),
        "namespaces", namespaces_object(status), "work", work_object(status), "meter", meter_object(status),
        "programs", programs_object(status), "counters", counters_object());

    return line_of(json_pack("{s:o}", "status", object));
}

/* News. */

/* ISO 8601, UTC: "2026-01-31T23:59:59.999Z". */
static json_t *time_string(uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[48];
    struct tm parts;
    size_t used;

    gmtime_r(&seconds, &parts);
    used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, sizeof(text) - used, ".%03uZ", (unsigned)(ms % 1000));
    return json_string(text);
}

static bool add_whose(json_t *object, const struct nns_news *news)
{
    return add(object, "cookie", number(news->cookie)) && add(object, "inum", json_integer(news->inum));
}

static bool add_about_device(json_t *object, const struct nns_news *news)
{
    const struct nns_device_row row = {.device = news->device, .retry_in_ms = news->amount};

    if (!add_whose(object, news) || !add_link(object, &news->device.link))
        return false;
    switch ((enum nns_news_kind)news->kind) {
    case NNS_NEWS_DEVICE_ATTACHED:
    case NNS_NEWS_DEVICE_RESTORED:
    case NNS_NEWS_DEVICE_FAILED:
        return add_state(object, &row);
    case NNS_NEWS_DEVICE_RENAMED:
        return add(object, "former_name", lossy_string(news->former, sizeof(news->former)));
    default:
        return true;
    }
}

static bool add_about(json_t *object, const struct nns_news *news)
{
    switch ((enum nns_news_kind)news->kind) {
    case NNS_NEWS_WATCHING:
        return add(object, "instance", lossy_string(news->text, SIZE_MAX));
    case NNS_NEWS_LOST:
        return add(object, "missed", number(news->amount));
    case NNS_NEWS_NAMESPACE_NEW:
        return add_whose(object, news) && add(object, "handle", json_string(handle_names[news->handle])) &&
               (!news->host || add(object, "host", json_true()));
    case NNS_NEWS_NAMESPACE_FAILED:
        return add_whose(object, news) && add(object, "error", lossy_string(news->text, SIZE_MAX)) &&
               (!news->amount || add(object, "retry_in_ms", number(news->amount)));
    case NNS_NEWS_NAMESPACE_GONE:
        return add_whose(object, news) && add(object, "reason", json_string(news->text));
    default:
        return add_about_device(object, news);
    }
}

char *nns_answer_news(const struct nns_news *news)
{
    json_t *object =
        json_pack("{s:o, s:o, s:s}", "sequence", number(news->sequence), "time", time_string(news->time_ms),
                  "event", nns_news_name((enum nns_news_kind)news->kind));

    if (object && !add_about(object, news)) {
        json_decref(object);
        return NULL;
    }
    return line_of(json_pack("{s:o}", "event", object));
}

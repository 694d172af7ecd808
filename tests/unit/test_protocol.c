/* SPDX-License-Identifier: Apache-2.0 */
#include "core/protocol.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"

/* The sanitizer's look at exit comes too late to fail a test, and so do fixtures. */
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

TestSuite(protocol, .timeout = 60);

#define PROTOCOL_TEST(name)                                                                                  \
    static void name(void);                                                                                  \
    Test(protocol, name)                                                                                     \
    {                                                                                                        \
        name();                                                                                              \
        if (__lsan_do_recoverable_leak_check)                                                                \
            cr_expect_eq(__lsan_do_recoverable_leak_check(), 0, "memory leaked");                            \
    }                                                                                                        \
    static void name(void)

static char sentence[256];

static int decode_bytes(const char *line, size_t length, struct nns_control_request *request)
{
    sentence[0] = '\0';
    return nns_control_request_decode(line, length, request, sentence, sizeof(sentence));
}

static int decode(const char *line, struct nns_control_request *request)
{
    return decode_bytes(line, strlen(line), request);
}

/* Refused with this result and a sentence that has this text in it, the request untouched. */
static void expect_refused(const char *line, size_t length, int result, const char *text)
{
    struct nns_control_request request;
    struct nns_control_request before;

    memset(&request, 0x5a, sizeof(request));
    before = request;
    cr_expect_eq(decode_bytes(line, length, &request), result, "%s: %s", line, sentence);
    cr_expect_not_null(strstr(sentence, text), "%s: \"%s\" says nothing of \"%s\"", line, sentence, text);
    cr_expect_eq(memcmp(&request, &before, sizeof(request)), 0, "%s", line);
}

/* The line as JSON; it must be one object, of one line. */
static json_t *parse(char *line)
{
    json_error_t error;
    json_t *object;

    cr_assert_not_null(line);
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1, "one newline, at the end");
    object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(object, "%s: %s", line, error.text);
    free(line);
    return object;
}

static json_int_t integer_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    cr_assert(json_is_integer(value), "%s is no integer", key);
    return json_integer_value(value);
}

static const char *string_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    cr_assert(json_is_string(value), "%s is no string", key);
    return json_string_value(value);
}

/* Requests. */

PROTOCOL_TEST(decodes_every_command)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;

    cr_assert_eq(
        decode("{\"version\":1,\"command\":\"sync\",\"pids\":[1,0,4294967295],\"wait\":true}", &request), 0,
        "%s", sentence);
    cr_expect_eq(request.command, NNS_COMMAND_SYNC);
    cr_expect(request.wait);
    cr_assert_eq(request.pid_count, 3);
    cr_expect_eq(request.pids[0], 1);
    cr_expect_eq(request.pids[1], 0, "whether 0 is a pid is not decided here");
    cr_expect_eq(request.pids[2], 4294967295u);
    nns_control_request_deinit(&request);
    cr_expect_null(request.pids);

    cr_assert_eq(decode(" { \"command\" : \"list\" , \"version\" : 1 } \r", &request), 0, "%s", sentence);
    cr_expect_eq(request.command, NNS_COMMAND_LIST);
    cr_assert_eq(decode("{\"version\":1,\"command\":\"status\"}", &request), 0);
    cr_expect_eq(request.command, NNS_COMMAND_STATUS);

    cr_assert_eq(decode("{\"version\":1,\"command\":\"get\",\"namespace\":\"/run/netns/a\"}", &request), 0);
    cr_expect_eq(request.command, NNS_COMMAND_GET);
    cr_expect_str_eq(request.namespace, "/run/netns/a");
    nns_control_request_deinit(&request);
    cr_assert_eq(decode("{\"version\":1,\"command\":\"flush\",\"namespace\":\"17\"}", &request), 0);
    cr_expect_eq(request.command, NNS_COMMAND_FLUSH);
    nns_control_request_deinit(&request);

    cr_assert_eq(decode("{\"version\":1,\"command\":\"detach\",\"instance\":\"blue\"}", &request), 0);
    cr_expect_eq(request.command, NNS_COMMAND_DETACH);
    cr_expect_str_eq(request.instance, "blue");
    nns_control_request_deinit(&request);
    cr_assert_eq(decode("{\"version\":1,\"command\":\"detach\"}", &request), 0);
    cr_expect_null(request.instance);

    cr_assert_eq(decode("{\"version\":1,\"command\":\"watch\"}", &request), 0, "%s", sentence);
    cr_expect_eq(request.command, NNS_COMMAND_WATCH);
    cr_expect_null(request.namespace);
    cr_assert_eq(decode("{\"version\":1,\"command\":\"watch\",\"namespace\":\"17\"}", &request), 0);
    cr_expect_str_eq(request.namespace, "17");
    nns_control_request_deinit(&request);
}

PROTOCOL_TEST(refuses_what_it_does_not_understand)
{
    static const struct {
        const char *line;
        int result;
        const char *text;
    } cases[] = {
        {"", -EINVAL, "not one JSON object"},
        {"nonsense", -EINVAL, "not one JSON object"},
        {"[]", -EINVAL, "not a JSON object"},
        {"{\"version\":1,\"command\":\"list\"} {}", -EINVAL, "not one JSON object"},
        {"{\"version\":1,\"command\":\"list\"", -EINVAL, "not one JSON object"},
        {"{\"command\":\"list\"}", -EINVAL, "\"version\""},
        {"{\"version\":\"1\",\"command\":\"list\"}", -EINVAL, "\"version\""},
        {"{\"version\":1.0,\"command\":\"list\"}", -EINVAL, "\"version\""},
        {"{\"version\":2,\"command\":\"list\",\"later\":1}", -EPROTO, "version 2"},
        {"{\"version\":0,\"command\":\"list\"}", -EPROTO, "version 0"},
        {"{\"version\":1}", -EINVAL, "\"command\""},
        {"{\"version\":1,\"command\":1}", -EINVAL, "\"command\""},
        {"{\"version\":1,\"command\":\"sing\"}", -EINVAL, "sing"},
        {"{\"version\":1,\"command\":\"list\",\"colour\":1}", -EINVAL, "colour"},
        {"{\"version\":1,\"command\":\"list\",\"pids\":[1]}", -EINVAL, "pids"},
        {"{\"version\":1,\"command\":\"get\",\"namespace\":\"1\",\"wait\":true}", -EINVAL, "wait"},
        {"{\"version\":1,\"version\":1,\"command\":\"list\"}", -EINVAL, "duplicate"},
        {"{\"version\":1,\"command\":\"list\",\"command\":\"flush\"}", -EINVAL, "duplicate"},
        {"{\"version\":1,\"command\":\"sync\"}", -EINVAL, "\"pids\""},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":1}", -EINVAL, "\"pids\""},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[]}", -EINVAL, "empty"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[1,-1]}", -EINVAL, "-1"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[4294967296]}", -EINVAL, "4294967296"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[9223372036854775808]}", -EINVAL,
         "9223372036854775808"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[7,1234567890123456789012345]}", -EINVAL,
         "1234567890123456789012345"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[1.5]}", -EINVAL, "1.5"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[1e999]}", -EINVAL, "1e999"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[\"12\"]}", -EINVAL, "12"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[1,null]}", -EINVAL, "entry 1"},
        {"{\"version\":1,\"command\":\"sync\",\"pids\":[1],\"wait\":1}", -EINVAL, "\"wait\""},
        {"{\"version\":1,\"command\":\"get\"}", -EINVAL, "\"namespace\""},
        {"{\"version\":1,\"command\":\"watch\",\"pids\":[1]}", -EINVAL, "pids"},
        {"{\"version\":1,\"command\":\"watch\",\"namespace\":17}", -EINVAL, "\"namespace\""},
        {"{\"version\":1,\"command\":\"get\",\"namespace\":17}", -EINVAL, "\"namespace\""},
        {"{\"version\":1,\"command\":\"get\",\"namespace\":\"\"}", -EINVAL, "\"namespace\""},
        {"{\"version\":1,\"command\":\"get\",\"namespace\":\"a\\u0000b\"}", -EINVAL, "\\u0000"},
        {"{\"version\":1,\"command\":\"detach\",\"instance\":null}", -EINVAL, "\"instance\""},
        {"{\"version\":1,\"command\":\"get\",\"namespace\":\"\xff\"}", -EINVAL, "not one JSON object"},
        {"{\"version\":1,\"command\":\"get\",\"namespace\":\"\xed\xa0\x80\"}", -EINVAL,
         "not one JSON object"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused(cases[i].line, strlen(cases[i].line), cases[i].result, cases[i].text);
}

PROTOCOL_TEST(refuses_nul_bytes)
{
    static const char inside[] = "{\"version\":1,\"command\":\"get\",\"namespace\":\"a\0b\"}";
    static const char behind[] = "{\"version\":1,\"command\":\"list\"}\0";

    expect_refused(inside, sizeof(inside) - 1, -EINVAL, "not one JSON object");
    expect_refused(behind, sizeof(behind) - 1, -EINVAL, "not one JSON object");
}

PROTOCOL_TEST(bounds_what_a_request_holds)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    char *line = malloc(NNS_REQUEST_BYTES_MAX), *end = line;

    end += sprintf(end, "{\"version\":1,\"command\":\"sync\",\"pids\":[4294967295");
    for (unsigned i = 1; i < NNS_REQUEST_PIDS_MAX; i++)
        end += sprintf(end, ",4294967295");
    strcpy(end, "]}");
    cr_assert_eq(decode(line, &request), 0, "%s", sentence);
    cr_expect_eq(request.pid_count, NNS_REQUEST_PIDS_MAX);
    nns_control_request_deinit(&request);
    strcpy(end, ",1]}");
    expect_refused(line, strlen(line), -EINVAL, "65537");

    end = line + sprintf(line, "{\"version\":1,\"command\":\"get\",\"namespace\":\"/");
    memset(end, 'n', 4096);
    strcpy(end + 4096, "\"}");
    expect_refused(line, strlen(line), -EINVAL, "longer than");
    memset(line, '[', NNS_REQUEST_BYTES_MAX);
    expect_refused(line, NNS_REQUEST_BYTES_MAX, -EINVAL, "not one JSON object");
    free(line);
}

PROTOCOL_TEST(small_error_buffers_are_kept_to)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    char error[9] = "12345678";

    cr_expect_eq(nns_control_request_decode("{}", 2, &request, error, 4), -EINVAL);
    cr_expect_eq(strlen(error), 3);
    cr_expect_str_eq(error + 4, "5678");
}

static void expect_round_trip(const struct nns_control_request *request)
{
    struct nns_control_request back = NNS_CONTROL_REQUEST_NULL;
    char *line = nns_control_request_encode(request);

    cr_assert_not_null(line);
    cr_assert_eq(decode_bytes(line, strlen(line) - 1, &back), 0, "%s: %s", line, sentence);
    cr_expect_eq(back.command, request->command);
    cr_expect_eq(back.wait, request->wait);
    cr_assert_eq(back.pid_count, request->pid_count);
    cr_expect_eq(memcmp(back.pids ? back.pids : (void *)"", request->pids ? request->pids : (void *)"",
                        request->pid_count * sizeof(*back.pids)),
                 0);
    cr_expect_eq(!back.namespace, !request->namespace);
    if (back.namespace)
        cr_expect_str_eq(back.namespace, request->namespace);
    cr_expect_eq(!back.instance, !request->instance);
    if (back.instance)
        cr_expect_str_eq(back.instance, request->instance);
    nns_control_request_deinit(&back);
    free(line);
}

PROTOCOL_TEST(requests_survive_the_trip)
{
    uint32_t pids[] = {1, 4294967295u, 0};
    char path[] = "/run/n\xc3\xa9t\"\\\n\x7f/\xf0\x9f\x90\xb3", instance[] = "default";

    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_LIST});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_STATUS});
    expect_round_trip(&(struct nns_control_request){NNS_COMMAND_SYNC, true, pids, 3, NULL, NULL});
    expect_round_trip(&(struct nns_control_request){NNS_COMMAND_SYNC, false, pids, 1, NULL, NULL});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_GET, .namespace = path});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_FLUSH, .namespace = path});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_DETACH, .instance = instance});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_DETACH});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_WATCH});
    expect_round_trip(&(struct nns_control_request){.command = NNS_COMMAND_WATCH, .namespace = path});
}

PROTOCOL_TEST(path_that_json_cannot_carry_is_not_changed)
{
    static const char *const paths[] = {"/run/\xff",    "\xc0\xaf",         "\xe2\x82",
                                        "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3("};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct nns_control_request request = {.command = NNS_COMMAND_GET, .namespace = (char *)paths[i]};

        errno = 0;
        cr_expect_null(nns_control_request_encode(&request));
        cr_expect_eq(errno, EILSEQ);
    }
}

/* Answers. */

PROTOCOL_TEST(done_and_error)
{
    json_t *object = parse(nns_answer_done());

    cr_expect(json_is_true(json_object_get(object, "done")));
    cr_expect_eq(json_object_size(object), 1);
    json_decref(object);

    object = parse(nns_answer_error("no such \"thing\"\n\xff!"));
    cr_expect(json_is_false(json_object_get(object, "done")));
    cr_expect_str_eq(string_at(object, "error"), "no such \"thing\"\n\xef\xbf\xbd!");
    json_decref(object);
}

PROTOCOL_TEST(result)
{
    struct nns_result result = {
        .cookie = INT64_MAX, .inum = 4294967295u, .pid = 4294967295u, .outcome = NNS_OUTCOME_NEW};
    json_t *answer = parse(nns_answer_result(&result)), *object = json_object_get(answer, "result");

    cr_expect_eq(integer_at(object, "pid"), 4294967295);
    cr_expect_eq(integer_at(object, "cookie"), INT64_MAX);
    cr_expect_eq(integer_at(object, "inum"), 4294967295);
    cr_expect_str_eq(string_at(object, "outcome"), "new");
    cr_expect_null(json_object_get(object, "error"));
    json_decref(answer);

    result = (struct nns_result){.pid = 7, .outcome = NNS_OUTCOME_ERROR, .error = EMFILE};
    answer = parse(nns_answer_result(&result));
    object = json_object_get(answer, "result");
    cr_expect_str_eq(string_at(object, "outcome"), "error");
    cr_expect_str_eq(string_at(object, "error"), "Too many open files");
    cr_expect_eq(integer_at(object, "cookie"), 0);
    json_decref(answer);
}

PROTOCOL_TEST(cookie_beyond_json_integers_is_not_another)
{
    struct nns_result result = {.cookie = (uint64_t)INT64_MAX + 1, .pid = 1, .outcome = NNS_OUTCOME_NEW};
    json_t *answer = parse(nns_answer_result(&result));

    cr_expect(json_is_null(json_object_get(json_object_get(answer, "result"), "cookie")));
    json_decref(answer);
}

static struct nns_device_row device_row(uint32_t ifindex, const char *name, const char *kind)
{
    struct nns_device_row row = {.device.link.ifindex = ifindex, .device.state = NNS_DEVICE_QUEUED};

    /* A name may fill its field without a terminator. */
    memcpy(row.device.link.name, name, strnlen(name, sizeof(row.device.link.name)));
    memcpy(row.device.link.kind, kind, strnlen(kind, sizeof(row.device.link.kind)));
    return row;
}

static void attach(struct nns_device_row *row, enum nns_hook hook, uint32_t program, uint16_t priority)
{
    row->device.attachments[0][hook] = (struct nns_attachment){.program_id = program, .priority = priority};
    row->traffic[hook] = (struct nns_traffic){.packets = program * 10, .bytes = program * 1000};
}

PROTOCOL_TEST(namespace_with_devices)
{
    struct nns_device_row rows[3] = {device_row(1, "lo", "loopback"), device_row(7, "eth0", "veth"),
                                     device_row(9, "sixteen_bytes_xx", "")};
    struct nns_namespace_row row = {
        .cookie = 4097, .inum = 4026532000u, .handle = NNS_HANDLE_PINNED, .devices = rows, .device_count = 3};
    json_t *answer, *object, *device;

    attach(&rows[0], NNS_INGRESS, 11, 10);
    attach(&rows[0], NNS_EGRESS, 12, 13);
    rows[0].device.state = NNS_DEVICE_ATTACHED;
    rows[0].counted = true;
    attach(&rows[1], NNS_INGRESS, 11, 10);
    rows[1].device.state = NNS_DEVICE_FAILED;
    rows[1].device.attachments[0][NNS_EGRESS].reason = NNS_REASON_LEGACY_INGRESS;
    rows[1].retry_in_ms = 250;
    rows[2].device.attachments[0][NNS_INGRESS] =
        (struct nns_attachment){.reason = NNS_REASON_KERNEL, .error = EPERM};
    rows[2].device.attachments[0][NNS_EGRESS].reason = NNS_REASON_NO_PRIORITY;

    answer = parse(nns_answer_namespace(&row));
    object = json_object_get(answer, "namespace");
    cr_expect_eq(integer_at(object, "cookie"), 4097);
    cr_expect_eq(integer_at(object, "inum"), 4026532000);
    cr_expect_str_eq(string_at(object, "handle"), "pinned");
    cr_expect_null(json_object_get(object, "host"));
    cr_expect_null(json_object_get(object, "evicted"));
    cr_expect_null(json_object_get(object, "list_error"));
    cr_assert_eq(json_array_size(json_object_get(object, "devices")), 3);

    device = json_array_get(json_object_get(object, "devices"), 0);
    cr_expect_eq(integer_at(device, "ifindex"), 1);
    cr_expect_str_eq(string_at(device, "name"), "lo");
    cr_expect_str_eq(string_at(device, "kind"), "loopback");
    cr_expect_str_eq(string_at(device, "state"), "attached");
    cr_expect(json_is_true(json_object_get(device, "covered")));
    cr_expect(json_is_null(json_object_get(device, "error")));
    cr_expect_null(json_object_get(device, "retry_in_ms"));
    cr_expect_eq(integer_at(json_object_get(device, "ingress"), "program_id"), 11);
    cr_expect_eq(integer_at(json_object_get(device, "ingress"), "priority"), 10);
    cr_expect_eq(integer_at(json_object_get(device, "ingress"), "packets"), 110);
    cr_expect_eq(integer_at(json_object_get(device, "egress"), "program_id"), 12);
    cr_expect_eq(integer_at(json_object_get(device, "egress"), "priority"), 13);
    cr_expect_eq(integer_at(json_object_get(device, "egress"), "bytes"), 12000);

    device = json_array_get(json_object_get(object, "devices"), 1);
    cr_expect_str_eq(string_at(device, "state"), "failed");
    cr_expect(json_is_false(json_object_get(device, "covered")));
    cr_expect_eq(integer_at(device, "retry_in_ms"), 250);
    cr_expect_null(json_object_get(json_object_get(device, "ingress"), "packets"),
                   "counts that are not its own");
    cr_expect(json_is_null(json_object_get(json_object_get(device, "egress"), "program_id")));
    cr_expect_eq(strncmp(string_at(device, "error"), "egress: ", 8), 0);
    cr_expect_not_null(strstr(string_at(device, "error"), nns_reason_text(NNS_REASON_LEGACY_INGRESS)));
    cr_expect_null(strstr(string_at(device, "error"), "ingress: "));

    device = json_array_get(json_object_get(object, "devices"), 2);
    cr_expect_str_eq(string_at(device, "name"), "sixteen_bytes_xx", "a name without its NUL");
    cr_expect_eq(strncmp(string_at(device, "error"), "ingress: Operation not permitted; egress: ", 42), 0,
                 "%s", string_at(device, "error"));
    json_decref(answer);
}

static bool shown_as_covered(const struct nns_device_row *device)
{
    struct nns_device_row copy = *device;
    struct nns_namespace_row row = {.cookie = 1, .devices = &copy, .device_count = 1};
    json_t *answer = parse(nns_answer_namespace(&row)), *object;
    bool covered;

    object = json_array_get(json_object_get(json_object_get(answer, "namespace"), "devices"), 0);
    covered = json_is_true(json_object_get(object, "covered"));
    json_decref(answer);
    return covered;
}

/* A filter that could not be replaced still carries its old program. */
PROTOCOL_TEST(kept_old_program_is_not_coverage)
{
    struct nns_device_row row = device_row(7, "eth0", "veth");

    attach(&row, NNS_INGRESS, 11, 10);
    attach(&row, NNS_EGRESS, 12, 10);
    cr_expect(!shown_as_covered(&row), "still queued");
    row.device.state = NNS_DEVICE_ATTACHED;
    cr_expect(shown_as_covered(&row));
    row.device.attachments[0][NNS_EGRESS].reason = NNS_REASON_KERNEL;
    row.device.attachments[0][NNS_EGRESS].error = EBUSY;
    cr_expect(!shown_as_covered(&row), "a hook with a reason");
    row.device.state = NNS_DEVICE_FAILED;
    cr_expect(!shown_as_covered(&row));
    row.device.attachments[0][NNS_EGRESS].reason = NNS_REASON_NONE;
    cr_expect(!shown_as_covered(&row), "failed");
}

PROTOCOL_TEST(namespace_remarks)
{
    struct nns_namespace_row row = {
        .cookie = 1, .host = true, .evicted = true, .list_error = "no permission to look"};
    json_t *answer = parse(nns_answer_namespace(&row)), *object = json_object_get(answer, "namespace");

    cr_expect_str_eq(string_at(object, "handle"), "none");
    cr_expect(json_is_true(json_object_get(object, "host")));
    cr_expect(json_is_true(json_object_get(object, "evicted")));
    cr_expect_str_eq(string_at(object, "list_error"), "no permission to look");
    cr_expect_eq(json_array_size(json_object_get(object, "devices")), 0);
    json_decref(answer);
}

PROTOCOL_TEST(names_of_any_bytes_make_valid_answers)
{
    static const struct {
        const char *name, *shown;
    } cases[] = {
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\x1b[31m\"\\", "\x1b[31m\"\\"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nns_device_row device = device_row(2, cases[i].name, cases[i].name);
        struct nns_namespace_row row = {.cookie = 1, .devices = &device, .device_count = 1};
        json_t *answer = parse(nns_answer_namespace(&row)), *object;

        object = json_array_get(json_object_get(json_object_get(answer, "namespace"), "devices"), 0);
        cr_expect_str_eq(string_at(object, "name"), cases[i].shown, "case %zu", i);
        cr_expect_str_eq(string_at(object, "kind"), cases[i].shown, "case %zu", i);
        json_decref(answer);
    }
}

static const struct nns_status some_status = {
    .version = "0.1.0",
    .instance = "default",
    .capabilities.resolver = "proc",
    .namespaces_astray = 5,
    .devices_known = 4,
    .devices_covered = 3,
    .devices_failed = 1,
    .devices_excluded = 2,
    .namespaces_unlisted = 6,
    .missing_by_reason[NNS_REASON_SHARED_BLOCK] = 1,
    .slots_in_use = 3,
    .slots_reserved = 2,
    .meter_pinned = true,
    .memory = {"some", 2, 1000, 4096, 500, 8192, NNS_UNSAID},
    .program_ids = {21, 22},
};

PROTOCOL_TEST(status)
{
    json_t *answer, *object, *part;

    nns_count(NNS_COUNT_FEED_PIDS, 42);
    answer = parse(nns_answer_status(&some_status));
    object = json_object_get(answer, "status");
    cr_expect_str_eq(string_at(object, "version"), "0.1.0");
    cr_expect_str_eq(string_at(object, "instance"), "default");
    part = json_object_get(object, "capabilities");
    cr_expect_str_eq(string_at(part, "resolver"), "proc");
    cr_expect(json_is_null(json_object_get(part, "handles")), "what nobody probed is not claimed");
    cr_expect_eq(json_object_size(part), 9);
    part = json_object_get(object, "counters");
    cr_expect_eq(json_object_size(part), NNS_COUNTER_TOTAL);
    cr_expect_eq(integer_at(part, nns_counter_name(NNS_COUNT_FEED_PIDS)), 42);
    part = json_object_get(object, "coverage");
    cr_expect_eq(integer_at(part, "devices_known"), 4);
    cr_expect_eq(integer_at(part, "devices_covered"), 3);
    cr_expect_eq(integer_at(part, "excluded"), 2);
    cr_expect_eq(integer_at(part, "namespaces_unlisted"), 6);
    cr_expect_float_eq(json_real_value(json_object_get(part, "ratio")), 0.75, 1e-12);
    cr_expect_eq(integer_at(json_object_get(part, "missing"), "shared_block"), 1);
    cr_expect_eq(json_object_size(json_object_get(part, "missing")), NNS_REASON_COUNT);
    part = json_object_get(object, "meter");
    cr_expect_eq(integer_at(part, "slots_in_use"), 3);
    cr_expect_eq(integer_at(part, "slots_reserved"), 2);
    cr_expect(json_is_true(json_object_get(part, "pinned")));
    part = json_object_get(object, "memory");
    cr_expect_str_eq(string_at(part, "allocator"), "some");
    cr_expect_eq(integer_at(part, "arenas"), 2);
    cr_expect_eq(integer_at(part, "allocated_bytes"), 1000);
    cr_expect_eq(integer_at(part, "active_bytes"), 4096);
    cr_expect_eq(integer_at(part, "metadata_bytes"), 500);
    cr_expect_eq(integer_at(part, "resident_bytes"), 8192);
    cr_expect_eq(integer_at(json_object_get(object, "programs"), "egress"), 22);
    cr_expect_eq(integer_at(json_object_get(object, "namespaces"), "known"), 0);
    cr_expect_eq(integer_at(json_object_get(object, "namespaces"), "astray"), 5);
    json_decref(answer);
}

PROTOCOL_TEST(what_the_allocator_does_not_say_is_null)
{
    static const char *const keys[] = {"arenas",         "allocated_bytes", "active_bytes",
                                       "metadata_bytes", "resident_bytes",  "retained_bytes"};
    struct nns_status status = {.version = "0", .memory = NNS_MEMORY_UNSAID};
    json_t *answer = parse(nns_answer_status(&status));
    json_t *memory = json_object_get(json_object_get(answer, "status"), "memory");

    cr_expect(json_is_null(json_object_get(memory, "allocator")));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        cr_expect(json_is_null(json_object_get(memory, keys[i])), "%s", keys[i]);
    cr_expect_eq(json_object_size(memory), 1 + sizeof(keys) / sizeof(keys[0]));
    json_decref(answer);
}

PROTOCOL_TEST(nothing_known_is_not_everything_covered)
{
    struct nns_status status = {.version = "0", .devices_excluded = 3};
    json_t *answer = parse(nns_answer_status(&status));

    cr_expect(json_is_null(
        json_object_get(json_object_get(json_object_get(answer, "status"), "coverage"), "ratio")));
    json_decref(answer);
}

PROTOCOL_TEST(one_missing_of_many_is_not_all)
{
    struct nns_status status = {.version = "0", .devices_known = 10000000, .devices_covered = 9999999};
    json_t *answer = parse(nns_answer_status(&status));

    cr_expect_lt(json_real_value(json_object_get(
                     json_object_get(json_object_get(answer, "status"), "coverage"), "ratio")),
                 1.0);
    json_decref(answer);
}

/* News. */

/* A piece about a device that carries one program and misses the other; what it holds besides is its kind's.
 */
static json_t *event_of(enum nns_news_kind kind, const char *text)
{
    struct nns_device_row row = device_row(7, "sixteen_bytes_xx", "veth");
    struct nns_news news = {.sequence = 812,
                            .time_ms = 1769903999999,
                            .cookie = 4097,
                            .amount = 250,
                            .text = text,
                            .inum = 4026532000u,
                            .kind = (uint8_t)kind,
                            .handle = NNS_HANDLE_WEAK};
    json_t *answer, *event;

    attach(&row, NNS_INGRESS, 11, 10);
    row.device.state = NNS_DEVICE_FAILED;
    row.device.attachments[0][NNS_EGRESS].reason = NNS_REASON_LEGACY_INGRESS;
    news.device = row.device;
    memcpy(news.former, "former_of_16_too", sizeof(news.former));
    answer = parse(nns_answer_news(&news));
    cr_assert_eq(json_object_size(answer), 1);
    event = json_incref(json_object_get(answer, "event"));
    json_decref(answer);
    cr_expect_eq(integer_at(event, "sequence"), 812);
    cr_expect_str_eq(string_at(event, "time"), "2026-01-31T23:59:59.999Z");
    cr_expect_str_eq(string_at(event, "event"), nns_news_name(kind));
    return event;
}

static void expect_members(json_t *event, size_t beside_the_common)
{
    cr_expect_eq(json_object_size(event), 3 + beside_the_common, "%s", string_at(event, "event"));
    json_decref(event);
}

static json_t *namespace_event(enum nns_news_kind kind, const char *text)
{
    json_t *event = event_of(kind, text);

    cr_expect_eq(integer_at(event, "cookie"), 4097);
    cr_expect_eq(integer_at(event, "inum"), 4026532000);
    return event;
}

PROTOCOL_TEST(news_of_namespaces)
{
    json_t *event = namespace_event(NNS_NEWS_NAMESPACE_NEW, NULL);

    cr_expect_str_eq(string_at(event, "handle"), "weak");
    expect_members(event, 3);
    event = namespace_event(NNS_NEWS_NAMESPACE_FAILED, "Too many open files");
    cr_expect_str_eq(string_at(event, "error"), "Too many open files");
    cr_expect_eq(integer_at(event, "retry_in_ms"), 250);
    expect_members(event, 4);
    event = namespace_event(NNS_NEWS_NAMESPACE_GONE, "lonely");
    cr_expect_str_eq(string_at(event, "reason"), "lonely");
    expect_members(event, 3);
}

PROTOCOL_TEST(news_of_devices)
{
    static const struct {
        enum nns_news_kind kind;
        size_t members;
    } kinds[] = {
        {NNS_NEWS_DEVICE_ATTACHED, 11}, {NNS_NEWS_DEVICE_RESTORED, 11}, {NNS_NEWS_DEVICE_FAILED, 11},
        {NNS_NEWS_DEVICE_DETACHED, 5},  {NNS_NEWS_DEVICE_RENAMED, 6},   {NNS_NEWS_DEVICE_EXCLUDED, 5},
        {NNS_NEWS_DEVICE_GONE, 5},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        json_t *event = namespace_event(kinds[i].kind, NULL);

        cr_expect_eq(integer_at(event, "ifindex"), 7);
        cr_expect_str_eq(string_at(event, "name"), "sixteen_bytes_xx");
        cr_expect_str_eq(string_at(event, "kind"), "veth");
        if (kinds[i].kind == NNS_NEWS_DEVICE_RENAMED)
            cr_expect_str_eq(string_at(event, "former_name"), "former_of_16_too");
        if (kinds[i].members == 11) {
            cr_expect_str_eq(string_at(event, "state"), "failed");
            cr_expect_eq(integer_at(json_object_get(event, "ingress"), "program_id"), 11);
            cr_expect_eq(strncmp(string_at(event, "error"), "egress: ", 8), 0);
            cr_expect_eq(integer_at(event, "retry_in_ms"), 250);
        }
        expect_members(event, kinds[i].members);
    }
}

PROTOCOL_TEST(news_of_the_watch_itself)
{
    json_t *event = event_of(NNS_NEWS_WATCHING, "blue");

    cr_expect_str_eq(string_at(event, "instance"), "blue");
    expect_members(event, 1);
    event = event_of(NNS_NEWS_LOST, NULL);
    cr_expect_eq(integer_at(event, "missed"), 250);
    expect_members(event, 1);
}

/* Without memory. */

static long allocations_left;

static void *scarce_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static char *everything(int what)
{
    static struct nns_device_row device;
    static const struct nns_result result = {.pid = 1, .error = EIO, .outcome = NNS_OUTCOME_ERROR};
    static uint32_t pids[] = {1, 2, 3};
    static const struct nns_control_request request = {NNS_COMMAND_SYNC, true, pids, 3, NULL, NULL};
    struct nns_namespace_row row = {
        .devices = &device, .device_count = 1, .host = true, .evicted = true, .list_error = "why"};

    device = device_row(3, "eth\xff", "veth");
    device.counted = true;
    device.retry_in_ms = 5;
    device.device.attachments[0][0].reason = NNS_REASON_SHARED_BLOCK;
    switch (what) {
    case 0:
        return nns_answer_namespace(&row);
    case 1:
        return nns_answer_status(&some_status);
    case 2:
        return nns_answer_result(&result);
    case 3:
        return nns_answer_error("sentence");
    case 4:
        return nns_control_request_encode(&request);
    default:
        return nns_answer_done();
    }
}

PROTOCOL_TEST(no_memory_means_no_line_and_no_leak)
{
    json_set_alloc_funcs(scarce_malloc, free);
    for (int what = 0; what < 6; what++) {
        char *line = NULL;
        long needed = 0;

        for (; !line; needed++) {
            cr_assert_lt(needed, 10000);
            allocations_left = needed;
            line = everything(what);
        }
        cr_expect_gt(needed, 3, "nothing was ever refused");
        free(line);
    }
    json_set_alloc_funcs(malloc, free);
}

PROTOCOL_TEST(no_memory_to_decode)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    int result = -ENOMEM;

    json_set_alloc_funcs(scarce_malloc, free);
    for (long needed = 0; result; needed++) {
        cr_assert_lt(needed, 1000);
        allocations_left = needed;
        result = decode("{\"version\":1,\"command\":\"sync\",\"pids\":[1,2]}", &request);
        /* Where the parser runs out, it may blame the text. */
        cr_assert(result <= 0);
        cr_assert_eq(result != 0, *sentence != 0, "%d: %s", result, sentence);
    }
    json_set_alloc_funcs(malloc, free);
    nns_control_request_deinit(&request);
}

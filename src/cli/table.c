/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "cli/text.h"
#include "cli/writer.h"

/* A column's width is fixed: rows are printed as they come, so the widest is not known beforehand. */
struct column {
    const char *title;
    unsigned width;
    bool right;
};

enum {
    NAMESPACE,
    INUM,
    HANDLE,
    DEVICE,
    KIND,
    STATE,
    IN_PKTS,
    IN_BYTES,
    OUT_PKTS,
    OUT_BYTES,
    REMARK,
    COLUMNS
};

static const struct column device_columns[COLUMNS] = {
    [NAMESPACE] = {"NAMESPACE", 9, true}, [INUM] = {"INUM", 10, true},
    [HANDLE] = {"HANDLE", 6, false},      [DEVICE] = {"DEVICE", 15, false},
    [KIND] = {"KIND", 10, false},         [STATE] = {"STATE", 8, false},
    [IN_PKTS] = {"IN PKTS", 9, true},     [IN_BYTES] = {"IN BYTES", 11, true},
    [OUT_PKTS] = {"OUT PKTS", 9, true},   [OUT_BYTES] = {"OUT BYTES", 11, true},
    [REMARK] = {"ERROR", 0, false},
};

enum { PID, OUTCOME, RESULT_COOKIE, RESULT_INUM, RESULT_ERROR, RESULT_COLUMNS };

static const struct column result_columns[RESULT_COLUMNS] = {
    [PID] = {"PID", 10, true},
    [OUTCOME] = {"OUTCOME", 8, false},
    [RESULT_COOKIE] = {"NAMESPACE", 9, true},
    [RESULT_INUM] = {"INUM", 10, true},
    [RESULT_ERROR] = {"ERROR", 0, false},
};

enum { TIME, EVENT, EVENT_COOKIE, EVENT_INUM, EVENT_DEVICE, EVENT_KIND, DETAIL, EVENT_COLUMNS };

static const struct column event_columns[EVENT_COLUMNS] = {
    [TIME] = {"TIME", 24, false},
    [EVENT] = {"EVENT", 16, false},
    [EVENT_COOKIE] = {"NAMESPACE", 9, true},
    [EVENT_INUM] = {"INUM", 10, true},
    [EVENT_DEVICE] = {"DEVICE", 15, false},
    [EVENT_KIND] = {"KIND", 10, false},
    [DETAIL] = {"DETAIL", 0, false},
};

/* A value as a cell has it: "-" for what is not there. text[24] holds a number. */
static const char *cell_of(const json_t *value, char text[24])
{
    if (json_is_string(value) && json_string_length(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "yes" : "no";
    if (!json_is_integer(value))
        return "-";
    snprintf(text, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return text;
}

static void print_cell(FILE *out, const struct column *column, const json_t *value)
{
    char text[24];

    if (column->right)
        nns_text_number(out, cell_of(value, text), column->width);
    else if (column->width)
        nns_text_cell(out, cell_of(value, text), column->width);
    else
        nns_text_print(out, value ? cell_of(value, text) : "");
}

static void print_cells(FILE *out, const struct column *columns, size_t count, const json_t *const *values)
{
    for (size_t i = 0; i < count; i++)
        print_cell(out, &columns[i], values[i]);
}

static void print_row(FILE *out, const struct column *columns, size_t count, const json_t *const *values)
{
    print_cells(out, columns, count, values);
    fputc('\n', out);
}

static void print_titles(FILE *out, const struct column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (columns[i].right)
            nns_text_number(out, columns[i].title, columns[i].width);
        else if (!columns[i].width)
            nns_text_print(out, columns[i].title);
        else
            nns_text_cell(out, columns[i].title, columns[i].width);
    }
    fputc('\n', out);
}

/* Namespaces: a row a device. */

static const json_t *absent_if_null(const json_t *value)
{
    return json_is_null(value) ? NULL : value;
}

static void device_row(FILE *out, const json_t *namespace, const json_t *device, const json_t *state)
{
    const json_t *ingress = json_object_get(device, "ingress"), *egress = json_object_get(device, "egress");
    const json_t *error = absent_if_null(json_object_get(device, "error"));
    const json_t *values[COLUMNS] = {
        [NAMESPACE] = json_object_get(namespace, "cookie"),
        [INUM] = json_object_get(namespace, "inum"),
        [HANDLE] = json_object_get(namespace, "handle"),
        [DEVICE] = json_object_get(device, "name"),
        [KIND] = json_object_get(device, "kind"),
        [STATE] = state ? state : json_object_get(device, "state"),
        [IN_PKTS] = json_object_get(ingress, "packets"),
        [IN_BYTES] = json_object_get(ingress, "bytes"),
        [OUT_PKTS] = json_object_get(egress, "packets"),
        [OUT_BYTES] = json_object_get(egress, "bytes"),
        [REMARK] = error ? error : json_object_get(namespace, "list_error"),
    };

    print_row(out, device_columns, COLUMNS, values);
}

static void namespace_rows(FILE *out, const json_t *namespace)
{
    const json_t *devices = json_object_get(namespace, "devices");
    json_t *evicted = json_is_true(json_object_get(namespace, "evicted")) ? json_string("evicted") : NULL;
    size_t count = json_array_size(devices);

    for (size_t i = 0; i < count; i++)
        device_row(out, namespace, json_array_get(devices, i), evicted);
    if (!count)
        device_row(out, namespace, NULL, evicted);
    json_decref(evicted);
}

static void result_row(FILE *out, const json_t *result)
{
    const json_t *values[RESULT_COLUMNS] = {
        [PID] = json_object_get(result, "pid"),
        [OUTCOME] = json_object_get(result, "outcome"),
        [RESULT_COOKIE] = json_object_get(result, "cookie"),
        [RESULT_INUM] = json_object_get(result, "inum"),
        [RESULT_ERROR] = json_object_get(result, "error"),
    };

    for (size_t i = RESULT_COOKIE; i <= RESULT_INUM; i++) {
        if (!json_integer_value(values[i]))
            values[i] = NULL;
    }
    print_row(out, result_columns, RESULT_COLUMNS, values);
}

/* Events: a row each, and what else there is to say in words. */

static void print_phrase(FILE *out, const char *before, const json_t *value, const char *after)
{
    char text[24];

    if (!value)
        return;
    fputs(before, out);
    nns_text_print(out, cell_of(value, text));
    fputs(after, out);
}

static void print_programs(FILE *out, const json_t *event)
{
    print_phrase(out, "ingress program ", json_object_get(json_object_get(event, "ingress"), "program_id"),
                 "");
    print_phrase(out, ", egress program ", json_object_get(json_object_get(event, "egress"), "program_id"),
                 "");
}

static void print_detail(FILE *out, const json_t *event)
{
    const json_t *error = absent_if_null(json_object_get(event, "error"));
    const json_t *retry = json_object_get(event, "retry_in_ms");

    if (!error)
        print_programs(out, event);
    print_phrase(out, "", error, retry ? "; tried again in " : "; given up");
    print_phrase(out, "", retry, " ms");
    print_phrase(out, "", json_object_get(event, "reason"), "");
    print_phrase(out, "was ", json_object_get(event, "former_name"), "");
    print_phrase(out, "", json_object_get(event, "missed"), " events");
    print_phrase(out, "handle ", json_object_get(event, "handle"), "");
    print_phrase(out, "instance ", json_object_get(event, "instance"), "");
}

static void event_row(FILE *out, const json_t *event)
{
    const json_t *values[DETAIL] = {
        [TIME] = json_object_get(event, "time"),           [EVENT] = json_object_get(event, "event"),
        [EVENT_COOKIE] = json_object_get(event, "cookie"), [EVENT_INUM] = json_object_get(event, "inum"),
        [EVENT_DEVICE] = json_object_get(event, "name"),   [EVENT_KIND] = json_object_get(event, "kind"),
    };

    print_cells(out, event_columns, DETAIL, values);
    print_detail(out, event);
    fputc('\n', out);
}

/* Status: a section an object, a line a value; what was never counted is left out. */

#define KEY_WIDTH 24

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && !strcmp(text + length - end_length, end);
}

/* Cut, not rounded: 99.99 % is not all. Of the whole numbers beside it, because 57 of 100 is a little less in
 * a double. */
static void print_ratio(FILE *out, const json_t *coverage)
{
    uint64_t known = (uint64_t)json_integer_value(json_object_get(coverage, "devices_known"));
    uint64_t covered = (uint64_t)json_integer_value(json_object_get(coverage, "devices_covered"));
    uint64_t hundredths = known ? covered * 10000 / known : 0;
    bool unseen = json_integer_value(json_object_get(coverage, "namespaces_unlisted")) != 0;

    fprintf(out, "%" PRIu64 ".%02" PRIu64 " %%%s", hundredths / 100, hundredths % 100,
            unseen ? " of the devices that could be listed" : "");
}

/* A duration is shown in units of its own, and named without the one the protocol has. */
static void status_key(FILE *out, const char *key, size_t width)
{
    char name[64];

    snprintf(name, sizeof(name), "%s", key);
    if (ends_with(name, "_ms"))
        name[strlen(name) - 3] = '\0';
    nns_text_cell(out, name, width);
}

static void status_value(FILE *out, const json_t *section, const char *key, const json_t *value)
{
    uint64_t number = (uint64_t)json_integer_value(value);
    char text[24];

    if (json_is_real(value) && !strcmp(key, "ratio"))
        print_ratio(out, section);
    else if (json_is_integer(value) && ends_with(key, "_ms"))
        nns_text_duration(out, number);
    else if (json_is_integer(value) && ends_with(key, "bytes"))
        nns_text_bytes(out, number);
    else
        nns_text_print(out, cell_of(value, text));
    fputc('\n', out);
}

static bool is_line(const json_t *value, bool zeroes)
{
    return !json_is_object(value) && (zeroes || !json_is_integer(value) || json_integer_value(value));
}

static bool has_lines(json_t *object, bool zeroes)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (is_line(value, zeroes))
            return true;
    }
    return false;
}

static void status_lines(FILE *out, json_t *object, bool zeroes, const char *indent)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (!is_line(value, zeroes))
            continue;
        fputs(indent, out);
        status_key(out, key, KEY_WIDTH - strlen(indent));
        status_value(out, object, key, value);
    }
}

static void status_section(FILE *out, const char *title, json_t *section)
{
    const char *key;
    json_t *value;

    fputc('\n', out);
    nns_text_print(out, title);
    fputs(":\n", out);
    status_lines(out, section, strcmp(title, "counters") != 0, "  ");
    json_object_foreach(section, key, value)
    {
        if (!json_is_object(value) || !has_lines(value, false))
            continue;
        fputs("  ", out);
        nns_text_print(out, key);
        fputs(":\n", out);
        status_lines(out, value, false, "    ");
    }
}

static void status_object(FILE *out, json_t *status)
{
    const char *key;
    json_t *value;

    status_lines(out, status, true, "");
    json_object_foreach(status, key, value)
    {
        if (json_is_object(value))
            status_section(out, key, value);
    }
}

/* The interface. */

static void begin(struct nns_writer *writer)
{
    if (writer->shape == NNS_SHAPE_NAMESPACES || writer->shape == NNS_SHAPE_NAMESPACE)
        print_titles(writer->out, device_columns, COLUMNS);
    else if (writer->shape == NNS_SHAPE_RESULTS)
        print_titles(writer->out, result_columns, RESULT_COLUMNS);
    else if (writer->shape == NNS_SHAPE_EVENTS)
        print_titles(writer->out, event_columns, EVENT_COLUMNS);
}

static void item(struct nns_writer *writer, const json_t *item)
{
    switch (writer->shape) {
    case NNS_SHAPE_NAMESPACES:
    case NNS_SHAPE_NAMESPACE:
        namespace_rows(writer->out, item);
        break;
    case NNS_SHAPE_RESULTS:
        result_row(writer->out, item);
        break;
    case NNS_SHAPE_STATUS:
        status_object(writer->out, (json_t *)item);
        break;
    case NNS_SHAPE_EVENTS:
        event_row(writer->out, item);
        break;
    }
}

static void end(struct nns_writer *writer, const char *error)
{
}

const struct nns_writer_format nns_writer_table = {begin, item, end};

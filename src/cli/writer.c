/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/writer.h"

#include <stdarg.h>

struct nns_writer nns_writer_make(bool json, enum nns_shape shape)
{
    return (struct nns_writer){
        .format = json ? &nns_writer_json : &nns_writer_table, .out = stdout, .shape = shape};
}

static void begin(struct nns_writer *writer)
{
    if (!writer->begun)
        writer->format->begin(writer);
    writer->begun = true;
}

void nns_writer_item(struct nns_writer *writer, const json_t *item)
{
    begin(writer);
    writer->format->item(writer, item);
    writer->items++;
}

void nns_writer_end(struct nns_writer *writer, const char *error)
{
    if (error && !writer->begun)
        return;
    begin(writer);
    writer->format->end(writer, error);
}

void nns_writer_report(bool json, json_t *object, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (json)
        json_dumpf(object, stdout, JSON_COMPACT);
    else
        vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    json_decref(object);
}

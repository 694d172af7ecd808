/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/writer.h"

static const char *rows_name(enum nns_shape shape)
{
    switch (shape) {
    case NNS_SHAPE_NAMESPACES:
        return "namespaces";
    case NNS_SHAPE_RESULTS:
        return "results";
    default:
        return NULL;
    }
}

static void begin(struct nns_writer *writer)
{
    const char *name = rows_name(writer->shape);

    if (name)
        fprintf(writer->out, "{\"%s\":[", name);
}

static void item(struct nns_writer *writer, const json_t *item)
{
    bool listed = writer->shape != NNS_SHAPE_EVENTS;

    if (writer->items > 0 && listed)
        fputc(',', writer->out);
    if (rows_name(writer->shape))
        fputc('\n', writer->out);
    json_dumpf(item, writer->out, JSON_COMPACT | JSON_REAL_PRECISION(12));
    if (!listed)
        fputc('\n', writer->out);
}

static void end(struct nns_writer *writer, const char *error)
{
    if (rows_name(writer->shape)) {
        fputs(writer->items > 0 ? "\n]" : "]", writer->out);
        if (error) {
            json_t *sentence = json_string(error);

            fputs(",\"error\":", writer->out);
            if (json_dumpf(sentence, writer->out, JSON_ENCODE_ANY))
                fputs("\"\"", writer->out);
            json_decref(sentence);
        }
        fputc('}', writer->out);
    }
    if (writer->shape != NNS_SHAPE_EVENTS)
        fputc('\n', writer->out);
}

const struct nns_writer_format nns_writer_json = {begin, item, end};

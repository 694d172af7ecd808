/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_WRITER_H
#define NNS_CLI_WRITER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * How answers are printed: one interface, a table for people (table.c) or one JSON document (json.c). Rows
 * are printed as they come, none is kept.
 */
enum nns_shape {
    NNS_SHAPE_NAMESPACES, /* rows: {"namespaces":[…]} */
    NNS_SHAPE_RESULTS,    /* rows: {"results":[…]} */
    NNS_SHAPE_NAMESPACE,  /* the object itself */
    NNS_SHAPE_STATUS,     /* the object itself */
    NNS_SHAPE_EVENTS,     /* rows without an end: an object a line */
};

struct nns_writer;

struct nns_writer_format {
    void (*begin)(struct nns_writer *writer);
    void (*item)(struct nns_writer *writer, const json_t *item);
    void (*end)(struct nns_writer *writer, const char *error);
};

extern const struct nns_writer_format nns_writer_table, nns_writer_json;

struct nns_writer {
    const struct nns_writer_format *format;
    FILE *out;
    enum nns_shape shape;
    size_t items;
    bool begun;
};

struct nns_writer nns_writer_make(bool json, enum nns_shape shape);

void nns_writer_item(struct nns_writer *writer, const json_t *item);

/* The end of the answer. error: why it is not whole, or NULL; a document that has begun is closed all the
 * same and says so, one that has not stays unprinted. */
void nns_writer_end(struct nns_writer *writer, const char *error);

/* What a command did that has nothing to show: the object, whose reference is taken, or the sentence. */
void nns_writer_report(bool json, json_t *object, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_QDISCS_H
#define NNS_CLI_QDISCS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "core/device.h"

/*
 * Deleting the clsact qdiscs that an instance's filters were in, and saying what else went with each: a line
 * for every qdisc and filter, or a document's rows. Zero-initialised but for instance and rows.
 */
struct nns_qdiscs {
    const char *instance;
    json_t *rows;   /* an array to add to; NULL: print lines */
    size_t removed; /* qdiscs */
    size_t filters; /* others' filters that went with them */
    size_t failed;  /* that should have gone and stayed, or went untold; each complained of */
};

/* One device's, over a socket inside its namespace. */
void nns_qdiscs_delete(struct nns_qdiscs *qdiscs, int socket, uint64_t cookie, uint32_t inum,
                       const struct nns_link *link);

#endif

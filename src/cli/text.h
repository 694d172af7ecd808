/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_TEXT_H
#define NNS_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Text for a person's terminal. Whoever may name a device could otherwise write escape sequences there:
 * control characters, C1 ones included, are shown as '?'.
 */

/* Print it. Returns the columns it takes, counting a character as one. */
size_t nns_text_print(FILE *out, const char *text);

/* Print it in a cell of that width, and two blanks after it. */
void nns_text_cell(FILE *out, const char *text, size_t width);

/* Likewise, flush right. */
void nns_text_number(FILE *out, const char *text, size_t width);

/* "1.5 MiB", "3h 2m 1s". */
void nns_text_bytes(FILE *out, uint64_t bytes);
void nns_text_duration(FILE *out, uint64_t ms);

#endif

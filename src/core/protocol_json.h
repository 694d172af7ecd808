/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_PROTOCOL_JSON_H
#define NNS_CORE_PROTOCOL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * JSON as the control protocol has it. A device's name and a path are bytes to the kernel, JSON strings are
 * UTF-8; a cookie has up to 64 bits, json_t signed ones.
 */

bool nns_json_is_utf8(const char *text);

/* A string of any bytes up to the first NUL, at most `limit` of them; each byte that is no UTF-8 becomes
 * U+FFFD. NULL without memory. */
json_t *nns_json_text(const char *bytes, size_t limit);

/* A number above 63 bits is not to be had from a kernel that counts up from 1; should one come, it is said to
 * be unknown (null) rather than given as another's. */
json_t *nns_json_number(uint64_t value);

/* Takes the value's reference, which may be NULL. False without memory. */
bool nns_json_add(json_t *object, const char *key, json_t *value);

/* The object as a line with its newline, malloc'ed; takes the reference, which may be NULL. NULL without
 * memory. */
char *nns_json_line(json_t *object);

#endif

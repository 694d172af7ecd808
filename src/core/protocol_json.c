/* SPDX-License-Identifier: Apache-2.0 */
#include "core/protocol_json.h"

#include <stdlib.h>
#include <string.h>

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

bool nns_json_is_utf8(const char *text)
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

json_t *nns_json_text(const char *bytes, size_t limit)
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

char *nns_json_line(json_t *object)
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

bool nns_json_add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

json_t *nns_json_number(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_null();
}

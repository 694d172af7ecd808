/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* How many bytes of a control character start here: 0, 1, or 2 for U+0080 to U+009F in UTF-8. */
static size_t control_length(const unsigned char *bytes)
{
    if (bytes[0] < 0x20 || bytes[0] == 0x7f)
        return 1;
    return bytes[0] == 0xc2 && bytes[1] >= 0x80 && bytes[1] <= 0x9f ? 2 : 0;
}

static bool starts_character(unsigned char byte)
{
    return (byte & 0xc0) != 0x80;
}

size_t nns_text_print(FILE *out, const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t columns = 0;

    while (*byte) {
        size_t control = control_length(byte);

        fputc(control ? '?' : *byte, out);
        columns += starts_character(*byte);
        byte += control ? control : 1;
    }
    return columns;
}

static size_t columns_of(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t columns = 0;

    for (; *byte; byte++)
        columns += starts_character(*byte);
    return columns;
}

static void blanks(FILE *out, size_t count)
{
    while (count-- > 0)
        fputc(' ', out);
}

void nns_text_cell(FILE *out, const char *text, size_t width)
{
    size_t columns = nns_text_print(out, text);

    blanks(out, (columns < width ? width - columns : 0) + 2);
}

void nns_text_number(FILE *out, const char *text, size_t width)
{
    size_t columns = columns_of(text);

    blanks(out, columns < width ? width - columns : 0);
    nns_text_print(out, text);
    blanks(out, 2);
}

void nns_text_bytes(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1; unit++)
        value /= 1024;
    fprintf(out, "%.*f %s", unit ? 1 : 0, value, units[unit]);
}

void nns_text_duration(FILE *out, uint64_t ms)
{
    uint64_t seconds = ms / 1000;

    if (seconds >= 3600)
        fprintf(out, "%" PRIu64 "h ", seconds / 3600);
    if (seconds >= 60)
        fprintf(out, "%" PRIu64 "m ", seconds / 60 % 60);
    fprintf(out, "%" PRIu64 "s", seconds % 60);
}

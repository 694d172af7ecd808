/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bench_error(int error, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "netnsync-bench: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(-error));
    return error;
}

int bench_report_add(struct bench_report *report, const struct bench_row *row)
{
    struct bench_row *rows = realloc(report->rows, (report->count + 1) * sizeof(*rows));

    if (!rows)
        return bench_error(-ENOMEM, "report");
    report->rows = rows;
    rows[report->count++] = *row;
    return 0;
}

void bench_report_deinit(struct bench_report *report)
{
    free(report->rows);
    *report = BENCH_REPORT_NULL;
}

static const char *beside(const struct bench_row *row)
{
    return row->beside ? row->beside : "floor";
}

/* NULL when there is no memory, or a figure that JSON has no word for, as a NAN. */
static json_t *row_json(const struct bench_row *row)
{
    return json_pack("{s:s, s:s, s:s, s:f, s:s, s:i, s:o, s:o, s:o, s:o}", "scenario", row->scenario,
                     "variant", row->variant, "beside", beside(row), "floor", row->floor, "unit", row->unit,
                     "pairs", (int)row->pairs, "ours", row->has_ours ? json_real(row->ours) : json_null(),
                     "ratio", row->has_ours ? json_real(row->ratio.median) : json_null(), "spread",
                     row->pooled ? json_null() : json_real(row->ratio.spread), "interval",
                     row->pooled ? json_null() : json_pack("[f, f]", row->ratio.low, row->ratio.high));
}

/* The rows that can be said are said, whatever the others. */
static int fill_json(json_t *rows, const struct bench_report *report)
{
    int result = 0;

    for (size_t i = 0; i < report->count; i++) {
        const struct bench_row *row = &report->rows[i];

        if (json_array_append_new(rows, row_json(row)))
            result = bench_error(-EINVAL, "%s, %s: not a row for JSON", row->scenario, row->variant);
    }
    return result;
}

int bench_report_print_json(const struct bench_report *report)
{
    json_t *rows = json_array();
    int filled = fill_json(rows, report);
    int result = json_dumpf(rows, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));

    json_decref(rows);
    if (result || puts("") == EOF || fflush(stdout))
        return bench_error(-EIO, "writing the report");
    return filled;
}

/* ---- the table ---- */

enum { SCENARIO, VARIANT, BESIDE, THAT, OURS, UNIT, RATIO, INTERVAL, SPREAD, PAIRS, COLUMNS };

static const struct {
    const char *title;
    bool right;
} columns[COLUMNS] = {
    [SCENARIO] = {"scenario", false}, [VARIANT] = {"variant", false},
    [BESIDE] = {"beside", false},     [THAT] = {"that", true},
    [OURS] = {"ours", true},          [UNIT] = {"unit", false},
    [RATIO] = {"ratio", true},        [INTERVAL] = {"[95 % interval]", false},
    [SPREAD] = {"spread", true},      [PAIRS] = {"pairs", true},
};

#define NUMBER_MAX 64

/* Those that are made of numbers are written, the others the row's own. */
struct cells {
    const char *text[COLUMNS];
    char numbers[COLUMNS][NUMBER_MAX];
};

static void set_number(struct cells *cells, unsigned column, int digits, double value)
{
    snprintf(cells->numbers[column], NUMBER_MAX, "%.*f", digits, value);
    cells->text[column] = cells->numbers[column];
}

static void set_value(struct cells *cells, unsigned column, double value)
{
    set_number(cells, column, value < 10 ? 3 : value < 1000 ? 1 : 0, value);
}

/* In parentheses where it is the least and the most. */
static void set_interval(struct cells *cells, const struct bench_row *row, int digits)
{
    const bool all = row->pairs < BENCH_INTERVAL_SAMPLES;

    snprintf(cells->numbers[INTERVAL], NUMBER_MAX, "%c%.*f, %.*f%c", all ? '(' : '[', digits, row->ratio.low,
             digits, row->ratio.high, all ? ')' : ']');
    cells->text[INTERVAL] = cells->numbers[INTERVAL];
}

/* Without ours the interval and the spread are in the floor's unit. */
static void fill_cells(struct cells *cells, const struct bench_row *row)
{
    const int digits = row->has_ours ? 3 : 1;

    *cells = (struct cells){.text = {[SCENARIO] = row->scenario,
                                     [VARIANT] = row->variant,
                                     [BESIDE] = beside(row),
                                     [OURS] = "-",
                                     [UNIT] = row->unit,
                                     [RATIO] = "-",
                                     [INTERVAL] = "-",
                                     [SPREAD] = "-"}};
    set_value(cells, THAT, row->floor);
    if (row->has_ours) {
        set_value(cells, OURS, row->ours);
        set_number(cells, RATIO, 3, row->ratio.median);
    }
    if (!row->pooled) {
        set_interval(cells, row, digits);
        set_number(cells, SPREAD, digits, row->ratio.spread);
    }
    set_number(cells, PAIRS, 0, row->pairs);
}

static void print_cells(const char *const text[COLUMNS], const int widths[COLUMNS])
{
    for (unsigned i = 0; i < COLUMNS; i++)
        printf("%*s%s", columns[i].right ? widths[i] : -widths[i], text[i], i + 1 < COLUMNS ? "  " : "\n");
}

static void widen(int widths[COLUMNS], const char *const text[COLUMNS])
{
    for (unsigned i = 0; i < COLUMNS; i++)
        if (widths[i] < (int)strlen(text[i]))
            widths[i] = (int)strlen(text[i]);
}

/* Each column is as wide as what is in it. */
void bench_report_print_table(const struct bench_report *report)
{
    const char *titles[COLUMNS];
    int widths[COLUMNS] = {0};
    struct cells cells;

    for (unsigned i = 0; i < COLUMNS; i++)
        titles[i] = columns[i].title;
    widen(widths, titles);
    for (size_t i = 0; i < report->count; i++) {
        fill_cells(&cells, &report->rows[i]);
        widen(widths, cells.text);
    }
    print_cells(titles, widths);
    for (size_t i = 0; i < report->count; i++) {
        fill_cells(&cells, &report->rows[i]);
        print_cells(cells.text, widths);
    }
}

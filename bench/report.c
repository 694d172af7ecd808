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

static json_t *row_json(const struct bench_row *row)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:f, s:s, s:i}", "scenario", row->scenario, "variant", row->variant,
                  "beside", beside(row), "floor", row->floor, "unit", row->unit, "pairs", (int)row->pairs);

    if (!object)
        return NULL;
    json_object_set_new(object, "ours", row->has_ours ? json_real(row->ours) : json_null());
    json_object_set_new(object, "ratio", row->has_ours ? json_real(row->ratio.median) : json_null());
    json_object_set_new(object, "spread", json_real(row->ratio.spread));
    json_object_set_new(object, "interval", json_pack("[f, f]", row->ratio.low, row->ratio.high));
    return object;
}

int bench_report_print_json(const struct bench_report *report)
{
    json_t *rows = json_array();
    int result;

    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(rows, row_json(&report->rows[i]));
    result = json_dumpf(rows, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(rows);
    if (result || puts("") == EOF || fflush(stdout))
        return bench_error(-EIO, "writing the report");
    return 0;
}

static void print_number(double value)
{
    printf(" %12.*f", value < 10 ? 3 : value < 1000 ? 1 : 0, value);
}

static void print_row(const struct bench_row *row)
{
    printf("%-8s %-48s %-28s", row->scenario, row->variant, beside(row));
    print_number(row->floor);
    if (row->has_ours) {
        print_number(row->ours);
        printf("  %-12s %6.3f  [%.3f, %.3f]  %.3f", row->unit, row->ratio.median, row->ratio.low,
               row->ratio.high, row->ratio.spread);
    } else {
        printf(" %12s  %-12s %6s  [%.1f, %.1f]  %.1f", "-", row->unit, "-", row->ratio.low, row->ratio.high,
               row->ratio.spread);
    }
    printf("  %u\n", row->pairs);
}

void bench_report_print_table(const struct bench_report *report)
{
    printf("%-8s %-48s %-28s %12s %12s  %-12s %6s  %s\n", "scenario", "variant", "beside", "that", "ours",
           "unit", "ratio", "[95 % interval]  spread  pairs");
    for (size_t i = 0; i < report->count; i++)
        print_row(&report->rows[i]);
}

void bench_progress(const struct bench_report *report, const char *scenario, const char *what, unsigned done,
                    unsigned all)
{
    if (report->quiet)
        return;
    fprintf(stderr, "\r\033[K%s: %s, %u of %u", scenario, what, done, all);
    fflush(stderr);
}

void bench_progress_end(const struct bench_report *report)
{
    if (!report->quiet)
        fprintf(stderr, "\r\033[K");
}

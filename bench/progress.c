/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pairs.h"

#define WIDTH_USUAL 80u /* where a terminal does not know its own */
#define WIDTH_MOST  512u
#define BAR_LEAST   10u /* a shorter bar says nothing */
#define BAR_MOST    40u
#define TITLE_LEAST 12u

/* What is under way, and since when: the time left is reckoned from what was done since. */
static struct {
    const char *scenario, *what; /* compared, not read, once their owner may be gone */
    unsigned first;
    uint64_t since;
} current;

/* Asked each time: windows change. A line as wide as the terminal would be broken by some. */
static unsigned usable_width(void)
{
    struct winsize size = {0};
    unsigned width = WIDTH_USUAL;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        width = size.ws_col;
    return (width < WIDTH_MOST ? width : WIDTH_MOST) - 1;
}

static void begin_if_new(const char *scenario, const char *what, unsigned done)
{
    if (current.scenario == scenario && current.what == what && done > current.first)
        return;
    current.scenario = scenario;
    current.what = what;
    current.first = done;
    current.since = bench_now();
}

/* "3/33", and "0:41 left" once there is something to reckon from. */
static void write_count(char *text, size_t size, unsigned done, unsigned all)
{
    unsigned passed = done - current.first;
    uint64_t seconds;
    int used = snprintf(text, size, "%u/%u", done, all);

    if (!passed || done > all)
        return;
    seconds = (bench_now() - current.since) / passed * (all - done) / 1000000000u;
    if (seconds >= 3600)
        snprintf(text + used, size - (size_t)used, "  %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
                 seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        snprintf(text + used, size - (size_t)used, "  %" PRIu64 ":%02" PRIu64 " left", seconds / 60,
                 seconds % 60);
}

static void print_bar(unsigned width, unsigned done, unsigned all)
{
    unsigned filled = all ? (unsigned)((uint64_t)done * width / all) : 0;

    fputs("  [", stderr);
    for (unsigned i = 0; i < width; i++)
        fputc(i < filled ? '#' : '.', stderr);
    fputc(']', stderr);
}

/* The count goes before all else, then as much of the title as says something, then the bar; what room is
 * left is the title's, and then the bar's. */
static void print_line(const char *title, const char *count, unsigned done, unsigned all)
{
    const unsigned edges = 4; /* of the bar: two blanks, two brackets */
    const unsigned width = usable_width(), counted = (unsigned)strlen(count) + 2;
    unsigned room = width > counted ? width - counted : 0, shown = (unsigned)strlen(title), bar = 0;

    if (room >= TITLE_LEAST + edges + BAR_LEAST) {
        shown = shown < room - edges - BAR_LEAST ? shown : room - edges - BAR_LEAST;
        bar = room - edges - shown;
        bar = bar < BAR_MOST ? bar : BAR_MOST;
    }
    shown = shown < room ? shown : room;
    fprintf(stderr, "\r\033[K%.*s", (int)shown, title);
    if (bar)
        print_bar(bar, done, all);
    fprintf(stderr, "%s%.*s", shown ? "  " : "", (int)width, count);
}

void bench_progress(const struct bench_report *report, const char *scenario, const char *what, unsigned done,
                    unsigned all)
{
    char title[128], count[64];

    if (report->quiet)
        return;
    begin_if_new(scenario, what, done);
    snprintf(title, sizeof(title), "%s: %s", scenario, what);
    write_count(count, sizeof(count), done, all);
    print_line(title, count, done, all);
    fflush(stderr);
}

void bench_progress_end(const struct bench_report *report)
{
    current.scenario = current.what = NULL;
    if (!report->quiet)
        fprintf(stderr, "\r\033[K");
}

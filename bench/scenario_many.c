/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "many_pods.h"
#include "miss.h"

/* Namespaces that are there all the time, known and attached. */
enum crowd { FEW, MANY, CROWDS };

static const unsigned crowds[CROWDS] = {100, 10000}, crowds_small[CROWDS] = {10, 40};

#define A_MESSAGE       64u
#define NAME_MAX_LENGTH 64

/*
 * As `miss`, on a host where the daemon has covered many others already; the floor works on the same host,
 * where they are as well. Then the host grows, and it is done again.
 */
struct many {
    struct miss miss; /* whose pods come first of all, and are processes: the floor opens them by pidfd */
    struct bench_summary ratios[CROWDS];
    size_t known;
};

/* Those that have come since are found and attached by the daemon, which is to know them from then on. The
 * floor alone has a host without filters on them. */
static int crowd_in(struct many *many, unsigned crowd, const struct bench_report *report)
{
    struct bench_pods *pods = &many->miss.pods;
    size_t from = many->known, until = BENCH_MISS_NAMESPACES + crowd;
    uint64_t before = 0;
    uint32_t *pids;
    int result;

    bench_daemon_hang_up(&many->miss.daemon); /* making them takes longer than it waits for a question */
    result = bench_many_pods_grow(pods, until, "many", report);
    if (result || !many->miss.daemon.pid)
        return result;
    pids = calloc(until - from, sizeof(*pids));
    if (!pids)
        return bench_error(-ENOMEM, "many");
    for (size_t i = from; i < until; i++)
        pids[i - from] = (uint32_t)pods->items[i].pid;
    result = bench_daemon_counter(&many->miss.daemon, "attach.done", &before);
    if (result == 0)
        result = bench_daemon_feed(&many->miss.daemon, pids, until - from, A_MESSAGE);
    if (result == 0)
        result = bench_daemon_await(&many->miss.daemon, "attach.done", before,
                                    before + (until - from) * BENCH_POD_DEVICES);
    free(pids);
    many->known = until;
    return result;
}

/* That they were attached all the time. */
static int verify_crowd(const struct many *many)
{
    const struct bench_pods *pods = &many->miss.pods;

    if (!many->miss.daemon.pid)
        return 0;
    return bench_pods_verify(pods, BENCH_MISS_NAMESPACES, pods->count - BENCH_MISS_NAMESPACES,
                             BENCH_POD_DEVICES);
}

/* The report borrows them. */
static char names[CROWDS + 1][NAME_MAX_LENGTH];

/* Ours to the floor's: there are rows beside others, too. */
static int find_ratio(const struct bench_report *report, const char *variant, struct bench_summary *ratio)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct bench_row *row = &report->rows[i];

        if (row->variant == variant && (!row->beside || strcmp(row->beside, "floor") == 0)) {
            *ratio = row->ratio;
            return 0;
        }
    }
    return bench_error(-ENODATA, "%s: no row beside the floor", variant);
}

static int measure_beside(const struct bench_options *options, struct bench_report *report, struct many *many,
                          enum crowd crowd, unsigned number)
{
    int result = crowd_in(many, number, report);

    snprintf(names[crowd], NAME_MAX_LENGTH, "%u namespaces, %u attached already", BENCH_MISS_NAMESPACES,
             number);
    if (result == 0)
        result = bench_miss_measure(options, report, &many->miss, A_MESSAGE, names[crowd]);
    if (result == 0)
        result = find_ratio(report, names[crowd], &many->ratios[crowd]);
    return result ? result : verify_crowd(many);
}

/* By how much the ratio grew. The two were not taken in pairs: the interval is from the least that both can
 * be to the most, wider than 95 %, and the spread that of both. */
static int add_growth(struct bench_report *report, const struct many *many, unsigned pairs,
                      const unsigned numbers[CROWDS])
{
    const struct bench_summary *few = &many->ratios[FEW], *lots = &many->ratios[MANY];
    double growth = lots->median / few->median;

    snprintf(names[CROWDS], NAME_MAX_LENGTH, "the ratio beside %u to that beside %u", numbers[MANY],
             numbers[FEW]);
    return bench_report_add(
        report, &(struct bench_row){
                    .scenario = "miss",
                    .variant = names[CROWDS],
                    .beside = "ours to the floor, fewer attached",
                    .unit = "ratio",
                    .floor = few->median,
                    .ours = lots->median,
                    .ratio = {.median = growth,
                              .spread = growth * (few->spread / few->median + lots->spread / lots->median),
                              .low = lots->low / few->high,
                              .high = lots->high / few->low},
                    .pairs = pairs,
                    .has_ours = true,
                });
}

static int measure(const struct bench_options *options, struct bench_report *report, struct many *many,
                   const unsigned numbers[CROWDS])
{
    int result = options->small ? 0 : bench_many_pods_allow("many", BENCH_MISS_NAMESPACES + numbers[MANY]);

    if (result == 0)
        result = bench_miss_furnish(options, &many->miss, numbers[MANY]);
    if (result == 0)
        result = bench_pods_use_threads(&many->miss.pods);
    many->known = BENCH_MISS_NAMESPACES;
    for (enum crowd crowd = FEW; crowd < CROWDS && result == 0; crowd++)
        result = measure_beside(options, report, many, crowd, numbers[crowd]);
    if (result || options->floor_only)
        return result;
    return add_growth(report, many, options->pairs, numbers);
}

int bench_miss_many(const struct bench_options *options, struct bench_report *report)
{
    struct many *many = calloc(1, sizeof(*many));
    int result;

    if (!many)
        return bench_error(-ENOMEM, "many");
    many->miss.daemon = BENCH_DAEMON_NULL;
    result = measure(options, report, many, options->small ? crowds_small : crowds);
    bench_miss_clear_away(&many->miss);
    free(many);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon.h"
#include "pods.h"
#include "progress.h"

#define LOOKS_MAX 3u

/* What a start leaves to be done later is done by then: freed memory is given back, pages are trimmed. */
#define SETTLE_SECONDS 3

/* There are no bare system calls to compare with, but what we allow ourselves, a minute. */
static const double switches_allowed = 10.0, cpu_ms_allowed = 60.0, base_mb_allowed = 16.0,
                    namespace_mb_allowed = 0.002;

/* What happened in a minute, and the memory at its end. */
enum figure { SWITCHES, WAKE_UPS, CPU_MS, MEMORY_MB, FIGURES };

struct idle {
    struct bench_pods pods;
    struct bench_daemon daemon;
    unsigned looks;
    double figures[FIGURES][LOOKS_MAX];
};

/* All that is known of a daemon without asking it, which would wake it up. */
struct account {
    struct bench_switches switches;
    uint64_t cpu_ns;
};

static int take_account(const struct idle *idle, struct account *account)
{
    int result = bench_daemon_switches(&idle->daemon, &account->switches);

    return result ? result : bench_daemon_cpu(&idle->daemon, &account->cpu_ns);
}

static void wait_seconds(unsigned seconds)
{
    nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
}

/* Nothing is excluded: home is a namespace of as many devices as there are pods, and a loopback. */
static int start(struct idle *idle)
{
    static const char *const settings[] = {"bpffs.path=", NULL};
    uint64_t devices = idle->pods.count * (BENCH_POD_DEVICES + 1) + 1;
    int result = bench_daemon_start_with(&idle->daemon, settings);

    return result ? result : bench_daemon_await(&idle->daemon, "attach.done", 0, devices);
}

/* What costs so little must have been at work. */
static int verify(const struct idle *idle)
{
    int result = bench_pods_verify(&idle->pods, 0, idle->pods.count, BENCH_POD_DEVICES);

    return result ? result : bench_pods_verify_home(&idle->pods);
}

static int look(const struct bench_options *options, struct idle *idle)
{
    const double per_minute = 60.0 / options->seconds;
    struct account before, after;
    uint64_t rss = 0;
    int result;

    wait_seconds(SETTLE_SECONDS);
    result = take_account(idle, &before);
    if (result)
        return result;
    wait_seconds(options->seconds);
    result = take_account(idle, &after);
    if (result == 0)
        result = bench_daemon_rss(&idle->daemon, &rss);
    if (result)
        return result;
    if (after.switches.threads != before.switches.threads)
        return bench_error(-EAGAIN, "threads of netnsyncd came or went");
    idle->figures[WAKE_UPS][idle->looks] =
        (double)(after.switches.voluntary - before.switches.voluntary) * per_minute;
    idle->figures[SWITCHES][idle->looks] =
        idle->figures[WAKE_UPS][idle->looks] +
        (double)(after.switches.involuntary - before.switches.involuntary) * per_minute;
    idle->figures[CPU_MS][idle->looks] = (double)(after.cpu_ns - before.cpu_ns) / 1e6 * per_minute;
    idle->figures[MEMORY_MB][idle->looks] = (double)rss / 1e6;
    idle->looks++;
    return 0;
}

/* The tracepoints are the whole machine's. */
static int warn_of_others(struct idle *idle, uint64_t before)
{
    uint64_t after;
    int result = bench_daemon_counter(&idle->daemon, "events.read", &after);

    if (result == 0 && after != before)
        fprintf(stderr,
                "netnsync-bench: %" PRIu64 " events of other namespaces on this machine woke the daemon\n",
                after - before);
    return result;
}

static int add_row(struct bench_report *report, struct idle *idle, enum figure figure, const char *variant,
                   const char *unit, double allowed)
{
    double ratios[LOOKS_MAX];

    for (unsigned i = 0; i < idle->looks; i++)
        ratios[i] = idle->figures[figure][i] / allowed;
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = "idle",
                                        .variant = variant,
                                        .beside = "allowance",
                                        .unit = unit,
                                        .floor = allowed,
                                        .ours = bench_summarise(idle->figures[figure], idle->looks).median,
                                        .ratio = bench_summarise(ratios, idle->looks),
                                        .pairs = idle->looks,
                                        .has_ours = true,
                                    });
}

static int add_rows(const struct bench_options *options, struct bench_report *report, struct idle *idle)
{
    const double memory_allowed = base_mb_allowed + namespace_mb_allowed * options->namespaces;
    int result =
        add_row(report, idle, SWITCHES, "context switches (beside 10)", "a minute", switches_allowed);

    if (result == 0)
        result = add_row(report, idle, WAKE_UPS, "of these, wake-ups", "a minute", switches_allowed);
    if (result == 0)
        result = add_row(report, idle, CPU_MS, "CPU time (beside 0.1 %)", "ms a minute", cpu_ms_allowed);
    if (result == 0)
        result =
            add_row(report, idle, MEMORY_MB, "memory (beside 16 MB and 2 KB each)", "MB", memory_allowed);
    return result;
}

static int measure(const struct bench_options *options, struct bench_report *report, struct idle *idle)
{
    unsigned looks = options->pairs < LOOKS_MAX ? options->pairs : LOOKS_MAX;
    uint64_t events = 0;
    int result = bench_pods_init(&idle->pods, options->namespaces);

    if (result == 0)
        result = bench_pods_grow(&idle->pods, options->namespaces);
    if (result == 0)
        result = start(idle);
    if (result == 0)
        result = bench_daemon_counter(&idle->daemon, "events.read", &events);
    bench_daemon_hang_up(&idle->daemon);
    for (unsigned i = 0; i < looks && result == 0; i++) {
        bench_progress(report, "idle", "looks", i, looks);
        result = look(options, idle);
    }
    bench_progress_end(report);
    if (result == 0)
        result = verify(idle);
    if (result == 0)
        result = warn_of_others(idle, events);
    return result ? result : add_rows(options, report, idle);
}

int bench_idle(const struct bench_options *options, struct bench_report *report)
{
    struct idle *idle;
    int result;

    if (options->floor_only) {
        fprintf(stderr, "netnsync-bench: idle has no floor\n");
        return 0;
    }
    idle = calloc(1, sizeof(*idle));
    if (!idle)
        return bench_error(-ENOMEM, "idle");
    idle->daemon = BENCH_DAEMON_NULL;
    result = measure(options, report, idle);
    bench_daemon_stop(&idle->daemon);
    bench_pods_deinit(&idle->pods);
    free(idle);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "progress.h"
#include "run_stats.h"

#define PROCESSES       200u /* a sample */
#define PROCESSES_SMALL 10u
#define SAMPLES_MAX     30u
#define COMMAND         "/bin/true"

/*
 * A process that starts, executes something and ends, in a host whose namespaces are all known. The programs
 * on that way take far less than any clock around it could tell, so the kernel is asked how long they run.
 */
struct trace {
    struct bench_daemon daemon;
    unsigned processes, samples;
    double floor[SAMPLES_MAX], ours[SAMPLES_MAX], ratio[SAMPLES_MAX];
};

static int start_one(void)
{
    int status = 0;
    pid_t pid = vfork();

    if (pid < 0)
        return bench_error(-errno, "vfork");
    if (pid == 0) {
        execl(COMMAND, COMMAND, NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) < 0 || status)
        return bench_error(-ECHILD, COMMAND);
    return 0;
}

/* Microseconds that one takes. */
static int start_many(const struct trace *trace, double *each)
{
    uint64_t since = bench_now();
    int result = 0;

    for (unsigned i = 0; i < trace->processes && result == 0; i++)
        result = start_one();
    *each = (double)(bench_now() - since) / 1e3 / trace->processes;
    return result;
}

/* How long the programs run for one process, in microseconds. */
static int measure_programs(const struct trace *trace, double *each)
{
    static const char *const names[] = {"nns_fork", "nns_exec", "nns_exit"};
    struct bench_run_stats stats;
    double unused;
    int result = bench_run_stats_open(&stats, trace->daemon.pid, names, 3);

    if (result == 0)
        result = start_many(trace, &unused);
    if (result == 0)
        result = bench_run_stats_read(&stats, each);
    bench_run_stats_close(&stats);
    *each /= 1e3;
    return result;
}

/* The time of a whole process is taken while the programs are there but not measured, which slows them. */
static int take_sample(struct trace *trace)
{
    double whole, programs = 0;
    int result = bench_daemon_rest(&trace->daemon);

    if (result == 0)
        result = start_many(trace, &whole);
    if (result == 0)
        result = measure_programs(trace, &programs);
    if (result)
        return result;
    trace->floor[trace->samples] = whole - programs;
    trace->ours[trace->samples] = whole;
    trace->ratio[trace->samples++] = whole / (whole - programs);
    return 0;
}

static int measure(const struct bench_options *options, struct bench_report *report, struct trace *trace)
{
    unsigned samples = options->pairs < SAMPLES_MAX ? options->pairs : SAMPLES_MAX;
    int result = bench_daemon_start_discovering(&trace->daemon, 0);

    for (unsigned i = 0; i < samples && result == 0; i++) {
        bench_progress(report, "churn", "processes", i, samples);
        result = take_sample(trace);
    }
    bench_progress_end(report);
    if (result)
        return result;
    return bench_report_add(report, &(struct bench_row){
                                        .scenario = "churn",
                                        .variant = "vfork, exec and exit, traced",
                                        .unit = "us",
                                        .floor = bench_summarise(trace->floor, trace->samples).median,
                                        .ours = bench_summarise(trace->ours, trace->samples).median,
                                        .ratio = bench_summarise(trace->ratio, trace->samples),
                                        .pairs = trace->samples,
                                        .has_ours = true,
                                    });
}

int bench_churn_trace(const struct bench_options *options, struct bench_report *report)
{
    struct trace trace = {.daemon = BENCH_DAEMON_NULL,
                          .processes = options->small ? PROCESSES_SMALL : PROCESSES};
    int result;

    if (options->floor_only)
        return 0;
    result = measure(options, report, &trace);
    bench_daemon_stop(&trace.daemon);
    return result;
}

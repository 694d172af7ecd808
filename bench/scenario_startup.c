/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "floor/floor.h"
#include "io/trace.h"
#include "pods.h"
#include "private_host.h"
#include "program.h"
#include "stopwatch.h"
#include "today/today.h"

#define PROCESSES_EACH 3u
#define BPFFS          "/run/netnsync-bench.bpf"
#define COLD_PROC      "/run/netnsync-bench.proc"

/* Of the tables of the walk, beyond what any run has. */
#define TABLE_ENTRIES 65536u

static int pods_of(const struct bench_options *options, struct bench_pods *pods)
{
    int result = bench_pods_init(pods, options->namespaces);

    return result ? result : bench_pods_grow(pods, options->namespaces);
}

/* Lives as long as the report. */
__attribute__((format(printf, 1, 0))) static const char *variant(const char *format,
                                                                 const struct bench_options *options)
{
    static char texts[8][64];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof(texts[0]), format, options->namespaces);
    return text;
}

/* ---- the scan ---- */

/* Is what the floor walks over a /proc that it has walked over before? */
enum proc { WARM, COLD };

/*
 * The walk as the daemon does it, without what it then does with the answers: it reports each namespace once,
 * with its cookie, whatever the number of tasks. The floor has read the link of each process when it is done.
 */
struct scan {
    struct bench_pods pods;
    struct bench_crowd crowd;
    struct nns_trace *trace;
    struct nns_trace_abilities abilities;
    size_t found, expected;
    enum proc proc;
    int threads;
    bool known; /* all namespaces, to the trace */
};

static void count_found(void *context, const struct nns_trace_event *event)
{
    ((struct scan *)context)->found++;
}

static void know_found(void *context, const struct nns_trace_event *event)
{
    nns_trace_know(((struct scan *)context)->trace, event->cookie);
}

/* Another mount of /proc is one that nobody has looked at. */
static int mount_proc(const char *path)
{
    umount2(path, MNT_DETACH);
    if (mkdir(path, 0700) && errno != EEXIST)
        return bench_error(-errno, "%s", path);
    if (mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return bench_error(-errno, "mounting another /proc");
    return 0;
}

/* A daemon that has just been started has walked over nothing yet, and has nothing to clear away first. */
static int fresh_trace(struct scan *scan)
{
    int result;

    nns_trace_close(scan->trace);
    scan->trace = NULL;
    result = nns_trace_open(TABLE_ENTRIES, TABLE_ENTRIES, true, &scan->trace, &scan->abilities);
    if (result == 0 && !scan->abilities.walk)
        result = -EOPNOTSUPP;
    if (result == 0 && scan->known)
        result = nns_trace_walk(scan->trace, false, know_found, scan);
    return result ? bench_error(result, "the walk over all tasks") : 0;
}

static int prepare_scan(void *context, enum bench_side side)
{
    struct scan *scan = context;

    scan->found = 0;
    if (side == BENCH_OURS)
        return fresh_trace(scan);
    return scan->proc == COLD ? mount_proc(COLD_PROC) : 0;
}

static int scan_floor(void *context, double *milliseconds)
{
    struct scan *scan = context;
    uint64_t sum = 0, since = bench_now();
    int count = floor_scan(scan->proc == COLD ? COLD_PROC : "/proc", scan->threads, &sum);

    *milliseconds = (double)(bench_now() - since) / 1e6;
    if (count < 0)
        return bench_error(count, "floor: walking /proc");
    if ((size_t)count < scan->pods.count + scan->crowd.count)
        return bench_error(-ENODATA, "floor: only %d processes were seen", count);
    return 0;
}

static int scan_ours(void *context, double *milliseconds)
{
    struct scan *scan = context;
    size_t expected = scan->known ? 0 : scan->pods.count + 1; /* and home */
    uint64_t since = bench_now();
    int result = nns_trace_walk(scan->trace, false, count_found, scan);

    *milliseconds = (double)(bench_now() - since) / 1e6;
    if (result)
        return bench_error(result, "walking over all tasks");
    if (scan->found != expected)
        return bench_error(-ENODATA, "%zu namespaces were found instead of %zu", scan->found, expected);
    return 0;
}

static int measure_scan(const struct bench_options *options, struct bench_report *report, struct scan *scan,
                        const char *text)
{
    struct bench_experiment experiment = {
        .scenario = "startup",
        .metrics = {{text, "ms"}},
        .prepare = prepare_scan,
        .run = {scan_floor, scan_ours},
        .context = scan,
    };

    return bench_run_pairs(options, &experiment, report);
}

static int measure_scans(const struct bench_options *options, struct bench_report *report, struct scan *scan)
{
    static const struct {
        const char *format;
        enum proc proc;
        bool threads, known;
    } rows[] = {
        {"scan, %u new (floor: /proc never read)", COLD, false, false},
        {"scan, %u new (floor: read before)", WARM, false, false},
        {"scan, %u new (read before, threads too)", WARM, true, false},
        {"scan, %u known (read before)", WARM, false, true},
    };
    int result = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && result == 0; i++) {
        scan->proc = rows[i].proc;
        scan->threads = rows[i].threads;
        scan->known = rows[i].known;
        result = measure_scan(options, report, scan, variant(rows[i].format, options));
    }
    return result;
}

static int run_scans(const struct bench_options *options, struct bench_report *report)
{
    struct scan scan = {.pods = BENCH_PODS_NULL, .crowd = BENCH_CROWD_NULL};
    int result = pods_of(options, &scan.pods);

    if (result == 0)
        result = bench_crowd_init(&scan.crowd, &scan.pods, PROCESSES_EACH - 1);
    if (result == 0)
        result = measure_scans(options, report, &scan);
    nns_trace_close(scan.trace);
    bench_crowd_deinit(&scan.crowd);
    bench_pods_deinit(&scan.pods);
    return result;
}

/* ---- the whole ---- */

/*
 * From before the daemon is started until the last device is attached; the floor opens, lists and attaches
 * the same namespaces, whose pids it knows. Or, at a restart, both find filters and replace their programs,
 * and the daemon is asked when it has, as no clsact is made that would tell.
 */
enum kind { START, START_AT_HOME, RESTART };

struct startup {
    struct bench_program program;
    struct bench_pods pods;
    struct bench_crowd crowd;
    struct bench_stopwatch *stopwatch;
    uint32_t *pids; /* home's comes first: the bench is in there as long as it has not entered another */
    struct bench_daemon daemon;
    unsigned long keeper, home; /* inums */
    char excluded[64];
    enum kind kind;
    uint64_t least; /* time that a restart took; 0: none yet */
};

/* What former daemons left pinned goes with it. */
static int fresh_bpffs(void)
{
    umount2(BPFFS, MNT_DETACH);
    if (mkdir(BPFFS, 0700) && errno != EEXIST)
        return bench_error(-errno, "%s", BPFFS);
    if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return bench_error(-errno, "mounting a bpffs");
    return 0;
}

/* Home has as many devices as there are namespaces. Where it is excluded the floor does not attach them
 * either. The keeper never counts. */
static void exclude(struct startup *startup)
{
    int used =
        snprintf(startup->excluded, sizeof(startup->excluded), "exclude.namespaces=%lu", startup->keeper);

    if (startup->kind != START_AT_HOME)
        snprintf(startup->excluded + used, sizeof(startup->excluded) - (size_t)used, ",%lu", startup->home);
}

static int learn_inums(struct startup *startup)
{
    struct stat home, keeper;

    if (fstat(bench_home(), &home) || fstat(startup->program.keeper.items[0].netns, &keeper))
        return bench_error(-errno, "fstat");
    startup->home = home.st_ino;
    startup->keeper = keeper.st_ino;
    return 0;
}

/* Without home's loopback, which is down and lies before all the peers. */
static uint64_t devices_of(const struct startup *startup)
{
    return startup->pods.count * (BENCH_POD_DEVICES + (startup->kind == START_AT_HOME));
}

static int launch(struct startup *startup)
{
    const char *const settings[] = {"bpffs.path=" BPFFS "/netnsync", startup->excluded,
                                    startup->kind == RESTART ? "keep_attached=true" : "keep_attached=false",
                                    NULL};

    return bench_daemon_launch(&startup->daemon, settings);
}

static int await_counted(struct startup *startup)
{
    int result = bench_daemon_greet(&startup->daemon);

    return result ? result : bench_daemon_await(&startup->daemon, "attach.done", 0, devices_of(startup));
}

static int attach_floor(struct startup *startup)
{
    bool at_home = startup->kind == START_AT_HOME;
    int result = floor_miss(startup->pids + !at_home, startup->pods.count + at_home, bench_home(),
                            startup->program.fds);

    return result ? bench_error(result, "floor: open, list and attach") : 0;
}

/* What is found at a restart. */
static int leave_filters(struct startup *startup, enum bench_side side)
{
    int result;

    if (side == BENCH_FLOOR)
        return attach_floor(startup);
    result = launch(startup);
    if (result == 0)
        result = await_counted(startup);
    bench_daemon_stop(&startup->daemon);
    return result;
}

static int prepare_start(void *context, enum bench_side side)
{
    struct startup *startup = context;
    int result;

    bench_daemon_stop(&startup->daemon);
    result = fresh_bpffs();
    if (result == 0)
        result = bench_pods_clear(&startup->pods, 0, startup->pods.count, BENCH_POD_DEVICES);
    if (result == 0 && startup->kind == START_AT_HOME)
        result = bench_pods_clear_home(&startup->pods);
    if (result == 0 && startup->kind == RESTART)
        result = leave_filters(startup, side);
    if (result == 0)
        result = bench_settle();
    bench_stopwatch_restart(startup->stopwatch);
    return result;
}

/* Until the last device was attached, by the kernel's clock. */
static int take_time(struct startup *startup, uint64_t since, double *milliseconds)
{
    uint64_t last = since;
    int result = bench_stopwatch_await(startup->stopwatch, devices_of(startup), &last);

    *milliseconds = (double)(last - since) / 1e6;
    return result;
}

static int start_floor(void *context, double *milliseconds)
{
    struct startup *startup = context;
    uint64_t since = bench_now();
    int result;

    if (startup->kind != RESTART) {
        result = attach_floor(startup);
        return result ? result : take_time(startup, since, milliseconds);
    }
    result = floor_restart(startup->pids + 1, startup->pods.count, bench_home(), startup->program.fds);
    *milliseconds = (double)(bench_now() - since) / 1e6;
    return result ? bench_error(result, "floor: open, list and replace") : 0;
}

/* Everything it asks for is acknowledged: when it returns all is attached. */
static int start_agent(void *context, double *milliseconds)
{
    struct startup *startup = context;
    const unsigned long excluded[] = {startup->keeper, startup->home};
    uint64_t since = bench_now();
    int result = today_start(excluded, 2, bench_home(), startup->program.fds);

    *milliseconds = (double)(bench_now() - since) / 1e6;
    return result ? bench_error(result, "agent: find, open, list and attach") : 0;
}

static int start_ours(void *context, double *milliseconds)
{
    struct startup *startup = context;
    int result = launch(startup);

    if (result == 0)
        result = take_time(startup, startup->daemon.busy_since, milliseconds);
    if (result)
        bench_daemon_complain(&startup->daemon);
    return result ? result : bench_daemon_greet(&startup->daemon);
}

/* Whoever is asked while it works, works longer: it is left alone for most of the time that one takes. */
static int restart_ours(void *context, double *milliseconds)
{
    struct startup *startup = context;
    uint64_t alone = startup->least / 10 * 9, took;
    int result = launch(startup);

    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(alone / 1000000000u), .tv_nsec = (long)(alone % 1000000000u)},
        NULL);
    if (result == 0)
        result = await_counted(startup);
    took = bench_now() - startup->daemon.busy_since;
    if (!startup->least || took < startup->least)
        startup->least = took;
    *milliseconds = (double)took / 1e6;
    return result;
}

static int verify_start(void *context)
{
    struct startup *startup = context;
    int result = bench_pods_verify(&startup->pods, 0, startup->pods.count, BENCH_POD_DEVICES);

    return result || startup->kind != START_AT_HOME ? result : bench_pods_verify_home(&startup->pods);
}

static int measure_start(const struct bench_options *options, struct bench_report *report,
                         struct startup *startup, enum kind kind, const char *text)
{
    struct bench_experiment experiment = {
        .scenario = "startup",
        .metrics = {{text, "ms"}},
        .prepare = prepare_start,
        .run = {start_floor, kind == RESTART ? restart_ours : start_ours},
        .verify = verify_start,
        .context = startup,
    };

    if (kind == START)
        experiment.others[0] =
            (struct bench_other){.name = "agent with libbpf", .run = start_agent, .verify = verify_start};
    startup->kind = kind;
    exclude(startup);
    return bench_run_pairs(options, &experiment, report);
}

static int furnish_start(const struct bench_options *options, struct startup *startup)
{
    int result = bench_program_open(&startup->program);

    if (result == 0)
        result = learn_inums(startup);
    if (result == 0)
        result = bench_stopwatch_open(&startup->stopwatch); /* it has to see the devices come up */
    if (result == 0)
        result = pods_of(options, &startup->pods);
    if (result == 0)
        result = bench_crowd_init(&startup->crowd, &startup->pods, PROCESSES_EACH - 1);
    if (result)
        return result;
    startup->pids = calloc(startup->pods.count + 1, sizeof(startup->pids[0]));
    if (!startup->pids)
        return bench_error(-ENOMEM, "startup");
    startup->pids[0] = (uint32_t)getpid();
    for (size_t i = 0; i < startup->pods.count; i++)
        startup->pids[i + 1] = (uint32_t)startup->pods.items[i].pid;
    return 0;
}

static int run_starts(const struct bench_options *options, struct bench_report *report)
{
    struct startup startup = {.program = BENCH_PROGRAM_NULL,
                              .pods = BENCH_PODS_NULL,
                              .crowd = BENCH_CROWD_NULL,
                              .daemon = BENCH_DAEMON_NULL};
    int result = furnish_start(options, &startup);

    if (result == 0)
        result = measure_start(options, report, &startup, START,
                               variant("from exec until %u are attached", options));
    if (result == 0)
        result = measure_start(options, report, &startup, START_AT_HOME,
                               variant("from exec until %u and peers are attached", options));
    if (result == 0)
        result = measure_start(options, report, &startup, RESTART,
                               variant("restart, until %u are taken over", options));
    bench_daemon_stop(&startup.daemon);
    bench_stopwatch_close(startup.stopwatch);
    free(startup.pids);
    bench_crowd_deinit(&startup.crowd);
    bench_pods_deinit(&startup.pods);
    bench_program_close(&startup.program);
    return result;
}

int bench_startup(const struct bench_options *options, struct bench_report *report)
{
    int result = run_scans(options, report);

    return result ? result : run_starts(options, report);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon.h"
#include "pairs.h"
#include "private_host.h"
#include "report.h"
#include "scenario.h"

#define PAIRS_DEFAULT      30
#define PAIRS_MAX          10000
#define NAMESPACES_DEFAULT 1000
#define NAMESPACES_MAX     20000
#define SECONDS_DEFAULT    60
#define SECONDS_MAX        3600

struct scenario {
    const char *name;
    int (*run)(const struct bench_options *options, struct bench_report *report);
    const char *text;
};

static const struct scenario scenarios[] = {
    {"attach", bench_attach, "attaching to devices, both hooks"},
    {"miss", bench_miss, "a new namespace, from the queue to all devices attached, sustained"},
    {"hit", bench_hit, "pids of known namespaces, from the queue to counted outcomes"},
    {"resolve", bench_resolve, "pids to network namespaces, many in one system call"},
    {"close", bench_close, "the daemon's end, with 200 namespaces attached"},
    {"startup", bench_startup, "the first look at the host, and a start until all is attached"},
    {"idle", bench_idle, "what the daemon does on a host where nothing happens"},
    {"memory", bench_memory, "memory of the daemon, idle and per namespace"},
    {"churn", bench_churn, "containers that come and go: how soon they are attached, and what it costs"},
    {"containers", bench_churn_containers, "the part of churn about containers alone"},
    {"others", bench_churn_others, "the part of churn about links and deaths beside a daemon at rest"},
    {"traced", bench_churn_trace, "the part of churn about new processes"},
    {"many", bench_miss_many, "miss beside 100 and 10,000 namespaces that are attached already"},
    {"latency", bench_latency, "one new namespace, from the queue to all devices attached"},
    {"packet", bench_packet, "what the meter takes for a packet"},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* "attach, miss, … and packet". */
static const char *all_names(char *text, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < SCENARIOS && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", scenarios[i].name,
                                 i + 2 < SCENARIOS    ? ", "
                                 : i + 2 == SCENARIOS ? " and "
                                                      : "");
    return text;
}

struct arguments {
    struct bench_options options;
    const struct scenario *chosen[SCENARIOS];
    size_t chosen_count;
};

static char *list_scenarios(int key, const char *text, void *unused)
{
    char *list = NULL;
    size_t size;
    FILE *out;

    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    out = open_memstream(&list, &size);
    if (!out)
        return NULL;
    fprintf(out, "Scenarios:\n");
    for (size_t i = 0; i < SCENARIOS; i++)
        fprintf(out, "  %-10s %s\n", scenarios[i].name, scenarios[i].text);
    fclose(out);
    return list;
}

static void choose(struct arguments *arguments, const char *name, struct argp_state *state)
{
    char list[256];

    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(scenarios[i].name, name) != 0)
            continue;
        if (arguments->chosen_count == SCENARIOS)
            argp_failure(state, 2, 0, "at most %zu scenarios at a time", SCENARIOS);
        arguments->chosen[arguments->chosen_count++] = &scenarios[i];
        return;
    }
    argp_failure(state, 2, 0, "there is no scenario '%s'; there are %s", name, all_names(list, sizeof(list)));
}

static unsigned parse_number(const char *option, const char *text, unsigned long most,
                             struct argp_state *state)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*end || end == text || number < 1 || number > most)
        argp_failure(state, 2, 0, "--%s wants a number from 1 to %lu, not '%s'", option, most, text);
    return (unsigned)number;
}

enum { KEY_SMALL = 0x100, KEY_CONFINED };

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    char list[256];

    switch (key) {
    case 'j':
        arguments->options.json = true;
        return 0;
    case 'f':
        arguments->options.floor_only = true;
        return 0;
    case KEY_SMALL:
        arguments->options.small = true;
        return 0;
    case 'p':
        arguments->options.pairs = parse_number("pairs", text, PAIRS_MAX, state);
        return 0;
    case 'n':
        arguments->options.namespaces = parse_number("namespaces", text, NAMESPACES_MAX, state);
        return 0;
    case 's':
        arguments->options.seconds = parse_number("seconds", text, SECONDS_MAX, state);
        return 0;
    case 'd':
        bench_daemon_choose(text);
        return 0;
    case KEY_CONFINED:
        bench_daemon_vouch();
        return 0;
    case ARGP_KEY_ARG:
        choose(arguments, text, state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_failure(state, 2, 0, "name a scenario; there are %s", all_names(list, sizeof(list)));
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"json", 'j', NULL, 0, "Print JSON instead of a table", 0},
    {"floor-only", 'f', NULL, 0, "Measure the floors alone", 0},
    {"small", KEY_SMALL, NULL, 0,
     "No warming up, few containers in churn: to see that it works, not what it costs", 0},
    {"pairs", 'p', "N", 0, "Interleaved pairs to measure after warming up (30)", 0},
    {"namespaces", 'n', "N", 0, "How many there are in startup and idle (1000)", 0},
    {"seconds", 's', "N", 0, "How long idle looks on (60)", 0},
    {"daemon", 'd', "PATH", 0, "Run this daemon instead of the netnsyncd beside netnsync-bench", 0},
    {"confined", KEY_CONFINED, NULL, 0,
     "That daemon looks for namespaces in its own pid namespace only: let it", 0},
    {0},
};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "SCENARIO...",
    .doc = "Measure netnsync beside the bare system calls, on a private host made for it. Needs root.\v",
    .help_filter = list_scenarios,
};

static void warn_if_busy(void)
{
    double load;

    if (getloadavg(&load, 1) == 1 && load > 0.5)
        fprintf(stderr, "netnsync-bench: the machine is busy (load %.1f): read the ratios, not the times\n",
                load);
}

/* Each namespace that is made takes an fd, and so it does of whoever is started to do the same. */
static void allow_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        bench_error(-errno, "raising the limit of open files");
}

static int run(const struct arguments *arguments)
{
    struct bench_report report = BENCH_REPORT_NULL;
    int result = 0;

    report.quiet = !isatty(STDERR_FILENO);
    for (size_t i = 0; i < arguments->chosen_count && result == 0; i++)
        result = arguments->chosen[i]->run(&arguments->options, &report);
    /* What was measured before something failed is still worth having. */
    if (arguments->options.json)
        result = bench_report_print_json(&report) ? -EIO : result;
    else
        bench_report_print_table(&report);
    bench_report_deinit(&report);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .options = {.pairs = PAIRS_DEFAULT, .namespaces = NAMESPACES_DEFAULT, .seconds = SECONDS_DEFAULT}};

    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    warn_if_busy();
    if (bench_private_host_enter())
        return EXIT_FAILURE;
    allow_fds();
    return run(&arguments);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "run_stats.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "report.h"

static int describe(int program, struct bpf_prog_info *info)
{
    uint32_t length = sizeof(*info);

    *info = (struct bpf_prog_info){0};
    return bpf_obj_get_info_by_fd(program, info, &length);
}

/* The program that an fd of a process is, or is a link of; 0: none. */
static uint32_t program_of(pid_t process, const char *fd)
{
    char path[300], line[128];
    uint32_t id = 0;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)process, fd);
    in = fopen(path, "r");
    while (in && fgets(line, sizeof(line), in))
        if (sscanf(line, "prog_id: %u", &id) == 1)
            break;
    if (in)
        fclose(in);
    return id;
}

static bool has(const struct bench_run_stats *stats, uint32_t id)
{
    struct bpf_prog_info info;

    for (size_t i = 0; i < stats->count; i++)
        if (describe(stats->programs[i], &info) == 0 && info.id == id)
            return true;
    return false;
}

static bool is_named(int program, const char *const *names, size_t count)
{
    struct bpf_prog_info info;

    for (size_t i = 0; i < count && describe(program, &info) == 0; i++)
        if (strcmp(info.name, names[i]) == 0)
            return true;
    return false;
}

static void take(struct bench_run_stats *stats, uint32_t id, const char *const *names, size_t count)
{
    struct bpf_prog_info info;
    int program;

    if (!id || has(stats, id) || stats->count == BENCH_PROGRAMS_MAX)
        return;
    program = bpf_prog_get_fd_by_id(id);
    if (program < 0)
        return;
    if (!is_named(program, names, count) || describe(program, &info)) {
        close(program);
        return;
    }
    stats->time_before[stats->count] = info.run_time_ns;
    stats->runs_before[stats->count] = info.run_cnt;
    stats->programs[stats->count++] = program;
}

static int find(struct bench_run_stats *stats, pid_t process, const char *const *names, size_t count)
{
    char path[64];
    struct dirent *entry;
    DIR *fds;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)process);
    fds = opendir(path);
    if (!fds)
        return bench_error(-errno, "%s", path);
    while ((entry = readdir(fds)))
        if (entry->d_name[0] != '.')
            take(stats, program_of(process, entry->d_name), names, count);
    closedir(fds);
    if (stats->count != count)
        return bench_error(-ENOENT, "%zu of netnsyncd's %zu programs were found", stats->count, count);
    return 0;
}

int bench_run_stats_open(struct bench_run_stats *stats, pid_t process, const char *const *names, size_t count)
{
    *stats = BENCH_RUN_STATS_NULL;
    stats->enabled = bpf_enable_stats(BPF_STATS_RUN_TIME);
    if (stats->enabled < 0)
        return bench_error(stats->enabled, "measuring programs' run time");
    return find(stats, process, names, count);
}

void bench_run_stats_close(struct bench_run_stats *stats)
{
    for (size_t i = 0; i < stats->count; i++)
        close(stats->programs[i]);
    if (stats->enabled >= 0)
        close(stats->enabled);
    *stats = BENCH_RUN_STATS_NULL;
}

int bench_run_stats_read(const struct bench_run_stats *stats, double *nanoseconds)
{
    double sum = 0;

    for (size_t i = 0; i < stats->count; i++) {
        struct bpf_prog_info info;
        int result = describe(stats->programs[i], &info);

        if (result == 0 && info.run_cnt == stats->runs_before[i])
            result = -ENODATA;
        if (result)
            return bench_error(result, "reading a program's run time");
        sum += (double)(info.run_time_ns - stats->time_before[i]) /
               (double)(info.run_cnt - stats->runs_before[i]);
    }
    *nanoseconds = sum;
    return 0;
}

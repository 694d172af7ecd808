/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a directory of /proc with one thread in it is linked to: itself, its parent, the thread. */
#define LINKS_OF_ONE_THREAD 3

/* A number and what comes after it. */
#define DIGITS_MAX 10
#define PATH_BYTES (DIGITS_MAX + sizeof("/ns/net"))

/* Processes and threads, and nothing else there. */
static int is_number(const char *name)
{
    size_t digits = strspn(name, "0123456789");

    return digits > 0 && digits <= DIGITS_MAX && !name[digits];
}

/* "net:[4026531840]" */
static int read_link(int directory, const char *path, uint64_t *sum)
{
    char link[32];
    ssize_t length = readlinkat(directory, path, link, sizeof(link));

    /* Who has ended meanwhile, or is a zombie, has none. */
    if (length < 0)
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    for (ssize_t i = 5; i < length && link[i] != ']'; i++)
        *sum = *sum * 10 + (uint64_t)(link[i] - '0');
    return 1;
}

/* Every entry of an open directory that is a number. */
static int read_numbers(int directory, int (*read_one)(int directory, const char *number, uint64_t *sum),
                        uint64_t *sum)
{
    char entries[32768] __attribute__((aligned(8)));
    ssize_t length;
    int count = 0;

    while ((length = getdents64(directory, entries, sizeof(entries))) > 0) {
        for (ssize_t at = 0; at < length; at += ((struct dirent64 *)(entries + at))->d_reclen) {
            const char *name = ((struct dirent64 *)(entries + at))->d_name;
            int result = is_number(name) ? read_one(directory, name, sum) : 0;

            if (result < 0)
                return result;
            count += result;
        }
    }
    return length < 0 ? -errno : count;
}

static int read_entry(int directory, const char *number, uint64_t *sum)
{
    char path[PATH_BYTES];

    strcpy(stpcpy(path, number), "/ns/net");
    return read_link(directory, path, sum);
}

static int read_threads(int proc, const char *path, uint64_t *sum)
{
    int tasks = openat(proc, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    int result;

    if (tasks < 0)
        return errno == ENOENT ? 0 : -errno;
    result = read_numbers(tasks, read_entry, sum);
    close(tasks);
    return result;
}

/* How many threads there are is told by the number of links, in one call where a listing takes four. */
static int read_process(int proc, const char *number, uint64_t *sum)
{
    char path[PATH_BYTES];
    struct stat tasks;

    strcpy(stpcpy(path, number), "/task");
    if (fstatat(proc, path, &tasks, 0))
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    if (tasks.st_nlink > LINKS_OF_ONE_THREAD)
        return read_threads(proc, path, sum);
    return read_entry(proc, number, sum);
}

int floor_scan(const char *path, int threads, uint64_t *sum)
{
    int proc = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    int result;

    if (proc < 0)
        return -errno;
    result = read_numbers(proc, threads ? read_process : read_entry, sum);
    close(proc);
    return result;
}

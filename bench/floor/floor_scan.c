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
            int result = *name >= '1' && *name <= '9' ? read_one(directory, name, sum) : 0;

            if (result < 0)
                return result;
            count += result;
        }
    }
    return length < 0 ? -errno : count;
}

static int read_entry(int directory, const char *number, uint64_t *sum)
{
    char path[32];
    size_t length = strlen(number);

    memcpy(path, number, length);
    memcpy(path + length, "/ns/net", 8);
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
    char path[32];
    size_t length = strlen(number);
    struct stat tasks;

    memcpy(path, number, length);
    memcpy(path + length, "/task", 6);
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

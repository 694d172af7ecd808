/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* "PID/ns/net" */
static void write_path(char path[24], uint32_t pid)
{
    char digits[10];
    int length = 0;

    do {
        digits[length++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid);
    while (length)
        *path++ = digits[--length];
    memcpy(path, "/ns/net", 8);
}

/* "net:[4026531840]" */
static uint64_t read_inum(const char *link, ssize_t length)
{
    uint64_t inum = 0;

    for (ssize_t i = 5; i < length && link[i] != ']'; i++)
        inum = inum * 10 + (uint64_t)(link[i] - '0');
    return inum;
}

int floor_resolve(const uint32_t *pids, size_t count, uint64_t *sum)
{
    int proc = open("/proc", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    int result = 0;

    if (proc < 0)
        return -errno;
    for (size_t i = 0; i < count; i++) {
        char path[24], link[32];
        ssize_t length;

        write_path(path, pids[i]);
        length = readlinkat(proc, path, link, sizeof(link));
        if (length < 0) {
            result = -errno;
            break;
        }
        *sum += read_inum(link, length);
    }
    close(proc);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "net:["

int today_resolve_readlink(const uint32_t *pids, size_t count, uint64_t *sum)
{
    for (size_t i = 0; i < count; i++) {
        char path[64], link[64];
        ssize_t length;

        snprintf(path, sizeof(path), "/proc/%u/ns/net", pids[i]);
        length = readlink(path, link, sizeof(link) - 1);
        if (length < 0)
            return -errno;
        link[length] = '\0';
        if (strncmp(link, PREFIX, strlen(PREFIX)) != 0)
            return -EINVAL;
        *sum += strtoul(link + strlen(PREFIX), NULL, 10);
    }
    return 0;
}

int today_resolve_open(const uint32_t *pids, size_t count, uint64_t *sum)
{
    for (size_t i = 0; i < count; i++) {
        struct stat netns;
        char path[64];
        int fd, result;

        snprintf(path, sizeof(path), "/proc/%u/ns/net", pids[i]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        result = fstat(fd, &netns) ? -errno : 0;
        close(fd);
        if (result)
            return result;
        *sum += netns.st_ino;
    }
    return 0;
}

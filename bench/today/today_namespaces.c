/* SPDX-License-Identifier: Apache-2.0 */
#include "today_namespaces.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "net:["

/* As they are found: of each process one, some of them the same. */
struct found {
    struct today_namespace *items;
    size_t count, capacity;
};

static int add(struct found *found, struct today_namespace item)
{
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 256;
        struct today_namespace *items = realloc(found->items, capacity * sizeof(*items));

        if (!items)
            return -ENOMEM;
        found->items = items;
        found->capacity = capacity;
    }
    found->items[found->count++] = item;
    return 0;
}

static int look(struct found *found, uint32_t pid)
{
    char path[64], link[64];
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
    length = readlink(path, link, sizeof(link) - 1);
    if (length < 0)
        return 0;
    link[length] = '\0';
    if (strncmp(link, PREFIX, strlen(PREFIX)) != 0)
        return -EINVAL;
    return add(found, (struct today_namespace){.inum = strtoul(link + strlen(PREFIX), NULL, 10), .pid = pid});
}

static int walk(struct found *found)
{
    const uint32_t self = (uint32_t)getpid();
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int result = 0;

    if (!proc)
        return -errno;
    while (result == 0 && (entry = readdir(proc))) {
        uint32_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (uint32_t)strtoul(entry->d_name, NULL, 10) : 0;

        if (pid && pid != self)
            result = look(found, pid);
    }
    closedir(proc);
    return result;
}

static int by_inum(const void *left, const void *right)
{
    unsigned long a = ((const struct today_namespace *)left)->inum;
    unsigned long b = ((const struct today_namespace *)right)->inum;

    return (a > b) - (a < b);
}

/* Of each the first one. */
static void leave_one_each(struct found *found)
{
    size_t kept = 0;

    if (found->count)
        qsort(found->items, found->count, sizeof(found->items[0]), by_inum);
    for (size_t i = 0; i < found->count; i++)
        if (kept == 0 || found->items[kept - 1].inum != found->items[i].inum)
            found->items[kept++] = found->items[i];
    found->count = kept;
}

int today_namespaces_list(struct today_namespace **list, size_t *count)
{
    struct found found = {0};
    int result = walk(&found);

    if (result) {
        free(found.items);
        return result;
    }
    leave_one_each(&found);
    *list = found.items;
    *count = found.count;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "today_poll.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "today_device.h"
#include "today_namespaces.h"

struct device {
    unsigned long inum; /* of its namespace */
    unsigned ifindex;
};

struct set {
    struct device *items;
    size_t count, capacity;
};

/* What was attached when the last walk ended, and what is in this one: who is gone is forgotten. */
struct attached {
    struct set before, now;
};

static int has(const struct set *set, struct device device)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].inum == device.inum && set->items[i].ifindex == device.ifindex)
            return 1;
    return 0;
}

static int add(struct set *set, struct device device)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? 2 * set->capacity : 64;
        struct device *items = realloc(set->items, capacity * sizeof(*items));

        if (!items)
            return -ENOMEM;
        set->items = items;
        set->capacity = capacity;
    }
    set->items[set->count++] = device;
    return 0;
}

static int attach_new(unsigned long inum, struct attached *attached, const int programs[2])
{
    struct if_nameindex *entries = if_nameindex();
    int result = 0;

    if (!entries)
        return 0;
    for (const struct if_nameindex *entry = entries; entry->if_index && result == 0; entry++) {
        struct device device = {.inum = inum, .ifindex = entry->if_index};

        if (has(&attached->before, device) || today_device_libbpf(device.ifindex, programs) == 0)
            result = add(&attached->now, device);
    }
    if_freenameindex(entries);
    return result;
}

static int cover(const struct today_namespace *namespace, struct attached *attached, int home,
                 const int programs[2])
{
    char path[64];
    int netns, result = 0;

    snprintf(path, sizeof(path), "/proc/%u/ns/net", namespace->pid);
    netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return 0;
    if (setns(netns, CLONE_NEWNET) == 0)
        result = attach_new(namespace->inum, attached, programs);
    close(netns);
    return setns(home, CLONE_NEWNET) ? -errno : result;
}

static int walk(struct attached *attached, int home, unsigned long home_inum, const int programs[2])
{
    struct today_namespace *list = NULL;
    size_t count = 0;
    int result = today_namespaces_list(&list, &count);

    for (size_t i = 0; i < count && result == 0; i++)
        if (list[i].inum != home_inum)
            result = cover(&list[i], attached, home, programs);
    free(list);
    free(attached->before.items);
    attached->before = attached->now;
    attached->now = (struct set){0};
    return result;
}

int today_poll(int stop, int looked, unsigned period_ms, int home, const int programs[2])
{
    struct pollfd asked = {.fd = stop, .events = POLLIN};
    struct attached attached = {0};
    struct stat netns;
    /* It would complain of every clsact that was there before. */
    libbpf_print_fn_t print = libbpf_set_print(NULL);
    int result = fstat(home, &netns) ? -errno : walk(&attached, home, netns.st_ino, programs);

    if (result == 0)
        result = eventfd_write(looked, 1) ? -errno : 0;
    while (result == 0 && poll(&asked, 1, (int)period_ms) == 0)
        result = walk(&attached, home, netns.st_ino, programs);
    free(attached.before.items);
    libbpf_set_print(print);
    return result;
}

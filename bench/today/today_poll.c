/* SPDX-License-Identifier: Apache-2.0 */
#include "today_poll.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

/* Namespaces by their numbers. */
struct set {
    unsigned long *inums;
    size_t count, capacity;
};

static int has(const struct set *set, unsigned long inum)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->inums[i] == inum)
            return 1;
    return 0;
}

static int add(struct set *set, unsigned long inum)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? 2 * set->capacity : 64;
        unsigned long *inums = realloc(set->inums, capacity * sizeof(*inums));

        if (!inums)
            return -ENOMEM;
        set->inums = inums;
        set->capacity = capacity;
    }
    set->inums[set->count++] = inum;
    return 0;
}

static void attach_hook(int ifindex, enum bpf_tc_attach_point point, int program)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = point);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 10, .prog_fd = program);

    bpf_tc_attach(&hook, &options);
}

static void attach_device(int ifindex, const int programs[2])
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
    int result = bpf_tc_hook_create(&hook);

    if (result && result != -EEXIST)
        return;
    attach_hook(ifindex, BPF_TC_INGRESS, programs[0]);
    attach_hook(ifindex, BPF_TC_EGRESS, programs[1]);
}

static void attach_all(const int programs[2])
{
    struct if_nameindex *devices = if_nameindex();

    for (const struct if_nameindex *device = devices; device && device->if_index; device++)
        attach_device((int)device->if_index, programs);
    if_freenameindex(devices);
}

static int cover(const char *path, int home, const int programs[2])
{
    int netns = open(path, O_RDONLY | O_CLOEXEC);

    if (netns < 0)
        return 0;
    if (setns(netns, CLONE_NEWNET) == 0)
        attach_all(programs);
    close(netns);
    return setns(home, CLONE_NEWNET) ? -errno : 0;
}

static int look(const char *pid, const struct set *before, struct set *now, int home, const int programs[2])
{
    char path[300], link[64];
    unsigned long inum;
    ssize_t length;
    int result;

    snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
    length = readlink(path, link, sizeof(link) - 1);
    if (length < 0)
        return 0;
    link[length] = '\0';
    if (sscanf(link, "net:[%lu]", &inum) != 1 || has(now, inum))
        return 0;
    result = add(now, inum);
    return result || has(before, inum) ? result : cover(path, home, programs);
}

static int walk(const struct set *before, struct set *now, int home, const int programs[2])
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int result = 0;

    if (!proc)
        return -errno;
    while (result == 0 && (entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]))
            result = look(entry->d_name, before, now, home, programs);
    closedir(proc);
    return result;
}

int today_poll(int stop, unsigned period_ms, int home, const int programs[2])
{
    struct pollfd asked = {.fd = stop, .events = POLLIN};
    struct set before = {0};
    struct stat netns;
    /* It would complain of every clsact that was there before. */
    libbpf_print_fn_t print = libbpf_set_print(NULL);
    int result = fstat(home, &netns) ? -errno : add(&before, netns.st_ino);

    while (result == 0) {
        struct set now = {0};

        result = walk(&before, &now, home, programs);
        free(before.inums);
        before = now;
        if (result || poll(&asked, 1, (int)period_ms) > 0)
            break;
    }
    free(before.inums);
    libbpf_set_print(print);
    return result;
}

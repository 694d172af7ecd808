/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/exclude.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

struct exclusion {
    const char *path; /* the parameter's; NULL: it is a number */
    uint64_t inum;
    _Atomic uint64_t cookie; /* of the one met last; 0: none yet. The owner writes it. */
};

struct nns_exclusions {
    struct nns_trace *trace;
    size_t count;
    struct exclusion items[];
};

int nns_exclusions_new(const struct nns_params *params, struct nns_trace *trace, struct nns_exclusions **out)
{
    const struct nns_list *list = &params->exclude_namespaces;
    struct nns_exclusions *exclusions =
        calloc(1, sizeof(*exclusions) + list->count * sizeof(exclusions->items[0]));

    if (!exclusions)
        return -ENOMEM;
    exclusions->trace = trace;
    exclusions->count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i][0] == '/')
            exclusions->items[i].path = list->items[i];
        else
            exclusions->items[i].inum = strtoull(list->items[i], NULL, 10);
    }
    *out = exclusions;
    return 0;
}

void nns_exclusions_free(struct nns_exclusions *exclusions)
{
    free(exclusions);
}

/* Other file systems number their files as they like: only on nsfs is an inode number an inum. */
static bool leads_to(const char *path, uint32_t inum)
{
    struct stat status, own;

    return stat(path, &status) == 0 && status.st_ino == inum && stat("/proc/self/ns/net", &own) == 0 &&
           status.st_dev == own.st_dev;
}

NNS_OWNER_ONLY static bool means(const struct exclusion *item, struct nns_netns_id id)
{
    uint64_t met = atomic_load_explicit(&item->cookie, memory_order_relaxed);

    if (item->path)
        return leads_to(item->path, id.inum);
    return item->inum == id.inum && (!met || met == id.cookie);
}

NNS_OWNER_ONLY static void meet(struct nns_exclusions *exclusions, struct exclusion *item, uint64_t cookie)
{
    uint64_t before = atomic_load_explicit(&item->cookie, memory_order_relaxed);

    if (before == cookie)
        return;
    atomic_store_explicit(&item->cookie, cookie, memory_order_relaxed);
    if (before && !nns_exclusions_have(exclusions, before)) {
        nns_trace_forget(exclusions->trace, before);
        nns_trace_uncover(exclusions->trace, before, NNS_TRACE_ALL_DEVICES);
    }
    nns_trace_know(exclusions->trace, cookie);
    nns_trace_cover(exclusions->trace, cookie, NNS_TRACE_ALL_DEVICES);
}

bool nns_exclusions_meet(struct nns_exclusions *exclusions, struct nns_netns_id id)
{
    bool met = false;

    for (size_t i = 0; i < exclusions->count; i++) {
        if (!means(&exclusions->items[i], id))
            continue;
        meet(exclusions, &exclusions->items[i], id.cookie);
        met = true;
    }
    return met;
}

bool nns_exclusions_have(const struct nns_exclusions *exclusions, uint64_t cookie)
{
    for (size_t i = 0; cookie && i < exclusions->count; i++)
        if (atomic_load_explicit(&exclusions->items[i].cookie, memory_order_relaxed) == cookie)
            return true;
    return false;
}

bool nns_excludes_device(const struct nns_params *params, const char *name)
{
    for (size_t i = 0; i < params->exclude_devices.count; i++)
        if (fnmatch(params->exclude_devices.items[i], name, 0) == 0)
            return true;
    return false;
}

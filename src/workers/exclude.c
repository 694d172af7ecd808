/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/exclude.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Other file systems number their files as they like: only on nsfs is an inode number an inum. */
static bool path_names(const char *path, uint32_t inum)
{
    struct stat status, own;

    return stat(path, &status) == 0 && status.st_ino == inum && stat("/proc/self/ns/net", &own) == 0 &&
           status.st_dev == own.st_dev;
}

static bool names(const char *item, uint32_t inum)
{
    char *end;

    if (item[0] == '/')
        return path_names(item, inum);
    return strtoull(item, &end, 10) == inum && *end == '\0';
}

bool nns_excludes_namespace(const struct nns_params *params, uint32_t inum)
{
    for (size_t i = 0; i < params->exclude_namespaces.count; i++)
        if (names(params->exclude_namespaces.items[i], inum))
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

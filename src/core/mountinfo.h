/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_MOUNTINFO_H
#define NNS_CORE_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How the kernel writes of namespaces: in the links of /proc/PID/ns, and in /proc/PID/mountinfo.
 */

/* The inum in "<type>:[INUM]", which need not end with a '\0'; 0 when it is anything else. */
uint32_t nns_namespace_inum(const char *text, size_t length, const char *type);

/* A mount of a network namespace. */
struct nns_namespace_mount {
    const char *path;
    uint32_t id; /* given out again once the mount is gone, as the inum is */
    uint32_t inum;
};

/* Take apart a line of mountinfo that has lost its '\n'. True when it is a mount of a network namespace,
 * whose path then stands in the line; false for every other, *mount untouched. */
bool nns_mountinfo_parse(char *line, struct nns_namespace_mount *mount);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TODAY_NAMESPACES_H
#define TODAY_NAMESPACES_H

#include <stddef.h>
#include <stdint.h>

/* A network namespace, and one of the processes in it. */
struct today_namespace {
    unsigned long inum;
    uint32_t pid;
};

/*
 * Which there are, each once, in the order of their inums: walk /proc and read the namespace link of every
 * process but the caller's own, whose threads may be about in others'. Who has ended meanwhile is in none.
 *
 * 0 or -errno; free(*list).
 */
int today_namespaces_list(struct today_namespace **list, size_t *count);

#endif

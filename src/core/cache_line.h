/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_CACHE_LINE_H
#define NNS_CORE_CACHE_LINE_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * What processors pass around. A line that one thread writes is taken from all who read it, whatever else is
 * in it: so what readers read without a lock has lines of its own, what a lock guards lies beside the lock
 * (none of ours spins: who takes it has the data at hand, who waits sleeps and does not disturb), and what a
 * thread needs at a time lies together. Layouts that depend on this say so beside the struct, and are
 * asserted.
 */
#define NNS_CACHE_LINE 64

/* Zeroed memory that begins with a line and shares none, for types that are aligned so; free(3) it. NULL
 * without memory. */
static inline void *nns_calloc_lines(size_t size)
{
    size_t whole = (size + NNS_CACHE_LINE - 1) / NNS_CACHE_LINE * NNS_CACHE_LINE;
    void *memory = aligned_alloc(NNS_CACHE_LINE, whole);

    return memory ? memset(memory, 0, whole) : NULL;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/memory.h"

#include <malloc.h>

#ifdef NNS_JEMALLOC
#include <jemalloc/jemalloc.h>

/* Few threads allocate, and freed pages go back soon: a host's memory is not ours to sit on. What is free
 * when nothing is allocated any more is given back by nns_memory_trim: threads of the allocator's own would
 * wake up several times for it. */
const char *malloc_conf = "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0";

#define TEXT(number)  #number
#define NUMBER(macro) TEXT(macro)

void nns_memory_trim(void)
{
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    mallctl("arena." NUMBER(MALLCTL_ARENAS_ALL) ".purge", NULL, NULL, NULL, 0);
}
#elif defined(NNS_SANITIZED)
/* A sanitizer brings an allocator of its own. libc's was never set up, and two threads that ask it at once
 * crash. */
void nns_memory_trim(void)
{
}
#else
void nns_memory_trim(void)
{
    malloc_trim(0);
}
#endif

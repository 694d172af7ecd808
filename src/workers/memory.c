/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/memory.h"

#include <malloc.h>
#include <stdbool.h>

#ifdef NNS_JEMALLOC
#include <jemalloc/jemalloc.h>

/*
 * What is written out here although it is the library's default is what we rely on. Figures are of bench
 * scenarios on 2 CPUs; none of these settings made a difference to `miss` or `hit` that could be told from
 * noise, unless it is said. No setting helps what allocates for every pid: a batch of them is one allocation.
 *
 * narenas:2: one thread, the owner, allocates what stays; the others' batches come and go. More arenas (the
 * default is 4 a CPU) only spread that over more half empty pages: with 8, `memory` grows by 620 bytes a
 * namespace instead of 510, with 32 workers by 1,090 instead of 650. One arena weighs as much as two, which
 * keep the owner and a worker in a hurry apart.
 *
 * background_thread:false: threads of the allocator's own would give back what is free while nobody
 * allocates. They wake up for it: 30 times in a minute of `idle`, and the daemon 5 times without them (10 is
 * what we allow ourselves). The owner does it before it goes to sleep for long (nns_memory_trim).
 *
 * dirty_decay_ms:1000, muzzy_decay_ms:0: which leaves the decay with the time in which the daemon is busy. A
 * second outlasts a burst, whose next batch finds the pages of the last. Lazily freed (muzzy) pages would
 * stay in RSS until the host is short of memory: it should not need to be.
 *
 * tcache_nslots_small_max:20 (200): each thread's cache of small objects keeps allocation free of locks;
 * without (tcache:false) a pid of `hit` costs 180 instead of 150 ns where two workers run. But it is filled
 * by the half: a worker that needs one object of a size takes a hundred. With 20 slots `memory` grows by 490
 * instead of 510 bytes a namespace, with 32 workers by 555 instead of 650.
 *
 * thp:never, metadata_thp:disabled: a host may have huge pages for whoever does not object
 * (transparent_hugepage/enabled: always), and a heap of one megabyte would take some of two each: 16 MB
 * instead of 7 when idle; for the allocator's records alone it is 13.
 */
const char *malloc_conf = "narenas:2,background_thread:false,dirty_decay_ms:1000,muzzy_decay_ms:0,"
                          "tcache_nslots_small_max:20,thp:never,metadata_thp:disabled";

#define TEXT(number)  #number
#define NUMBER(macro) TEXT(macro)

void nns_memory_trim(void)
{
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    mallctl("arena." NUMBER(MALLCTL_ARENAS_ALL) ".purge", NULL, NULL, NULL, 0);
}

/* A library without statistics has no such names. */
static uint64_t bytes_of(const char *name)
{
    size_t bytes, size = sizeof(bytes);

    return mallctl(name, &bytes, &size, NULL, 0) ? NNS_UNSAID : bytes;
}

/* Arenas are made when the first thread comes to them; the count of what may be is one higher than
 * configured, for a single one of huge allocations. */
static uint64_t arenas_in_use(void)
{
    enum { ARENA = 1 };
    size_t mib[3], length = 3, size = sizeof(unsigned);
    unsigned possible, used = 0;

    if (mallctl("arenas.narenas", &possible, &size, NULL, 0) ||
        mallctlnametomib("arena.0.initialized", mib, &length))
        return NNS_UNSAID;
    for (mib[ARENA] = 0; mib[ARENA] < possible; mib[ARENA]++) {
        bool initialised;

        size = sizeof(initialised);
        used += mallctlbymib(mib, length, &initialised, &size, NULL, 0) == 0 && initialised;
    }
    return used;
}

struct nns_memory nns_memory_weigh(void)
{
    uint64_t epoch = 1;

    /* All of them are as they were when this was last written. */
    mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    return (struct nns_memory){.allocator = "jemalloc",
                               .arenas = arenas_in_use(),
                               .allocated = bytes_of("stats.allocated"),
                               .active = bytes_of("stats.active"),
                               .metadata = bytes_of("stats.metadata"),
                               .resident = bytes_of("stats.resident"),
                               .retained = bytes_of("stats.retained")};
}
#elif defined(NNS_SANITIZED)
/* A sanitizer brings an allocator of its own. libc's was never set up, and two threads that ask it at once
 * crash. */
void nns_memory_trim(void)
{
}

struct nns_memory nns_memory_weigh(void)
{
    struct nns_memory memory = NNS_MEMORY_UNSAID;

    memory.allocator = "sanitizer";
    return memory;
}
#else
void nns_memory_trim(void)
{
    malloc_trim(0);
}

/* Free chunks are pages, too, as long as they are not trimmed; which of them are in memory it does not
 * know. */
struct nns_memory nns_memory_weigh(void)
{
    const struct mallinfo2 info = mallinfo2();
    struct nns_memory memory = NNS_MEMORY_UNSAID;

    memory.allocator = "libc";
    memory.allocated = info.uordblks + info.hblkhd;
    memory.active = info.arena + info.hblkhd;
    return memory;
}
#endif

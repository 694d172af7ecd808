/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_CHORES_H
#define NNS_WORKERS_CHORES_H

#include "workers/sync.h"

/* What workers do beside serving requests. */
enum nns_chore {
    NNS_CHORE_SWEEP,  /* collect the inhabited namespaces and post them to the owner */
    NNS_CHORE_SEARCH, /* the same by /proc alone, which is slower, and sees all mounts of all others, too */
    NNS_CHORE_SCAN,   /* find the namespaces of all tasks and mounts that can be seen from here; without
                         discovery only those that are astray */
    NNS_CHORE_MOUNTS, /* those of mounts that are new */
    NNS_CHORES
};

/* What a chore leaves for whoever does it the next time. Zero-initialised is nothing. */
struct nns_chore_memory {
    uint64_t searched_ms, cost_ms; /* SCAN: when /proc was searched for it, and how long that took */
};

/* Batches of named pids are let by in between. memory is that of this chore; one of a kind at a time. */
void nns_do_chore(const struct nns_sync_worker *worker, enum nns_chore chore,
                  struct nns_chore_memory *memory);

#endif

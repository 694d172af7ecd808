/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_EPOCH_H
#define NNS_CORE_EPOCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/role.h"

/*
 * Deferred freeing for one writer and a fixed number of readers.
 *
 * A reader brackets its look-ups with nns_epoch_enter/leave; what it found stays valid until it leaves. The
 * owner takes an object out of every place readers look in, then retires it; it is freed by a later
 * nns_epoch_reclaim, once every reader that could have seen it has left. C11 atomics throughout, so that
 * ThreadSanitizer sees the whole protocol.
 *
 * Sections do not nest and are short: no system call, no wait inside.
 */
#define NNS_EPOCH_READERS_MAX 64
#define NNS_CACHE_LINE        64

struct nns_epoch_reader {
    _Alignas(
        NNS_CACHE_LINE) _Atomic uint64_t active; /* the epoch seen on entry; 0 outside a section. Reader's. */
};

/* Embed it in what is retired. */
struct nns_retired {
    struct nns_retired *next;
    void (*release)(struct nns_retired *);
    uint64_t epoch;
};

struct nns_epoch {
    _Alignas(NNS_CACHE_LINE) _Atomic uint64_t now; /* written by the owner, read by readers; starts at 1 */
    struct nns_retired *oldest, *newest;           /* owner's: a queue in order of epoch */
    size_t retired;                                /* owner's: its length */
    _Atomic unsigned reader_count;
    struct nns_epoch_reader readers[NNS_EPOCH_READERS_MAX];
};

void nns_epoch_init(struct nns_epoch *epoch);

/* A slot for one thread, for the epoch's whole life. Any thread. NULL when all are taken. */
struct nns_epoch_reader *nns_epoch_register(struct nns_epoch *epoch);

static inline void nns_epoch_enter(struct nns_epoch *epoch, struct nns_epoch_reader *reader);
static inline void nns_epoch_leave(struct nns_epoch_reader *reader);

/* Hand over an object no new reader can find; release(object) runs on the owner thread, later. */
void nns_epoch_retire(struct nns_epoch *epoch, struct nns_retired *object,
                      void (*release)(struct nns_retired *)) NNS_OWNER_ONLY;

/* Free what no reader can hold any more. Never waits. Returns how many are still retired. */
size_t nns_epoch_reclaim(struct nns_epoch *epoch) NNS_OWNER_ONLY;

/* Free everything, when all readers are known to have ended. */
void nns_epoch_drain(struct nns_epoch *epoch) NNS_OWNER_ONLY;

static inline void nns_epoch_enter(struct nns_epoch *epoch, struct nns_epoch_reader *reader)
{
    /* Sequentially consistent: the announcement must be visible before the section's first load; the owner's
     * matching half is in nns_epoch_reclaim. */
    atomic_store(&reader->active, atomic_load_explicit(&epoch->now, memory_order_acquire));
}

static inline void nns_epoch_leave(struct nns_epoch_reader *reader)
{
    atomic_store_explicit(&reader->active, 0, memory_order_release);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_EPOCH_H
#define NNS_CORE_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cache_line.h"
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
 *
 * Why it is right. An object X with stamp s is freed after the owner *exchanged* a word with every reader: it
 * reads `active` with a read-modify-write that puts back what it found. The reader enters with a
 * read-modify-write too, so the two are ordered one way or the other on every machine, and neither side needs
 * a fence or a sequentially consistent access elsewhere. Let v be what the owner read; X is freed if v = 0 or
 * v > s.
 *   - v = 0: all sections the reader has ended happen before the free (leave releases, the owner acquires).
 *     Its next entry reads the word the owner wrote: the owner's unlinking of X happens before that section,
 *     which therefore cannot find X.
 *   - v > s: the sections before the one that announced v happen before the free. That one read v from `now`,
 *     which the owner set after it had unlinked X: neither it nor any later section of the reader finds X.
 * A reader that reads `now`, is held up, and announces an old epoch long after is covered by the first case;
 * it only makes the owner keep younger objects longer than needed.
 */
#define NNS_EPOCH_READERS_MAX 64

struct nns_epoch_reader {
    /* The epoch seen on entry; 0 outside a section. Reader's; the owner only writes back what it reads. */
    _Alignas(NNS_CACHE_LINE) _Atomic uint64_t active;
};

/* Embed it in what is retired. */
struct nns_retired {
    struct nns_retired *next;
    void (*release)(struct nns_retired *);
    uint64_t epoch;
};

/* Readers read `now` at every entry: it is alone in its line, so that they lose that only when it changes.
 * Each writes a line of its own, which the owner takes while something is retired. */
struct nns_epoch {
    _Alignas(NNS_CACHE_LINE) _Atomic uint64_t now; /* written by the owner, read by readers; starts at 1 */
    /* Owner's: a queue in order of epoch, and its length. */
    _Alignas(NNS_CACHE_LINE) struct nns_retired *oldest;
    struct nns_retired *newest;
    size_t retired;
    _Atomic unsigned reader_count; /* any thread's, that registers; the owner's, while something is retired */
    struct nns_epoch_reader readers[NNS_EPOCH_READERS_MAX];
};

_Static_assert(sizeof(struct nns_epoch_reader) == NNS_CACHE_LINE, "a line for each reader");
_Static_assert(offsetof(struct nns_epoch, oldest) == NNS_CACHE_LINE, "readers read one line");

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

/* What the owner did before nns_epoch_turn is seen by every reader that is, or enters, inside once
 * nns_epoch_passed says so of the turn's number: to wait for without freeing anything. */
uint64_t nns_epoch_turn(struct nns_epoch *epoch) NNS_OWNER_ONLY;
bool nns_epoch_passed(struct nns_epoch *epoch, uint64_t turn) NNS_OWNER_ONLY;

/* Free everything, when all readers are known to have ended. */
void nns_epoch_drain(struct nns_epoch *epoch) NNS_OWNER_ONLY;

static inline void nns_epoch_enter(struct nns_epoch *epoch, struct nns_epoch_reader *reader)
{
    uint64_t now = atomic_load_explicit(&epoch->now, memory_order_acquire);

    /* An exchange, not a store: it must read what the owner's last look at this reader wrote. It costs x86
     * the same as the sequentially consistent store that would be needed otherwise. */
    atomic_exchange_explicit(&reader->active, now, memory_order_acq_rel);
}

static inline void nns_epoch_leave(struct nns_epoch_reader *reader)
{
    atomic_store_explicit(&reader->active, 0, memory_order_release);
}

#endif

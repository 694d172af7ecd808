/* SPDX-License-Identifier: Apache-2.0 */
#include "core/epoch.h"

void nns_epoch_init(struct nns_epoch *epoch)
{
    atomic_init(&epoch->now, 1);
    epoch->oldest = epoch->newest = NULL;
    epoch->retired = 0;
    atomic_init(&epoch->reader_count, 0);
    for (unsigned i = 0; i < NNS_EPOCH_READERS_MAX; i++)
        atomic_init(&epoch->readers[i].active, 0);
}

struct nns_epoch_reader *nns_epoch_register(struct nns_epoch *epoch)
{
    unsigned count = atomic_load_explicit(&epoch->reader_count, memory_order_relaxed);

    do {
        if (count == NNS_EPOCH_READERS_MAX)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&epoch->reader_count, &count, count + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return &epoch->readers[count];
}

uint64_t nns_epoch_turn(struct nns_epoch *epoch)
{
    uint64_t now = atomic_load_explicit(&epoch->now, memory_order_relaxed);

    /* Release: whoever reads the new epoch also sees what was done before. */
    atomic_store_explicit(&epoch->now, now + 1, memory_order_release);
    return now;
}

void nns_epoch_retire(struct nns_epoch *epoch, struct nns_retired *object,
                      void (*release)(struct nns_retired *))
{
    *object = (struct nns_retired){.release = release, .epoch = nns_epoch_turn(epoch)};
    if (epoch->newest)
        epoch->newest->next = object;
    else
        epoch->oldest = object;
    epoch->newest = object;
    epoch->retired++;
}

static void release_oldest(struct nns_epoch *epoch) NNS_OWNER_ONLY
{
    struct nns_retired *object = epoch->oldest;

    epoch->oldest = object->next;
    if (!epoch->oldest)
        epoch->newest = NULL;
    epoch->retired--;
    object->release(object);
}

/* The epoch before which nothing retired can be held by a reader; see the argument in the header. */
static uint64_t horizon(struct nns_epoch *epoch) NNS_OWNER_ONLY
{
    /* Not beyond now: what a release function retires meanwhile was unlinked after we looked. */
    uint64_t oldest = atomic_load_explicit(&epoch->now, memory_order_relaxed);
    /* Written back for the same reason as below: a thread that registers after this read sees all that was
     * unlinked before it. */
    unsigned count = atomic_fetch_add_explicit(&epoch->reader_count, 0, memory_order_acq_rel);

    for (unsigned i = 0; i < count; i++) {
        uint64_t active = atomic_fetch_add_explicit(&epoch->readers[i].active, 0, memory_order_acq_rel);

        if (active && active < oldest)
            oldest = active;
    }
    return oldest;
}

bool nns_epoch_passed(struct nns_epoch *epoch, uint64_t turn)
{
    return turn < horizon(epoch);
}

size_t nns_epoch_reclaim(struct nns_epoch *epoch)
{
    uint64_t before;

    if (!epoch->oldest)
        return 0; /* the usual case leaves the readers' cache lines alone */
    before = horizon(epoch);
    while (epoch->oldest && epoch->oldest->epoch < before)
        release_oldest(epoch);
    return epoch->retired;
}

void nns_epoch_drain(struct nns_epoch *epoch)
{
    while (epoch->oldest)
        release_oldest(epoch);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/counters.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/cache_line.h"

/*
 * One thread's counts. Blocks are pushed to a list and never leave it; the block of a thread that ended keeps
 * its counts and is taken over by the next thread that registers, so that threads coming and going cost no
 * memory. The `taken` flag hands a block from one writer to the next.
 */
struct block {
    _Alignas(NNS_CACHE_LINE) _Atomic uint64_t counts[NNS_COUNTER_TOTAL];
    _Atomic bool taken;
    struct block *next; /* set before the block is published */
};

_Static_assert(sizeof(struct block) % NNS_CACHE_LINE == 0, "no thread's line is another's");

static struct block *_Atomic blocks;
static struct block shared; /* for a thread without memory for a block of its own */
static _Thread_local struct block *mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

static void give_back(void *block)
{
    mine = NULL; /* a later destructor of this thread may count again: it registers anew */
    atomic_store_explicit(&((struct block *)block)->taken, false, memory_order_release);
}

static void make_key(void)
{
    have_key = pthread_key_create(&key, give_back) == 0;
}

static struct block *take_over(void)
{
    struct block *block = atomic_load_explicit(&blocks, memory_order_acquire);

    for (; block; block = block->next) {
        bool taken = false;

        if (!atomic_load_explicit(&block->taken, memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&block->taken, &taken, true, memory_order_acquire,
                                                    memory_order_relaxed))
            return block;
    }
    return NULL;
}

static struct block *make_block(void)
{
    struct block *block = aligned_alloc(_Alignof(struct block), sizeof(*block));

    if (!block)
        return NULL;
    for (int i = 0; i < NNS_COUNTER_TOTAL; i++)
        atomic_init(&block->counts[i], 0);
    atomic_init(&block->taken, true);
    block->next = atomic_load_explicit(&blocks, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&blocks, &block->next, block, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return block;
}

static struct block *enrol(void)
{
    struct block *block;

    pthread_once(&once, make_key);
    if (!have_key)
        return NULL;
    block = take_over();
    if (!block)
        block = make_block();
    if (block && pthread_setspecific(key, block) != 0) {
        give_back(block);
        return NULL;
    }
    return block;
}

void nns_count(enum nns_counter counter, uint64_t by)
{
    if (!mine)
        mine = enrol();
    if (!mine) {
        atomic_fetch_add_explicit(&shared.counts[counter], by, memory_order_relaxed);
        return;
    }
    /* The only writer: a load and a store cost a fifth of a locked addition. */
    atomic_store_explicit(&mine->counts[counter],
                          atomic_load_explicit(&mine->counts[counter], memory_order_relaxed) + by,
                          memory_order_relaxed);
}

uint64_t nns_counter_read(enum nns_counter counter)
{
    struct block *block = atomic_load_explicit(&blocks, memory_order_acquire);
    uint64_t sum = atomic_load_explicit(&shared.counts[counter], memory_order_relaxed);

    for (; block; block = block->next)
        sum += atomic_load_explicit(&block->counts[counter], memory_order_relaxed);
    return sum;
}

static const struct {
    const char *name, *text;
} table[NNS_COUNTER_TOTAL] = {
#define NNS_COUNTER_ROW(id, name, text) [NNS_COUNT_##id] = {name, text},
    NNS_COUNTERS(NNS_COUNTER_ROW)
#undef NNS_COUNTER_ROW
};

const char *nns_counter_name(enum nns_counter counter)
{
    return table[counter].name;
}

const char *nns_counter_text(enum nns_counter counter)
{
    return table[counter].text;
}

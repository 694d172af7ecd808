/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/pool.h"

#include <errno.h>
#include <stdlib.h>

/* Enough for a walk of /proc and a sanitizer's red zones; the rest is never touched. */
enum { WORKER_STACK = 1 << 20 };

/* Of a higher rank, before it is the turn of what has waited meanwhile. */
enum { BATCHES_BEFORE = 16 };

enum rank { NAMED, FOUND, RANKS };

struct queue {
    struct nns_batch *first, **last;
    uint32_t waiting;
};

/* Two lines hold all that giving and taking a batch looks at under the lock, the lock included. For a
 * batch the condition is signalled when the lock is free again: it must not take a line from whoever has that
 * by then. */
struct nns_pool {
    _Alignas(NNS_CACHE_LINE) uv_mutex_t lock; /* guards the fields down to stopping */
    struct queue queues[RANKS];
    unsigned wanted, running; /* chores: 1 << enum nns_chore */
    uint32_t passed;          /* batches that went before a chore that is wanted */
    uint32_t passed_found;    /* named ones that went before one that was found */
    unsigned busy;            /* workers that have a batch or a chore */
    bool stopping;
    uint32_t depth; /* constant */
    const struct nns_sync_context *context;

    _Alignas(NNS_CACHE_LINE) uv_cond_t work;
    uv_cond_t rested;
    struct nns_chore_memory memories[NNS_CHORES]; /* each of whoever does that chore */
    _Atomic unsigned numbered;                    /* workers that have their number */
    unsigned started;                             /* the starter's */
    uv_thread_t threads[];
};

_Static_assert(sizeof(uv_mutex_t) > 40 || offsetof(struct nns_pool, work) == 2 * NNS_CACHE_LINE,
               "a batch is given and taken within two lines");

struct task {
    struct nns_batch *batch;
    unsigned chore; /* its bit, 0: none */
    bool made_room; /* the queue it was taken from had been full */
};

/* Chores that a free worker may begin: one of a kind at a time. */
static unsigned open_chores(const struct nns_pool *pool)
{
    return pool->stopping ? 0 : pool->wanted & ~pool->running;
}

static bool has_batches(const struct nns_pool *pool)
{
    return pool->queues[NAMED].first || pool->queues[FOUND].first;
}

static bool idle(const struct nns_pool *pool)
{
    return !has_batches(pool) && !open_chores(pool) && !pool->stopping;
}

/* A batch goes before a chore, as nobody waits for the latter; but not for ever: who is dead stays pinned
 * until a sweep is done. When the pool stops nobody wants any. */
static bool chore_is_next(const struct nns_pool *pool)
{
    return open_chores(pool) && (!has_batches(pool) || pool->passed >= BATCHES_BEFORE);
}

static struct nns_batch *take_first(struct queue *queue)
{
    struct nns_batch *batch = queue->first;

    if (!batch)
        return NULL;
    queue->first = batch->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->waiting--;
    return batch;
}

/* Somebody waits for who was named; but what was found is not to wait for ever either. */
static struct nns_batch *take_batch(struct nns_pool *pool, bool *made_room)
{
    struct queue *named = &pool->queues[NAMED], *found = &pool->queues[FOUND];
    bool turn = found->first && (!named->first || pool->passed_found >= BATCHES_BEFORE);
    struct queue *queue = turn ? found : named;
    struct nns_batch *batch;

    *made_room = queue->waiting == pool->depth;
    batch = take_first(queue);
    pool->passed_found = turn ? 0 : pool->passed_found + (found->first != NULL);
    pool->passed += batch && open_chores(pool);
    return batch;
}

static unsigned take_chore(struct nns_pool *pool)
{
    unsigned open = open_chores(pool), bit = open & -open;

    pool->wanted &= ~bit;
    pool->running |= bit;
    pool->passed = 0;
    return bit;
}

static bool at_rest(const struct nns_pool *pool)
{
    return !pool->busy && !has_batches(pool);
}

/* The next piece of work after one that is done; an empty task before the first, and when the pool stops. */
static struct task take(struct nns_pool *pool, struct task done)
{
    struct task task = {0};

    uv_mutex_lock(&pool->lock);
    pool->busy -= done.batch || done.chore;
    if (pool->stopping && at_rest(pool))
        uv_cond_signal(&pool->rested);
    while (idle(pool))
        uv_cond_wait(&pool->work, &pool->lock);
    if (chore_is_next(pool))
        task.chore = take_chore(pool);
    else
        task.batch = take_batch(pool, &task.made_room);
    pool->busy += task.batch || task.chore;
    uv_mutex_unlock(&pool->lock);
    if (task.made_room)
        nns_completions_add_room(pool->context->completions);
    return task;
}

static void do_chore(struct nns_pool *pool, const struct nns_sync_worker *worker, unsigned bit)
{
    int chore = __builtin_ctz(bit);

    nns_do_chore(worker, (enum nns_chore)chore, &pool->memories[chore]);
    uv_mutex_lock(&pool->lock);
    pool->running &= ~bit;
    /* Wanted again meanwhile, when nobody could begin it: this worker may, unless it finds a batch. */
    if (pool->wanted & bit)
        uv_cond_signal(&pool->work);
    uv_mutex_unlock(&pool->lock);
}

static struct nns_batch *take_named(struct nns_pool *pool)
{
    struct queue *named = &pool->queues[NAMED];
    struct nns_batch *batch;
    bool was_full;

    uv_mutex_lock(&pool->lock);
    was_full = named->waiting == pool->depth;
    batch = take_first(named);
    uv_mutex_unlock(&pool->lock);
    if (was_full)
        nns_completions_add_room(pool->context->completions);
    return batch;
}

void nns_pool_give_way(const struct nns_sync_worker *worker)
{
    struct nns_batch *batch;

    for (int i = 0; i < BATCHES_BEFORE && (batch = take_named(worker->pool)); i++)
        nns_sync_batch(worker, batch);
}

static void run_worker(void *argument)
{
    struct nns_pool *pool = argument;
    const struct nns_sync_worker worker = {.context = pool->context,
                                           .pool = pool,
                                           .reader =
                                               nns_epoch_register(nns_cache_epoch(pool->context->cache)),
                                           .number = atomic_fetch_add(&pool->numbered, 1)};
    struct task task = {0};

    for (task = take(pool, task); task.batch || task.chore; task = take(pool, task)) {
        if (task.chore)
            do_chore(pool, &worker, task.chore);
        else
            nns_sync_batch(&worker, task.batch);
    }
}

static int start_threads(struct nns_pool *pool, unsigned threads)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = WORKER_STACK};

    for (; pool->started < threads; pool->started++) {
        int rc = uv_thread_create_ex(&pool->threads[pool->started], &options, run_worker, pool);

        if (rc)
            return rc;
    }
    return 0;
}

int nns_pool_start(const struct nns_sync_context *context, unsigned threads, uint32_t depth,
                   struct nns_pool **out)
{
    struct nns_pool *pool;
    int rc;

    if (!threads || threads > NNS_EPOCH_READERS_MAX || !depth)
        return -EINVAL;
    pool = nns_calloc_lines(sizeof(*pool) + threads * sizeof(pool->threads[0]));
    if (!pool)
        return -ENOMEM;
    pool->context = context;
    for (int rank = 0; rank < RANKS; rank++)
        pool->queues[rank].last = &pool->queues[rank].first;
    pool->depth = depth;
    rc = uv_mutex_init(&pool->lock);
    if (rc)
        goto no_lock;
    rc = uv_cond_init(&pool->work);
    if (rc)
        goto no_work;
    rc = uv_cond_init(&pool->rested);
    if (rc)
        goto no_rested;
    rc = start_threads(pool, threads);
    if (rc) {
        nns_pool_stop(pool);
        nns_pool_free(pool);
        return rc;
    }
    *out = pool;
    return 0;

no_rested:
    uv_cond_destroy(&pool->work);
no_work:
    uv_mutex_destroy(&pool->lock);
no_lock:
    free(pool);
    return rc;
}

bool nns_pool_submit(struct nns_pool *pool, struct nns_batch *batch)
{
    struct queue *queue = &pool->queues[batch->found ? FOUND : NAMED];
    bool room;

    uv_mutex_lock(&pool->lock);
    room = queue->waiting < pool->depth && !(batch->found && pool->stopping);
    if (room) {
        batch->next = NULL;
        *queue->last = batch;
        queue->last = &batch->next;
        queue->waiting++;
    }
    uv_mutex_unlock(&pool->lock);
    if (room)
        uv_cond_signal(&pool->work); /* whom it wakes finds the lock free */
    return room;
}

void nns_pool_want(struct nns_pool *pool, enum nns_chore chore)
{
    uv_mutex_lock(&pool->lock);
    pool->wanted |= 1u << chore;
    uv_cond_signal(&pool->work);
    uv_mutex_unlock(&pool->lock);
}

uint32_t nns_pool_waiting(struct nns_pool *pool)
{
    uint32_t waiting;

    uv_mutex_lock(&pool->lock);
    waiting = pool->queues[NAMED].waiting + pool->queues[FOUND].waiting;
    uv_mutex_unlock(&pool->lock);
    return waiting;
}

void nns_pool_end(struct nns_pool *pool)
{
    struct nns_batch *batch;

    uv_mutex_lock(&pool->lock);
    pool->stopping = true;
    while ((batch = take_first(&pool->queues[FOUND])))
        free(batch);
    uv_cond_broadcast(&pool->work);
    uv_mutex_unlock(&pool->lock);
}

void nns_pool_rest(struct nns_pool *pool)
{
    nns_pool_end(pool);
    uv_mutex_lock(&pool->lock);
    while (!at_rest(pool))
        uv_cond_wait(&pool->rested, &pool->lock);
    uv_mutex_unlock(&pool->lock);
}

void nns_pool_stop(struct nns_pool *pool)
{
    nns_pool_end(pool);
    while (pool->started)
        uv_thread_join(&pool->threads[--pool->started]);
}

void nns_pool_free(struct nns_pool *pool)
{
    if (!pool)
        return;
    uv_cond_destroy(&pool->rested);
    uv_cond_destroy(&pool->work);
    uv_mutex_destroy(&pool->lock);
    free(pool);
}

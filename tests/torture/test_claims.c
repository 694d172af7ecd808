/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads claim few namespaces, end their claims, pass them on and come again.
 *
 * The invariants: a namespace has one holder at a time, and every request is settled exactly once, by whoever
 * then holds it. Results are plain memory, so ThreadSanitizer sees a request that two threads had at a time.
 *
 * Runs until each of WON, JOINED, PASSED and DIED (nobody left to pass to) has passed WANTED. Exit status: 0;
 * 2 when an invariant broke; 3 when it could not start, or a count was not
 * reached in time.
 */
#include "core/claims.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, INUMS = 6, WANTED = 1000, DEADLINE_SECONDS = 60 };

enum { WON, JOINED, PASSED, DIED, KINDS };

static struct nns_claims *claims;
static _Atomic bool stop;
static _Atomic int holders[INUMS];
static _Atomic uint64_t happened[KINDS];
static _Atomic uint64_t open_batches;

static void broken(const char *what)
{
    fprintf(stderr, "torture_claims: %s\n", what);
    _exit(2);
}

static void count(int kind)
{
    atomic_fetch_add_explicit(&happened[kind], 1, memory_order_relaxed);
}

static void settle(struct nns_request request, enum nns_outcome outcome)
{
    struct nns_result *result = &request.batch->results[request.at];

    if (result->outcome != NNS_OUTCOME_NONE)
        broken("a request was settled twice");
    result->outcome = (uint8_t)outcome;
    if (!nns_batch_settle(request.batch))
        return;
    for (uint32_t i = 0; i < request.batch->count; i++)
        if (request.batch->results[i].outcome == NNS_OUTCOME_NONE)
            broken("a batch was done before all its requests were");
    free(request.batch);
    atomic_fetch_sub_explicit(&open_batches, 1, memory_order_relaxed);
}

static void hold(uint32_t inum)
{
    if (atomic_exchange_explicit(&holders[inum], 1, memory_order_relaxed))
        broken("a namespace had two holders");
}

static void let_go(uint32_t inum)
{
    atomic_store_explicit(&holders[inum], 0, memory_order_relaxed);
}

static void open_succeeded(uint32_t inum, struct nns_request own)
{
    struct nns_request_list waiting;

    let_go(inum);
    nns_claims_end(claims, inum, &waiting);
    settle(own, NNS_OUTCOME_NEW);
    for (size_t i = 0; i < waiting.count; i++)
        settle(waiting.items[i], NNS_OUTCOME_KNOWN);
    nns_request_list_free(&waiting);
}

/* Open with one request after the other while their processes turn out dead. */
static void open_claimed(uint32_t inum, struct nns_request own, unsigned *state)
{
    count(WON);
    for (;;) {
        struct nns_request next;

        hold(inum);
        if (rand_r(state) % 4 == 0)
            sched_yield(); /* let others join */
        if (rand_r(state) % 2) {
            open_succeeded(inum, own);
            return;
        }
        let_go(inum);
        settle(own, NNS_OUTCOME_GONE);
        if (!nns_claims_pass(claims, inum, &next)) {
            count(DIED);
            return;
        }
        count(PASSED);
        own = next;
    }
}

static void serve(struct nns_batch *batch, uint32_t requests, unsigned *state)
{
    for (uint32_t at = 0; at < requests; at++) {
        struct nns_request request = {.batch = batch, .at = at};
        uint32_t inum = (uint32_t)rand_r(state) % INUMS;
        int answer = nns_claims_take(claims, inum, request);

        if (answer == NNS_CLAIM_WON)
            open_claimed(inum, request, state);
        else if (answer == NNS_CLAIM_JOINED)
            count(JOINED);
        else
            broken("no memory");
    }
}

static void *work(void *argument)
{
    unsigned state = (unsigned)(uintptr_t)argument;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint32_t requests = 1 + (uint32_t)rand_r(&state) % 64;
        struct nns_batch *batch = nns_batch_new(requests);

        if (!batch)
            broken("no memory");
        for (uint32_t i = 0; i < requests; i++)
            nns_batch_add(batch, i);
        atomic_fetch_add_explicit(&open_batches, 1, memory_order_relaxed);
        serve(batch, requests, &state); /* the batch may be gone before this returns */
    }
    return NULL;
}

static bool enough(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (atomic_load_explicit(&happened[kind], memory_order_relaxed) <= WANTED)
            return false;
    return true;
}

/* Look every 10 ms whether the counts are reached. */
static void wait_for_enough(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (int left = DEADLINE_SECONDS * 100; left && !enough(); left--)
        nanosleep(&pause, NULL);
}

int main(void)
{
    pthread_t threads[THREADS];

    claims = nns_claims_new();
    if (!claims)
        return 3;
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(i + 1)) != 0)
            return 3;
    wait_for_enough();
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    printf("torture_claims: %d threads, %lu won, %lu joined, %lu passed, %lu died\n", THREADS,
           (unsigned long)happened[WON], (unsigned long)happened[JOINED], (unsigned long)happened[PASSED],
           (unsigned long)happened[DIED]);
    if (nns_claims_count(claims) || open_batches)
        broken("claims or requests were left over");
    nns_claims_free(claims);
    return enough() ? 0 : 3;
}

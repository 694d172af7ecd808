/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_TESTS_UNIT_FEED_HOST_H
#define NNS_TESTS_UNIT_FEED_HOST_H

#include "loop_host.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/backoff.h"
#include "workers/letters.h"
#include "workers/mailbox.h"

/*
 * For feeds of events to the owner: the loop they run in, the owner's mailbox, and pauses after failures,
 * which are as long as the test has them.
 */
enum { BOX = 2, FEED_HOST_PAUSE_MS = 1000, FEED_HOST_PAUSES = 32 };

static struct nns_mailbox box;

/* How often in a row it had failed when each pause began. */
static struct {
    uint64_t ms;
    unsigned count, failures[FEED_HOST_PAUSES];
} pauses = {.ms = FEED_HOST_PAUSE_MS};

/* In place of core/backoff.c. */
uint64_t nns_backoff_ms(unsigned tries)
{
    cr_assert_lt(tries, NNS_TRIES_MAX, "it is given up");
    cr_assert_lt(pauses.count, FEED_HOST_PAUSES);
    pauses.failures[pauses.count++] = tries;
    return pauses.ms;
}

/* Of a failure that came `count` times in a row, from the first on. */
static inline void expect_growing_pauses(unsigned count)
{
    cr_assert_eq(pauses.count, count);
    for (unsigned i = 0; i < count; i++)
        cr_expect_eq(pauses.failures[i], i + 1 < NNS_TRIES_MAX ? i + 1 : NNS_TRIES_MAX - 1);
    pauses.count = 0;
}

static inline void feed_host_open(void)
{
    loop_host_open();
    cr_assert_eq(nns_mailbox_init(&box, BOX), 0);
}

static inline void feed_host_close(void)
{
    loop_host_close();
    nns_mailbox_deinit(&box);
    loop_host_expect_no_leak();
}

static inline void turn(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        uv_run(&loop, UV_RUN_ONCE);
}

/* Show what came for the owner, and free it. Returns how many letters it was. */
static inline unsigned feed_host_take(int kind, void (*see)(const struct nns_letter *letter))
{
    struct nns_letter *letter = nns_mailbox_take(&box, 0);
    unsigned count = 0;

    for (struct nns_letter *next; letter; letter = next, count++) {
        next = letter->next;
        cr_assert_eq(letter->kind, kind);
        see(letter);
        free(letter);
    }
    return count;
}

static inline void feed_host_drain(int fd)
{
    uint64_t value;

    cr_assert_eq(read(fd, &value, sizeof(value)) < 0 && errno != EAGAIN, 0);
}

#endif

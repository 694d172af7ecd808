/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_MAILBOX_H
#define NNS_WORKERS_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/cache_line.h"

/*
 * The owner's mailbox: many senders, one receiver, who may wait for one thing more beside letters.
 *
 * Workers post opened namespaces and wait while the box is full: that is the backpressure which, through the
 * workers' own queue, ends at the senders of the pid queue. The loop thread must never wait: what it posts is
 * bounded by the number of clients, and by its reading no events while the box is full. The receiver takes
 * all letters at once and is woken only when the box was empty.
 */
struct nns_letter {
    struct nns_letter *next;
    int kind; /* enum nns_letter_kind in workers/letters.h */
};

/* Posting and taking write the first line; the second one changes only where somebody waits for room. */
struct nns_mailbox {
    _Alignas(NNS_CACHE_LINE) uv_mutex_t lock; /* guards this line; held for a few instructions */
    struct nns_letter *first, **last;
    uint32_t count;
    bool awaited; /* the loop thread found it full, and leaves its feeds unread */
    bool asleep;  /* the receiver waits, and the bell has not been rung for it yet */
    _Alignas(NNS_CACHE_LINE) uint32_t bound; /* constant, as are the descriptors */
    int bell, epoll;
    uv_cond_t emptied;
};

_Static_assert(sizeof(uv_mutex_t) > 40 || offsetof(struct nns_mailbox, bound) == NNS_CACHE_LINE,
               "a letter is posted within a line");

/* Two descriptors. 0 or -errno. */
int nns_mailbox_init(struct nns_mailbox *box, uint32_t bound);
void nns_mailbox_deinit(struct nns_mailbox *box); /* what is still in it is lost */

/* Post, waiting while the box is full. */
void nns_mailbox_post(struct nns_mailbox *box, struct nns_letter *letter);

/* Post at once, full or not. */
void nns_mailbox_post_now(struct nns_mailbox *box, struct nns_letter *letter);

/* Is it full? Then whoever takes out of it will be told, by nns_mailbox_awaited, that somebody waits. */
bool nns_mailbox_full(struct nns_mailbox *box);

/* Was it found full since the last call? After taking. */
bool nns_mailbox_awaited(struct nns_mailbox *box);

/* By the receiver: wait also for a descriptor of its own to be readable; or not any more. It stays open
 * meanwhile. One at a time. 0 or -errno. */
int nns_mailbox_watch(struct nns_mailbox *box, int fd);
void nns_mailbox_unwatch(struct nns_mailbox *box, int fd);

/* Take all letters, in order of posting; waits up to timeout_ms for the first (UINT64_MAX: without end), or
 * for what else is watched. NULL: none came. */
struct nns_letter *nns_mailbox_take(struct nns_mailbox *box, uint64_t timeout_ms);

/* Would taking have to wait? */
bool nns_mailbox_empty(struct nns_mailbox *box);

#endif

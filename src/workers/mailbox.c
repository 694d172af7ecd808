/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/mailbox.h"

#include <stdbool.h>

int nns_mailbox_init(struct nns_mailbox *box, uint32_t bound)
{
    int rc = uv_mutex_init(&box->lock);

    if (rc)
        return rc;
    rc = uv_cond_init(&box->filled);
    if (rc)
        goto no_filled;
    rc = uv_cond_init(&box->emptied);
    if (rc)
        goto no_emptied;
    box->first = NULL;
    box->last = &box->first;
    box->count = 0;
    box->bound = bound;
    box->awaited = false;
    return 0;

no_emptied:
    uv_cond_destroy(&box->filled);
no_filled:
    uv_mutex_destroy(&box->lock);
    return rc;
}

void nns_mailbox_deinit(struct nns_mailbox *box)
{
    uv_cond_destroy(&box->emptied);
    uv_cond_destroy(&box->filled);
    uv_mutex_destroy(&box->lock);
}

/* True for the first letter, of which the owner has to be told: once the lock is free, or it would wake up
 * only to wait for that. */
static bool append(struct nns_mailbox *box, struct nns_letter *letter)
{
    letter->next = NULL;
    *box->last = letter;
    box->last = &letter->next;
    return box->count++ == 0;
}

void nns_mailbox_post(struct nns_mailbox *box, struct nns_letter *letter)
{
    bool first;

    uv_mutex_lock(&box->lock);
    while (box->count >= box->bound)
        uv_cond_wait(&box->emptied, &box->lock);
    first = append(box, letter);
    uv_mutex_unlock(&box->lock);
    if (first)
        uv_cond_signal(&box->filled);
}

void nns_mailbox_post_now(struct nns_mailbox *box, struct nns_letter *letter)
{
    bool first;

    uv_mutex_lock(&box->lock);
    first = append(box, letter);
    uv_mutex_unlock(&box->lock);
    if (first)
        uv_cond_signal(&box->filled);
}

bool nns_mailbox_full(struct nns_mailbox *box)
{
    bool full;

    uv_mutex_lock(&box->lock);
    full = box->count >= box->bound;
    box->awaited = box->awaited || full;
    uv_mutex_unlock(&box->lock);
    return full;
}

bool nns_mailbox_awaited(struct nns_mailbox *box)
{
    bool awaited;

    uv_mutex_lock(&box->lock);
    awaited = box->awaited;
    box->awaited = false;
    uv_mutex_unlock(&box->lock);
    return awaited;
}

bool nns_mailbox_empty(struct nns_mailbox *box)
{
    bool empty;

    uv_mutex_lock(&box->lock);
    empty = !box->count;
    uv_mutex_unlock(&box->lock);
    return empty;
}

/* Longest single wait: keeps nanoseconds within 64 bits; the caller's loop comes round again. */
enum { LONGEST_WAIT_MS = 3600 * 1000 };

struct nns_letter *nns_mailbox_take(struct nns_mailbox *box, uint64_t timeout_ms)
{
    struct nns_letter *all;

    if (timeout_ms > LONGEST_WAIT_MS)
        timeout_ms = LONGEST_WAIT_MS;
    uv_mutex_lock(&box->lock);
    if (!box->count && timeout_ms)
        uv_cond_timedwait(&box->filled, &box->lock, timeout_ms * 1000000);
    all = box->first;
    box->first = NULL;
    box->last = &box->first;
    if (box->count >= box->bound)
        uv_cond_broadcast(&box->emptied);
    box->count = 0;
    uv_mutex_unlock(&box->lock);
    return all;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/mailbox.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int add(const struct nns_mailbox *box, int fd)
{
    struct epoll_event readable = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(box->epoll, EPOLL_CTL_ADD, fd, &readable) ? -errno : 0;
}

static int open_bell(struct nns_mailbox *box)
{
    int rc;

    box->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (box->bell < 0)
        return -errno;
    box->epoll = epoll_create1(EPOLL_CLOEXEC);
    rc = box->epoll < 0 ? -errno : add(box, box->bell);
    if (!rc)
        return 0;
    if (box->epoll >= 0)
        close(box->epoll);
    close(box->bell);
    return rc;
}

int nns_mailbox_init(struct nns_mailbox *box, uint32_t bound)
{
    int rc = uv_mutex_init(&box->lock);

    if (rc)
        return rc;
    rc = uv_cond_init(&box->emptied);
    if (rc)
        goto no_emptied;
    rc = open_bell(box);
    if (rc)
        goto no_bell;
    box->first = NULL;
    box->last = &box->first;
    box->count = 0;
    box->bound = bound;
    box->awaited = box->asleep = false;
    return 0;

no_bell:
    uv_cond_destroy(&box->emptied);
no_emptied:
    uv_mutex_destroy(&box->lock);
    return rc;
}

void nns_mailbox_deinit(struct nns_mailbox *box)
{
    close(box->epoll);
    close(box->bell);
    uv_cond_destroy(&box->emptied);
    uv_mutex_destroy(&box->lock);
}

int nns_mailbox_watch(struct nns_mailbox *box, int fd)
{
    return add(box, fd);
}

void nns_mailbox_unwatch(struct nns_mailbox *box, int fd)
{
    epoll_ctl(box->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* True when the receiver is to be woken: once the lock is free, or it would wake up only to wait for that. */
static bool append(struct nns_mailbox *box, struct nns_letter *letter)
{
    bool asleep = box->asleep;

    letter->next = NULL;
    *box->last = letter;
    box->last = &letter->next;
    box->count++;
    box->asleep = false;
    return asleep;
}

void nns_mailbox_post(struct nns_mailbox *box, struct nns_letter *letter)
{
    bool wake;

    uv_mutex_lock(&box->lock);
    while (box->count >= box->bound)
        uv_cond_wait(&box->emptied, &box->lock);
    wake = append(box, letter);
    uv_mutex_unlock(&box->lock);
    if (wake)
        eventfd_write(box->bell, 1);
}

void nns_mailbox_post_now(struct nns_mailbox *box, struct nns_letter *letter)
{
    bool wake;

    uv_mutex_lock(&box->lock);
    wake = append(box, letter);
    uv_mutex_unlock(&box->lock);
    if (wake)
        eventfd_write(box->bell, 1);
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

/* Longest single wait: the caller's loop comes round again. */
enum { LONGEST_WAIT_MS = 3600 * 1000 };

/* The receiver's. A bell that is rung when something else has woken it already wakes it once more for
 * nothing. */
static void wait_for_any(const struct nns_mailbox *box, uint64_t timeout_ms)
{
    struct epoll_event happened[2];
    eventfd_t rung;
    int count =
        epoll_wait(box->epoll, happened, 2, timeout_ms < LONGEST_WAIT_MS ? (int)timeout_ms : LONGEST_WAIT_MS);

    for (int i = 0; i < count; i++)
        if (happened[i].data.fd == box->bell)
            eventfd_read(box->bell, &rung);
}

struct nns_letter *nns_mailbox_take(struct nns_mailbox *box, uint64_t timeout_ms)
{
    struct nns_letter *all;

    uv_mutex_lock(&box->lock);
    if (!box->count && timeout_ms) {
        box->asleep = true;
        uv_mutex_unlock(&box->lock);
        wait_for_any(box, timeout_ms);
        uv_mutex_lock(&box->lock);
        box->asleep = false;
    }
    all = box->first;
    box->first = NULL;
    box->last = &box->first;
    if (box->count >= box->bound)
        uv_cond_broadcast(&box->emptied);
    box->count = 0;
    uv_mutex_unlock(&box->lock);
    return all;
}

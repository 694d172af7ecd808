/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_LETTERS_H
#define NNS_WORKERS_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cache.h"
#include "core/claims.h"
#include "core/report.h"
#include "io/link_events.h"
#include "io/netns.h"
#include "io/proc.h"
#include "io/trace.h"
#include "workers/mailbox.h"

/* What the owner thread receives. Whoever posts a letter gives it away; the owner frees it, or sends an order
 * back. */
enum nns_letter_kind {
    NNS_LETTER_OPENED,
    NNS_LETTER_SWEPT,
    NNS_LETTER_LOOKED,
    NNS_LETTER_LINKS,
    NNS_LETTER_ORDER
};

/* From a worker: a namespace it claimed and opened. The owner ends the claim. */
struct nns_opened {
    struct nns_letter letter;
    struct nns_request request; /* the winner's own */
    uint64_t claim;             /* its key */
    struct nns_netns_id id;     /* read from the fd */
    int fd;                     /* owned by the letter */
    struct nns_place place;     /* likewise: what led there */
};

/* From a worker: which namespaces some process or mount holds. */
struct nns_swept {
    struct nns_letter letter;
    uint64_t began_ms;
    int error; /* 0, or -errno: then nothing follows */
    struct nns_inums inhabited;
};

/* From a worker: it has looked at tasks and mounts. What it found was posted before. */
struct nns_looked {
    struct nns_letter letter;
    bool searched; /* an NNS_CHORE_SEARCH, else an NNS_CHORE_SCAN */
    int error;     /* 0, or -errno: then not all was seen */
    uint64_t began_ms, ended_ms;
};

#define NNS_EVENTS_MAX 128

/* From the loop thread: what rtnetlink told of devices. */
struct nns_link_news {
    struct nns_letter letter;
    bool lost; /* others were: anything may have changed in the namespaces it tells of */
    uint32_t count;
    struct nns_link_event items[NNS_EVENTS_MAX];
};

/* Which namespace an operator means. A number is tried as a cookie, then as an inum. */
struct nns_selector {
    uint64_t cookie; /* 0: not given */
    uint32_t inum;   /* 0: not given */
};

enum nns_order_kind {
    NNS_ORDER_LIST, /* rows of the next namespaces after the cursor */
    NNS_ORDER_GET,  /* the row of one */
    NNS_ORDER_STATUS,
    NNS_ORDER_FLUSH,   /* forget one, our filters removed */
    NNS_ORDER_DETACH,  /* forget all */
    NNS_ORDER_WAIT,    /* answered when every device of these namespaces is attached or has a reason */
    NNS_ORDER_WATCH,   /* one more wants news; what comes after the answer's sequence number is told */
    NNS_ORDER_UNWATCH, /* one fewer */
    NNS_ORDER_STOP     /* Close: detach unless keep_attached, purge, end the owner thread */
};

#define NNS_ORDER_ROWS 64

/* What a WAIT can come to that no errno says, and none is positive. */
enum nns_wait_end {
    NNS_WAIT_FORGOTTEN = 1, /* a namespace is known no more */
    NNS_WAIT_ASTRAY,        /* nothing leads to it that a look could find */
    NNS_WAIT_INTERRUPTED,   /* its listings are */
    NNS_WAIT_UNANSWERED     /* the kernel gave no answer for a device */
};

/* From the loop thread: a question or a command, sent back answered through the completions. */
struct nns_order {
    struct nns_letter letter;
    struct nns_order *next; /* among the completions */
    void *job;              /* the loop's */
    enum nns_order_kind kind;
    int error; /* 0, or -errno (-ENOENT: no such namespace; -EBUSY: some filter could not be removed;
                * -ECANCELED: the daemon is stopping). WAIT: an end above, or why a namespace could not be
                * visited or looked for */

    struct nns_selector selector; /* GET, FLUSH, WATCH: 0 for all; answered with the cookie of a known one */
    struct nns_cache_cursor cursor; /* LIST: where to go on */
    uint32_t evicted_cursor;        /* LIST: likewise among the evicted */
    bool more;                      /* LIST: not at the end yet */
    struct nns_namespace_row *rows; /* LIST, GET: NNS_ORDER_ROWS of them; owned */
    size_t row_count;
    uint64_t *cookies;                 /* WAIT: owned */
    size_t cookie_count, cookies_open; /* WAIT: open ones are the owner's to count down */
    struct nns_status *status;         /* STATUS: owned */
    uint64_t news_sequence;            /* WATCH */
};

struct nns_order *nns_order_new(enum nns_order_kind kind, void *job); /* NULL without memory */
void nns_order_free(struct nns_order *order);

#endif

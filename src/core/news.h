/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_NEWS_H
#define NNS_CORE_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/device.h"

/*
 * What happens to namespaces and devices, for those who watch (`netnsync watch`): told by the owner thread,
 * kept by the loop thread for as long as the slowest client may lag, turned into JSON by core/protocol.h.
 *
 * Each piece has a sequence number, one more than the piece before it, whether that reached anybody or not:
 * whoever finds numbers missing knows how much it has missed.
 */
enum nns_news_kind {
    NNS_NEWS_WATCHING, /* the first a client is told: whatever happens after this number, it hears of */
    NNS_NEWS_LOST,     /* it was too slow: so many pieces were dropped, up to this number */
    NNS_NEWS_NAMESPACE_NEW,
    NNS_NEWS_NAMESPACE_FAILED, /* its devices cannot be listed or reached */
    NNS_NEWS_NAMESPACE_GONE,   /* not known any more, nor its devices */
    NNS_NEWS_DEVICE_ATTACHED,
    NNS_NEWS_DEVICE_RESTORED, /* a filter of ours was missing, and was put back */
    NNS_NEWS_DEVICE_FAILED,
    NNS_NEWS_DEVICE_DETACHED, /* it has lost all filters by another's hand; to be attached anew */
    NNS_NEWS_DEVICE_RENAMED,
    NNS_NEWS_DEVICE_EXCLUDED,
    NNS_NEWS_DEVICE_GONE,
    NNS_NEWS_KINDS
};

struct nns_news {
    uint64_t sequence;
    uint64_t time_ms; /* since 1970, UTC */
    uint64_t cookie;  /* 0 with WATCHING and LOST */
    uint64_t amount;  /* LOST: how many; FAILED: when it is tried again, in milliseconds, 0: not any more */
    const char *text; /* a constant: why NAMESPACE_FAILED and _GONE; WATCHING: the instance; else NULL */
    uint32_t inum;
    uint8_t kind;             /* enum nns_news_kind */
    uint8_t handle;           /* NAMESPACE_NEW: enum nns_handle_kind */
    bool host;                /* NAMESPACE_NEW: the daemon's own */
    char former[IFNAMSIZ];    /* DEVICE_RENAMED */
    struct nns_device device; /* DEVICE_…: as it is now */
};

/* How they come from the owner. */
#define NNS_NEWS_BATCH 64

struct nns_news_batch {
    struct nns_news_batch *next;
    uint32_t count;
    struct nns_news items[NNS_NEWS_BATCH];
};

/* "namespace.new", "device.attached", … */
const char *nns_news_name(enum nns_news_kind kind);

/* Milliseconds since 1970. */
uint64_t nns_news_time_ms(void);

/*
 * The last so many pieces, for any number of readers, each with its own place. A reader that falls behind
 * finds, instead of what was dropped, one piece that says how many it has missed. One thread.
 */
#define NNS_NEWS_KEPT 8192

struct nns_news_log {
    struct nns_news *items; /* a ring of NNS_NEWS_KEPT; NULL: nothing is kept */
    uint64_t added;         /* how many ever: the ring holds the last of them */
    uint64_t last;          /* the sequence number of the last piece that there was, kept or not */
};

struct nns_news_reader {
    uint64_t place;    /* in the log, counted like `added` */
    uint64_t sequence; /* of the last piece it knows of */
};

/* 0 or -ENOMEM. What was told up to `last` is not in it. */
int nns_news_log_init(struct nns_news_log *log, uint64_t last);
void nns_news_log_deinit(struct nns_news_log *log);

/* Add a piece whose sequence number is higher than that of all before. */
void nns_news_log_add(struct nns_news_log *log, const struct nns_news *news);

/* Pieces up to this number came to be, whether they were added or not. */
void nns_news_log_reach(struct nns_news_log *log, uint64_t last);

/* A reader of all that comes after this number, whether it is in the log already or not. */
struct nns_news_reader nns_news_reader_at(const struct nns_news_log *log, uint64_t sequence);

/* The reader's next piece. False when it has had all. */
bool nns_news_read(const struct nns_news_log *log, struct nns_news_reader *reader, struct nns_news *news);

#endif

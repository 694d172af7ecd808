/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_NETLINK_H
#define NNS_CORE_NETLINK_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Netlink messages: many requests in one buffer, and what the kernel answers to each. Pure: no system calls.
 *
 * Requests are written one after another: begin, put…, end. Memory that runs out is remembered in ->failed
 * and everything after it ignored, so that only the sender needs to look. Zero-initialised is empty; a batch
 * is used again after nns_netlink_batch_clear. One thread at a time.
 *
 * Answers are read from the datagrams as they come, in any order, told apart by their sequence numbers.
 */
#define NNS_NETLINK_UNHEARD 1 /* no errno is positive: the answer has not come, or was lost */

struct nns_netlink_request {
    uint32_t end;   /* where it ends in the buffer */
    uint32_t about; /* whatever tells its sender what it was for */
    int32_t answer; /* 0, -errno or NNS_NETLINK_UNHEARD */
};

struct nns_netlink_batch {
    char *bytes;
    size_t length, capacity;
    struct nns_netlink_request *requests;
    size_t count, room;
    size_t begun; /* where the request being written starts */
    bool failed;
};

void nns_netlink_batch_clear(struct nns_netlink_batch *batch);
void nns_netlink_batch_deinit(struct nns_netlink_batch *batch);

/* Start a request: its netlink header and the fixed header of its family. NLM_F_REQUEST is added. */
void nns_netlink_begin(struct nns_netlink_batch *batch, uint16_t type, uint16_t flags, const void *header,
                       size_t length);

void nns_netlink_put(struct nns_netlink_batch *batch, uint16_t type, const void *data, size_t length);
void nns_netlink_put_u32(struct nns_netlink_batch *batch, uint16_t type, uint32_t value);
void nns_netlink_put_string(struct nns_netlink_batch *batch, uint16_t type, const char *text);

/* Attributes put between the two are inside of it. */
size_t nns_netlink_nest(struct nns_netlink_batch *batch, uint16_t type);
void nns_netlink_unnest(struct nns_netlink_batch *batch, size_t nest);

/* Finish the request. */
void nns_netlink_end(struct nns_netlink_batch *batch, uint32_t about);

/* How many requests from `first` on fit into `bytes` and `most`: at least one, while there is one. */
size_t nns_netlink_cut(const struct nns_netlink_batch *batch, size_t first, size_t bytes, size_t most);

/* Some of a batch's requests, on their way. */
struct nns_netlink_part {
    struct nns_netlink_request *requests;
    size_t count;
    uint32_t sequence;
    void *bytes;
    size_t length;
    bool questions; /* each is answered by an object, or by an error */
};

/* Number `count` requests from `first` on, and ask for an acknowledgement of the last alone, or of none of
 * questions: errors are answered anyway, and so its answer says that all others have been given. */
struct nns_netlink_part nns_netlink_seal(struct nns_netlink_batch *batch, size_t first, size_t count,
                                         bool questions);

/* Sequence numbers nobody of this thread has used for long: `count` from the one returned on. */
uint32_t nns_netlink_sequence(size_t count);

/* Takes an object the kernel shows; `about` is what was asked about. */
struct nns_netlink_taker {
    void (*take)(void *context, uint32_t about, const struct nlmsghdr *message);
    void *context;
};

/* Note the answers in a datagram; objects go to the taker, which may be NULL. True when the last request's
 * answer was among them: then all have been given, and, if no datagram was lost, those unheard are 0. */
bool nns_netlink_hear(const struct nns_netlink_part *part, const void *bytes, size_t length,
                      const struct nns_netlink_taker *taker);

void nns_netlink_heard_all(const struct nns_netlink_part *part);

/* Show what a datagram of a dump holds to the taker. 1: more follows; 0: that was all; -errno from the
 * kernel. *incomplete is set when the kernel says that things changed meanwhile, and never cleared. */
int nns_netlink_hear_dump(uint32_t sequence, uint32_t about, const void *bytes, size_t length,
                          const struct nns_netlink_taker *taker, bool *incomplete);

/* The first attribute of a type after the fixed header of a message, or inside another attribute; NULL
 * without one of at least `least` bytes. */
const struct nlattr *nns_netlink_find(const struct nlmsghdr *message, size_t header, uint16_t type,
                                      size_t least);
const struct nlattr *nns_netlink_find_in(const struct nlattr *nest, uint16_t type, size_t least);

static inline const void *nns_netlink_data(const struct nlattr *attribute)
{
    return (const char *)attribute + NLA_HDRLEN;
}

static inline size_t nns_netlink_length(const struct nlattr *attribute)
{
    return attribute->nla_len - NLA_HDRLEN;
}

uint32_t nns_netlink_u32(const struct nlattr *attribute);

/* A string attribute's text, NULL when it does not end. */
const char *nns_netlink_text(const struct nlattr *attribute);

#endif

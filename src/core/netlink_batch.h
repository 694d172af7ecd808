/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_NETLINK_BATCH_H
#define NNS_CORE_NETLINK_BATCH_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Many netlink requests in one buffer, and the kernel's answer to each.
 *
 * Requests are written one after another: begin, put…, end. Memory that runs out is remembered in ->failed
 * and everything after it ignored, so that only the sender needs to look. Zero-initialised is empty; a batch
 * is used again after nns_netlink_batch_clear. One thread at a time; no system calls.
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

/* Number requests first … first + count - 1 from `sequence` up, and ask for an acknowledgement of the last
 * alone: errors are answered anyway, and so its answer says that all others have been given. Returns where
 * their bytes are; *length how many. */
void *nns_netlink_seal(struct nns_netlink_batch *batch, size_t first, size_t count, uint32_t sequence,
                       size_t *length);

#endif

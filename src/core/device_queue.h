/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_DEVICE_QUEUE_H
#define NNS_CORE_DEVICE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"

/*
 * A namespace's devices that await a handle or an attachment: first in, first out, each ifindex once,
 * bounded.
 *
 * When the bound is reached the queue remembers that it overflowed, and its namespace is listed again instead
 * (nothing is lost, only looked up twice). Owner thread only. Zero-initialised is empty.
 */
struct nns_device_queue {
    struct nns_link *items;
    uint32_t count, capacity;
    uint32_t highest; /* no ifindex above it was pushed since the queue was last empty */
    bool overflowed;
};

enum nns_device_queue_answer {
    NNS_DEVICE_QUEUED_NEW,
    NNS_DEVICE_QUEUED_ALREADY,  /* its attributes were renewed in place */
    NNS_DEVICE_QUEUE_OVERFLOWED /* at the bound; remembered in ->overflowed */
};

/* Queue a device; bound is the most it may hold. An answer above, or -ENOMEM (also remembered as an
 * overflow). */
int nns_device_queue_push(struct nns_device_queue *queue, const struct nns_link *link,
                          uint32_t bound) NNS_OWNER_ONLY;

/* Take one device out wherever it stands. True if it was there. */
bool nns_device_queue_drop(struct nns_device_queue *queue, uint32_t ifindex) NNS_OWNER_ONLY;

/* Empty the queue and free its memory. */
void nns_device_queue_clear(struct nns_device_queue *queue) NNS_OWNER_ONLY;

#endif

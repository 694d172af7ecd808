/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 4 };

static struct nns_link *find(const struct nns_device_queue *queue, uint32_t ifindex)
{
    /* A listing comes in ascending order: filling a queue from one stays linear. */
    if (ifindex > queue->highest)
        return NULL;
    for (uint32_t i = 0; i < queue->count; i++)
        if (queue->items[i].ifindex == ifindex)
            return &queue->items[i];
    return NULL;
}

static bool grow(struct nns_device_queue *queue)
{
    uint32_t capacity = queue->capacity ? queue->capacity * 2 : CAPACITY_FIRST;
    struct nns_link *items = realloc(queue->items, capacity * sizeof(*items));

    if (!items)
        return false;
    queue->items = items;
    queue->capacity = capacity;
    return true;
}

int nns_device_queue_push(struct nns_device_queue *queue, const struct nns_link *link, uint32_t bound)
{
    struct nns_link *there = find(queue, link->ifindex);

    if (there) {
        *there = *link;
        return NNS_DEVICE_QUEUED_ALREADY;
    }
    if (queue->count >= bound) {
        queue->overflowed = true;
        return NNS_DEVICE_QUEUE_OVERFLOWED;
    }
    if (queue->count == queue->capacity && !grow(queue)) {
        queue->overflowed = true;
        return -ENOMEM;
    }
    queue->items[queue->count++] = *link;
    if (link->ifindex > queue->highest)
        queue->highest = link->ifindex;
    return NNS_DEVICE_QUEUED_NEW;
}

bool nns_device_queue_drop(struct nns_device_queue *queue, uint32_t ifindex)
{
    struct nns_link *link = find(queue, ifindex);

    if (!link)
        return false;
    queue->count--;
    memmove(link, link + 1, (size_t)(queue->items + queue->count - link) * sizeof(*link));
    if (!queue->count)
        queue->highest = 0;
    return true;
}

void nns_device_queue_clear(struct nns_device_queue *queue)
{
    free(queue->items);
    *queue = (struct nns_device_queue){0};
}

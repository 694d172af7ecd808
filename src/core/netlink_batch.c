/* SPDX-License-Identifier: Apache-2.0 */
#include "core/netlink_batch.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 2048

void nns_netlink_batch_clear(struct nns_netlink_batch *batch)
{
    batch->length = batch->count = batch->begun = 0;
    batch->failed = false;
}

void nns_netlink_batch_deinit(struct nns_netlink_batch *batch)
{
    free(batch->bytes);
    free(batch->requests);
    *batch = (struct nns_netlink_batch){0};
}

static bool make_room(struct nns_netlink_batch *batch, size_t length)
{
    if (batch->failed)
        return false;
    if (length <= batch->capacity - batch->length)
        return true;
    size_t capacity = batch->capacity ? batch->capacity : FIRST_BYTES;
    while (capacity - batch->length < length)
        capacity *= 2;
    char *bytes = realloc(batch->bytes, capacity);
    if (!bytes) {
        batch->failed = true;
        return false;
    }
    batch->bytes = bytes;
    batch->capacity = capacity;
    return true;
}

/* Room for `length` bytes and their padding, zeroed where the padding is: the kernel reads it. */
static char *extend(struct nns_netlink_batch *batch, size_t length)
{
    size_t padded = NLMSG_ALIGN(length);
    if (!make_room(batch, padded))
        return NULL;
    char *place = batch->bytes + batch->length;
    memset(place + length, 0, padded - length);
    batch->length += padded;
    return place;
}

void nns_netlink_begin(struct nns_netlink_batch *batch, uint16_t type, uint16_t flags, const void *header,
                       size_t length)
{
    batch->begun = batch->length;
    char *place = extend(batch, NLMSG_HDRLEN + length);
    if (!place)
        return;
    struct nlmsghdr head = {.nlmsg_type = type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST)};
    memcpy(place, &head, sizeof(head));
    memcpy(place + NLMSG_HDRLEN, header, length);
}

void nns_netlink_put(struct nns_netlink_batch *batch, uint16_t type, const void *data, size_t length)
{
    char *place = extend(batch, NLA_HDRLEN + length);
    if (!place)
        return;
    struct nlattr head = {.nla_len = (uint16_t)(NLA_HDRLEN + length), .nla_type = type};
    memcpy(place, &head, sizeof(head));
    if (length)
        memcpy(place + NLA_HDRLEN, data, length);
}

void nns_netlink_put_u32(struct nns_netlink_batch *batch, uint16_t type, uint32_t value)
{
    nns_netlink_put(batch, type, &value, sizeof(value));
}

void nns_netlink_put_string(struct nns_netlink_batch *batch, uint16_t type, const char *text)
{
    nns_netlink_put(batch, type, text, strlen(text) + 1);
}

size_t nns_netlink_nest(struct nns_netlink_batch *batch, uint16_t type)
{
    size_t nest = batch->length;
    nns_netlink_put(batch, type | NLA_F_NESTED, NULL, 0);
    return nest;
}

void nns_netlink_unnest(struct nns_netlink_batch *batch, size_t nest)
{
    if (!batch->failed)
        ((struct nlattr *)(batch->bytes + nest))->nla_len = (uint16_t)(batch->length - nest);
}

static bool make_request_room(struct nns_netlink_batch *batch)
{
    if (batch->count < batch->room)
        return true;
    size_t room = batch->room ? batch->room * 2 : 16;
    struct nns_netlink_request *requests = realloc(batch->requests, room * sizeof(*requests));
    if (!requests) {
        batch->failed = true;
        return false;
    }
    batch->requests = requests;
    batch->room = room;
    return true;
}

void nns_netlink_end(struct nns_netlink_batch *batch, uint32_t about)
{
    if (batch->failed || !make_request_room(batch))
        return;
    ((struct nlmsghdr *)(batch->bytes + batch->begun))->nlmsg_len = (uint32_t)(batch->length - batch->begun);
    batch->requests[batch->count++] = (struct nns_netlink_request){
        .end = (uint32_t)batch->length,
        .about = about,
        .answer = NNS_NETLINK_UNHEARD,
    };
}

static size_t start_of(const struct nns_netlink_batch *batch, size_t index)
{
    return index ? batch->requests[index - 1].end : 0;
}

size_t nns_netlink_cut(const struct nns_netlink_batch *batch, size_t first, size_t bytes, size_t most)
{
    size_t start = start_of(batch, first), next = first;
    while (next < batch->count && next - first < most && batch->requests[next].end - start <= bytes)
        next++;
    if (next == first && first < batch->count)
        next++;
    return next - first;
}

void *nns_netlink_seal(struct nns_netlink_batch *batch, size_t first, size_t count, uint32_t sequence,
                       size_t *length)
{
    size_t start = start_of(batch, first);
    for (size_t i = 0; i < count; i++) {
        struct nlmsghdr *head = (struct nlmsghdr *)(batch->bytes + start_of(batch, first + i));
        head->nlmsg_seq = sequence + (uint32_t)i;
        if (i == count - 1)
            head->nlmsg_flags |= NLM_F_ACK;
    }
    *length = start_of(batch, first + count) - start;
    return batch->bytes + start;
}

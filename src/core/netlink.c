/* SPDX-License-Identifier: Apache-2.0 */
#include "core/netlink.h"

#include <errno.h>
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

uint32_t nns_netlink_sequence(size_t count)
{
    static _Thread_local uint32_t next;
    uint32_t sequence = next;
    next += (uint32_t)count;
    return sequence;
}

struct nns_netlink_part nns_netlink_seal(struct nns_netlink_batch *batch, size_t first, size_t count,
                                         bool questions)
{
    size_t start = start_of(batch, first);
    uint32_t sequence = nns_netlink_sequence(count);
    for (size_t i = 0; i < count; i++) {
        struct nlmsghdr *head = (struct nlmsghdr *)(batch->bytes + start_of(batch, first + i));
        head->nlmsg_seq = sequence + (uint32_t)i;
        if (i == count - 1 && !questions)
            head->nlmsg_flags |= NLM_F_ACK;
    }
    return (struct nns_netlink_part){
        .requests = &batch->requests[first],
        .count = count,
        .sequence = sequence,
        .bytes = batch->bytes + start,
        .length = start_of(batch, first + count) - start,
        .questions = questions,
    };
}

static bool fits(const struct nlmsghdr *message, size_t left)
{
    return left >= NLMSG_HDRLEN && message->nlmsg_len >= NLMSG_HDRLEN && message->nlmsg_len <= left;
}

static const struct nlmsghdr *next_of(const struct nlmsghdr *message, size_t *left)
{
    size_t step = NLMSG_ALIGN(message->nlmsg_len);
    *left -= step < *left ? step : *left;
    return (const struct nlmsghdr *)((const char *)message + step);
}

/* Of NLMSG_ERROR and NLMSG_DONE alike: both begin with it. */
static int error_of(const struct nlmsghdr *message)
{
    int error;
    if (message->nlmsg_len < NLMSG_HDRLEN + sizeof(error))
        return -EPROTO;
    memcpy(&error, (const char *)message + NLMSG_HDRLEN, sizeof(error));
    return error > 0 ? -EPROTO : error;
}

bool nns_netlink_hear(const struct nns_netlink_part *part, const void *bytes, size_t length,
                      const struct nns_netlink_taker *taker)
{
    bool last = false;
    for (const struct nlmsghdr *message = bytes; fits(message, length); message = next_of(message, &length)) {
        uint32_t index = message->nlmsg_seq - part->sequence;
        if (index >= part->count)
            continue;
        if (message->nlmsg_type == NLMSG_ERROR) {
            part->requests[index].answer = error_of(message);
            last = last || index == part->count - 1;
        } else if (taker) {
            taker->take(taker->context, part->requests[index].about, message);
            last = last || (part->questions && index == part->count - 1);
        }
    }
    return last;
}

void nns_netlink_heard_all(const struct nns_netlink_part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        if (part->requests[i].answer == NNS_NETLINK_UNHEARD)
            part->requests[i].answer = 0;
    }
}

int nns_netlink_hear_dump(uint32_t sequence, uint32_t about, const void *bytes, size_t length,
                          const struct nns_netlink_taker *taker, bool *incomplete)
{
    for (const struct nlmsghdr *message = bytes; fits(message, length); message = next_of(message, &length)) {
        if (message->nlmsg_seq != sequence)
            continue;
        if (message->nlmsg_flags & NLM_F_DUMP_INTR)
            *incomplete = true;
        if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
            return error_of(message);
        taker->take(taker->context, about, message);
    }
    return 1;
}

static const struct nlattr *find(const char *place, size_t left, uint16_t type, size_t least)
{
    while (left >= NLA_HDRLEN) {
        const struct nlattr *attribute = (const struct nlattr *)place;
        if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > left)
            return NULL;
        if ((attribute->nla_type & NLA_TYPE_MASK) == type)
            return nns_netlink_length(attribute) >= least ? attribute : NULL;
        size_t step = NLA_ALIGN(attribute->nla_len);
        if (step >= left)
            return NULL;
        place += step;
        left -= step;
    }
    return NULL;
}

const struct nlattr *nns_netlink_find(const struct nlmsghdr *message, size_t header, uint16_t type,
                                      size_t least)
{
    size_t start = NLMSG_HDRLEN + NLMSG_ALIGN(header);
    if (message->nlmsg_len < start)
        return NULL;
    return find((const char *)message + start, message->nlmsg_len - start, type, least);
}

const struct nlattr *nns_netlink_find_in(const struct nlattr *nest, uint16_t type, size_t least)
{
    return find(nns_netlink_data(nest), nns_netlink_length(nest), type, least);
}

uint32_t nns_netlink_u32(const struct nlattr *attribute)
{
    uint32_t value;
    memcpy(&value, nns_netlink_data(attribute), sizeof(value));
    return value;
}

const char *nns_netlink_text(const struct nlattr *attribute)
{
    const char *text = nns_netlink_data(attribute);
    size_t length = nns_netlink_length(attribute);
    return length && text[length - 1] == '\0' ? text : NULL;
}

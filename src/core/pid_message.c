/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pid_message.h"

#include <endian.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    MAGIC_SIZE = 4,
    HEADER_SIZE = 8,
    TYPE_PIDS = 1,
    DIGITS_MAX = 10, /* of a u32; no host's pids have more */
};

static const char magic[MAGIC_SIZE] = {'N', 'N', 'S', '1'};

static void give_pid(uint64_t pid, uint32_t pid_max, const char *what, size_t length,
                     const struct nns_pid_sink *sink)
{
    if (pid == 0 || pid > pid_max)
        sink->refused(sink->context, NNS_REFUSED_RANGE, what, length);
    else
        sink->pid(sink->context, (uint32_t)pid);
}

/* The C locale's white space, whatever the process's locale is. */
static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static void decode_token(const char *token, size_t length, uint32_t pid_max, const struct nns_pid_sink *sink)
{
    uint64_t pid = 0;

    for (size_t i = 0; i < length; i++) {
        if (token[i] < '0' || token[i] > '9') {
            sink->refused(sink->context, NNS_REFUSED_TOKEN, token, length);
            return;
        }
        pid = pid * 10 + (uint64_t)(token[i] - '0');
    }
    /* More digits may have wrapped round to a number that looks fine. */
    give_pid(length > DIGITS_MAX ? 0 : pid, pid_max, token, length, sink);
}

static void decode_text(const char *text, size_t length, uint32_t pid_max, const struct nns_pid_sink *sink)
{
    const char *end = text + length;
    bool any = false;

    /* Senders that count a string's terminator, or send a whole zeroed buffer, mean no harm. */
    while (end > text && end[-1] == '\0')
        end--;
    for (;;) {
        const char *token;

        while (text < end && is_space(*text))
            text++;
        if (text == end)
            break;
        token = text;
        while (text < end && !is_space(*text))
            text++;
        decode_token(token, (size_t)(text - token), pid_max, sink);
        any = true;
    }
    if (!any)
        sink->refused(sink->context, NNS_REFUSED_EMPTY, NULL, length);
}

static uint16_t read_u16(const unsigned char *bytes)
{
    uint16_t value;

    memcpy(&value, bytes, sizeof(value));
    return le16toh(value);
}

static uint32_t read_u32(const unsigned char *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return le32toh(value);
}

/* What is wrong with a binary message as a whole, or NNS_REFUSAL_COUNT. */
static enum nns_refusal check_binary(const unsigned char *message, size_t length)
{
    size_t count;

    if (length < HEADER_SIZE)
        return NNS_REFUSED_TRUNCATED;
    if (read_u16(message + MAGIC_SIZE) != TYPE_PIDS)
        return NNS_REFUSED_TYPE;
    count = read_u16(message + MAGIC_SIZE + 2);
    if (count == 0)
        return NNS_REFUSED_COUNT;
    if (length < nns_pid_message_size(count))
        return NNS_REFUSED_TRUNCATED;
    if (length > nns_pid_message_size(count))
        return NNS_REFUSED_TRAILING;
    return NNS_REFUSAL_COUNT;
}

static void decode_binary(const unsigned char *message, size_t length, uint32_t pid_max,
                          const struct nns_pid_sink *sink)
{
    enum nns_refusal wrong = check_binary(message, length);

    if (wrong != NNS_REFUSAL_COUNT) {
        sink->refused(sink->context, wrong, NULL, length);
        return;
    }
    for (size_t at = HEADER_SIZE; at < length; at += sizeof(uint32_t)) {
        uint32_t pid = read_u32(message + at);
        char text[DIGITS_MAX + 1];
        int digits = 0;

        if (pid == 0 || pid > pid_max)
            digits = snprintf(text, sizeof(text), "%u", pid);
        give_pid(pid, pid_max, text, (size_t)digits, sink);
    }
}

void nns_pid_message_decode(const void *message, size_t length, uint32_t pid_max,
                            const struct nns_pid_sink *sink)
{
    if (length >= MAGIC_SIZE && memcmp(message, magic, MAGIC_SIZE) == 0)
        decode_binary(message, length, pid_max, sink);
    else
        decode_text(message, length, pid_max, sink);
}

size_t nns_pid_message_size(size_t count)
{
    return HEADER_SIZE + count * sizeof(uint32_t);
}

size_t nns_pid_message_capacity(size_t size)
{
    size_t count = size < HEADER_SIZE ? 0 : (size - HEADER_SIZE) / sizeof(uint32_t);

    return count < UINT16_MAX ? count : UINT16_MAX;
}

size_t nns_pid_message_encode(void *buffer, const uint32_t *pids, uint16_t count)
{
    uint16_t header[2] = {htole16(TYPE_PIDS), htole16(count)};
    unsigned char *at = buffer;

    memcpy(at, magic, MAGIC_SIZE);
    memcpy(at + MAGIC_SIZE, header, sizeof(header));
    at += HEADER_SIZE;
    for (size_t i = 0; i < count; i++, at += sizeof(uint32_t)) {
        uint32_t pid = htole32(pids[i]);

        memcpy(at, &pid, sizeof(pid));
    }
    return nns_pid_message_size(count);
}

const char *nns_refusal_name(enum nns_refusal reason)
{
    static const char *const names[NNS_REFUSAL_COUNT] = {
        [NNS_REFUSED_EMPTY] = "empty",       [NNS_REFUSED_TOKEN] = "token",
        [NNS_REFUSED_RANGE] = "range",       [NNS_REFUSED_TRUNCATED] = "truncated",
        [NNS_REFUSED_TRAILING] = "trailing", [NNS_REFUSED_TYPE] = "type",
        [NNS_REFUSED_COUNT] = "count",
    };

    return reason < NNS_REFUSAL_COUNT ? names[reason] : "invalid";
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_PID_MESSAGE_H
#define NNS_CORE_PID_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The messages of the pid queue (docs/queue-format.md).
 *
 * Text: decimal pids separated by white space. Binary, little endian: "NNS1", u16 type (1 = pids), u16 count,
 * count × u32. A bad token or pid is refused alone; a bad header, or a count that does not match the length,
 * refuses the message.
 */
enum nns_refusal {
    NNS_REFUSED_EMPTY,     /* no byte, or white space only */
    NNS_REFUSED_TOKEN,     /* text: not a decimal number; a trailing NUL is white space */
    NNS_REFUSED_RANGE,     /* 0, or above the host's pid_max */
    NNS_REFUSED_TRUNCATED, /* binary: shorter than its header or its count says */
    NNS_REFUSED_TRAILING,  /* binary: longer than its count says */
    NNS_REFUSED_TYPE,      /* binary: a type we do not know */
    NNS_REFUSED_COUNT,     /* binary: a count of 0 */
    NNS_REFUSAL_COUNT
};

/* Who receives what a message holds, in the message's order. */
struct nns_pid_sink {
    void (*pid)(void *context, uint32_t pid);
    /* what: the offending word, or a binary pid as decimal text, length bytes, not terminated, for the time
     * of the call; NULL when the whole message of that length is refused. */
    void (*refused)(void *context, enum nns_refusal reason, const char *what, size_t length);
    void *context;
};

/* Decode one message. pid_max: the highest pid the host can have. Never fails: all that is wrong goes to
 * ->refused. */
void nns_pid_message_decode(const void *message, size_t length, uint32_t pid_max,
                            const struct nns_pid_sink *sink);

/* Bytes of a binary message of count pids. */
size_t nns_pid_message_size(size_t count);

/* The most pids a binary message of `size` bytes can hold (at most 65535). */
size_t nns_pid_message_capacity(size_t size);

/* Encode a binary message into buffer, which has nns_pid_message_size(count) bytes. Returns its length. */
size_t nns_pid_message_encode(void *buffer, const uint32_t *pids, uint16_t count);

/* "empty", "token", "range", … as counters and logs show it. */
const char *nns_refusal_name(enum nns_refusal reason);

#endif

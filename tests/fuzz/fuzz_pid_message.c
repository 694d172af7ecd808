/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pid_message.h"

/*
 * Whatever a message holds: each pid handed on is one a host can have; each word of a text, and each pid a
 * binary message announces, is answered exactly once; and the pids handed on survive being encoded and
 * decoded again.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PID_MAX = 4194304 };

struct heard {
    uint32_t *pids;
    size_t pid_count, refused, whole; /* whole: refusals of the whole message */
    size_t length;
    volatile unsigned sum;
};

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void hear_pid(void *context, uint32_t pid)
{
    struct heard *heard = context;

    require(pid >= 1 && pid <= PID_MAX, "no pid of any host");
    heard->pids[heard->pid_count++] = pid;
}

static void hear_refusal(void *context, enum nns_refusal reason, const char *what, size_t length)
{
    struct heard *heard = context;

    require(reason < NNS_REFUSAL_COUNT, "no such reason");
    heard->refused++;
    if (!what) {
        require(length == heard->length, "a message of another length");
        heard->whole++;
        return;
    }
    require(length > 0, "an empty word");
    for (size_t i = 0; i < length; i++)
        heard->sum += (unsigned char)what[i]; /* the address sanitizer looks */
}

static struct heard decode(const void *message, size_t length)
{
    struct heard heard = {.pids = malloc((length + 1) * sizeof(uint32_t)), .length = length};
    struct nns_pid_sink sink = {hear_pid, hear_refusal, &heard};

    require(heard.pids != NULL, "no memory");
    nns_pid_message_decode(message, length, PID_MAX, &sink);
    return heard;
}

/* Written another way than the decoder is: where a word begins. */
static size_t count_words(const uint8_t *data, size_t size)
{
    size_t words = 0;

    while (size > 0 && data[size - 1] == 0)
        size--;
    for (size_t i = 0; i < size; i++) {
        int space = data[i] == ' ' || (data[i] >= 9 && data[i] <= 13);
        int before = i == 0 || data[i - 1] == ' ' || (data[i - 1] >= 9 && data[i - 1] <= 13);

        words += !space && before;
    }
    return words;
}

static void check_counts(const struct heard *heard, const uint8_t *data, size_t size)
{
    size_t answers = heard->pid_count + heard->refused;

    if (heard->whole) {
        require(answers == 1, "a message was refused and served");
        return;
    }
    if (size >= 4 && memcmp(data, "NNS1", 4) == 0) {
        require(answers == (size_t)(data[6] | data[7] << 8), "not one answer a pid");
        require(size == 8 + 4 * answers, "the length is not what the count says");
    } else {
        require(answers == count_words(data, size), "not one answer a word");
    }
}

static void check_round_trip(const struct heard *heard)
{
    size_t length = nns_pid_message_size(heard->pid_count);
    uint8_t *message = malloc(length);
    struct heard again;

    require(message != NULL, "no memory");
    require(nns_pid_message_capacity(length) == heard->pid_count, "the capacity is not what was asked for");
    require(nns_pid_message_encode(message, heard->pids, (uint16_t)heard->pid_count) == length,
            "not the length announced");
    again = decode(message, length);
    require(again.refused == 0 && again.pid_count == heard->pid_count &&
                memcmp(again.pids, heard->pids, heard->pid_count * sizeof(uint32_t)) == 0,
            "other pids after the trip");
    free(again.pids);
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard heard = decode(data, size);

    check_counts(&heard, data, size);
    if (heard.pid_count > 0 && heard.pid_count <= UINT16_MAX)
        check_round_trip(&heard);
    free(heard.pids);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pid_message.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a decode delivered, as one text: "12 13 !token(ab) …". */
struct heard {
    char text[4096];
    size_t length;
    size_t message_length; /* what a refusal of the whole message must say */
};

static void hear_pid(void *context, uint32_t pid)
{
    struct heard *heard = context;

    heard->length += (size_t)sprintf(heard->text + heard->length, "%s%u", heard->length ? " " : "", pid);
}

static void hear_refusal(void *context, enum nns_refusal reason, const char *what, size_t length)
{
    struct heard *heard = context;

    heard->length += (size_t)sprintf(heard->text + heard->length, "%s!%s", heard->length ? " " : "",
                                     nns_refusal_name(reason));
    if (what)
        heard->length += (size_t)sprintf(heard->text + heard->length, "(%.*s)", (int)length, what);
    else
        cr_expect_eq(length, heard->message_length);
}

static const uint32_t pid_max = 32768;

/* From a copy of exactly that size, so that a read beyond it is seen by the address sanitizer. */
static void expect(const void *message, size_t length, const char *wanted)
{
    struct heard heard = {.message_length = length};
    struct nns_pid_sink sink = {hear_pid, hear_refusal, &heard};
    void *copy = malloc(length ? length : 1);

    memcpy(copy, message, length);
    nns_pid_message_decode(copy, length, pid_max, &sink);
    free(copy);
    cr_expect_str_eq(heard.text, wanted);
}

#define expect_bytes(bytes, wanted) expect(bytes, sizeof(bytes) - 1, wanted)

Test(pid_message, text)
{
    expect_bytes("1", "1");
    expect_bytes("12 34\n56\t78\r\n\v\f9", "12 34 56 78 9");
    expect_bytes("  7  ", "7");
    expect_bytes("0012", "12");
    expect_bytes("32768", "32768");
}

Test(pid_message, nul_at_the_end_is_white_space)
{
    expect_bytes("12\0", "12");
    expect_bytes("12 \0\0\0\0", "12");
    expect_bytes("\0", "!empty");
}

Test(pid_message, nothing)
{
    expect_bytes("", "!empty");
    expect_bytes(" \n\t ", "!empty");
}

Test(pid_message, bad_words_are_refused_alone)
{
    expect_bytes("1 12abc 2", "1 !token(12abc) 2");
    expect_bytes("+1 -1 0x1 1.5 1,2", "!token(+1) !token(-1) !token(0x1) !token(1.5) !token(1,2)");
    expect_bytes("abc", "!token(abc)");
    expect_bytes("1\xa0"
                 "2",
                 "!token(1\xa0"
                 "2)");
    expect_bytes("12\0" /* what is printed ends at the NUL */
                 "3 4",
                 "!token(12) 4");
    expect_bytes("nns1 5", "!token(nns1) 5");
    expect_bytes("NNS 5", "!token(NNS) 5");
    expect_bytes("NNS", "!token(NNS)");
}

Test(pid_message, numbers_out_of_range_are_refused_alone)
{
    expect_bytes("0 1", "!range(0) 1");
    expect_bytes("32769 1", "!range(32769) 1");
    expect_bytes("4294967295 4294967296 4294967297",
                 "!range(4294967295) !range(4294967296) !range(4294967297)");
    expect_bytes("18446744073709551617", "!range(18446744073709551617)");
    expect_bytes("00000000001", "!range(00000000001)");
}

Test(pid_message, binary)
{
    expect_bytes("NNS1\1\0\1\0\x67\x12\0\0", "4711");
    expect_bytes("NNS1\1\0\2\0\x67\x12\0\0\x68\x12\0\0", "4711 4712");
}

Test(pid_message, bad_headers_refuse_the_message)
{
    expect_bytes("NNS1", "!truncated");
    expect_bytes("NNS1\1", "!truncated");
    expect_bytes("NNS1\1\0\1", "!truncated");
    expect_bytes("NNS1\1\0\1\0", "!truncated");
    expect_bytes("NNS1\1\0\1\0\1\0\0", "!truncated");
    expect_bytes("NNS1\1\0\2\0\1\0\0\0", "!truncated");
    expect_bytes("NNS1\1\0\1\0\1\0\0\0\0", "!trailing");
    expect_bytes("NNS1\1\0\xff\xff\1\0\0\0", "!truncated");
    expect_bytes("NNS1\0\0\1\0\1\0\0\0", "!type");
    expect_bytes("NNS1\2\0\1\0\1\0\0\0", "!type");
    expect_bytes("NNS1\0\1\1\0\1\0\0\0", "!type");
    expect_bytes("NNS1\1\0\0\0", "!count");
    expect_bytes("NNS1\1\0\0\0\1\0\0\0", "!count");
    expect_bytes("NNS1 123 456", "!type");
}

Test(pid_message, binary_pids_out_of_range_are_refused_alone)
{
    expect_bytes("NNS1\1\0\4\0\1\0\0\0\0\0\0\0\xff\xff\xff\xff\2\0\0\0", "1 !range(0) !range(4294967295) 2");
}

Test(pid_message, what_is_encoded_decodes)
{
    static const uint32_t pids[] = {1, 32768, 300, 70000};
    unsigned char buffer[64];

    cr_expect_eq(nns_pid_message_size(4), 24);
    cr_expect_eq(nns_pid_message_encode(buffer, pids, 4), 24);
    expect(buffer, 24, "1 32768 300 !range(70000)");
}

Test(pid_message, capacity_is_the_inverse_of_size)
{
    cr_expect_eq(nns_pid_message_capacity(0), 0);
    cr_expect_eq(nns_pid_message_capacity(7), 0);
    cr_expect_eq(nns_pid_message_capacity(11), 0);
    cr_expect_eq(nns_pid_message_capacity(12), 1);
    cr_expect_eq(nns_pid_message_capacity(8192), 2046);
    cr_expect_eq(nns_pid_message_capacity(16 << 20), 65535);
    for (size_t size = 8; size < 4096; size++)
        cr_assert(nns_pid_message_size(nns_pid_message_capacity(size)) <= size &&
                  nns_pid_message_size(nns_pid_message_capacity(size) + 1) > size);
}

static void count_pid(void *context, uint32_t pid)
{
    ++*(size_t *)context;
}

static void fail_refusal(void *context, enum nns_refusal reason, const char *what, size_t length)
{
    cr_assert(false, "%s", nns_refusal_name(reason));
}

Test(pid_message, the_longest_message)
{
    size_t count = 0;
    struct nns_pid_sink sink = {count_pid, fail_refusal, &count};
    uint32_t *pids = malloc(65535 * sizeof(*pids));
    void *buffer = malloc(nns_pid_message_size(65535));

    cr_assert(pids && buffer);
    for (uint32_t i = 0; i < 65535; i++)
        pids[i] = i % pid_max + 1;
    nns_pid_message_decode(buffer, nns_pid_message_encode(buffer, pids, 65535), pid_max, &sink);
    cr_expect_eq(count, 65535);
    free(pids);
    free(buffer);
}

Test(pid_message, refusals_have_names)
{
    for (int i = 0; i < NNS_REFUSAL_COUNT; i++)
        cr_expect(strlen(nns_refusal_name(i)) > 0);
    cr_expect_str_eq(nns_refusal_name(NNS_REFUSED_TRAILING), "trailing");
    cr_expect_str_eq(nns_refusal_name(NNS_REFUSAL_COUNT), "invalid");
}

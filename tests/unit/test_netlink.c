/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "core/netlink.h"

static void put_probe(struct nns_netlink_batch *batch, uint32_t about)
{
    uint32_t body = about * 3;
    nns_netlink_begin(batch, 40, NLM_F_EXCL, &body, sizeof(body));
    nns_netlink_put_string(batch, 1, "abc");
    size_t nest = nns_netlink_nest(batch, 2);
    nns_netlink_put_u32(batch, 3, about);
    nns_netlink_put(batch, 4, "xyz", 3);
    nns_netlink_unnest(batch, nest);
    nns_netlink_end(batch, about);
}

static const struct nlmsghdr *at(const struct nns_netlink_part *part, size_t offset)
{
    return (const struct nlmsghdr *)((const char *)part->bytes + offset);
}

Test(netlink, what_is_written_is_read)
{
    struct nns_netlink_batch batch = {0};
    for (uint32_t i = 0; i < 200; i++)
        put_probe(&batch, i);
    cr_assert_not(batch.failed);
    cr_assert_eq(batch.count, 200);
    struct nns_netlink_part part = nns_netlink_seal(&batch, 0, 200, false);
    cr_assert_eq(part.length, batch.length);
    size_t offset = 0;
    for (uint32_t i = 0; i < 200; i++) {
        const struct nlmsghdr *message = at(&part, offset);
        cr_assert_eq(message->nlmsg_seq, part.sequence + i);
        cr_assert_eq(message->nlmsg_type, 40);
        cr_assert_eq(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_EXCL | (i == 199 ? NLM_F_ACK : 0));
        cr_assert_str_eq(nns_netlink_text(nns_netlink_find(message, 4, 1, 1)), "abc");
        const struct nlattr *nest = nns_netlink_find(message, 4, 2, 0);
        cr_assert_eq(nns_netlink_u32(nns_netlink_find_in(nest, 3, 4)), i);
        cr_assert_null(nns_netlink_text(nns_netlink_find_in(nest, 4, 3)), "xyz has no end");
        cr_assert_null(nns_netlink_find_in(nest, 4, 4), "too short");
        cr_assert_null(nns_netlink_find(message, 4, 9, 0));
        offset += message->nlmsg_len;
    }
    cr_assert_eq(offset, part.length);
    nns_netlink_batch_deinit(&batch);
}

Test(netlink, cuts_by_bytes_and_by_number)
{
    struct nns_netlink_batch batch = {0};
    for (uint32_t i = 0; i < 10; i++)
        put_probe(&batch, i);
    size_t one = batch.length / 10;
    cr_assert_eq(nns_netlink_cut(&batch, 0, SIZE_MAX, SIZE_MAX), 10);
    cr_assert_eq(nns_netlink_cut(&batch, 0, 4 * one, SIZE_MAX), 4);
    cr_assert_eq(nns_netlink_cut(&batch, 0, 4 * one - 1, SIZE_MAX), 3);
    cr_assert_eq(nns_netlink_cut(&batch, 8, 4 * one, SIZE_MAX), 2);
    cr_assert_eq(nns_netlink_cut(&batch, 2, SIZE_MAX, 5), 5);
    cr_assert_eq(nns_netlink_cut(&batch, 2, 1, 5), 1, "one always goes");
    cr_assert_eq(nns_netlink_cut(&batch, 10, SIZE_MAX, 5), 0);
    struct nns_netlink_part part = nns_netlink_seal(&batch, 3, 4, false);
    cr_assert_eq(part.length, 4 * one);
    cr_assert_eq(part.requests[0].about, 3);
    nns_netlink_batch_clear(&batch);
    cr_assert_eq(nns_netlink_cut(&batch, 0, SIZE_MAX, SIZE_MAX), 0);
    nns_netlink_batch_deinit(&batch);
    nns_netlink_batch_deinit(&batch);
}

struct answer {
    struct nlmsghdr head;
    int error;
};

static struct answer answer_of(uint32_t sequence, uint16_t type, int error)
{
    return (struct answer){
        .head = {.nlmsg_len = sizeof(struct answer), .nlmsg_type = type, .nlmsg_seq = sequence},
        .error = error,
    };
}

static void note(void *context, uint32_t about, const struct nlmsghdr *message)
{
    uint32_t *noted = context;
    noted[0]++;
    noted[1] = about;
}

/* An object is answer enough: an acknowledgement beside it would be one datagram more. */
Test(netlink, questions_end_with_the_object_that_answers_the_last)
{
    struct nns_netlink_batch batch = {0};
    put_probe(&batch, 1);
    put_probe(&batch, 2);
    struct nns_netlink_part part = nns_netlink_seal(&batch, 0, 2, true);
    const struct nlmsghdr *second = (struct nlmsghdr *)(batch.bytes + batch.requests[0].end);
    uint32_t noted[2] = {0};
    struct nns_netlink_taker taker = {.take = note, .context = noted};
    struct answer first = answer_of(part.sequence, RTM_NEWLINK, 0);
    struct answer last = answer_of(part.sequence + 1, RTM_NEWLINK, 0);
    cr_assert_not(second->nlmsg_flags & NLM_F_ACK);
    cr_assert_not(nns_netlink_hear(&part, &first, sizeof(first), &taker));
    cr_assert(nns_netlink_hear(&part, &last, sizeof(last), &taker));
    cr_assert_eq(noted[0], 2);
    part = nns_netlink_seal(&batch, 0, 2, false);
    cr_assert(second->nlmsg_flags & NLM_F_ACK);
    last = answer_of(part.sequence + 1, RTM_NEWLINK, 0);
    cr_assert_not(nns_netlink_hear(&part, &last, sizeof(last), &taker), "its acknowledgement follows");
    nns_netlink_batch_deinit(&batch);
}

Test(netlink, answers_find_their_requests)
{
    struct nns_netlink_batch batch = {0};
    for (uint32_t i = 0; i < 4; i++)
        put_probe(&batch, 100 + i);
    struct nns_netlink_part part = nns_netlink_seal(&batch, 0, 4, false);
    uint32_t noted[2] = {0};
    struct nns_netlink_taker taker = {.take = note, .context = noted};
    struct answer heard[] = {
        answer_of(part.sequence + 1, NLMSG_ERROR, -EEXIST),
        answer_of(part.sequence + 2, RTM_NEWLINK, 0),
        answer_of(part.sequence - 1, NLMSG_ERROR, -EIO),
        answer_of(part.sequence + 4, NLMSG_ERROR, -EIO),
    };
    cr_assert_not(nns_netlink_hear(&part, heard, sizeof(heard), &taker));
    cr_assert_eq(noted[0], 1);
    cr_assert_eq(noted[1], 102);
    cr_assert_eq(batch.requests[0].answer, NNS_NETLINK_UNHEARD);
    cr_assert_eq(batch.requests[1].answer, -EEXIST);
    struct answer last = answer_of(part.sequence + 3, NLMSG_ERROR, 0);
    cr_assert(nns_netlink_hear(&part, &last, sizeof(last), NULL));
    cr_assert_eq(batch.requests[2].answer, NNS_NETLINK_UNHEARD);
    nns_netlink_heard_all(&part);
    cr_assert_eq(batch.requests[0].answer, 0);
    cr_assert_eq(batch.requests[1].answer, -EEXIST);
    nns_netlink_batch_deinit(&batch);
}

Test(netlink, dumps_end_one_way_or_another)
{
    uint32_t noted[2] = {0};
    struct nns_netlink_taker taker = {.take = note, .context = noted};
    bool incomplete = false;
    struct answer heard[] = {
        answer_of(7, RTM_NEWLINK, 0),
        answer_of(6, NLMSG_DONE, 0),
        answer_of(7, RTM_NEWLINK, 0),
        answer_of(7, NLMSG_DONE, 0),
    };
    cr_assert_eq(nns_netlink_hear_dump(7, 5, heard, 3 * sizeof(heard[0]), &taker, &incomplete), 1);
    cr_assert_eq(noted[0], 2);
    cr_assert_eq(noted[1], 5);
    cr_assert_eq(nns_netlink_hear_dump(7, 5, heard, sizeof(heard), &taker, &incomplete), 0);
    cr_assert_not(incomplete);
    heard[0].head.nlmsg_flags = NLM_F_DUMP_INTR;
    cr_assert_eq(nns_netlink_hear_dump(7, 5, heard, sizeof(heard), &taker, &incomplete), 0);
    cr_assert(incomplete);
    heard[3] = answer_of(7, NLMSG_DONE, -ENODEV);
    cr_assert_eq(nns_netlink_hear_dump(7, 5, heard, sizeof(heard), &taker, &incomplete), -ENODEV);
    heard[3] = answer_of(7, NLMSG_ERROR, -EBUSY);
    cr_assert_eq(nns_netlink_hear_dump(7, 5, heard, sizeof(heard), &taker, &incomplete), -EBUSY);
    heard[3].head.nlmsg_len = NLMSG_HDRLEN;
    cr_assert_eq(nns_netlink_hear_dump(7, 5, heard, sizeof(heard), &taker, &incomplete), -EPROTO);
}

/* Lengths that lie, at every cut: nothing outside is read (the sanitizers say so), nothing loops. */
Test(netlink, damaged_messages_are_not_believed)
{
    struct nns_netlink_batch batch = {0};
    put_probe(&batch, 1);
    put_probe(&batch, 2);
    struct nns_netlink_part part = nns_netlink_seal(&batch, 0, 2, false);
    uint32_t noted[2] = {0};
    struct nns_netlink_taker taker = {.take = note, .context = noted};
    for (size_t length = 0; length <= part.length; length++) {
        char *exact = malloc(length + 1);
        memcpy(exact, part.bytes, length);
        bool incomplete;
        nns_netlink_hear_dump(part.sequence, 0, exact, length, &taker, &incomplete);
        nns_netlink_hear(&part, exact, length, &taker);
        free(exact);
    }
    for (int at_byte = 0; at_byte < 64; at_byte++) {
        for (int value = 0; value < 256; value += 5) {
            struct nlmsghdr *message = (struct nlmsghdr *)malloc(part.length);
            memcpy(message, part.bytes, part.length);
            uint32_t whole = message->nlmsg_len;
            ((unsigned char *)message)[at_byte] = (unsigned char)value;
            message->nlmsg_len = whole;
            const struct nlattr *nest = nns_netlink_find(message, 4, 2, 0);
            if (nest)
                nns_netlink_find_in(nest, 4, 0);
            nns_netlink_find(message, 4, 99, 0);
            free(message);
        }
    }
    struct nlmsghdr tiny = {.nlmsg_len = sizeof(tiny)};
    cr_assert_null(nns_netlink_find(&tiny, 20, 1, 0));
    nns_netlink_batch_deinit(&batch);
}

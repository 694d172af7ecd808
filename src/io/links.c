/* SPDX-License-Identifier: Apache-2.0 */
#include "io/links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/counters.h"
#include "core/netlink.h"
#include "core/tc_message.h"

#define TRIES             5 /* answers that were lost, or longer than the room for them */
#define INTERRUPTED_TRIES 2

/* The kernel fills at most 32 KiB a datagram, except for a single device that takes more (it may bear any
 * number of alternative names): then the dump is repeated with the room it asked for, up to the limit. */
#define INBOX_BYTES (32u << 10)
#define INBOX_LIMIT (1u << 20)

/* A list being made. */
struct listing {
    int socket;
    struct nns_links links;
    char *inbox;
    size_t size;
    size_t wanted; /* the length of the longest datagram yet */
    int fault;     /* why what was heard is no list */
    bool part;     /* what was heard is no whole list */
};

/* One dump into it. */
struct question {
    struct nlmsghdr *request;
    void (*restart)(struct listing *listing);
    void (*take)(void *listing, uint32_t about, const struct nlmsghdr *message);
};

static int ask(int socket, const void *bytes, size_t length)
{
    for (;;) {
        if (send(socket, bytes, length, 0) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

/* The length of the next part. The kernel puts it there before the last call returns: nothing there means
 * lost. */
static ssize_t receive(struct listing *listing)
{
    for (;;) {
        ssize_t n = recv(listing->socket, listing->inbox, listing->size, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if ((size_t)n > listing->wanted)
            listing->wanted = (size_t)n;
        return (size_t)n > listing->size ? (ssize_t)listing->size : n;
    }
}

/* Read a dump to its end, also a spoilt one: what stays in the socket would be in the way of the next. */
static int hear(struct listing *listing, const struct question *question)
{
    struct nns_netlink_taker taker = {.take = question->take, .context = listing};
    bool incomplete = false;
    int r;
    do {
        ssize_t n = receive(listing);
        if (n < 0)
            return (int)n;
        r = nns_netlink_hear_dump(question->request->nlmsg_seq, 0, listing->inbox, (size_t)n, &taker,
                                  &incomplete);
    } while (r > 0);
    nns_count(NNS_COUNT_LIST_INTERRUPTED, r == 0 && incomplete);
    listing->part = incomplete;
    return r < 0 ? r : listing->fault;
}

/* -EAGAIN: there is room now, ask again. */
static int grow(struct listing *listing)
{
    if (listing->wanted > INBOX_LIMIT)
        return -EMSGSIZE;
    char *inbox = realloc(listing->inbox, listing->wanted);
    if (!inbox)
        return -ENOMEM;
    listing->inbox = inbox;
    listing->size = listing->wanted;
    return -EAGAIN;
}

static int try_dump(struct listing *listing, const struct question *question)
{
    int r = -EAGAIN;
    for (int tries = 0; tries < TRIES && r == -EAGAIN; tries++) {
        question->request->nlmsg_seq = nns_netlink_sequence(1);
        question->restart(listing);
        r = ask(listing->socket, question->request, question->request->nlmsg_len);
        if (r == 0)
            r = hear(listing, question);
        if (r == 0 && listing->wanted > listing->size)
            r = grow(listing);
    }
    return r;
}

/* 0 also when all that there is was not shown: listing->part says so. */
static int dump(struct listing *listing, const struct question *question)
{
    int r = 0;
    listing->part = true;
    for (int tries = 0; tries < INTERRUPTED_TRIES && r == 0 && listing->part; tries++)
        r = try_dump(listing, question);
    return r;
}

static void read_kind(struct nns_link *link, struct nlattr *info)
{
    struct nlattr *kind = info ? nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND) : NULL;
    if (kind)
        nla_strlcpy(link->kind, kind, sizeof(link->kind));
}

static void take_link(void *context, uint32_t nothing, const struct nlmsghdr *message)
{
    struct listing *listing = context;
    struct nlmsghdr *libnl = (struct nlmsghdr *)message; /* which knows no const */
    if (message->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(message, sizeof(struct ifinfomsg)))
        return;
    struct nns_link *link = nns_links_append(&listing->links);
    if (!link) {
        listing->fault = -ENOMEM;
        return;
    }
    const struct ifinfomsg *head = nlmsg_data(message);
    *link = (struct nns_link){.ifindex = (uint32_t)head->ifi_index, .qdisc = NNS_QDISC_UNKNOWN};
    struct nlattr *name = nlmsg_find_attr(libnl, sizeof(*head), IFLA_IFNAME);
    if (name)
        nla_strlcpy(link->name, name, sizeof(link->name));
    if (head->ifi_flags & IFF_LOOPBACK)
        strcpy(link->kind, "loopback");
    else
        read_kind(link, nlmsg_find_attr(libnl, sizeof(*head), IFLA_LINKINFO));
}

static void forget_links(struct listing *listing)
{
    listing->links.count = 0;
    listing->fault = 0;
}

/* ---- all devices ---- */

static int list_devices(struct listing *listing)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
        struct nlattr attribute;
        uint32_t mask;
    } request = {
        .head = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK},
        .attribute = {.nla_len = sizeof(struct nlattr) + sizeof(uint32_t), .nla_type = IFLA_EXT_MASK},
        .mask = RTEXT_FILTER_SKIP_STATS,
    };
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct question question = {.request = &request.head, .restart = forget_links, .take = take_link};
    int r = dump(listing, &question);
    if (r == 0)
        nns_links_sort(&listing->links);
    return r;
}

/* A device's root comes before what sits at the ingress place, or there is none. */
static void take_qdisc(void *context, uint32_t nothing, const struct nlmsghdr *message)
{
    const struct nns_links *links = &((struct listing *)context)->links;
    struct nns_link *link = nns_links_find(links, nns_tc_qdisc_ifindex(message));
    struct nns_tc_qdisc qdisc;
    if (!link) /* it came after the devices were listed */
        return;
    if (nns_tc_read_qdisc(message, &qdisc))
        link->qdisc = (uint8_t)qdisc.kind;
    else if (link->qdisc == NNS_QDISC_PRESUMED_NONE)
        link->qdisc = NNS_QDISC_NONE;
}

static void mark_all(struct listing *listing, enum nns_qdisc qdisc)
{
    for (size_t i = 0; i < listing->links.count; i++)
        listing->links.items[i].qdisc = (uint8_t)qdisc;
}

static void forget_qdiscs(struct listing *listing)
{
    mark_all(listing, NNS_QDISC_PRESUMED_NONE);
}

/* What sits at the ingress place only steers the first try at attaching: not knowing it is no failure. */
static void list_qdiscs(struct listing *listing)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg message;
    } request = {.head = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETQDISC}};
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct question question = {.request = &request.head, .restart = forget_qdiscs, .take = take_qdisc};
    bool part = listing->part;
    if (dump(listing, &question) < 0)
        mark_all(listing, NNS_QDISC_UNKNOWN);
    listing->part = part;
}

/* ---- some devices ---- */

/* One send. */
struct questions {
    struct nns_netlink_batch batch;
    const uint32_t *ifindexes;
    size_t count;
};

static void write_questions(struct questions *questions)
{
    nns_netlink_batch_clear(&questions->batch);
    for (size_t i = 0; i < questions->count; i++) {
        struct ifinfomsg head = {.ifi_index = (int)questions->ifindexes[i]};
        nns_netlink_begin(&questions->batch, RTM_GETLINK, 0, &head, sizeof(head));
        nns_netlink_put_u32(&questions->batch, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        nns_netlink_end(&questions->batch, (uint32_t)i);
    }
}

/* Each question has its device, or the word that there is none; else nothing is known (I9). */
static int settle(const struct listing *listing, const struct nns_netlink_part *part)
{
    size_t gone = 0;
    for (size_t i = 0; i < part->count; i++) {
        int answer = part->requests[i].answer;
        if (answer == -ENODEV)
            gone++;
        else if (answer < 0)
            return answer;
    }
    if (listing->fault)
        return listing->fault;
    return listing->links.count + gone == part->count ? 0 : -EAGAIN;
}

static int hear_answers(struct listing *listing, const struct nns_netlink_part *part)
{
    struct nns_netlink_taker taker = {.take = take_link, .context = listing};
    for (bool last = false; !last;) {
        ssize_t n = receive(listing);
        if (n < 0)
            return (int)n;
        last = nns_netlink_hear(part, listing->inbox, (size_t)n, &taker);
    }
    return settle(listing, part);
}

/* -EAGAIN when an answer was lost, or is longer than expected. */
static int ask_each(struct listing *listing, struct questions *questions)
{
    write_questions(questions);
    forget_links(listing);
    if (questions->batch.failed)
        return -ENOMEM;
    struct nns_netlink_part part = nns_netlink_seal(&questions->batch, 0, questions->count, true);
    int r = ask(listing->socket, part.bytes, part.length);
    if (r == 0)
        r = hear_answers(listing, &part);
    return r == -EAGAIN && listing->wanted > listing->size ? grow(listing) : r;
}

static int get_devices(struct listing *listing, const uint32_t *ifindexes, size_t count)
{
    struct questions questions = {.ifindexes = ifindexes, .count = count};
    int r = -EAGAIN;
    for (int tries = 0; tries < TRIES && r == -EAGAIN; tries++)
        r = ask_each(listing, &questions);
    nns_netlink_batch_deinit(&questions.batch);
    nns_links_sort(&listing->links);
    return r;
}

/* ---- either ---- */

static int listing_init(struct listing *listing, int socket)
{
    *listing = (struct listing){.socket = socket, .inbox = malloc(INBOX_BYTES), .size = INBOX_BYTES};
    return listing->inbox ? 0 : -ENOMEM;
}

/* Hand it over, or drop it after a failure. */
static int finish(struct listing *listing, int r, struct nns_links *links)
{
    free(listing->inbox);
    nns_links_deinit(r == 0 ? links : &listing->links);
    if (r == 0)
        *links = listing->links;
    return r;
}

int nns_links_list(int socket, struct nns_links *links)
{
    struct listing listing;
    int r = listing_init(&listing, socket);
    if (r == 0)
        r = list_devices(&listing);
    if (r == 0)
        list_qdiscs(&listing);
    r = finish(&listing, r, links);
    return r == 0 && listing.part ? NNS_LINKS_PART : r;
}

int nns_links_get(int socket, const uint32_t *ifindexes, size_t count, struct nns_links *links)
{
    struct listing listing;
    int r = listing_init(&listing, socket);
    if (r == 0 && count)
        r = get_devices(&listing, ifindexes, count);
    return finish(&listing, r, links);
}

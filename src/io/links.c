/* SPDX-License-Identifier: Apache-2.0 */
#include "io/links.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INTERRUPTED_TRIES 5

/* The kernel fills at most 32 KiB a datagram, except for a single device that takes more (it may bear any
 * number of alternative names): then the dump is repeated with the room it asked for, up to the limit. */
#define INBOX_BYTES (32u << 10)
#define INBOX_LIMIT (1u << 20)

struct inbox {
    char *bytes;
    size_t size;
    size_t wanted; /* the length of what did not fit */
};

/* One dump into a list. */
struct listing {
    struct nns_links *links;
    void (*restart)(struct nns_links *links);
    int (*take)(struct nns_links *links, struct nlmsghdr *message); /* 0 or -errno */
    uint32_t sequence;
    int fault; /* why what was heard is no whole list */
};

/* Answers to an earlier, broken-off exchange on the same socket are told by their number. tc counts up from
 * 0: listings have the upper half. */
static uint32_t next_sequence(void)
{
    static _Thread_local uint32_t sequence;
    return 0x80000000u | ++sequence;
}

static ssize_t receive(int socket, struct inbox *inbox)
{
    for (;;) {
        /* The kernel puts the next part there before the last call returns: nothing there means lost. */
        ssize_t n = recv(socket, inbox->bytes, inbox->size, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        return n < 0 ? -errno : n;
    }
}

static int error_of(struct nlmsghdr *message)
{
    if (nlmsg_datalen(message) < (int)sizeof(int))
        return -EPROTO;
    return *(int *)nlmsg_data(message);
}

/* -EAGAIN: there is room now, ask again. */
static int grow_inbox(struct inbox *inbox)
{
    if (inbox->wanted > INBOX_LIMIT)
        return -EMSGSIZE;
    char *bytes = realloc(inbox->bytes, inbox->wanted);
    if (!bytes)
        return -ENOMEM;
    inbox->bytes = bytes;
    inbox->size = inbox->wanted;
    return -EAGAIN;
}

/* Part of a dump. 1: more follows; 0: that was all; -errno from the kernel. */
static int take_part(struct listing *listing, struct nlmsghdr *message, int length)
{
    for (; nlmsg_ok(message, length); message = nlmsg_next(message, &length)) {
        if (message->nlmsg_seq != listing->sequence)
            continue;
        if (message->nlmsg_flags & NLM_F_DUMP_INTR)
            listing->fault = -EAGAIN;
        if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
            return error_of(message);
        int r = listing->take(listing->links, message);
        if (r < 0)
            listing->fault = r;
    }
    return 1;
}

/* Read a dump to its end, also a spoilt one: what stays in the socket would be in the way of the next. */
static int take_dump(int socket, struct listing *listing, struct inbox *inbox)
{
    int r = 1;
    while (r > 0) {
        ssize_t n = receive(socket, inbox);
        if (n < 0)
            return (int)n;
        if ((size_t)n > inbox->size) {
            inbox->wanted = (size_t)n > inbox->wanted ? (size_t)n : inbox->wanted;
            n = (ssize_t)inbox->size;
        }
        r = take_part(listing, (struct nlmsghdr *)inbox->bytes, (int)n);
    }
    if (r < 0)
        return r;
    return inbox->wanted > inbox->size ? grow_inbox(inbox) : listing->fault;
}

static int send_request(int socket, const struct nlmsghdr *request)
{
    for (;;) {
        if (send(socket, request, request->nlmsg_len, 0) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static int dump(int socket, struct nlmsghdr *request, struct listing *listing, struct inbox *inbox)
{
    int r = -EAGAIN;
    for (int tries = 0; tries < INTERRUPTED_TRIES && r == -EAGAIN; tries++) {
        listing->sequence = request->nlmsg_seq = next_sequence();
        listing->fault = 0;
        listing->restart(listing->links);
        r = send_request(socket, request);
        if (r == 0)
            r = take_dump(socket, listing, inbox);
    }
    return r;
}

static struct nns_link *append(struct nns_links *links)
{
    if (links->count == links->capacity) {
        size_t capacity = links->capacity ? links->capacity * 2 : 8;
        struct nns_link *items = realloc(links->items, capacity * sizeof(*items));
        if (!items)
            return NULL;
        links->items = items;
        links->capacity = capacity;
    }
    return &links->items[links->count++];
}

static void read_kind(struct nns_link *link, struct nlattr *info)
{
    struct nlattr *kind = info ? nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND) : NULL;
    if (kind)
        nla_strlcpy(link->kind, kind, sizeof(link->kind));
}

static int take_link(struct nns_links *links, struct nlmsghdr *message)
{
    if (message->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(message, sizeof(struct ifinfomsg)))
        return 0;
    struct ifinfomsg *head = nlmsg_data(message);
    struct nns_link link = {.ifindex = (uint32_t)head->ifi_index, .qdisc = NNS_QDISC_UNKNOWN};
    struct nlattr *name = nlmsg_find_attr(message, sizeof(*head), IFLA_IFNAME);
    if (name)
        nla_strlcpy(link.name, name, sizeof(link.name));
    if (head->ifi_flags & IFF_LOOPBACK)
        strcpy(link.kind, "loopback");
    else
        read_kind(&link, nlmsg_find_attr(message, sizeof(*head), IFLA_LINKINFO));
    struct nns_link *place = append(links);
    if (!place)
        return -ENOMEM;
    *place = link;
    return 0;
}

static int by_ifindex(const void *a, const void *b)
{
    uint32_t x = ((const struct nns_link *)a)->ifindex, y = ((const struct nns_link *)b)->ifindex;
    return (x > y) - (x < y);
}

/* Dumps go by ifindex on kernels since 6.8, by hash bucket before. */
static void sort(struct nns_links *links)
{
    for (size_t i = 1; i < links->count; i++) {
        if (links->items[i - 1].ifindex > links->items[i].ifindex) {
            qsort(links->items, links->count, sizeof(*links->items), by_ifindex);
            return;
        }
    }
}

static void forget_all(struct nns_links *links)
{
    links->count = 0;
}

static int list_devices(int socket, struct nns_links *links, struct inbox *inbox)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
        struct nlattr attribute;
        uint32_t mask;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = RTM_GETLINK,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .attribute = {.nla_len = sizeof(struct nlattr) + sizeof(uint32_t), .nla_type = IFLA_EXT_MASK},
        .mask = RTEXT_FILTER_SKIP_STATS,
    };
    struct listing listing = {.links = links, .restart = forget_all, .take = take_link};
    int r = dump(socket, &request.head, &listing, inbox);
    if (r == 0)
        sort(links);
    return r;
}

static uint8_t qdisc_of_kind(struct nlattr *kind)
{
    if (kind && nla_strcmp(kind, "clsact") == 0)
        return NNS_QDISC_CLSACT;
    if (kind && nla_strcmp(kind, "ingress") == 0)
        return NNS_QDISC_INGRESS;
    return NNS_QDISC_UNKNOWN;
}

static int take_qdisc(struct nns_links *links, struct nlmsghdr *message)
{
    if (message->nlmsg_type != RTM_NEWQDISC || !nlmsg_valid_hdr(message, sizeof(struct tcmsg)))
        return 0;
    struct tcmsg *head = nlmsg_data(message);
    if (head->tcm_parent != TC_H_INGRESS)
        return 0;
    struct nns_link key = {.ifindex = (uint32_t)head->tcm_ifindex};
    struct nns_link *link = bsearch(&key, links->items, links->count, sizeof(key), by_ifindex);
    if (link)
        link->qdisc = qdisc_of_kind(nlmsg_find_attr(message, sizeof(*head), TCA_KIND));
    return 0;
}

static void mark_all(struct nns_links *links, enum nns_qdisc qdisc)
{
    for (size_t i = 0; i < links->count; i++)
        links->items[i].qdisc = (uint8_t)qdisc;
}

static void mark_all_none(struct nns_links *links)
{
    mark_all(links, NNS_QDISC_NONE);
}

/* What sits at the ingress place only steers the first try at attaching: not knowing it is no failure. */
static void list_qdiscs(int socket, struct nns_links *links, struct inbox *inbox)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg message;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = RTM_GETQDISC,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
    };
    struct listing listing = {.links = links, .restart = mark_all_none, .take = take_qdisc};
    if (dump(socket, &request.head, &listing, inbox) < 0)
        mark_all(links, NNS_QDISC_UNKNOWN);
}

int nns_links_list(int socket, struct nns_links *links)
{
    struct inbox inbox = {.bytes = malloc(INBOX_BYTES), .size = INBOX_BYTES};
    if (!inbox.bytes)
        return -ENOMEM;
    struct nns_links found = NNS_LINKS_NULL;
    int r = list_devices(socket, &found, &inbox);
    if (r == 0) {
        list_qdiscs(socket, &found, &inbox);
        nns_links_deinit(links);
        *links = found;
    } else {
        nns_links_deinit(&found);
    }
    free(inbox.bytes);
    return r;
}

void nns_links_deinit(struct nns_links *links)
{
    free(links->items);
    *links = NNS_LINKS_NULL;
}

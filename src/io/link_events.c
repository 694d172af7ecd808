/* SPDX-License-Identifier: Apache-2.0 */
#include "io/link_events.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/netlink.h"

/* A message of a link takes 2.3 KB of it, and the kernel doubles the value. */
#define BUFFER_BYTES (1 << 20)

/* All that is read of a message; a device's name is its first attribute. */
#define HEAD_BYTES 256

/* What the kernel fills at most when it dumps numbers. */
#define DUMP_BYTES (32 << 10)

enum { READ_MAX = 1024 };

struct nns_link_events {
    int listener, asker;
    bool overrun; /* events were lost, and those that wait are being thrown away */
    struct nns_netlink_batch batch;
};

/* ---- opening ---- */

static int open_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    return fd < 0 ? -errno : fd;
}

static int set_option(int fd, int name, int value)
{
    return setsockopt(fd, SOL_NETLINK, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Bound first: a bind would clear the memberships. */
static int listen_to_all(int fd)
{
    const struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    const int size = BUFFER_BYTES;
    int rc = set_option(fd, NETLINK_LISTEN_ALL_NSID, 1);

    if (!rc && bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
        rc = -errno;
    if (!rc)
        rc = set_option(fd, NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK);
    if (!rc)
        rc = set_option(fd, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NSID);
    /* Refused, more is lost, which is noticed. */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    return rc;
}

static int open_both(struct nns_link_events *events)
{
    events->listener = open_socket();
    if (events->listener < 0)
        return events->listener;
    events->asker = open_socket();
    return events->asker < 0 ? events->asker : listen_to_all(events->listener);
}

int nns_link_events_open(struct nns_link_events **out)
{
    struct nns_link_events *events = calloc(1, sizeof(*events));
    int rc;

    if (!events)
        return -ENOMEM;
    events->listener = events->asker = -1;
    rc = open_both(events);
    if (rc)
        nns_link_events_close(events);
    else
        *out = events;
    return rc;
}

void nns_link_events_close(struct nns_link_events *events)
{
    if (!events)
        return;
    if (events->listener >= 0)
        close(events->listener);
    if (events->asker >= 0)
        close(events->asker);
    nns_netlink_batch_deinit(&events->batch);
    free(events);
}

/* ---- listening ---- */

int nns_link_events_fd(const struct nns_link_events *events)
{
    return events->listener;
}

/* A datagram of the kernel's, as far as we read it. */
struct heard {
    union {
        struct nlmsghdr message;
        char bytes[HEAD_BYTES];
    };
    int32_t nsid;
};

/* The kernel leaves it out where it is our own namespace that speaks. */
static int32_t nsid_of(struct msghdr *header)
{
    int32_t nsid = NNS_NSID_NONE;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control))
        if (control->cmsg_level == SOL_NETLINK && control->cmsg_type == NETLINK_LISTEN_ALL_NSID &&
            control->cmsg_len >= CMSG_LEN(sizeof(nsid)))
            memcpy(&nsid, CMSG_DATA(control), sizeof(nsid));
    return nsid;
}

/* 1; 0 for what is nothing to us; -errno. */
static int hear(int fd, struct heard *heard)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int32_t))];
    struct sockaddr_nl from = {0};
    struct iovec place = {.iov_base = heard->bytes, .iov_len = sizeof(heard->bytes)};
    struct msghdr header = {.msg_name = &from,
                            .msg_namelen = sizeof(from),
                            .msg_iov = &place,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    ssize_t length;

    do
        length = recvmsg(fd, &header, MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    if (from.nl_pid || length < NLMSG_HDRLEN || heard->message.nlmsg_len < NLMSG_HDRLEN)
        return 0;
    /* Attributes end where what was read of them ends. */
    if (heard->message.nlmsg_len > (size_t)length)
        heard->message.nlmsg_len = (uint32_t)length;
    heard->nsid = nsid_of(&header);
    return 1;
}

static bool read_link(const struct nlmsghdr *message, struct nns_link_event *event)
{
    const struct ifinfomsg *link = (const void *)((const char *)message + NLMSG_HDRLEN);
    const struct nlattr *name = nns_netlink_find(message, sizeof(*link), IFLA_IFNAME, 1);
    const char *text = name ? nns_netlink_text(name) : NULL;

    /* A bridge tells of its ports in the same words. */
    if (message->nlmsg_len < NLMSG_HDRLEN + sizeof(*link) || link->ifi_family != AF_UNSPEC)
        return false;
    event->number = (uint32_t)link->ifi_index;
    if (text)
        strncpy(event->name, text, sizeof(event->name) - 1);
    return true;
}

static bool read_nsid(const struct nlmsghdr *message, uint32_t *nsid)
{
    const struct nlattr *attribute =
        nns_netlink_find(message, sizeof(struct rtgenmsg), NETNSA_NSID, sizeof(*nsid));

    if (attribute)
        *nsid = nns_netlink_u32(attribute);
    return attribute;
}

static bool read_event(const struct heard *heard, struct nns_link_event *event)
{
    *event = (struct nns_link_event){.nsid = heard->nsid};
    switch (heard->message.nlmsg_type) {
    case RTM_NEWLINK:
        event->kind = NNS_LINK_CHANGED;
        return read_link(&heard->message, event);
    case RTM_DELLINK:
        event->kind = NNS_LINK_GONE;
        return read_link(&heard->message, event);
    case RTM_DELNSID:
        event->kind = NNS_LINK_NSID_GONE;
        return read_nsid(&heard->message, &event->number);
    default:
        return false;
    }
}

/* From an overrun on the kernel drops what comes until the last that waits is read. */
int nns_link_events_read(struct nns_link_events *events, nns_link_event_taker *take, void *context,
                         bool *lost)
{
    struct nns_link_event event;
    struct heard heard;
    int count, rc = 0;

    for (count = 0; count < READ_MAX; count++) {
        rc = hear(events->listener, &heard);
        if (rc == -ENOBUFS)
            events->overrun = true;
        else if (rc < 0)
            break;
        else if (rc && !events->overrun && read_event(&heard, &event))
            take(context, &event);
    }
    if (rc == -EAGAIN && events->overrun) {
        events->overrun = false;
        *lost = true;
    }
    return rc < 0 && rc != -EAGAIN && rc != -ENOBUFS ? rc : count;
}

/* ---- numbers ---- */

static int send_to_kernel(int fd, const void *bytes, size_t length)
{
    ssize_t sent;

    do
        sent = send(fd, bytes, length, 0);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static ssize_t receive(int fd, void *bytes, size_t size)
{
    ssize_t length;

    /* The kernel has answered before the sending call returns. */
    do
        length = recv(fd, bytes, size, MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

/* To give a number and to ask for it. The first is refused with EEXIST where there is one. */
static void ask_for_number(struct nns_netlink_batch *batch, int netns)
{
    const struct rtgenmsg family = {.rtgen_family = AF_UNSPEC};

    nns_netlink_batch_clear(batch);
    nns_netlink_begin(batch, RTM_NEWNSID, 0, &family, sizeof(family));
    nns_netlink_put_u32(batch, NETNSA_NSID, (uint32_t)NETNSA_NSID_NOT_ASSIGNED);
    nns_netlink_put_u32(batch, NETNSA_FD, (uint32_t)netns);
    nns_netlink_end(batch, 0);
    nns_netlink_begin(batch, RTM_GETNSID, 0, &family, sizeof(family));
    nns_netlink_put_u32(batch, NETNSA_FD, (uint32_t)netns);
    nns_netlink_end(batch, 0);
}

static void take_number(void *nsid, uint32_t nothing, const struct nlmsghdr *message)
{
    if (message->nlmsg_type == RTM_NEWNSID)
        read_nsid(message, nsid);
}

int nns_link_events_hear(struct nns_link_events *events, int netns, int32_t *nsid)
{
    uint32_t number = (uint32_t)NNS_NSID_NONE;
    const struct nns_netlink_taker taker = {.take = take_number, .context = &number};
    _Alignas(struct nlmsghdr) char answer[HEAD_BYTES];
    struct nns_netlink_part part;
    ssize_t length;
    int rc;

    ask_for_number(&events->batch, netns);
    if (events->batch.failed)
        return -ENOMEM;
    part = nns_netlink_seal(&events->batch, 0, events->batch.count, true);
    rc = send_to_kernel(events->asker, part.bytes, part.length);
    if (rc)
        return rc;
    do {
        length = receive(events->asker, answer, sizeof(answer));
        if (length < 0)
            return (int)length;
    } while (!nns_netlink_hear(&part, answer, (size_t)length, &taker));
    if ((int32_t)number >= 0)
        *nsid = (int32_t)number;
    else
        rc = part.requests[0].answer < 0 ? part.requests[0].answer : -ENOENT;
    return rc;
}

struct walk {
    void (*visit)(void *context, int32_t nsid);
    void *context;
};

static void take_each(void *of, uint32_t nothing, const struct nlmsghdr *message)
{
    const struct walk *walk = of;
    uint32_t nsid;

    if (message->nlmsg_type == RTM_NEWNSID && read_nsid(message, &nsid))
        walk->visit(walk->context, (int32_t)nsid);
}

static int hear_dump(struct nns_link_events *events, uint32_t sequence, char *bytes,
                     const struct nns_netlink_taker *taker)
{
    bool incomplete = false;
    ssize_t length;
    int rc;

    do {
        length = receive(events->asker, bytes, DUMP_BYTES);
        if (length < 0)
            return (int)length;
        rc = nns_netlink_hear_dump(sequence, 0, bytes, (size_t)length, taker, &incomplete);
    } while (rc > 0);
    return !rc && incomplete ? -EAGAIN : rc;
}

int nns_link_events_each(struct nns_link_events *events, void (*visit)(void *context, int32_t nsid),
                         void *context)
{
    struct {
        struct nlmsghdr head;
        struct rtgenmsg family;
    } request = {.head = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETNSID}};
    struct walk walk = {visit, context};
    const struct nns_netlink_taker taker = {.take = take_each, .context = &walk};
    char *bytes = malloc(DUMP_BYTES);
    int rc;

    if (!bytes)
        return -ENOMEM;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.head.nlmsg_seq = nns_netlink_sequence(1);
    rc = send_to_kernel(events->asker, &request, sizeof(request));
    if (!rc)
        rc = hear_dump(events, request.head.nlmsg_seq, bytes, &taker);
    free(bytes);
    return rc;
}

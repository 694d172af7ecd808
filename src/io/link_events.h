/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_LINK_EVENTS_H
#define NNS_IO_LINK_EVENTS_H

#include <linux/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/nsids.h"

/*
 * What rtnetlink tells of devices, in all namespaces that were given a number (nsid), over one socket: groups
 * LINK and NSID.
 *
 * The kernel goes through all numbers that a listener's namespace has given for every single notification
 * anywhere, holding RTNL: so there must not be many; groups with more traffic are left alone; and all is done
 * from a namespace that nobody else is in. There the numbers are all ours, nothing that others on the host do
 * there gets slower by them, and they go with the sockets: the kernel knows no other way to take one back
 * before its namespace dies.
 *
 * Events are hints. A number is free as soon as its namespace dies, and may name another one by the time an
 * event is read (I5). Messages about numbers come from the tables of the other namespaces as well.
 */
struct nns_link_events;

enum nns_link_event_kind {
    NNS_LINK_CHANGED,  /* came, came up, was renamed, or anything else about it */
    NNS_LINK_GONE,     /* was deleted, or moved away */
    NNS_LINK_NSID_GONE /* a number is free: its namespace is dead */
};

struct nns_link_event {
    int32_t nsid;        /* where: in whose table, for a number; NNS_NSID_NONE: in our own namespace */
    uint32_t number;     /* the device's ifindex; the nsid */
    char name[IFNAMSIZ]; /* the device's; "" when it was not told */
    uint8_t kind;        /* enum nns_link_event_kind */
};

typedef void nns_link_event_taker(void *context, const struct nns_link_event *event);

/* Open the sockets in the namespace that the calling thread is in, which is to be one of our own. 0, or
 * -errno when the kernel does not let us hear other namespaces. */
int nns_link_events_open(struct nns_link_events **out);
void nns_link_events_close(struct nns_link_events *events); /* NULL is fine */

/* ---- one thread ---- */

/* Readable when there are events; in error when some were lost. */
int nns_link_events_fd(const struct nns_link_events *events);

/*
 * Hand over the events that are there, 1024 at most: what is left keeps the descriptor readable. When the
 * kernel had no room for some, those that wait are thrown away, as it takes no new ones before the last of
 * them is read, and then *lost is set: what was heard until then is not all there was. Else it is left as it
 * is. How many were read, or -errno.
 */
int nns_link_events_read(struct nns_link_events *events, nns_link_event_taker *take, void *context,
                         bool *lost);

/* ---- another thread ---- */

/* Make the events of a namespace heard from now on: give it a number, if it has none. 0, or -errno. */
int nns_link_events_hear(struct nns_link_events *events, int netns, int32_t *nsid);

/* Every number that is given now. 0, or -errno when not all were seen. */
int nns_link_events_each(struct nns_link_events *events, void (*visit)(void *context, int32_t nsid),
                         void *context);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_LINKS_H
#define NNS_IO_LINKS_H

#include <stddef.h>
#include <stdint.h>

#include "core/links.h"

/*
 * Listing a namespace's devices, and what sits at their ingress/clsact place, over a NETLINK_ROUTE socket
 * opened inside; or asking for a few of them.
 *
 * A failed listing is never an empty one: links are valid only when no error is returned. A dump the kernel
 * calls interrupted (NLM_F_DUMP_INTR: devices changed meanwhile) is repeated once: a change is over by then
 * as a rule, and where devices come and go all the time the next dump would fare no better. What it showed
 * was there all the same.
 */
/* List all devices with their qdisc; it is NNS_QDISC_PRESUMED_NONE where none at all was shown: the kernel
 * dumps them by position, and may pass a device over when an earlier one goes, without a word. An answer
 * above, or -errno with *links untouched. */
int nns_links_list(int socket, struct nns_links *links);

/* Ask for some devices, each ifindex once, in one exchange: those that are there, without their qdisc
 * (NNS_QDISC_UNKNOWN). One that is missing in the result is not there for certain. 0, or -errno with *links
 * untouched: then nothing is known of any. */
int nns_links_get(int socket, const uint32_t *ifindexes, size_t count, struct nns_links *links);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_TARGETS_H
#define NNS_CLI_TARGETS_H

#include <jansson.h>
#include <linux/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The devices that a daemon says carry its filters, to be met again after it has let go of them. An ifindex
 * can be given to another device meanwhile (I5), so the name has to be the same as well. Zero-initialised is
 * empty.
 */
struct nns_target {
    uint64_t cookie;
    uint32_t ifindex;
    char name[IFNAMSIZ];
    bool met;
};

struct nns_targets {
    struct nns_target *items;
    size_t count, capacity;
    bool failed; /* memory ran out: some are missing */
};

/* Add the devices of a namespace as the daemon lists it (docs/control-protocol.md) that carry a program. */
void nns_targets_add(struct nns_targets *targets, const json_t *namespace);

/* Once, after the last was added. */
void nns_targets_sort(struct nns_targets *targets);

/* Is this device one of them? *first: it is met for the first time. */
bool nns_targets_meet(struct nns_targets *targets, uint64_t cookie, uint32_t ifindex, const char *name,
                      bool *first);

void nns_targets_deinit(struct nns_targets *targets);

#endif

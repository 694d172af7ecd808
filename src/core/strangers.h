/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_STRANGERS_H
#define NNS_CORE_STRANGERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/role.h"

/*
 * Namespaces of which a device was reported before anybody has found them, by cookie. Most are found a moment
 * later by a task in them. For one that is not, somebody has to look: a process that unshared, set up its
 * devices and stays gives no other sign. One that nobody finds then is none of ours to see (another pid
 * namespace's, an excluded one), and not looked for again for a while, however much it has to report.
 *
 * A fixed number is remembered; a newer one takes the place of the oldest. Zero-initialised is empty. Owner
 * thread only; times are milliseconds of the monotonic clock.
 */
#define NNS_STRANGERS_MAX 256

struct nns_stranger {
    uint64_t cookie; /* 0: a free place */
    uint64_t since_ms;
    bool looked_for;
};

struct nns_strangers {
    struct nns_stranger items[NNS_STRANGERS_MAX];
    uint32_t next;    /* place that is taken next */
    uint32_t waiting; /* of them not looked for yet */
};

/* Something of this namespace was reported. One that was looked for is not waited for again before
 * forget_ms have passed. */
void nns_strangers_note(struct nns_strangers *strangers, uint64_t cookie, uint64_t now_ms,
                        uint64_t forget_ms) NNS_OWNER_ONLY;

/* It was found. */
void nns_strangers_found(struct nns_strangers *strangers, uint64_t cookie) NNS_OWNER_ONLY;

/* Milliseconds until one of them has waited for patience_ms: 0 when it is time to look; UINT64_MAX: nobody
 * waits. */
uint64_t nns_strangers_wait(const struct nns_strangers *strangers, uint64_t now_ms,
                            uint64_t patience_ms) NNS_OWNER_ONLY;

/* Somebody looks now, for all of them. */
void nns_strangers_look(struct nns_strangers *strangers, uint64_t now_ms) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_NSIDS_H
#define NNS_CORE_NSIDS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whose number is it? The kernel tells of other namespaces' devices by nsid, a small number that one
 * namespace has for another: nsid → cookie.
 *
 * A place is taken for as long as the kernel keeps the number, which is as long as the namespace lives: it
 * cannot be taken back. So that the bound is one on what the kernel has to keep, also a namespace that was
 * forgotten alive keeps its place. The kernel gives the least free number, and a freed one again at once
 * (I5): one that is put where another stands proves the other one dead. Owner thread only.
 */
#define NNS_NSID_NONE (-1)

struct nns_nsids {
    uint64_t *cookies; /* by nsid; 0: nobody's */
    uint32_t capacity, count;
};

/* 0 or -ENOMEM. */
int nns_nsids_init(struct nns_nsids *nsids, uint32_t capacity);
void nns_nsids_deinit(struct nns_nsids *nsids); /* zero-initialised is fine */

/* Note whose a number is. *former is who had it before and is dead, or 0. 0, or -ERANGE for a number that the
 * table has no place for. */
int nns_nsids_put(struct nns_nsids *nsids, int32_t nsid, uint64_t cookie, uint64_t *former);

/* The number is free again. Returns whose it was, 0 for nobody's. */
uint64_t nns_nsids_drop(struct nns_nsids *nsids, int32_t nsid);

/* Whose it is, 0 for nobody's. */
uint64_t nns_nsids_cookie(const struct nns_nsids *nsids, int32_t nsid);

/* The number of a namespace, or NNS_NSID_NONE: a walk over all. */
int32_t nns_nsids_find(const struct nns_nsids *nsids, uint64_t cookie);

#endif

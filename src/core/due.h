/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_DUE_H
#define NNS_CORE_DUE_H

#include <stddef.h>
#include <stdint.h>

#include "core/namespace.h"
#include "core/role.h"

/*
 * The namespaces that await work, by when it is due: a binary heap of pointers, each namespace at most once
 * (its due_slot says where). Owner thread only. Zero-initialised is empty.
 */
struct nns_due {
    struct nns_namespace **items;
    size_t count, capacity;
};

void nns_due_deinit(struct nns_due *due);

/* Make room for count namespaces, so that adding one of them later cannot fail. 0 or -ENOMEM. */
int nns_due_reserve(struct nns_due *due, size_t count) NNS_OWNER_ONLY;

/* Make work due at when_ms; one that is due earlier already stays so. Room has been reserved. */
void nns_due_add(struct nns_due *due, struct nns_namespace *ns, uint64_t when_ms) NNS_OWNER_ONLY;

/* Take out one that is due by now_ms, the longest due first, or NULL. */
struct nns_namespace *nns_due_take(struct nns_due *due, uint64_t now_ms) NNS_OWNER_ONLY;

/* Forget one; fine when it is not there. */
void nns_due_drop(struct nns_due *due, struct nns_namespace *ns) NNS_OWNER_ONLY;

/* When the first is due, UINT64_MAX when none is. */
uint64_t nns_due_next(const struct nns_due *due) NNS_OWNER_ONLY;

#endif

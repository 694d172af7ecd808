/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_SAVE_H
#define NNS_WORKERS_SAVE_H

#include "workers/owner_state.h"

/*
 * SaveNetworkNamespaceHandle: putting a namespace, and what lets us enter it again, into the cache. Its lazy
 * form is the workers' look-up and claim before they open anything (sync.c). All on the owner thread.
 */
enum nns_saved {
    NNS_SAVED_NOTHING, /* no identity, or networking disabled */
    NNS_SAVED_NEW,     /* was unknown; now an entry with a handle */
    NNS_SAVED_FOUND,   /* was astray; has a handle again */
    NNS_SAVED_KNOWN    /* was known with a handle: not new */
};

/*
 * Save a namespace that is open already, and what led there. On NEW and FOUND fd and place belong to
 * the entry and *out is the entry; on KNOWN *out is the entry and both stay the caller's, as they do on
 * error. A full cache evicts first. An answer above; -ENOSPC when nothing can be evicted; -ENOMEM.
 */
int nns_save_opened(struct nns_owner *owner, struct nns_netns_id id, int fd, struct nns_place *place,
                    struct nns_namespace **out) NNS_OWNER_ONLY;

#endif

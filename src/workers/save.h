/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_SAVE_H
#define NNS_WORKERS_SAVE_H

#include "workers/owner_state.h"

/*
 * SaveNetworkNamespaceHandle and its lazy form: putting a namespace, and what lets us enter it again, into
 * the cache. All on the owner thread.
 */
enum nns_saved {
    NNS_SAVED_NOTHING, /* no identity, no path, or networking disabled */
    NNS_SAVED_NEW,     /* was unknown; now an entry with a handle */
    NNS_SAVED_HANDLE,  /* was known without a handle; has one now */
    NNS_SAVED_FOUND,   /* likewise, as it was astray */
    NNS_SAVED_KNOWN    /* was known with a handle: not new */
};

/*
 * Save a namespace that is open already, and what led there. On NEW, HANDLE and FOUND fd and place belong to
 * the entry and *out is the entry; on KNOWN *out is the entry and both stay the caller's, as they do on
 * error. A full cache evicts first. An answer above; -ENOSPC when nothing can be evicted; -ENOMEM.
 */
int nns_save_opened(struct nns_owner *owner, struct nns_netns_id id, int fd, struct nns_place *place,
                    struct nns_namespace **out) NNS_OWNER_ONLY;

/*
 * Save a namespace by a path that leads to it. The lazy form asks for the path only when there is something
 * to open: networking enabled, cookie not 0, no handle yet. What is opened must be what id says (-ESTALE
 * otherwise, I4). An open that fails leaves no entry: the next request tries again. Answers as above, or
 * -errno.
 */
int nns_save_handle(struct nns_owner *owner, struct nns_netns_id id, const char *path,
                    struct nns_namespace **out) NNS_OWNER_ONLY;
int nns_save_handle_lazy(struct nns_owner *owner, struct nns_netns_id id, const char *(*path)(void *context),
                         void *context, struct nns_namespace **out) NNS_OWNER_ONLY;

/* The entry of a namespace, made without a handle if it is unknown: for devices heard of before their
 * namespace. 0 or -errno. */
int nns_save_unopened(struct nns_owner *owner, struct nns_netns_id id,
                      struct nns_namespace **out) NNS_OWNER_ONLY;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_RESOLVE_H
#define NNS_IO_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/links.h"

/*
 * Many pids to their network namespaces in one system call, by a BPF program (src/bpf/resolve.bpf.c), and a
 * namespace's devices in another, without entering it. The only user of libbpf for it.
 *
 * Pids are those of the caller's pid namespace: bpf_task_from_vpid (6.14), or bpf_task_from_pid (6.11) for a
 * daemon in the initial one.
 */
struct nns_resolver;

#define NNS_RESOLVE_MAX 1024 /* pids a call */

struct nns_resolved {
    uint64_t cookie; /* 0: no such task, or it has no namespaces any more (a zombie) */
    uint32_t inum;
};

/* For `workers` threads that resolve at the same time. Any thread, while others load programs of theirs. 0,
 * or -errno when this kernel does not let us: then there are other ways. */
int nns_resolver_open(unsigned workers, struct nns_resolver **out);
void nns_resolver_close(struct nns_resolver *resolver); /* NULL is fine */

/*
 * Where a worker writes the pids it wants resolved, up to NNS_RESOLVE_MAX: memory the program reads, so that
 * nothing is copied. `worker` is the caller's own number below `workers`; NULL when it is not.
 */
uint32_t *nns_resolver_pids(struct nns_resolver *resolver, unsigned worker);

/*
 * Resolve the first `count` of those. Returns what became of them, in their order, good until the same
 * worker's next call; or NULL, with errno set, when the kernel refused: resolve these another way. Neither
 * allocates nor waits.
 */
const struct nns_resolved *nns_resolve(struct nns_resolver *resolver, unsigned worker, size_t count);

#define NNS_RESOLVER_DEVICES_MAX 256 /* of a namespace that is listed */

/* Can it list devices, too? */
bool nns_resolver_lists(const struct nns_resolver *resolver);

/*
 * List the devices of an open namespace whose cookie is known, with what sits at their ingress/clsact place:
 * all that are there throughout the call, and some of those that come or go. Nothing is sent, nobody else's
 * lock taken. One thread at a time.
 *
 * 0; -ESTALE or -EBADF when fd is of another namespace, or of something else; -E2BIG when there are more
 * devices, -EAGAIN when one of them could not be read, as where its name was being changed: list these
 * another way; or -errno. *links is untouched then; else what it held is freed.
 */
int nns_resolver_list(struct nns_resolver *resolver, int fd, uint64_t cookie, struct nns_links *links);

#endif

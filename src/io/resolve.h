/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_RESOLVE_H
#define NNS_IO_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Many pids to their network namespaces in one system call, by a BPF program (src/bpf/resolve.bpf.c). The
 * only user of libbpf for it.
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
 * Resolve pids, `worker` being the caller's own number below `workers`. Returns what became of them, in their
 * order, good until the same worker's next call; or NULL, with errno set, when the kernel refused: resolve
 * these another way. Neither allocates nor waits.
 */
const struct nns_resolved *nns_resolve(struct nns_resolver *resolver, unsigned worker, const uint32_t *pids,
                                       size_t count);

#endif

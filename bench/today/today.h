/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TODAY_H
#define TODAY_H

#include <stddef.h>
#include <stdint.h>

/*
 * How the job is done today, by those who do a part of it: each way written plainly, as its users write it,
 * in one thread and with no project header. They are not floors: nobody would call them as fast as can be.
 * Nor are they slowed: what is here is the fewest steps that still is that way, with none of the locks,
 * tables and language runtimes that agents have around it.
 *
 * All return 0 or -errno. "home" is an fd of the namespace to return to; programs[] are the fds of the
 * ingress and the egress program.
 */

/* ---- which namespace a process is in ---- */

/* A readlink of /proc/PID/ns/net, the whole path printed for every pid, the number parsed out of the answer:
 * security and flow agents that are told of pids by process events. *sum keeps the compiler from dropping the
 * work. */
int today_resolve_readlink(const uint32_t *pids, size_t count, uint64_t *sum);

/* Open it, fstat, close: those who are about to enter the namespace or compare it with others, as container
 * tools and CNI plugins do. */
int today_resolve_open(const uint32_t *pids, size_t count, uint64_t *sum);

/* ---- attaching to the devices of a namespace ---- */

/* libbpf's own calls, inside: a hook and two filters a device, each call with a socket of its own. Loaders
 * and agents in C. */
int today_attach_libbpf(int netns, int home, const uint32_t *ifindexes, size_t count, const int programs[2]);

/* A NETLINK_ROUTE socket that was opened inside earlier and is kept as long as the namespace is known; clsact
 * and both filters each a request that waits for its acknowledgement. Agents in Go with a netlink handle for
 * every namespace. */
int today_attach_socket(int socket, const uint32_t *ifindexes, size_t count, const int programs[2]);

/* A tcx link for each hook, inside: newer flow agents and program managers. links[] are two fds a device;
 * what is not there is -1. -EINVAL when the kernel knows of no tcx (before 6.6). */
int today_attach_tcx(int netns, int home, const uint32_t *ifindexes, size_t count, const int programs[2],
                     int *links);

/* A copy of both programs for every device, each through the verifier, attached over a kept socket: a common
 * eBPF manager of security agents, whose copies may be told apart by what is written into them. The originals
 * are loaded once. */
struct today_originals;

int today_originals_open(struct today_originals **out);
void today_originals_close(struct today_originals *originals); /* NULL is fine */

/* clones[] are two fds a device, as with links. */
int today_attach_clones(int socket, const uint32_t *ifindexes, size_t count,
                        const struct today_originals *originals, int *clones);

/* ---- a new namespace ---- */

/* Open the namespace of each process, see which it is, go in, list its devices, attach to each as
 * today_attach_libbpf does, go home. */
int today_miss(const uint32_t *pids, size_t count, int home, const int programs[2]);

/* ---- all namespaces that are there ---- */

/* At its start an agent walks /proc, reads the namespace link of every process (today_namespaces.h), and does
 * as today_miss with one process of each namespace that is not excluded by its inum. */
int today_start(const unsigned long *excluded, size_t excluded_count, int home, const int programs[2]);

#endif

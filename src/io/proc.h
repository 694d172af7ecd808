/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_PROC_H
#define NNS_IO_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What /proc says. Pids are those of the pid namespace /proc was mounted for, which must be the daemon's own.
 */

/* Open /proc once, before any thread. 0 or -errno (-EXDEV when /proc shows another pid namespace than ours).
 */
int nns_proc_open(void);

/* The inum of a process's network namespace, by one readlink. *inum on success.
 * 0; -ESRCH when it is gone or a zombie; -EACCES; -errno. Any thread. */
int nns_proc_netns(uint32_t pid, uint32_t *inum);

/* The highest pid the host can have (/proc/sys/kernel/pid_max, read anew: an operator may raise it at any
 * time). One short read: call it once a burst of pids, not once a pid. */
uint32_t nns_proc_pid_max(void);

/* The set of namespaces that a process, a thread or a mount holds. */
struct nns_inums {
    uint32_t *items; /* sorted, each once */
    size_t count, capacity;
};

#define NNS_INUMS_NULL ((struct nns_inums){NULL, 0, 0})

/*
 * Collect the network namespaces of every thread of every process but our own, and of every nsfs mount in
 * every mount namespace a process is in. A process that ends meanwhile is no error; anything else that keeps
 * us from seeing all is: "unknown" must not look like "none". The walk is no
 * snapshot: what moves from a process not yet seen to one passed by is missed, so that a namespace counts as
 * left only when several looks in a row did not find it. 0, or -errno with *inums untouched. Any thread;
 * takes milliseconds.
 */
int nns_proc_inhabited(struct nns_inums *inums);

/*
 * A path to every namespace, for a sweep without a daemon: a mount we see ourselves, else /proc/PID/ns/net or
 * /proc/PID/task/TID/ns/net, else another's mount, through /proc/PID/root. Of our own threads the first alone
 * is looked at: where another is it works, and one just forgotten would be met anew by that. Each namespace
 * once; but when visit returns -ENOENT (the path does not lead to that inum, or no longer), the next path to
 * it is tried. visit returns 0 to go on; anything else ends the walk and is returned. What cannot be read is
 * passed over, and its -errno returned at the end.
 */
int nns_proc_each_namespace(int (*visit)(const char *path, uint32_t inum, void *context), void *context);

bool nns_inums_has(const struct nns_inums *inums, uint32_t inum);
void nns_inums_deinit(struct nns_inums *inums);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_MOUNTS_H
#define NNS_IO_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Mounts of network namespaces (`ip netns add` makes such), as the daemon's own mount namespace has them, and
 * word of changes among all mounts: by fanotify (6.14), else by polling /proc/self/mountinfo.
 */
struct nns_mounts;

enum nns_mounts_way { NNS_MOUNTS_FANOTIFY, NNS_MOUNTS_MOUNTINFO };

/* 0 or -errno. */
int nns_mounts_open(struct nns_mounts **out, enum nns_mounts_way *way);
void nns_mounts_close(struct nns_mounts *mounts); /* NULL is fine */

/* To poll: for POLLIN with fanotify, for POLLPRI (UV_PRIORITIZED) alone with mountinfo, which can always be
 * read: with POLLIN a loop would never rest. There a poll takes the word of a change away, and so does epoll
 * when the descriptor is added to it: call nns_mounts_changed once after that (libuv adds it in the loop's
 * next turn after uv_poll_start). */
int nns_mounts_fd(const struct nns_mounts *mounts);

/* Take note of what changed, so that the descriptor is quiet until the next change. 1 when a namespace may
 * have come or gone, 0 when nothing of ours changed, or -errno (take it for a 1). One thread. */
int nns_mounts_changed(struct nns_mounts *mounts);

/* Every mount of a network namespace that can be seen from here, with its path and the inum that mountinfo
 * shows. A path may since lead elsewhere: verify what is opened. visit returns 0 to go on; anything else ends
 * the walk and is returned. 0 or -errno. Any thread. */
int nns_mounts_each(int (*visit)(void *context, const char *path, uint32_t inum), void *context);

/*
 * Likewise, but only mounts that nns_mounts_changed has found new, or moved, since they were shown last.
 * Where they were too many, or not told one by one, it is every mount there is. NULL has none.
 */
int nns_mounts_each_new(struct nns_mounts *mounts,
                        int (*visit)(void *context, const char *path, uint32_t inum), void *context);

/* Would that show any? Any thread. */
bool nns_mounts_has_new(struct nns_mounts *mounts);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_INSTANCE_H
#define NNS_IO_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/pins.h"

/*
 * One daemon an instance, and the directory in which it pins maps for the next one.
 *
 * Two locks, which the kernel drops when their holder dies. The file in /run/netnsync is there on every host;
 * the directory on the bpffs, taken also where nothing is to be pinned, catches whom a /run of his own kept
 * from seeing that file, as in two containers, but who would share, and spoil, the maps. A host that has
 * neither leaves no way to tell, and no daemon starts. An abstract socket would need no file, but anybody may
 * bind its name, and every network namespace has names of its own. One thread.
 */
struct nns_instance;

/*
 * Take the instance for this process: to be its daemon, or to clear up where it has none. Lock file and
 * directory are made where they can be; nothing that is pinned is touched. bpffs may be empty. 0;
 * -EADDRINUSE when somebody has it; -errno; with a sentence in error[size].
 */
int nns_instance_open(const char *bpffs, const char *name, struct nns_instance **out, char *error,
                      size_t size);

/* Log what will go unnoticed for want of a lock; with pins also why nothing can be pinned. */
void nns_instance_warn(const struct nns_instance *instance, bool pins);

/* Where maps can be pinned, or NULL. */
const struct nns_pins *nns_instance_pins(const struct nns_instance *instance);

/* Remove all that is pinned, by whomever. True in *found when there was something. 0 or -errno, also where
 * something may be pinned that could not be looked at. */
int nns_instance_discard(struct nns_instance *instance, bool *found);

/* Let go of the instance. What is pinned stays; a directory without anything goes. NULL is fine. */
void nns_instance_close(struct nns_instance *instance);

#endif

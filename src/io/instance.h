/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_INSTANCE_H
#define NNS_IO_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/params.h"
#include "core/pins.h"

/*
 * One daemon an instance, and the directory in which it pins maps for the next one.
 *
 * Two locks, which the kernel drops when their holder dies. The file in /run/netnsync is there on every host;
 * the directory on the bpffs catches whom a /run of his own kept from seeing that file, as in two containers,
 * but who would share, and spoil, the maps. A host that has neither leaves no way to tell, and no daemon
 * starts. An abstract socket would need no file, but anybody may bind its name, and every network namespace
 * has names of its own. One thread.
 */
struct nns_instance;

/*
 * Take the instance for this process. Where nothing is to be pinned, because the programs are the operator's,
 * what a former daemon pinned is removed; where nothing can be, the log says why. 0; -EADDRINUSE when it has
 * a daemon; -errno; with a sentence in error[size].
 */
int nns_instance_open(const struct nns_params *params, struct nns_instance **out, char *error, size_t size);

/* Where maps are to be pinned, or NULL. */
const struct nns_pins *nns_instance_pins(const struct nns_instance *instance);

/* Let go of the instance; with unpin also of its maps, and of the directory. NULL is fine. */
void nns_instance_close(struct nns_instance *instance, bool unpin);

/* Remove what an instance without a daemon has pinned. True in *found when there was something. 0;
 * -EADDRINUSE when it has a daemon, which keeps it; -errno. */
int nns_instance_discard(const char *bpffs, const char *name, bool *found);

#endif

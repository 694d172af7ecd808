/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_SWEEP_H
#define NNS_CLI_SWEEP_H

#include <stddef.h>

#include "cli/qdiscs.h"
#include "cli/targets.h"

/*
 * Removing what an instance left behind, without its daemon: every namespace that a process, a thread or a
 * mount leads to is entered, and the instance's filters there are removed. Where devices come and go while
 * they are listed, those that were shown are swept, and it is listed again, within bounds.
 */
struct nns_sweep {
    size_t filters;    /* removed */
    size_t namespaces; /* that had some */
    size_t looked_at;
    size_t failed; /* namespaces that could not be swept, each complained of */
};

/* 0 when every namespace was looked at, even where the sweep of one failed; -errno, complained of, when some
 * may have been missed. The clsact of each device that lost a filter is deleted, unless qdiscs is NULL. */
int nns_sweep_all(const char *instance, struct nns_qdiscs *qdiscs, struct nns_sweep *sweep);

/* The same way, delete the clsact of these devices alone and touch nothing else. *met: how many of them were
 * met; what was not has gone, has another name, or is where no process, thread or mount leads. */
int nns_sweep_qdiscs(struct nns_targets *targets, struct nns_qdiscs *qdiscs, struct nns_sweep *sweep,
                     size_t *met);

#endif

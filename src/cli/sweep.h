/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CLI_SWEEP_H
#define NNS_CLI_SWEEP_H

#include <stddef.h>

/*
 * Removing what an instance left behind, without its daemon: every namespace that a process, a thread or a
 * mount leads to is entered, and the instance's filters there are removed. Qdiscs stay.
 */
struct nns_sweep {
    size_t filters;    /* removed */
    size_t namespaces; /* that had some */
    size_t looked_at;
    size_t failed; /* namespaces that could not be swept, each complained of */
};

/* 0 when every namespace was looked at, even where the sweep of one failed; -errno, complained of, when some
 * may have been missed. */
int nns_sweep_all(const char *instance, struct nns_sweep *sweep);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_DAEMON_H
#define NNS_WORKERS_DAEMON_H

#include "core/params.h"

/*
 * The daemon: wires the loop thread, the workers and the owner together, and runs until a signal ends it.
 *
 * SIGTERM or SIGINT: stop feeding, finish what is in flight, remove our filters unless keep_attached, exit 0.
 * A second one ends the process at once. Returns the exit status.
 */
int nns_daemon_run(const struct nns_params *params);

#endif

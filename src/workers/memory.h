/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_MEMORY_H
#define NNS_WORKERS_MEMORY_H

#include "core/report.h"

/* The allocator's one home: how it is set up, and what has to be asked of it. */

/* Give back to the kernel what is free: loading BPF programs takes megabytes for a moment, a busy time leaves
 * pages behind. Any thread. */
void nns_memory_trim(void);

/* What it holds now, as far as it knows. Any thread. */
struct nns_memory nns_memory_weigh(void);

#endif

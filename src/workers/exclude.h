/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_EXCLUDE_H
#define NNS_WORKERS_EXCLUDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/params.h"

/* What the operator does not want touched. Any thread. */

/* Does exclude.namespaces name this one? Paths are looked up each time: they may come to exist later. */
bool nns_excludes_namespace(const struct nns_params *params, uint32_t inum);

/* Does a glob of exclude.devices match? */
bool nns_excludes_device(const struct nns_params *params, const char *name);

#endif

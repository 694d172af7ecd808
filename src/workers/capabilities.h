/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_CAPABILITIES_H
#define NNS_WORKERS_CAPABILITIES_H

#include <stdbool.h>

#include "core/params.h"
#include "core/report.h"
#include "io/mounts.h"
#include "io/netns.h"
#include "io/trace.h"
#include "workers/owner.h"

/*
 * Which rung of each ladder the daemon stands on, in words for `status`. Told by what was really opened, not
 * by what the kernel's version promises.
 */
struct nns_parts {
    const struct nns_params *params;
    struct nns_netns_abilities netns;
    struct nns_trace_abilities trace;
    enum nns_handle_way way;
    enum nns_telling telling;
    bool resolver; /* the BPF program for pids */
    bool lists;    /* it lists devices, too */
    bool mounts;   /* changes of mounts are watched, in this way: */
    enum nns_mounts_way mounts_way;
    bool slots; /* the meter tells devices apart */
};

struct nns_capabilities nns_capabilities_of(const struct nns_parts *parts);

#endif

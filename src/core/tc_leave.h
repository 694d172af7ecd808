/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_TC_LEAVE_H
#define NNS_CORE_TC_LEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/netlink.h"
#include "core/tc_message.h"
#include "core/tc_work.h"

/*
 * Detaching, without the system calls: what to ask of the kernel next, given what it showed and answered.
 *
 * Rounds of: look over the hooks where an attach ended without learning what is there, so that ours may be at
 * any priority; ask for the filters that we put where we know; delete those that are told to be ours (I7). An
 * answer that was lost has its hook asked for again (I9). The caller bounds the rounds. One thread; no system
 * calls.
 */
struct nns_tc_leave {
    struct nns_tc_job *jobs;
    struct nns_tc_stats *stats;
    size_t hooks;   /* of all jobs: hook h of job j has the index j * NNS_HOOKS + h */
    uint8_t *state; /* of each */
};

/* 0 or -ENOMEM. Jobs and stats are borrowed. Hooks where something of ours may be say NNS_REASON_UNKNOWN from
 * here on, also without memory. */
int nns_tc_leave_init(struct nns_tc_leave *leave, struct nns_tc_job *jobs, size_t count,
                      struct nns_tc_stats *stats);
void nns_tc_leave_deinit(struct nns_tc_leave *leave);

/* Is this hook to be looked over? Deletions of what a look shows to be ours are written with
 * nns_tc_put_delete, and a hook is left once one showed nothing: the one after that which found something. */
bool nns_tc_leave_seeks(const struct nns_tc_leave *leave, size_t index);
void nns_tc_leave_left(struct nns_tc_leave *leave, size_t index);

/* Write questions for the filters that we put there. */
void nns_tc_leave_ask(const struct nns_tc_leave *leave, struct nns_netlink_batch *batch);

/* A filter that the kernel shows in answer: does it run what we put there, so that it is worth to be told
 * from ours? Then it is seen to be ours or not; what could be neither is not seen. */
bool nns_tc_leave_expects(const struct nns_tc_leave *leave, size_t index, const struct nns_tc_filter *filter);
void nns_tc_leave_see(struct nns_tc_leave *leave, size_t index, bool ours);

/* Take the answers to the questions. */
void nns_tc_leave_told(struct nns_tc_leave *leave, const struct nns_netlink_batch *batch);

/* Write deletions of what is ours, and take the answers. */
void nns_tc_leave_delete(const struct nns_tc_leave *leave, struct nns_netlink_batch *batch);
void nns_tc_leave_deleted(struct nns_tc_leave *leave, const struct nns_netlink_batch *batch);

/* Does the answer to a question or a deletion say that nothing is there? */
bool nns_tc_says_gone(int answer);

#endif

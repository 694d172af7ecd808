/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_TC_WORK_H
#define NNS_CORE_TC_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/device.h"
#include "core/netlink.h"
#include "core/tc_message.h"
#include "core/tc_place.h"

/*
 * Attaching, without the system calls: what to ask of the kernel next, given what it showed and answered.
 *
 * Rounds of: look at the devices in doubt, plan (write the requests), settle (read their answers). Devices
 * the last listing saw without a qdisc are not looked at first. What the kernel answers decides; an answer
 * that was lost, or that shows the look to be out of date, puts the device in doubt again. The caller bounds
 * the rounds. One thread; no system calls.
 */
struct nns_tc_program {
    int fd; /* of a BPF_PROG_TYPE_SCHED_CLS program, borrowed */
    uint32_t id;
    char name[16];  /* as the kernel holds it */
    uint8_t tag[8]; /* likewise */
};

/* A program set as tc needs it. */
struct nns_tc_set {
    char instance[33];
    uint16_t priority;
    uint32_t counts; /* id of the map that the programs count in, by slot; 0: they count in none */
    struct nns_tc_program programs[NNS_HOOKS];
};

/* One device's part in an exchange. */
struct nns_tc_job {
    uint32_t ifindex;
    uint16_t slot; /* becomes the filters' classid */
    uint8_t qdisc; /* enum nns_qdisc, as the last listing saw it; renewed when found different */
    uint8_t found; /* after attach: 1 << hook where our filter was there already, whatever it ran and counted
                      in */
    uint8_t counted; /* after attach: likewise, but only where it counted in this slot of the set's own map */
    bool looked;     /* after attach: found and counted are all there is; else there may be more */
    /* For attach: what is known to be there (program_id 0: nothing); after: what is there now, or why not.
     * For detach: what we put there; after: program_id 0 where it is gone. */
    struct nns_attachment hooks[NNS_HOOKS];
};

/* Whose a filter is. COUNTS: ours, and its program counts in the set's map. */
enum nns_tc_whose { NNS_TC_ANOTHERS, NNS_TC_OURS, NNS_TC_OURS_COUNTS };

/* Counted up, never cleared here. */
struct nns_tc_stats {
    unsigned sends;   /* messages handed to the kernel with sendmsg: exchanges */
    unsigned adopted; /* filters of ours that were there already */
    unsigned foreign; /* filters at our place that were not ours, left alone */
    unsigned removed;
    unsigned dumps; /* of all qdiscs of the namespace */
};

/* One job on its way to an answer. */
struct nns_tc_task {
    struct nns_tc_job *job;
    bool pending;
    bool doubt;      /* what is there is not known for sure */
    bool with_qdisc; /* clsact was among the requests of this round */
    bool sent[NNS_HOOKS];
    bool shared[NNS_HOOKS];
    uint8_t qdisc;             /* enum nns_qdisc, as the last look saw it */
    uint16_t fresh[NNS_HOOKS]; /* where this work put a filter, or may have */
    struct nns_tc_place places[NNS_HOOKS];
    struct nns_tc_view views[NNS_HOOKS];
    int answers[NNS_HOOKS + 1]; /* the filters' and clsact's */
};

struct nns_tc_work {
    const struct nns_tc_set *set;
    struct nns_tc_stats *stats;
    char names[NNS_HOOKS][NNS_TC_NAME_SIZE];
    struct nns_tc_task *tasks; /* by ifindex */
    size_t count;
};

/* 0 or -ENOMEM. Set, jobs and stats are borrowed. */
int nns_tc_work_init(struct nns_tc_work *work, const struct nns_tc_set *set, struct nns_tc_job *jobs,
                     size_t count, struct nns_tc_stats *stats);
void nns_tc_work_deinit(struct nns_tc_work *work);

/* Is some device to be looked at before the next plan? */
bool nns_tc_work_in_doubt(const struct nns_tc_work *work);

/* A look: forget what was seen of the devices in doubt, and write questions for each of them alone. */
void nns_tc_work_ask(struct nns_tc_work *work, struct nns_netlink_batch *batch);

/* Take the answers. True when they tell which qdisc each has; else all that the kernel shows are to be seen.
 */
bool nns_tc_work_told(struct nns_tc_work *work, const struct nns_netlink_batch *batch);

/* Forget what was seen of the devices in doubt, then see every qdisc the kernel shows. */
void nns_tc_work_look(struct nns_tc_work *work);
void nns_tc_work_see_qdisc(struct nns_tc_work *work, const struct nns_tc_qdisc *qdisc);

/* Then, for each device still in doubt and each hook that can be reached, every filter; then say that it was
 * seen. */
bool nns_tc_task_reaches(const struct nns_tc_task *task, enum nns_hook hook);
void nns_tc_task_see_filter(struct nns_tc_task *task, const struct nns_tc_set *set, enum nns_hook hook,
                            const struct nns_tc_filter *filter, enum nns_tc_whose whose);
void nns_tc_task_seen(struct nns_tc_task *task);

/* Write the requests of this round into the batch, cleared before. */
void nns_tc_work_plan(struct nns_tc_work *work, struct nns_netlink_batch *batch);

/* Take the answers. True when some device still waits for one. */
bool nns_tc_work_settle(struct nns_tc_work *work, const struct nns_netlink_batch *batch);

/* Write deletions of the filters of ours beside the one that stays: where a place was yielded, or an earlier
 * daemon's at another priority. They go last, so that no packet goes unseen. */
void nns_tc_work_surplus(struct nns_tc_work *work, struct nns_netlink_batch *batch);

#endif

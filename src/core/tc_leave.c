/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tc_leave.h"

#include <errno.h>
#include <stdlib.h>

/* What is known of one hook's filter. */
enum state { DONE, SEEK, ASK, OURS, FOREIGN };

static struct nns_attachment *hook_of(const struct nns_tc_leave *leave, size_t index)
{
    return &leave->jobs[index / NNS_HOOKS].hooks[index % NNS_HOOKS];
}

int nns_tc_leave_init(struct nns_tc_leave *leave, struct nns_tc_job *jobs, size_t count,
                      struct nns_tc_stats *stats)
{
    *leave = (struct nns_tc_leave){.jobs = jobs, .stats = stats, .hooks = count * NNS_HOOKS};
    leave->state = calloc(leave->hooks + 1, 1);
    for (size_t i = 0; i < leave->hooks; i++) {
        struct nns_attachment *hook = hook_of(leave, i);
        bool unknown = hook->reason == NNS_REASON_UNKNOWN;

        if (!hook->program_id && !unknown)
            continue;
        hook->reason = NNS_REASON_UNKNOWN;
        if (leave->state)
            leave->state[i] = unknown ? SEEK : ASK;
    }
    return leave->state ? 0 : -ENOMEM;
}

void nns_tc_leave_deinit(struct nns_tc_leave *leave)
{
    free(leave->state);
    leave->state = NULL;
}

bool nns_tc_leave_seeks(const struct nns_tc_leave *leave, size_t index)
{
    return leave->state[index] == SEEK;
}

void nns_tc_leave_left(struct nns_tc_leave *leave, size_t index)
{
    *hook_of(leave, index) = (struct nns_attachment){0};
    leave->state[index] = DONE;
}

typedef void put_fn(struct nns_netlink_batch *batch, struct nns_tc_spot spot, uint32_t about);

static void put_hooks(const struct nns_tc_leave *leave, enum state state, struct nns_netlink_batch *batch,
                      put_fn *put)
{
    nns_netlink_batch_clear(batch);
    for (size_t i = 0; i < leave->hooks; i++) {
        struct nns_tc_spot spot = {
            .ifindex = leave->jobs[i / NNS_HOOKS].ifindex,
            .priority = hook_of(leave, i)->priority,
            .hook = i % NNS_HOOKS,
        };

        if (leave->state[i] == state)
            put(batch, spot, (uint32_t)i);
    }
}

void nns_tc_leave_ask(const struct nns_tc_leave *leave, struct nns_netlink_batch *batch)
{
    put_hooks(leave, ASK, batch, nns_tc_put_get);
}

bool nns_tc_leave_expects(const struct nns_tc_leave *leave, size_t index, const struct nns_tc_filter *filter)
{
    return filter->program_id == hook_of(leave, index)->program_id;
}

void nns_tc_leave_see(struct nns_tc_leave *leave, size_t index, bool ours)
{
    leave->state[index] = ours ? OURS : FOREIGN;
}

bool nns_tc_says_gone(int answer)
{
    return answer == -ENOENT || answer == -ENODEV || answer == -EINVAL || answer == -EOPNOTSUPP;
}

/* An answer that is neither yes nor "nothing there" is kept as the reason: the program is still there. */
static void settle(struct nns_tc_leave *leave, size_t index, int answer)
{
    struct nns_attachment *hook = hook_of(leave, index);

    if (nns_tc_says_gone(answer)) {
        nns_tc_leave_left(leave, index);
    } else if (answer == NNS_NETLINK_UNHEARD) {
        leave->state[index] = ASK;
    } else if (answer < 0) {
        hook->reason = NNS_REASON_KERNEL;
        hook->error = (uint16_t)-answer;
        leave->state[index] = DONE;
    }
}

void nns_tc_leave_told(struct nns_tc_leave *leave, const struct nns_netlink_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        size_t index = batch->requests[i].about;

        if (leave->state[index] == ASK)
            settle(leave, index, batch->requests[i].answer);
        if (leave->state[index] == FOREIGN) {
            nns_tc_leave_left(leave, index);
            leave->stats->foreign++;
        }
    }
}

void nns_tc_leave_delete(const struct nns_tc_leave *leave, struct nns_netlink_batch *batch)
{
    put_hooks(leave, OURS, batch, nns_tc_put_delete);
}

void nns_tc_leave_deleted(struct nns_tc_leave *leave, const struct nns_netlink_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        size_t index = batch->requests[i].about;

        if (batch->requests[i].answer == 0) {
            leave->stats->removed++;
            nns_tc_leave_left(leave, index);
        } else {
            settle(leave, index, batch->requests[i].answer);
        }
    }
}

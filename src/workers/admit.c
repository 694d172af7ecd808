/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/admit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/counters.h"
#include "workers/dequeue.h"
#include "workers/exclude.h"
#include "workers/heritage.h"
#include "workers/room.h"
#include "workers/save.h"
#include "workers/settle.h"

void nns_admit_meet(struct nns_owner *owner, struct nns_arrival *arrival)
{
    arrival->excluded = nns_exclusions_meet(owner->context.exclusions, arrival->id);
    if (arrival->excluded)
        nns_room_found(owner, arrival->id);
}

/* An excluded namespace is nobody's to save, save one where a former daemon of this instance may have had
 * filters: they are taken off first. It is opened once, when it is first met, and so comes in even where
 * another has to go for the moment: the operator named it. */
NNS_OWNER_ONLY static bool is_none_of_ours(struct nns_owner *owner, const struct nns_arrival *arrival,
                                           const struct nns_namespace *known)
{
    return arrival->excluded && !(known && nns_is_astray(known)) &&
           !nns_heritage_in(owner, arrival->fd, arrival->id.cookie);
}

/* For one that was found, and not named, nobody is evicted. */
NNS_OWNER_ONLY static bool finds_no_room(struct nns_owner *owner, const struct nns_arrival *arrival)
{
    return !arrival->excluded && !nns_room_is_there(owner) && arrival->id.inum != nns_netns_own().inum;
}

void nns_admit_save(struct nns_owner *owner, struct nns_arrival *arrival, bool named)
{
    const struct nns_namespace *known = nns_cache_find(owner->context.cache, arrival->id.cookie);

    if (is_none_of_ours(owner, arrival, known))
        arrival->saved = NNS_SAVED_NOTHING;
    else if (!named && !known && finds_no_room(owner, arrival))
        arrival->saved = -ENOSPC;
    else
        arrival->saved = nns_save_opened(owner, arrival->id, arrival->fd, &arrival->place, &arrival->ns);
}

void nns_admit_miss(struct nns_owner *owner, const struct nns_arrival *arrival)
{
    nns_count(NNS_COUNT_NAMESPACES_NO_ROOM, 1);
    nns_room_miss(owner, arrival->id);
}

struct nns_answer nns_admit_answer(const struct nns_arrival *arrival)
{
    struct nns_answer answer = {
        .cookie = arrival->id.cookie, .inum = arrival->id.inum, .outcome = NNS_OUTCOME_NEW};

    if (arrival->excluded)
        answer.outcome = NNS_OUTCOME_EXCLUDED;
    else if (arrival->saved < 0)
        return nns_answer_for_error(arrival->saved);
    else if (arrival->saved == NNS_SAVED_NOTHING)
        return nns_answer_for_error(-ENODATA); /* no cookie: a kernel before 5.14 */
    else if (arrival->saved == NNS_SAVED_KNOWN || arrival->saved == NNS_SAVED_FOUND)
        answer.outcome = NNS_OUTCOME_KNOWN;
    return answer;
}

void nns_admit_visit(struct nns_owner *owner, struct nns_arrival *arrival)
{
    struct nns_namespace *ns = arrival->ns;

    if (arrival->saved == NNS_SAVED_NEW || arrival->saved == NNS_SAVED_FOUND) {
        ns->excluded = arrival->excluded;
        nns_visits_owe(&ns->visits);
        nns_dequeue(owner, ns);
    } else {
        if (ns)
            nns_namespace_ask(ns); /* as every request does that finds it known */
        close(arrival->fd);
    }
    free(arrival->place.path);
    *arrival = (struct nns_arrival){.fd = -1};
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_ADMIT_H
#define NNS_WORKERS_ADMIT_H

#include "workers/owner_state.h"

/*
 * Letting in a namespace that was opened: is it excluded, is there room, what is whoever asked to be told,
 * and the first visit. All on the owner thread, in this order.
 */
struct nns_arrival {
    struct nns_netns_id id; /* read from the fd */
    int fd;                 /* owned, like the place */
    struct nns_place place; /* what led there */
    bool excluded;
    int saved; /* enum nns_saved or -errno */
    struct nns_namespace *ns;
};

/* What the operator says of it. At home: it may have to look where paths lead. */
void nns_admit_meet(struct nns_owner *owner, struct nns_arrival *arrival) NNS_OWNER_ONLY;

/* named: by somebody, so that another may have to go for it. -ENOSPC in `saved`: it was not, and there is no
 * room; it may be tried once more, or missed. */
void nns_admit_save(struct nns_owner *owner, struct nns_arrival *arrival, bool named) NNS_OWNER_ONLY;
void nns_admit_miss(struct nns_owner *owner, const struct nns_arrival *arrival) NNS_OWNER_ONLY;

struct nns_answer nns_admit_answer(const struct nns_arrival *arrival);

/* Visit it if it is new, or was astray; all that the arrival owns is gone. */
void nns_admit_visit(struct nns_owner *owner, struct nns_arrival *arrival) NNS_OWNER_ONLY;

#endif

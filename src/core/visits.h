/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_VISITS_H
#define NNS_CORE_VISITS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/role.h"

/*
 * When a namespace is to be visited next, whether that visit lists its devices, and why not sooner. Owner
 * thread only; the clock is the caller's. Zero-initialised: nothing is owed.
 *
 * A listing is owed from when something may have changed until one has shown everything. What goes wrong is
 * tried again with growing pauses, within bounds (I10), and comes in two kinds:
 *  - the namespace could not be reached or listed: it is barred, and no visit is made before the pause ends;
 *  - a listing was interrupted by changes: the next listing alone waits, and single devices that there is
 *    news of are asked for meanwhile.
 */
struct nns_visits {
    bool owed;         /* a listing */
    bool barred;       /* the pause is for any visit, else for the listing alone */
    uint8_t tries;     /* failures of either kind in a row */
    uint16_t error;    /* positive errno of the last failure, NNS_VISIT_INTERRUPTED, or 0 */
    uint64_t retry_ms; /* when the pause ends; UINT64_MAX: given up; 0: none */
};

#define NNS_VISIT_INTERRUPTED UINT16_MAX /* no errno is so high */

/*
 * Why everything is to be looked at again, and so what becomes of a pause:
 *  - NEWS: something changed. What was given up begins again; no pause is shortened.
 *  - EVERYWHERE: somebody waits for the answer. At once, with all tries before it.
 *  - AUDIT: it is time to. What was given up gets a single try.
 *  - ROUTINE: likewise, but only for what was given up as interrupted.
 */
enum nns_look { NNS_LOOK_NEWS, NNS_LOOK_EVERYWHERE, NNS_LOOK_AUDIT, NNS_LOOK_ROUTINE };

/* A listing is owed, without more ado or for a reason above. */
void nns_visits_owe(struct nns_visits *visits) NNS_OWNER_ONLY;
void nns_visits_owe_for(struct nns_visits *visits, enum nns_look look, uint64_t now_ms) NNS_OWNER_ONLY;

/* Another way leads there: earlier failures say nothing of it. What they were is known until it has been
 * tried. */
void nns_visits_begin_anew(struct nns_visits *visits) NNS_OWNER_ONLY;

/* When may a visit be made that is wanted at when_ms? UINT64_MAX: it is given up. */
uint64_t nns_visits_not_before(const struct nns_visits *visits, uint64_t when_ms) NNS_OWNER_ONLY;

/* When does what is owed want a visit? UINT64_MAX: nothing is, or it is given up. */
uint64_t nns_visits_next(const struct nns_visits *visits, uint64_t now_ms) NNS_OWNER_ONLY;

/* How many single devices may wait to be asked for, at once? 0: a listing shows them. */
uint32_t nns_visits_asks(const struct nns_visits *visits, uint64_t now_ms) NNS_OWNER_ONLY;

/* Does the visit that is made now list? */
bool nns_visits_lists(const struct nns_visits *visits, uint64_t now_ms) NNS_OWNER_ONLY;

/* During it: a listing showed everything. */
void nns_visits_listed(struct nns_visits *visits) NNS_OWNER_ONLY;

/* Its end, one of three. The latter two return the pause, 0 when it is given up. */
void nns_visits_went_well(struct nns_visits *visits) NNS_OWNER_ONLY;
uint64_t nns_visits_failed(struct nns_visits *visits, int error, uint64_t now_ms) NNS_OWNER_ONLY;
uint64_t nns_visits_interrupted(struct nns_visits *visits, uint64_t now_ms) NNS_OWNER_ONLY;

/* What the last failure was, in words; NULL: there is none to be made up for. */
const char *nns_visits_error_text(const struct nns_visits *visits) NNS_OWNER_ONLY;

#endif

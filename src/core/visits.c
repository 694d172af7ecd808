/* SPDX-License-Identifier: Apache-2.0 */
#include "core/visits.h"

#include <string.h>

#include "core/backoff.h"
#include "core/looks.h"

#define GIVEN_UP UINT64_MAX

void nns_visits_owe(struct nns_visits *visits)
{
    visits->owed = true;
}

static void forget_pause(struct nns_visits *visits)
{
    visits->tries = 0;
    visits->retry_ms = 0;
}

void nns_visits_owe_for(struct nns_visits *visits, enum nns_look look, uint64_t now_ms)
{
    bool given_up = visits->retry_ms == GIVEN_UP;

    visits->owed = true;
    if (look == NNS_LOOK_EVERYWHERE || (look == NNS_LOOK_NEWS && given_up))
        forget_pause(visits);
    else if (given_up && (look == NNS_LOOK_AUDIT || (look == NNS_LOOK_ROUTINE && !visits->barred)))
        visits->retry_ms = now_ms;
}

void nns_visits_begin_anew(struct nns_visits *visits)
{
    visits->barred = false;
    forget_pause(visits);
}

uint64_t nns_visits_not_before(const struct nns_visits *visits, uint64_t when_ms)
{
    return visits->retry_ms > when_ms ? visits->retry_ms : when_ms;
}

uint64_t nns_visits_next(const struct nns_visits *visits, uint64_t now_ms)
{
    return visits->owed ? nns_visits_not_before(visits, now_ms) : UINT64_MAX;
}

uint32_t nns_visits_asks(const struct nns_visits *visits, uint64_t now_ms)
{
    if (visits->barred)
        return 0;
    if (visits->retry_ms > now_ms)
        return NNS_LOOKS_MOST;
    return visits->owed ? 0 : NNS_LOOKS_MAX;
}

bool nns_visits_lists(const struct nns_visits *visits, uint64_t now_ms)
{
    return visits->owed && (visits->barred || visits->retry_ms <= now_ms);
}

void nns_visits_listed(struct nns_visits *visits)
{
    visits->owed = false;
}

/* A listing that waits its time is still owed, and so are its tries. */
void nns_visits_went_well(struct nns_visits *visits)
{
    visits->barred = false;
    if (visits->owed)
        return;
    visits->error = 0;
    forget_pause(visits);
}

static uint64_t put_off(struct nns_visits *visits, uint16_t error, uint64_t now_ms)
{
    uint64_t pause;

    visits->owed = true;
    visits->error = error;
    if (visits->tries < UINT8_MAX)
        visits->tries++;
    pause = nns_backoff_ms(visits->tries);
    visits->retry_ms = pause ? now_ms + pause : GIVEN_UP;
    return pause;
}

uint64_t nns_visits_failed(struct nns_visits *visits, int error, uint64_t now_ms)
{
    visits->barred = true;
    return put_off(visits, (uint16_t)-error, now_ms);
}

uint64_t nns_visits_interrupted(struct nns_visits *visits, uint64_t now_ms)
{
    visits->barred = false;
    return put_off(visits, NNS_VISIT_INTERRUPTED, now_ms);
}

const char *nns_visits_error_text(const struct nns_visits *visits)
{
    if (visits->error == NNS_VISIT_INTERRUPTED)
        return "interrupted by changes, taken in part";
    return visits->error ? strerrordesc_np(visits->error) : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>

#include "core/backoff.h"
#include "core/looks.h"
#include "core/visits.h"

/* The clock is the test's: it begins at NOW. */
enum { NOW = 1000000 };
#define NEVER UINT64_MAX

static struct nns_visits visits;

static void set_up(void)
{
    nns_role_assert_owner();
}

TestSuite(visits, .init = set_up);

/* What follows from the state at that time. */
NNS_OWNER_ONLY static void expect(uint64_t now, uint64_t next, bool lists, uint32_t asks)
{
    cr_expect_eq(nns_visits_next(&visits, now), next);
    cr_expect_eq(nns_visits_lists(&visits, now), lists);
    cr_expect_eq(nns_visits_asks(&visits, now), asks);
}

NNS_OWNER_ONLY static void list_everything(void)
{
    nns_visits_listed(&visits);
    nns_visits_went_well(&visits);
}

typedef uint64_t failure(uint64_t now_ms);

NNS_OWNER_ONLY static uint64_t fail(uint64_t now_ms)
{
    return nns_visits_failed(&visits, -EMFILE, now_ms);
}

NNS_OWNER_ONLY static uint64_t interrupt(uint64_t now_ms)
{
    return nns_visits_interrupted(&visits, now_ms);
}

NNS_OWNER_ONLY static void give_up(failure *again)
{
    while (again(NOW))
        continue;
}

Test(visits, nothing_is_owed_at_first)
{
    nns_role_assert_owner();
    expect(NOW, NEVER, false, NNS_LOOKS_MAX);
    cr_expect_eq(nns_visits_not_before(&visits, NOW), NOW);
    cr_expect_null(nns_visits_error_text(&visits));
}

Test(visits, what_is_owed_is_listed_at_once)
{
    nns_role_assert_owner();
    nns_visits_owe(&visits);
    expect(NOW, NOW, true, 0);
    list_everything();
    expect(NOW, NEVER, false, NNS_LOOKS_MAX);
}

Test(visits, one_that_failed_bars_all_until_its_pause_is_over)
{
    const uint64_t end = NOW + nns_backoff_ms(1);

    nns_role_assert_owner();
    cr_expect_eq(fail(NOW), nns_backoff_ms(1));
    cr_expect(visits.barred);
    cr_expect_str_eq(nns_visits_error_text(&visits), "Too many open files");
    expect(NOW, end, true, 0);
    expect(end, end, true, 0);
    cr_expect_eq(nns_visits_not_before(&visits, NOW), end);
    cr_expect_eq(nns_visits_not_before(&visits, end + 7), end + 7);
    list_everything();
    expect(NOW, NEVER, false, NNS_LOOKS_MAX);
    cr_expect_null(nns_visits_error_text(&visits));
    cr_expect_eq(fail(NOW), nns_backoff_ms(1), "all tries are there again");
}

Test(visits, one_that_was_interrupted_bars_the_next_listing_alone)
{
    const uint64_t end = NOW + nns_backoff_ms(1);

    nns_role_assert_owner();
    cr_expect_eq(interrupt(NOW), nns_backoff_ms(1));
    cr_expect_not(visits.barred);
    expect(NOW, end, false, NNS_LOOKS_MOST);
    nns_visits_went_well(&visits);
    expect(NOW, end, false, NNS_LOOKS_MOST);
    cr_expect_not_null(nns_visits_error_text(&visits), "it is still owed");
    expect(end, end, true, 0);
    cr_expect_eq(interrupt(end), nns_backoff_ms(2), "and so are its tries");
    list_everything();
    expect(NOW, NEVER, false, NNS_LOOKS_MAX);
    cr_expect_null(nns_visits_error_text(&visits));
}

Test(visits, failures_of_both_kinds_are_one_row)
{
    nns_role_assert_owner();
    interrupt(NOW);
    cr_expect_eq(fail(NOW), nns_backoff_ms(2));
    cr_expect(visits.barred);
    cr_expect_eq(interrupt(NOW), nns_backoff_ms(3));
    cr_expect_not(visits.barred);
}

Test(visits, pauses_grow_and_end)
{
    nns_role_assert_owner();
    for (unsigned tries = 1; tries < NNS_TRIES_MAX; tries++)
        cr_expect_eq(fail(NOW), nns_backoff_ms(tries));
    for (unsigned more = 0; more < 300; more++)
        cr_expect_eq(fail(NOW), 0);
    expect(NOW, NEVER, true, 0);
    cr_expect_eq(nns_visits_not_before(&visits, NOW), NEVER);
    cr_expect(visits.owed);
}

/* An overflow of the queue has a listing owed at once, whatever failed before. */
Test(visits, one_owed_anew_by_a_visit_that_went_well_comes_at_once)
{
    const uint64_t later = NOW + nns_backoff_ms(1);

    nns_role_assert_owner();
    fail(NOW);
    nns_visits_listed(&visits);
    nns_visits_owe(&visits);
    nns_visits_went_well(&visits);
    expect(later, later, true, 0);
    cr_expect_not(visits.barred);
}

/* What was given up in each way, and what becomes of it for each reason. */
static const struct {
    enum nns_look look;
    uint64_t failed, interrupted;
    bool afresh; /* with all tries before it */
} reasons[] = {
    {NNS_LOOK_NEWS, NOW, NOW, true},
    {NNS_LOOK_EVERYWHERE, NOW, NOW, true},
    {NNS_LOOK_AUDIT, NOW, NOW, false},
    {NNS_LOOK_ROUTINE, NEVER, NOW, false},
};
enum { REASONS = sizeof(reasons) / sizeof(reasons[0]) };

NNS_OWNER_ONLY static void begin_given_up(failure *again, unsigned reason, uint64_t due)
{
    visits = (struct nns_visits){0};
    give_up(again);
    nns_visits_owe_for(&visits, reasons[reason].look, NOW);
    cr_expect_eq(nns_visits_not_before(&visits, NOW), due, "reason %u", reason);
    if (due != NEVER)
        cr_expect_eq(again(NOW), reasons[reason].afresh ? nns_backoff_ms(1) : 0, "reason %u", reason);
}

Test(visits, what_was_given_up_begins_again_for_a_reason)
{
    nns_role_assert_owner();
    for (unsigned i = 0; i < REASONS; i++) {
        begin_given_up(fail, i, reasons[i].failed);
        begin_given_up(interrupt, i, reasons[i].interrupted);
    }
}

Test(visits, a_pause_is_ended_by_who_waits_alone)
{
    nns_role_assert_owner();
    for (unsigned i = 0; i < REASONS; i++) {
        bool waits = reasons[i].look == NNS_LOOK_EVERYWHERE;

        visits = (struct nns_visits){0};
        fail(NOW);
        nns_visits_owe_for(&visits, reasons[i].look, NOW);
        cr_expect_eq(nns_visits_next(&visits, NOW), waits ? NOW : NOW + nns_backoff_ms(1), "reason %u", i);
        cr_expect_eq(fail(NOW), nns_backoff_ms(waits ? 1 : 2), "reason %u", i);
    }
}

Test(visits, by_another_way_all_begins_anew)
{
    nns_role_assert_owner();
    give_up(fail);
    nns_visits_begin_anew(&visits);
    expect(NOW, NOW, true, 0);
    cr_expect_not(visits.barred);
    cr_expect_str_eq(nns_visits_error_text(&visits), "Too many open files", "nobody has looked yet");
    cr_expect_eq(fail(NOW), nns_backoff_ms(1));
}

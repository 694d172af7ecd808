/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

#include <criterion/criterion.h>

Test(backoff, first_waits_fifty_milliseconds_and_doubles)
{
    cr_assert_eq(nns_backoff_ms(1), 50);
    cr_assert_eq(nns_backoff_ms(2), 100);
    cr_assert_eq(nns_backoff_ms(5), 800);
}

Test(backoff, never_waits_longer_than_thirty_seconds)
{
    for (unsigned tries = 2; tries < NNS_TRIES_MAX; tries++) {
        cr_assert_geq(nns_backoff_ms(tries), nns_backoff_ms(tries - 1));
        cr_assert_leq(nns_backoff_ms(tries), 30000);
    }
    cr_assert_eq(nns_backoff_ms(NNS_TRIES_MAX - 1), 30000);
}

Test(backoff, ends_after_the_last_try)
{
    uint64_t total = 0;

    for (unsigned tries = 1; tries < NNS_TRIES_MAX; tries++) {
        cr_assert_neq(nns_backoff_ms(tries), 0);
        total += nns_backoff_ms(tries);
    }
    cr_assert_eq(nns_backoff_ms(NNS_TRIES_MAX), 0);
    cr_assert_eq(nns_backoff_ms(NNS_TRIES_MAX + 1), 0);
    cr_assert_eq(nns_backoff_ms(~0u), 0);
    cr_assert(total > 60000 && total < 180000, "about two minutes in all, not %lu ms", (unsigned long)total);
}

Test(backoff, nothing_failed_nothing_due)
{
    cr_assert_eq(nns_backoff_ms(0), 0);
}

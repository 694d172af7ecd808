/* SPDX-License-Identifier: Apache-2.0 */
#include "core/claims.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "fail_alloc.h"

static struct nns_claims *claims;

static void set_up(void)
{
    claims = nns_claims_new();
    cr_assert_not_null(claims);
}

static void tear_down(void)
{
    nns_claims_free(claims);
}

TestSuite(claims, .init = set_up, .fini = tear_down);

static int take(uint32_t inum, uint32_t at)
{
    return nns_claims_take(claims, inum, (struct nns_request){.at = at});
}

/* End the claim; returns how many waited, and checks that each of first … first+count-1 is among them. */
static void end_with(uint32_t inum, uint32_t first, size_t count)
{
    struct nns_request_list waiting;
    uint64_t sum = 0, wanted = 0;

    nns_claims_end(claims, inum, &waiting);
    cr_assert_eq(waiting.count, count);
    for (size_t i = 0; i < count; i++) {
        sum += waiting.items[i].at;
        wanted += first + i;
    }
    cr_assert_eq(sum, wanted);
    nns_request_list_free(&waiting);
    cr_assert_eq(waiting.count, 0);
}

Test(claims, the_first_wins_the_others_join)
{
    cr_assert_eq(take(7, 0), NNS_CLAIM_WON);
    for (uint32_t i = 1; i <= 1000; i++)
        cr_assert_eq(take(7, i), NNS_CLAIM_JOINED);
    cr_assert_eq(nns_claims_count(claims), 1);
    end_with(7, 1, 1000);
    cr_assert_eq(nns_claims_count(claims), 0);
}

Test(claims, an_ended_claim_can_be_won_again)
{
    cr_assert_eq(take(7, 0), NNS_CLAIM_WON);
    end_with(7, 0, 0);
    cr_assert_eq(take(7, 1), NNS_CLAIM_WON);
    cr_assert_eq(take(7, 2), NNS_CLAIM_JOINED);
    end_with(7, 2, 1);
}

Test(claims, inums_do_not_mix)
{
    /* More inums than there are chains, so that chains hold several. */
    for (uint32_t inum = 1; inum <= 3000; inum++)
        cr_assert_eq(take(inum, 0), NNS_CLAIM_WON);
    for (uint32_t inum = 1; inum <= 3000; inum++)
        cr_assert_eq(take(inum, inum), NNS_CLAIM_JOINED);
    cr_assert_eq(nns_claims_count(claims), 3000);
    for (uint32_t inum = 2; inum <= 3000; inum += 2)
        end_with(inum, inum, 1);
    for (uint32_t inum = 1; inum <= 3000; inum += 2)
        end_with(inum, inum, 1);
    cr_assert_eq(nns_claims_count(claims), 0);
}

Test(claims, passing_tries_every_request_then_ends)
{
    bool seen[4] = {false};
    struct nns_request next;

    take(7, 0);
    for (uint32_t i = 1; i <= 3; i++)
        take(7, i);
    for (int i = 0; i < 3; i++) {
        cr_assert(nns_claims_pass(claims, 7, &next));
        cr_assert(next.at >= 1 && next.at <= 3 && !seen[next.at]);
        seen[next.at] = true;
        cr_assert_eq(nns_claims_count(claims), 1);
    }
    next.at = 99;
    cr_assert_not(nns_claims_pass(claims, 7, &next));
    cr_assert_eq(next.at, 99);
    cr_assert_eq(nns_claims_count(claims), 0);
    cr_assert_eq(take(7, 5), NNS_CLAIM_WON);
    end_with(7, 0, 0);
}

Test(claims, a_passed_claim_still_stands)
{
    struct nns_request next;

    take(7, 0);
    take(7, 1);
    cr_assert(nns_claims_pass(claims, 7, &next));
    cr_assert_eq(next.at, 1);
    cr_assert_eq(take(7, 2), NNS_CLAIM_JOINED);
    end_with(7, 2, 1);
}

Test(claims, without_memory_nothing_changes)
{
    fail_alloc_after(0);
    cr_assert_eq(take(7, 0), -ENOMEM);
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert_eq(nns_claims_count(claims), 0);

    cr_assert_eq(take(7, 0), NNS_CLAIM_WON);
    fail_alloc_after(0);
    cr_assert_eq(take(7, 1), -ENOMEM);
    cr_assert_eq(fail_alloc_stop(), 1);
    for (uint32_t i = 1; i <= 8; i++)
        cr_assert_eq(take(7, i), NNS_CLAIM_JOINED);
    fail_alloc_after(0);
    cr_assert_eq(take(7, 9), -ENOMEM);
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert_eq(take(7, 9), NNS_CLAIM_JOINED);

    fail_alloc_after(0);
    end_with(7, 1, 9);
    cr_assert_eq(fail_alloc_stop(), 0, "ending a claim needs no memory");
}

Test(claims, without_memory_there_is_no_table)
{
    fail_alloc_after(0);
    cr_assert_null(nns_claims_new());
    fail_alloc_stop();
    nns_claims_free(NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/looks.h"
#include "fail_alloc.h"

Test(looks, each_once_and_no_more_than_fit)
{
    struct nns_looks *looks = NULL;

    nns_role_assert_owner();
    for (uint32_t i = 0; i < NNS_LOOKS_MAX; i++) {
        cr_assert(nns_looks_add(&looks, 100 - i, NNS_LOOKS_MAX));
        cr_assert(nns_looks_add(&looks, 100, NNS_LOOKS_MAX));
        cr_assert_eq(looks->count, i + 1);
        cr_assert_eq(looks->ifindexes[i], 100 - i);
    }
    cr_assert_not(nns_looks_add(&looks, 1, NNS_LOOKS_MAX));
    cr_assert(nns_looks_add(&looks, 100, NNS_LOOKS_MAX), "it is in there");
    cr_assert_eq(looks->count, NNS_LOOKS_MAX);
    free(looks);
}

Test(looks, there_is_room_for_more_where_more_are_wanted)
{
    struct nns_looks *looks = NULL;

    nns_role_assert_owner();
    for (uint32_t i = 0; i < NNS_LOOKS_MOST; i++)
        cr_assert(nns_looks_add(&looks, 1 + i, NNS_LOOKS_MOST));
    cr_assert_not(nns_looks_add(&looks, 1 + NNS_LOOKS_MOST, NNS_LOOKS_MOST));
    cr_assert_not(nns_looks_add(&looks, 1 + NNS_LOOKS_MOST, NNS_LOOKS_MAX),
                  "there are more than that already");
    cr_assert_eq(looks->count, NNS_LOOKS_MOST);
    for (uint32_t i = 0; i < NNS_LOOKS_MOST; i++)
        cr_assert_eq(looks->ifindexes[i], 1 + i);
    free(looks);
}

Test(looks, without_memory_there_are_none)
{
    struct nns_looks *looks = NULL;

    nns_role_assert_owner();
    fail_alloc_after(0);
    cr_assert_not(nns_looks_add(&looks, 1, NNS_LOOKS_MAX));
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert_null(looks);
    for (uint32_t i = 0; i < NNS_LOOKS_MAX; i++)
        cr_assert(nns_looks_add(&looks, 1 + i, NNS_LOOKS_MOST));
    fail_alloc_after(0);
    cr_assert_not(nns_looks_add(&looks, 100, NNS_LOOKS_MOST));
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert_eq(looks->count, NNS_LOOKS_MAX, "what was noted stays");
    free(looks);
}

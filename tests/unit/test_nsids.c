/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nsids.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "fail_alloc.h"

enum { CAPACITY = 4 };

static struct nns_nsids nsids;

static void set_up(void)
{
    cr_assert_eq(nns_nsids_init(&nsids, CAPACITY), 0);
}

static void tear_down(void)
{
    nns_nsids_deinit(&nsids);
}

TestSuite(nsids, .init = set_up, .fini = tear_down);

/* Returns who had it before. */
static uint64_t put(int32_t nsid, uint64_t cookie)
{
    uint64_t former = 99;

    cr_assert_eq(nns_nsids_put(&nsids, nsid, cookie, &former), 0);
    return former;
}

Test(nsids, a_number_leads_to_its_namespace_and_back)
{
    cr_assert_eq(put(0, 70), 0);
    cr_assert_eq(put(3, 73), 0);
    cr_assert_eq(nsids.count, 2);
    cr_assert_eq(nns_nsids_cookie(&nsids, 0), 70);
    cr_assert_eq(nns_nsids_cookie(&nsids, 3), 73);
    cr_assert_eq(nns_nsids_cookie(&nsids, 1), 0);
    cr_assert_eq(nns_nsids_find(&nsids, 73), 3);
    cr_assert_eq(nns_nsids_find(&nsids, 71), NNS_NSID_NONE);
}

Test(nsids, a_number_that_is_given_again_tells_who_is_dead)
{
    cr_assert_eq(put(2, 70), 0);
    cr_assert_eq(put(2, 70), 0, "nobody died");
    cr_assert_eq(put(2, 71), 70);
    cr_assert_eq(nsids.count, 1);
    cr_assert_eq(nns_nsids_find(&nsids, 70), NNS_NSID_NONE);
}

Test(nsids, a_free_number_is_nobodys)
{
    put(0, 70);
    put(1, 71);
    cr_assert_eq(nns_nsids_drop(&nsids, 0), 70);
    cr_assert_eq(nns_nsids_drop(&nsids, 0), 0);
    cr_assert_eq(nsids.count, 1);
    cr_assert_eq(nns_nsids_find(&nsids, 70), NNS_NSID_NONE);
    cr_assert_eq(nns_nsids_find(&nsids, 71), 1);
    cr_assert_eq(put(0, 72), 0);
}

Test(nsids, numbers_outside_the_table)
{
    uint64_t former = 99;

    for (int i = 0; i < 2; i++) {
        int32_t nsid = i ? CAPACITY : NNS_NSID_NONE;

        cr_assert_eq(nns_nsids_put(&nsids, nsid, 70, &former), -ERANGE);
        cr_assert_eq(nns_nsids_cookie(&nsids, nsid), 0);
        cr_assert_eq(nns_nsids_drop(&nsids, nsid), 0);
    }
    cr_assert_eq(former, 99);
    cr_assert_eq(nsids.count, 0);
}

Test(nsids, none_at_all)
{
    struct nns_nsids none = {0}, empty = {0};
    uint64_t former;

    cr_assert_eq(nns_nsids_find(&none, 70), NNS_NSID_NONE);
    cr_assert_eq(nns_nsids_drop(&none, 0), 0);
    nns_nsids_deinit(&none);
    cr_assert_eq(nns_nsids_init(&empty, 0), 0);
    cr_assert_eq(nns_nsids_put(&empty, 0, 70, &former), -ERANGE);
    nns_nsids_deinit(&empty);
}

Test(nsids, without_memory)
{
    struct nns_nsids none = {0};

    fail_alloc_after(0);
    cr_assert_eq(nns_nsids_init(&none, CAPACITY), -ENOMEM);
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert_null(none.cookies);
}

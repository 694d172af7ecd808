/* SPDX-License-Identifier: Apache-2.0 */
/* Who is forgotten because nobody is left in it, and who is not, with the test in the owner's role. */
#include "owner_host.h"

#include "workers/lonely.h"

TestSuite(lonely, .init = owner_host_set_up, .fini = owner_host_tear_down);

/* A namespace that has been lonely for long enough. */
NNS_OWNER_ONLY static struct nns_namespace *doom(const struct owner_held *held, uint64_t due_ms)
{
    struct nns_namespace *ns = owner_host_save(held);

    ns->lonely_ms = 1;
    ns->doomed = true;
    nns_due_add(&own.owner->due, ns, due_ms);
    return ns;
}

Test(lonely, one_asked_for_again_stays)
{
    struct owner_held asked = owner_host_hold(), left = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = doom(&asked, 0);
    nns_namespace_ask(ns);
    cr_assert_not(nns_lonely_still(own.owner, ns));
    cr_assert_not(ns->doomed);
    cr_assert_eq(ns->lonely_ms, 0, "its loneliness starts over");
    cr_assert_eq(nns_cache_find_inum(own.context.cache, asked.id.inum), ns);

    ns = doom(&left, 0);
    cr_assert(nns_lonely_still(own.owner, ns));
    cr_assert_null(nns_cache_find_inum(own.context.cache, left.id.inum),
                   "a request could still find what is being forgotten");
    owner_host_let_go(&asked);
    owner_host_let_go(&left);
}

static bool is_listed(const struct owner_held *held)
{
    struct nns_order *list = owner_host_send(owner_host_order(NNS_ORDER_LIST));
    bool found = false;

    for (size_t i = 0; i < list->row_count; i++)
        found = found || list->rows[i].cookie == held->id.cookie;
    nns_order_free(list);
    return found;
}

/* The same by the owner's own loop. What is due first is worked off first: the asked one has had its turn. */
Test(lonely, the_thread_forgets_only_the_one_nobody_asked_for)
{
    struct owner_held asked = owner_host_hold(), left = owner_host_hold();
    uint64_t deadline = nns_now_ms() + OWNER_HOST_PATIENCE_S * 1000;

    nns_role_assert_owner();
    nns_namespace_ask(doom(&asked, 1));
    doom(&left, 2);
    owner_host_start();
    while (is_listed(&left))
        cr_assert_lt(nns_now_ms(), deadline, "it is not forgotten");
    cr_assert(is_listed(&asked));
    owner_host_let_go(&asked);
    owner_host_let_go(&left);
}

/* One look at /proc, taken to heart. */
NNS_OWNER_ONLY static void look(void)
{
    struct nns_swept swept = {.began_ms = nns_now_ms()};

    swept.error = nns_proc_inhabited(&swept.inhabited);
    cr_assert_eq(swept.error, 0);
    nns_lonely_judge(own.owner, &swept);
    nns_inums_deinit(&swept.inhabited);
}

/* The clock, when a test sets it. */
static uint64_t clock_ms;

uint64_t __real_uv_hrtime(void);
uint64_t __wrap_uv_hrtime(void);

uint64_t __wrap_uv_hrtime(void)
{
    return clock_ms ? clock_ms * 1000000 : __real_uv_hrtime();
}

/* A look that ends now and saw nobody. */
NNS_OWNER_ONLY static void look_in_vain(uint64_t began_ms)
{
    struct nns_swept swept = {.began_ms = began_ms};

    nns_lonely_judge(own.owner, &swept);
}

Test(lonely, a_look_that_took_long_says_nothing_of_the_time_it_took)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    own.params.lonely_timeout_ms = 10;
    clock_ms = 1000;
    look_in_vain(1);
    cr_assert_eq(ns->lonely_ms, 1000);
    clock_ms = 2000;
    look_in_vain(1009);
    cr_assert_not(ns->doomed);
    look_in_vain(1010);
    cr_assert(ns->doomed);
    clock_ms = 0;
    owner_host_let_go(&held);
}

/* What GET says of a namespace by its number alone. The error, with the answer's cookie in *cookie. */
NNS_OWNER_ONLY static int get_by_inum(uint32_t inum, uint64_t *cookie)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_GET);
    int error;

    order->selector = (struct nns_selector){.cookie = inum, .inum = inum};
    nns_answer_order(own.owner, order);
    cr_assert_eq(owner_host_await_order(), order);
    error = order->error;
    *cookie = error ? 0 : order->rows[0].cookie;
    nns_order_free(order);
    return error;
}

Test(lonely, an_evicted_one_is_shown_while_it_lives_and_no_longer)
{
    struct owner_held held = owner_host_hold();
    uint64_t cookie;

    nns_role_assert_owner();
    owner_host_save(&held);
    nns_flush(own.owner, owner_host_find(&held), NNS_FLUSH_EVICTED);
    for (int i = 0; i < 3; i++)
        look();
    cr_assert_eq(get_by_inum(held.id.inum, &cookie), 0);
    cr_assert_eq(cookie, held.id.cookie);

    owner_host_let_go(&held);
    look();
    cr_assert_eq(get_by_inum(held.id.inum, &cookie), 0, "one look may have missed it");
    look();
    cr_assert_eq(get_by_inum(held.id.inum, &cookie), -ENOENT);
}

/* The heir's inhabitants are not the predecessor's (I5). The dead one is made up: a cookie, and the inum that
 * the kernel has given to another since. */
Test(lonely, an_evicted_one_does_not_live_on_in_the_heir_of_its_inum)
{
    struct owner_held heir = owner_host_hold();
    struct nns_netns_id dead = {.cookie = heir.id.cookie + 1000000, .inum = heir.id.inum};
    struct nns_order *list = owner_host_order(NNS_ORDER_LIST);
    struct nns_namespace *ns;

    nns_role_assert_owner();
    cr_assert_eq(owner_host_save_as(dead, heir.path, &ns), NNS_SAVED_NEW);
    nns_flush(own.owner, ns, NNS_FLUSH_EVICTED);
    owner_host_save(&heir);
    for (int i = 0; i < 3; i++)
        look();

    nns_answer_order(own.owner, list);
    cr_assert_eq(owner_host_await_order(), list);
    cr_assert_eq(list->rows[0].cookie, heir.id.cookie);
    cr_assert_eq(list->row_count, 1, "the dead predecessor is shown as uncovered");
    nns_order_free(list);
    owner_host_let_go(&heir);
}

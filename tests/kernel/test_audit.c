/* SPDX-License-Identifier: Apache-2.0 */
/* When what is looked at, with the test in the owner's role and in the clock's. */
#include "owner_host.h"

#include "core/counters.h"
#include "workers/audit.h"
#include "workers/chores.h"

enum { PARTS = 4, INTERVAL_MS = 60000, PART_MS = INTERVAL_MS / PARTS, NAMESPACES = 5, BEGIN_MS = 1000 };

static unsigned scans;

/* In place of workers. */
void __wrap_nns_pool_want(struct nns_pool *pool, unsigned chore);

void __wrap_nns_pool_want(struct nns_pool *pool, unsigned chore)
{
    cr_assert_eq(chore, NNS_CHORE_SCAN);
    scans++;
}

NNS_OWNER_ONLY static void set_up(void)
{
    owner_host_set_up();
    own.params.audit_interval_ms = INTERVAL_MS;
}

TestSuite(audit, .init = set_up, .fini = owner_host_tear_down);

NNS_OWNER_ONLY static struct nns_namespace *add(uint64_t cookie)
{
    struct nns_namespace *ns;

    cr_assert_eq(owner_host_save_as((struct nns_netns_id){.cookie = cookie, .inum = (uint32_t)cookie},
                                    "/proc/self/ns/net", &ns),
                 NNS_SAVED_NEW);
    return ns;
}

/* The next parts, each when the tick before asked for it. Returns when the last one was. */
NNS_OWNER_ONLY static uint64_t go_through(uint64_t now, unsigned parts)
{
    while (parts--) {
        uint64_t wait = nns_audit_tick(own.owner, now);

        cr_assert_eq(wait, PART_MS);
        now += wait;
    }
    cr_assert_eq(nns_audit_tick(own.owner, now), PART_MS);
    return now;
}

Test(audit, each_once_an_interval)
{
    nns_role_assert_owner();
    for (uint64_t i = 1; i <= NAMESPACES; i++)
        add(i << 40 | i);
    go_through(BEGIN_MS, PARTS);
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_AUDITED), NAMESPACES);
    cr_assert_eq(scans, 1);
    go_through(BEGIN_MS + INTERVAL_MS, 2 * PARTS);
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_AUDITED), 3 * NAMESPACES);
    cr_assert_eq(scans, 3);
}

Test(audit, not_before_its_time)
{
    nns_role_assert_owner();
    add(7);
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS), PART_MS);
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS + 1), PART_MS - 1);
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS + PART_MS - 1), 1);
    cr_assert_eq(scans, 0);
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS + 3 * PART_MS), PART_MS, "one that comes late is one");
    cr_assert_eq(scans, 1);
}

Test(audit, those_that_were_asked_for_wait_for_a_part_at_most)
{
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = add(7);
    nns_audit_tick(own.owner, BEGIN_MS);
    nns_namespace_ask(ns);
    nns_audit_tick(own.owner, BEGIN_MS + PART_MS);
    cr_assert(ns->visits.owed);
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_RELISTED), 1);
    nns_audit_tick(own.owner, BEGIN_MS + 2 * PART_MS);
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_RELISTED), 1);
}

/* The first look may have failed, and nothing may tell of who comes later. */
Test(audit, who_knows_nobody_goes_on_looking)
{
    nns_role_assert_owner();
    go_through(BEGIN_MS, 1);
    cr_assert_eq(scans, 1);
    go_through(BEGIN_MS + PART_MS, 3 * PARTS);
    cr_assert_eq(scans, 1 + 3);
}

Test(audit, where_there_is_nobody_to_find_nobody_looks)
{
    nns_role_assert_owner();
    own.params.discover_enabled = false;
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS), UINT64_MAX);
    own.params.discover_enabled = true;
    own.params.network_enabled = false;
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS), UINT64_MAX);
    cr_assert_eq(nns_audit_tick(own.owner, BEGIN_MS + INTERVAL_MS), UINT64_MAX);
    cr_assert_eq(scans, 0);
}

Test(audit, without_discovery_what_is_known_is_audited)
{
    nns_role_assert_owner();
    own.params.discover_enabled = false;
    add(7);
    go_through(BEGIN_MS, PARTS);
    cr_assert_eq(nns_counter_read(NNS_COUNT_NAMESPACES_AUDITED), 1);
    cr_assert_eq(scans, 0);
}

/* ---- exclusions ---- */

NNS_OWNER_ONLY static void visit(struct nns_namespace *ns)
{
    nns_due_drop(&own.owner->due, ns);
    nns_dequeue(own.owner, ns);
}

/* Inside it leads to whoever is visited. */
Test(audit, a_path_of_the_thread_itself_leads_home)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    owner_host_exclude("/proc/thread-self/ns/net");
    ns = owner_host_save(&held);
    visit(ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    go_through(BEGIN_MS, PARTS);
    cr_assert(ns->remeet);
    visit(ns);
    cr_expect_not(ns->remeet);
    cr_expect_not(nns_exclusions_have(own.context.exclusions, held.id.cookie));
    cr_assert_eq(owner_host_find(&held), ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    owner_host_let_go(&held);
}

Test(audit, a_path_that_leads_to_a_known_one_by_now_excludes_it)
{
    struct owner_held held = owner_host_hold();
    char path[] = "/tmp/nns-audit-XXXXXX", link[64];
    struct nns_namespace *ns;

    nns_role_assert_owner();
    cr_assert(mkdtemp(path));
    snprintf(link, sizeof(link), "%s/ns", path);
    owner_host_exclude(link);
    ns = owner_host_save(&held);
    visit(ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(symlink(held.path, link), 0);
    go_through(BEGIN_MS, PARTS);
    visit(ns);
    cr_expect(nns_exclusions_have(own.context.exclusions, held.id.cookie));
    cr_expect_null(owner_host_find(&held));
    cr_expect_eq(owner_host_filters(&held), 0);
    cr_expect_eq(unlink(link), 0);
    cr_expect_eq(rmdir(path), 0);
    owner_host_let_go(&held);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "workers/capabilities.h"

static struct nns_params params;
static struct nns_parts parts;

static void set_up(void)
{
    cr_assert_eq(nns_params_init(&params), 0);
    parts = (struct nns_parts){.params = &params};
}

static void tear_down(void)
{
    nns_params_deinit(&params);
}

TestSuite(capabilities, .init = set_up, .fini = tear_down);

static void expect_device_events(const char *words)
{
    cr_expect_str_eq(nns_capabilities_of(&parts).device_events, words);
}

Test(capabilities, how_devices_are_heard_of)
{
    expect_device_events("none");
    parts.telling = NNS_TOLD_BY_TRACEPOINTS;
    expect_device_events("qdisc tracepoints");
    parts.telling = NNS_TOLD_BY_RTNETLINK;
    params.events_nsid_max = 7;
    expect_device_events("rtnetlink, up to 7 namespaces");
    parts.telling = NNS_TOLD_BY_LISTINGS;
    params.events_interval_ms = 5000;
    expect_device_events("listing every 5s");
    params.events_interval_ms = 1500;
    expect_device_events("listing every 1500ms");
}

Test(capabilities, where_nothing_is_watched_nothing_is_claimed)
{
    params.network_enabled = false;
    cr_expect_str_eq(nns_capabilities_of(&parts).discovery, "none");
    cr_expect_str_eq(nns_capabilities_of(&parts).first_scan, "none");
    cr_expect_str_eq(nns_capabilities_of(&parts).attach, "none");
    params.network_enabled = true;
    params.discover_enabled = false;
    cr_expect_str_eq(nns_capabilities_of(&parts).discovery, "queue only");
}

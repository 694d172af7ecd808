/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device.h"
#include "core/report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail_alloc.h"

static struct nns_devices devices;

static void tear_down(void)
{
    nns_devices_deinit(&devices);
}

TestSuite(device, .fini = tear_down);

static struct nns_link named(uint32_t ifindex, const char *name)
{
    struct nns_link device = {.ifindex = ifindex};

    snprintf(device.name, sizeof(device.name), "%s", name);
    return device;
}

static bool put(uint32_t ifindex, const char *name)
{
    struct nns_link device = named(ifindex, name);
    bool added;

    cr_assert_not_null(nns_devices_put(&devices, &device, &added));
    return added;
}

Test(device, zero_is_empty)
{
    cr_assert_null(nns_devices_find(&devices, 1));
    nns_devices_remove(&devices, 1);
    nns_devices_deinit(&devices);
    nns_devices_deinit(&devices);
    cr_assert_eq(devices.count, 0);
}

Test(device, any_order_in_sorted_order_kept)
{
    for (uint32_t i = 0; i < 500; i++)
        cr_assert(put(1 + i * 7919 % 500, "x"));
    cr_assert_eq(devices.count, 500);
    for (uint32_t i = 0; i < 500; i++) {
        cr_assert_eq(devices.items[i].link.ifindex, i + 1);
        cr_assert_eq(nns_devices_find(&devices, i + 1), &devices.items[i]);
    }
    cr_assert_null(nns_devices_find(&devices, 0));
    cr_assert_null(nns_devices_find(&devices, 501));
}

Test(device, a_new_one_awaits_attachment)
{
    struct nns_device *device;

    cr_assert(put(4, "eth0"));
    device = nns_devices_find(&devices, 4);
    cr_assert_eq(device->state, NNS_DEVICE_QUEUED);
    cr_assert_eq(device->slot, 0);
    cr_assert_eq(device->attachments[0][NNS_INGRESS].program_id, 0);
    cr_assert_eq(device->attachments[0][NNS_EGRESS].reason, NNS_REASON_NONE);
}

Test(device, a_known_one_keeps_its_state_and_takes_the_new_name)
{
    struct nns_device *device;

    cr_assert(put(4, "eth0"));
    device = nns_devices_find(&devices, 4);
    device->state = NNS_DEVICE_ATTACHED;
    device->slot = 9;
    device->attachments[0][NNS_EGRESS].program_id = 77;
    cr_assert_not(put(4, "renamed"));
    device = nns_devices_find(&devices, 4);
    cr_assert_str_eq(device->link.name, "renamed");
    cr_assert_eq(device->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(device->slot, 9);
    cr_assert_eq(device->attachments[0][NNS_EGRESS].program_id, 77);
    cr_assert_eq(devices.count, 1);
}

Test(device, removal_keeps_the_others)
{
    for (uint32_t i = 1; i <= 10; i++)
        put(i, "x");
    nns_devices_remove(&devices, 5);
    nns_devices_remove(&devices, 1);
    nns_devices_remove(&devices, 10);
    nns_devices_remove(&devices, 10);
    cr_assert_eq(devices.count, 7);
    for (uint32_t i = 1; i <= 10; i++)
        cr_assert_eq(!nns_devices_find(&devices, i), i == 5 || i == 1 || i == 10, "ifindex %u", i);
}

Test(device, without_memory_nothing_changes)
{
    struct nns_link third = named(2, "c");
    bool added = true;

    put(1, "a");
    put(3, "b");
    fail_alloc_after(0);
    cr_assert_null(nns_devices_put(&devices, &third, &added));
    cr_assert_not(put(3, "d"), "what is there needs no memory");
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert_eq(devices.count, 2);
    cr_assert_str_eq(devices.items[0].link.name, "a");
    cr_assert(put(2, "c"));
}

/* I6: an older program under a reason does not cover, nor do filters before the device counts as attached. */
Test(device, is_covered_when_it_is_attached_and_no_hook_is_missing)
{
    struct nns_device device = {.state = NNS_DEVICE_ATTACHED};

    cr_expect_not(nns_device_hooked(&device));
    cr_expect_not(nns_device_covers(&device));
    for (int set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            device.attachments[set][hook].program_id = 7;
    cr_expect(nns_device_covers(&device));
    device.attachments[0][NNS_EGRESS].reason = NNS_REASON_UNKNOWN;
    cr_expect_not(nns_device_hooked(&device));
    cr_expect_not(nns_device_covers(&device));
    device.attachments[0][NNS_EGRESS].reason = NNS_REASON_NONE;
    for (int state = NNS_DEVICE_QUEUED; state <= NNS_DEVICE_EXCLUDED; state++) {
        device.state = (uint8_t)state;
        cr_expect(nns_device_hooked(&device));
        cr_expect_eq(nns_device_covers(&device), state == NNS_DEVICE_ATTACHED, "%d", state);
    }
}

Test(device, states_and_reasons_have_their_words)
{
    cr_assert_str_eq(nns_hook_name(NNS_INGRESS), "ingress");
    cr_assert_str_eq(nns_hook_name(NNS_EGRESS), "egress");
    cr_assert_str_eq(nns_device_state_name(NNS_DEVICE_QUEUED), "queued");
    cr_assert_str_eq(nns_device_state_name(NNS_DEVICE_ATTACHED), "attached");
    cr_assert_str_eq(nns_device_state_name(NNS_DEVICE_FAILED), "failed");
    cr_assert_str_eq(nns_device_state_name(NNS_DEVICE_EXCLUDED), "excluded");
    cr_assert_str_eq(nns_reason_text(NNS_REASON_NONE), "");
    cr_assert_str_eq(nns_reason_text(NNS_REASON_LEGACY_INGRESS), "legacy ingress qdisc");
    for (int reason = NNS_REASON_KERNEL; reason < NNS_REASON_COUNT; reason++)
        for (int other = NNS_REASON_NONE; other < reason; other++)
            cr_assert_str_neq(nns_reason_text(reason), nns_reason_text(other));
}

Test(device, rows_of_a_report_give_their_devices_back)
{
    struct nns_namespace_row rows[2] = {{.device_count = 3}};

    rows[0].devices = calloc(3, sizeof(*rows[0].devices));
    nns_namespace_rows_deinit(rows, 2);
    cr_assert_null(rows[0].devices);
    cr_assert_eq(rows[0].device_count, 0);
    nns_namespace_rows_deinit(rows, 2);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device_queue.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "fail_alloc.h"

enum { BOUND = 100 };

static struct nns_device_queue queue;

static void tear_down(void) NNS_OWNER_ONLY
{
    nns_device_queue_clear(&queue);
}

TestSuite(device_queue, .fini = tear_down);

static int push(uint32_t ifindex) NNS_OWNER_ONLY
{
    struct nns_link device = {.ifindex = ifindex, .name = "x"};

    return nns_device_queue_push(&queue, &device, BOUND);
}

Test(device_queue, first_in_first_out)
{
    static const uint32_t order[] = {5, 2, 9, 1, 7};

    nns_role_assert_owner();
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(push(order[i]), NNS_DEVICE_QUEUED_NEW);
    cr_assert_eq(queue.count, 5);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(queue.items[i].ifindex, order[i]);
}

Test(device_queue, each_ifindex_once_with_its_latest_attributes)
{
    struct nns_link renamed = {.ifindex = 2, .name = "renamed", .qdisc = NNS_QDISC_CLSACT};

    nns_role_assert_owner();
    push(5);
    push(2);
    push(3);
    cr_assert_eq(nns_device_queue_push(&queue, &renamed, BOUND), NNS_DEVICE_QUEUED_ALREADY);
    cr_assert_eq(push(5), NNS_DEVICE_QUEUED_ALREADY);
    cr_assert_eq(queue.count, 3);
    cr_assert_eq(queue.items[1].ifindex, 2);
    cr_assert_str_eq(queue.items[1].name, "renamed");
    cr_assert_eq(queue.items[1].qdisc, NNS_QDISC_CLSACT);
}

Test(device_queue, a_full_one_remembers_that_it_overflowed)
{
    nns_role_assert_owner();
    for (uint32_t i = 1; i <= BOUND; i++)
        cr_assert_eq(push(i), NNS_DEVICE_QUEUED_NEW);
    cr_assert_not(queue.overflowed);
    cr_assert_eq(push(BOUND), NNS_DEVICE_QUEUED_ALREADY);
    cr_assert_not(queue.overflowed, "a known device needs no room");
    cr_assert_eq(push(BOUND + 1), NNS_DEVICE_QUEUE_OVERFLOWED);
    cr_assert(queue.overflowed);
    cr_assert_eq(queue.count, BOUND);
    cr_assert(nns_device_queue_drop(&queue, 1));
    cr_assert_eq(push(BOUND + 1), NNS_DEVICE_QUEUED_NEW);
    cr_assert(queue.overflowed, "only clearing forgets it");
}

Test(device_queue, drops_from_anywhere)
{
    nns_role_assert_owner();
    for (uint32_t i = 1; i <= 6; i++)
        push(i);
    cr_assert(nns_device_queue_drop(&queue, 1));
    cr_assert(nns_device_queue_drop(&queue, 4));
    cr_assert(nns_device_queue_drop(&queue, 6));
    cr_assert_not(nns_device_queue_drop(&queue, 4));
    cr_assert_not(nns_device_queue_drop(&queue, 99));
    cr_assert_eq(queue.count, 3);
    cr_assert_eq(queue.items[0].ifindex, 2);
    cr_assert_eq(queue.items[1].ifindex, 3);
    cr_assert_eq(queue.items[2].ifindex, 5);
    cr_assert_eq(push(4), NNS_DEVICE_QUEUED_NEW);
    cr_assert_eq(queue.items[3].ifindex, 4);
}

Test(device_queue, emptied_by_drops_it_starts_afresh)
{
    nns_role_assert_owner();
    push(8);
    cr_assert(nns_device_queue_drop(&queue, 8));
    cr_assert_eq(queue.count, 0);
    cr_assert_eq(push(3), NNS_DEVICE_QUEUED_NEW);
    cr_assert_eq(push(3), NNS_DEVICE_QUEUED_ALREADY);
    cr_assert_eq(push(8), NNS_DEVICE_QUEUED_NEW);
    cr_assert_eq(push(8), NNS_DEVICE_QUEUED_ALREADY);
}

Test(device_queue, clearing_forgets_all)
{
    nns_role_assert_owner();
    for (uint32_t i = 0; i <= BOUND; i++)
        push(i);
    nns_device_queue_clear(&queue);
    cr_assert_eq(queue.count, 0);
    cr_assert_not(queue.overflowed);
    nns_device_queue_clear(&queue);
    cr_assert_eq(push(1), NNS_DEVICE_QUEUED_NEW);
}

Test(device_queue, without_memory_it_is_an_overflow)
{
    nns_role_assert_owner();
    fail_alloc_after(0);
    cr_assert_eq(push(1), -ENOMEM);
    cr_assert_eq(fail_alloc_stop(), 1);
    cr_assert(queue.overflowed);
    cr_assert_eq(queue.count, 0);
    for (uint32_t i = 1; i <= 4; i++)
        cr_assert_eq(push(i), NNS_DEVICE_QUEUED_NEW);
    fail_alloc_after(0);
    cr_assert_eq(push(5), -ENOMEM);
    fail_alloc_stop();
    cr_assert_eq(queue.count, 4);
    cr_assert_eq(push(5), NNS_DEVICE_QUEUED_NEW);
}

Test(device_queue, a_bound_of_zero_takes_nothing)
{
    struct nns_link device = {.ifindex = 1};

    nns_role_assert_owner();
    cr_assert_eq(nns_device_queue_push(&queue, &device, 0), NNS_DEVICE_QUEUE_OVERFLOWED);
    cr_assert_eq(queue.count, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving a namespace whose filters the kernel put there without our hearing of it. */
#include "owner_host.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

TestSuite(detach, .init = owner_host_set_up, .fini = owner_host_tear_down);

static struct {
    uint16_t last; /* type of the request sent last */
    bool deaf;     /* to what tc says of filters; qdiscs can be listed */
} netlink;

/* In libc's place, as no answer gets lost on demand. */
ssize_t send(int socket, const void *bytes, size_t length, int flags)
{
    netlink.last = ((const struct nlmsghdr *)bytes)->nlmsg_type;
    return sendto(socket, bytes, length, flags, NULL, 0);
}

ssize_t recv(int socket, void *bytes, size_t length, int flags)
{
    if (netlink.deaf && (netlink.last == RTM_NEWQDISC || netlink.last == RTM_GETTFILTER)) {
        errno = EIO;
        return -1;
    }
    return recvfrom(socket, bytes, length, flags, NULL, NULL);
}

/* A namespace whose one device has both filters, as tc knows and we do not. */
NNS_OWNER_ONLY static struct nns_namespace *attach_unheard(const struct owner_held *held)
{
    struct nns_namespace *ns = owner_host_save(held);
    const struct nns_attachment *hooks;

    netlink.deaf = true;
    nns_dequeue(own.owner, ns);
    netlink.deaf = false;
    cr_assert_eq(owner_host_filters(held), 2, "the filters are there, or this shows nothing");
    hooks = owner_host_device(ns, "lo")->attachments[0];
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        cr_assert_eq(hooks[hook].program_id, 0);
        cr_assert_eq(hooks[hook].reason, NNS_REASON_UNKNOWN);
    }
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 1);
    return ns;
}

Test(detach, what_may_be_there_is_looked_for_before_leaving)
{
    struct owner_held held = owner_host_hold();

    nns_role_assert_owner();
    nns_flush(own.owner, attach_unheard(&held), NNS_FLUSH_ORDERED);
    cr_assert_eq(owner_host_filters(&held), 0);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 0);
    owner_host_let_go(&held);
}

/* What may be there may be written to. */
Test(detach, a_slot_stays_taken_while_its_filter_may_be_there)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = attach_unheard(&held);
    netlink.deaf = true;
    nns_flush(own.owner, ns, NNS_FLUSH_EVICTED);
    netlink.deaf = false;
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 1);

    /* Found again, it counts in a slot of its own. */
    ns = owner_host_save(&held);
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_ATTACHED);
    cr_assert_eq(owner_host_device(ns, "lo")->slot, 2);
    cr_assert_eq(host_count(owner_host_filter_text(&held), "flowid :2"), 2);
    nns_flush(own.owner, ns, NNS_FLUSH_ORDERED);
    cr_assert_eq(owner_host_filters(&held), 0);
    cr_assert_eq(nns_slots_in_use(&own.owner->slots), 1);
    owner_host_let_go(&held);
}

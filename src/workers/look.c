/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/look.h"

/* So many can be listed in a millisecond, over rtnetlink. */
enum { DEVICES_A_MS = 128 };

static void look_again_at(struct nns_device *device, enum nns_look look, uint64_t now)
{
    bool failed = device->state == NNS_DEVICE_FAILED;

    if (look == NNS_LOOK_ROUTINE)
        return;
    if (look == NNS_LOOK_AUDIT)
        device->retry_ms = failed && !device->retry_ms ? now : device->retry_ms; /* one try */
    if (look != NNS_LOOK_AUDIT && failed && (look == NNS_LOOK_EVERYWHERE || !device->retry_ms)) {
        device->tries = 0;
        device->retry_ms = now;
    }
    device->doubted = device->doubted || look != NNS_LOOK_NEWS;
}

/*
 * Over rtnetlink a listing takes some 7 us a device, most of them under RTNL, and a host's own namespace may
 * hold thousands. Where there is news of more of them than can be asked for there is more to come: waiting
 * about as long as the listing will take leaves half of the time for everybody else, and one is for all the
 * news until then.
 */
static uint64_t patience_ms(const struct nns_namespace *ns)
{
    return ns->devices.count / DEVICES_A_MS;
}

void nns_look_again(struct nns_owner *owner, struct nns_namespace *ns, enum nns_look look)
{
    uint64_t now = nns_now_ms(), due;

    nns_visits_owe_for(&ns->visits, look, now);
    for (uint32_t i = 0; i < ns->devices.count; i++)
        look_again_at(&ns->devices.items[i], look, now);
    due = nns_visits_not_before(&ns->visits, look == NNS_LOOK_NEWS ? now + patience_ms(ns) : now);
    if (due != UINT64_MAX)
        nns_due_add(&owner->due, ns, due);
}

void nns_look_at(struct nns_owner *owner, struct nns_namespace *ns, uint32_t ifindex)
{
    struct nns_device *device = nns_devices_find(&ns->devices, ifindex);
    uint64_t now = nns_now_ms();
    uint32_t most = nns_visits_asks(&ns->visits, now);

    /* Another may have its ifindex by now (I5). */
    if (device) {
        device->doubted = true;
        look_again_at(device, NNS_LOOK_NEWS, now);
    }
    if (most && nns_looks_add(&ns->looks, ifindex, most))
        nns_due_add(&owner->due, ns, now);
    else
        nns_look_again(owner, ns, NNS_LOOK_NEWS);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device.h"

#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"

/* Most namespaces hold the loopback device and one more. */
enum { CAPACITY_FIRST = 2 };

void nns_devices_deinit(struct nns_devices *devices)
{
    free(devices->items);
    *devices = (struct nns_devices){0};
}

/* Where the ifindex stands, or would be put. */
static uint32_t position(const struct nns_devices *devices, uint32_t ifindex)
{
    uint32_t low = 0, high = devices->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (devices->items[middle].link.ifindex < ifindex)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct nns_devices *devices, uint32_t at, uint32_t ifindex)
{
    return at < devices->count && devices->items[at].link.ifindex == ifindex;
}

struct nns_device *nns_devices_find(const struct nns_devices *devices, uint32_t ifindex)
{
    uint32_t at = position(devices, ifindex);

    return is_at(devices, at, ifindex) ? &devices->items[at] : NULL;
}

static bool grow(struct nns_devices *devices)
{
    uint32_t capacity = devices->capacity ? devices->capacity * 2 : CAPACITY_FIRST;
    struct nns_device *items = realloc(devices->items, capacity * sizeof(*items));

    if (!items)
        return false;
    devices->items = items;
    devices->capacity = capacity;
    return true;
}

struct nns_device *nns_devices_put(struct nns_devices *devices, const struct nns_link *link, bool *added)
{
    uint32_t at = position(devices, link->ifindex);
    struct nns_device *device;

    if (is_at(devices, at, link->ifindex)) {
        *added = false;
        devices->items[at].link = *link;
        return &devices->items[at];
    }
    if (devices->count == devices->capacity && !grow(devices))
        return NULL;
    device = &devices->items[at];
    memmove(device + 1, device, (devices->count - at) * sizeof(*device));
    *device = (struct nns_device){.link = *link, .state = NNS_DEVICE_QUEUED};
    devices->count++;
    *added = true;
    return device;
}

void nns_devices_remove(struct nns_devices *devices, uint32_t ifindex)
{
    uint32_t at = position(devices, ifindex);
    struct nns_device *device;

    if (!is_at(devices, at, ifindex))
        return;
    device = &devices->items[at];
    devices->count--;
    memmove(device, device + 1, (devices->count - at) * sizeof(*device));
}

bool nns_device_retry(struct nns_device *device, uint64_t now_ms)
{
    uint64_t wait;

    if (device->tries < UINT8_MAX)
        device->tries++;
    wait = nns_backoff_ms(device->tries);
    device->retry_ms = wait ? now_ms + wait : 0;
    return wait != 0;
}

bool nns_device_hooked(const struct nns_device *device)
{
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            if (!nns_attachment_covers(&device->attachments[set][hook]))
                return false;
    return true;
}

bool nns_device_covers(const struct nns_device *device)
{
    return device->state == NNS_DEVICE_ATTACHED && nns_device_hooked(device);
}

bool nns_device_carries(const struct nns_device *device)
{
    for (unsigned set = 0; set < NNS_SETS_MAX; set++)
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            if (device->attachments[set][hook].program_id)
                return true;
    return false;
}

const char *nns_hook_name(enum nns_hook hook)
{
    return hook == NNS_INGRESS ? "ingress" : "egress";
}

const char *nns_device_state_name(enum nns_device_state state)
{
    switch (state) {
    case NNS_DEVICE_QUEUED:
        return "queued";
    case NNS_DEVICE_ATTACHED:
        return "attached";
    case NNS_DEVICE_FAILED:
        return "failed";
    case NNS_DEVICE_EXCLUDED:
        return "excluded";
    }
    return "invalid";
}

static const char *const reasons[NNS_REASON_COUNT] = {
    [NNS_REASON_NONE] = "",
    [NNS_REASON_KERNEL] = "refused by the kernel",
    [NNS_REASON_GONE] = "device gone",
    [NNS_REASON_LEGACY_INGRESS] = "legacy ingress qdisc",
    [NNS_REASON_SHARED_BLOCK] = "shared block",
    [NNS_REASON_NO_PRIORITY] = "no free priority",
    [NNS_REASON_UNKNOWN] = "no answer from the kernel",
};

const char *nns_reason_text(enum nns_reason reason)
{
    return reason < NNS_REASON_COUNT ? reasons[reason] : "invalid";
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_DEVICE_H
#define NNS_CORE_DEVICE_H

#include <linux/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/role.h"

/*
 * A namespace's devices and what is attached to them.
 *
 * A device is known by its ifindex within its namespace; name and kind are attributes. Every record belongs
 * to the owner thread; others get copies (struct nns_device_row in core/report.h).
 */
enum nns_hook { NNS_INGRESS, NNS_EGRESS, NNS_HOOKS };

/* Program sets a device can carry. One today; nothing but this number assumes it. */
#define NNS_SETS_MAX 1

/* What sits at a device's ingress/clsact place, as a listing saw it or news have it. */
enum nns_qdisc {
    NNS_QDISC_UNKNOWN, /* nobody looked */
    NNS_QDISC_NONE,
    NNS_QDISC_CLSACT,
    NNS_QDISC_INGRESS,       /* the legacy qdisc: it takes egress filters and runs them on ingress */
    NNS_QDISC_PRESUMED_NONE, /* nobody saw one, but that is all: news say so, or a listing showed no qdisc of
                                it */
};

/* Why a hook does not carry its program. */
enum nns_reason {
    NNS_REASON_NONE,
    NNS_REASON_KERNEL,         /* the errno beside it says it */
    NNS_REASON_GONE,           /* ENODEV: the device went away; expected */
    NNS_REASON_LEGACY_INGRESS, /* egress cannot be reached through a legacy ingress qdisc */
    NNS_REASON_SHARED_BLOCK,   /* the hook belongs to a shared block, whose filters are not per device */
    NNS_REASON_NO_PRIORITY,    /* all priorities we may try are held by others */
    NNS_REASON_UNKNOWN, /* the kernel's answer was lost, or it gave none; asked again at the next try */
    NNS_REASON_COUNT
};

enum nns_device_state { NNS_DEVICE_QUEUED, NNS_DEVICE_ATTACHED, NNS_DEVICE_FAILED, NNS_DEVICE_EXCLUDED };

/* One program on one hook, as the kernel last confirmed it. program_id 0: nothing of ours is there. */
struct nns_attachment {
    uint32_t program_id;
    uint16_t priority;
    uint8_t reason; /* enum nns_reason */
    uint16_t error; /* positive errno, with NNS_REASON_KERNEL */
};

/* I6. A program alone does not say so: a hook that failed can keep an older one. */
static inline bool nns_attachment_covers(const struct nns_attachment *attachment)
{
    return attachment->program_id && attachment->reason == NNS_REASON_NONE;
}

/* What a listing says of a device. */
struct nns_link {
    uint32_t ifindex;
    uint8_t qdisc; /* enum nns_qdisc */
    char name[IFNAMSIZ];
    char kind[IFNAMSIZ]; /* "veth", "macvlan", …; "loopback" for lo; "" when the kernel names none */
};

/* Arrays of them are walked at each visit: what such a walk reads comes first and ends with the ifindex,
 * within a line's length; the name and the kind, which whoever lists wants, come after it. */
struct nns_device {
    uint64_t retry_ms; /* after a failure: when it is tried again, on the monotonic clock; 0: given up, or no
                          need */
    uint8_t state;     /* enum nns_device_state */
    uint8_t tries;     /* failed attempts in a row */
    bool doubted;      /* attached, but to be looked at again */
    bool inherited; /* its slot's counts are of a daemon before this one, and not known yet to be its own */
    uint16_t slot;  /* the meter's slot, 0 for none */
    struct nns_attachment attachments[NNS_SETS_MAX][NNS_HOOKS];
    struct nns_link link;
};

_Static_assert(NNS_SETS_MAX > 1 || offsetof(struct nns_device, link.name) <= 64,
               "a walk's part is one line long");
_Static_assert(NNS_SETS_MAX > 1 || sizeof(struct nns_device) <= 80, "hosts have thousands");

/* A set of devices sorted by ifindex. Zero-initialised is empty. */
struct nns_devices {
    struct nns_device *items;
    uint32_t count, capacity;
};

void nns_devices_deinit(struct nns_devices *devices);

/* The device, or NULL. The pointer is good until the next insert or remove. */
struct nns_device *nns_devices_find(const struct nns_devices *devices, uint32_t ifindex);

/* Find or add; a device that was there keeps its state and takes over the link's attributes.
 * *added says which. NULL without memory, with nothing changed. */
struct nns_device *nns_devices_put(struct nns_devices *devices, const struct nns_link *link, bool *added);

/* Forget one; unknown ones are ignored. */
void nns_devices_remove(struct nns_devices *devices, uint32_t ifindex);

/* Do all its hooks carry their programs, by what the kernel last said? */
bool nns_device_hooked(const struct nns_device *device);

/* I6: is it attached, and are all its hooks covered? The one answer to that, for whoever counts or shows it.
 */
bool nns_device_covers(const struct nns_device *device);

/* Is any program of ours on it, as far as we know? */
bool nns_device_carries(const struct nns_device *device);

/* One more failure in a row: sets when it is tried again. False when it is given up. */
bool nns_device_retry(struct nns_device *device, uint64_t now_ms);

/* "ingress", "egress". */
const char *nns_hook_name(enum nns_hook hook);

/* "queued", "attached", "failed", "excluded". */
const char *nns_device_state_name(enum nns_device_state state);

/* A reason in words ("legacy ingress qdisc", …), "" for NONE. For KERNEL use strerror of the errno. */
const char *nns_reason_text(enum nns_reason reason);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/strangers.h"

NNS_OWNER_ONLY static struct nns_stranger *find(struct nns_strangers *strangers, uint64_t cookie)
{
    for (size_t i = 0; i < NNS_STRANGERS_MAX; i++)
        if (strangers->items[i].cookie == cookie)
            return &strangers->items[i];
    return NULL;
}

NNS_OWNER_ONLY static bool waits(const struct nns_stranger *stranger)
{
    return stranger->cookie && !stranger->looked_for;
}

NNS_OWNER_ONLY static struct nns_stranger *take_place(struct nns_strangers *strangers)
{
    struct nns_stranger *place = &strangers->items[strangers->next];

    strangers->next = (strangers->next + 1) % NNS_STRANGERS_MAX;
    strangers->waiting -= waits(place);
    return place;
}

void nns_strangers_note(struct nns_strangers *strangers, uint64_t cookie, uint64_t now_ms, uint64_t forget_ms)
{
    struct nns_stranger *known = find(strangers, cookie);

    if (known && (!known->looked_for || now_ms - known->since_ms < forget_ms))
        return;
    if (!known)
        known = take_place(strangers);
    *known = (struct nns_stranger){.cookie = cookie, .since_ms = now_ms};
    strangers->waiting++;
}

void nns_strangers_found(struct nns_strangers *strangers, uint64_t cookie)
{
    struct nns_stranger *known = find(strangers, cookie);

    if (!known)
        return;
    strangers->waiting -= waits(known);
    *known = (struct nns_stranger){0};
}

uint64_t nns_strangers_wait(const struct nns_strangers *strangers, uint64_t now_ms, uint64_t patience_ms)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; strangers->waiting && i < NNS_STRANGERS_MAX; i++) {
        const struct nns_stranger *stranger = &strangers->items[i];
        uint64_t due = stranger->since_ms + patience_ms, wait = due > now_ms ? due - now_ms : 0;

        if (waits(stranger) && wait < least)
            least = wait;
    }
    return least;
}

void nns_strangers_look(struct nns_strangers *strangers, uint64_t now_ms)
{
    for (size_t i = 0; i < NNS_STRANGERS_MAX; i++) {
        if (!waits(&strangers->items[i]))
            continue;
        strangers->items[i].looked_for = true;
        strangers->items[i].since_ms = now_ms;
    }
    strangers->waiting = 0;
}

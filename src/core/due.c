/* SPDX-License-Identifier: Apache-2.0 */
#include "core/due.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void nns_due_deinit(struct nns_due *due)
{
    free(due->items);
    *due = (struct nns_due){NULL, 0, 0};
}

static void place(struct nns_due *due, size_t at, struct nns_namespace *ns)
{
    due->items[at] = ns;
    ns->due_slot = (int32_t)at;
}

static void sift_up(struct nns_due *due, size_t at)
{
    struct nns_namespace *ns = due->items[at];

    while (at > 0) {
        size_t parent = (at - 1) / 2;

        if (due->items[parent]->due_ms <= ns->due_ms)
            break;
        place(due, at, due->items[parent]);
        at = parent;
    }
    place(due, at, ns);
}

static void sift_down(struct nns_due *due, size_t at)
{
    struct nns_namespace *ns = due->items[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= due->count)
            break;
        if (child + 1 < due->count && due->items[child + 1]->due_ms < due->items[child]->due_ms)
            child++;
        if (ns->due_ms <= due->items[child]->due_ms)
            break;
        place(due, at, due->items[child]);
        at = child;
    }
    place(due, at, ns);
}

int nns_due_reserve(struct nns_due *due, size_t count)
{
    size_t capacity = due->capacity ? due->capacity : 64;
    struct nns_namespace **items;

    if (count <= due->capacity)
        return 0;
    while (capacity < count)
        capacity *= 2;
    items = realloc(due->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    due->items = items;
    due->capacity = capacity;
    return 0;
}

void nns_due_add(struct nns_due *due, struct nns_namespace *ns, uint64_t when_ms)
{
    if (ns->due_slot >= 0) {
        if (when_ms < ns->due_ms) {
            ns->due_ms = when_ms;
            sift_up(due, (size_t)ns->due_slot);
        }
        return;
    }
    assert(due->count < due->capacity);
    ns->due_ms = when_ms;
    place(due, due->count, ns);
    sift_up(due, due->count++);
}

void nns_due_drop(struct nns_due *due, struct nns_namespace *ns)
{
    size_t at = (size_t)ns->due_slot;
    struct nns_namespace *last;

    if (ns->due_slot < 0)
        return;
    ns->due_slot = -1;
    last = due->items[--due->count];
    if (last == ns)
        return;
    place(due, at, last);
    sift_up(due, at);
    sift_down(due, (size_t)last->due_slot);
}

struct nns_namespace *nns_due_take(struct nns_due *due, uint64_t now_ms)
{
    struct nns_namespace *first;

    if (!due->count || due->items[0]->due_ms > now_ms)
        return NULL;
    first = due->items[0];
    nns_due_drop(due, first);
    return first;
}

uint64_t nns_due_next(const struct nns_due *due)
{
    return due->count ? due->items[0]->due_ms : UINT64_MAX;
}

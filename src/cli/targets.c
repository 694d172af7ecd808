/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nns_target *make_room(struct nns_targets *targets)
{
    if (targets->count == targets->capacity) {
        size_t capacity = targets->capacity ? 2 * targets->capacity : 64;
        struct nns_target *items = realloc(targets->items, capacity * sizeof(*items));

        if (!items)
            return NULL;
        targets->items = items;
        targets->capacity = capacity;
    }
    return &targets->items[targets->count++];
}

static bool carries(const json_t *device, const char *hook)
{
    return json_integer_value(json_object_get(json_object_get(device, hook), "program_id")) > 0;
}

static void add_device(struct nns_targets *targets, uint64_t cookie, const json_t *device)
{
    const char *name = json_string_value(json_object_get(device, "name"));
    struct nns_target *target;

    if (!name || !(carries(device, "ingress") || carries(device, "egress")))
        return;
    target = make_room(targets);
    if (!target) {
        targets->failed = true;
        return;
    }
    *target = (struct nns_target){
        .cookie = cookie, .ifindex = (uint32_t)json_integer_value(json_object_get(device, "ifindex"))};
    snprintf(target->name, sizeof(target->name), "%s", name);
}

void nns_targets_add(struct nns_targets *targets, const json_t *namespace)
{
    uint64_t cookie = (uint64_t)json_integer_value(json_object_get(namespace, "cookie"));
    size_t index;
    json_t *device;

    json_array_foreach(json_object_get(namespace, "devices"), index, device)
        add_device(targets, cookie, device);
}

static int compare(const void *left, const void *right)
{
    const struct nns_target *a = left, *b = right;

    if (a->cookie != b->cookie)
        return a->cookie < b->cookie ? -1 : 1;
    if (a->ifindex != b->ifindex)
        return a->ifindex < b->ifindex ? -1 : 1;
    return 0;
}

void nns_targets_sort(struct nns_targets *targets)
{
    if (targets->count > 0)
        qsort(targets->items, targets->count, sizeof(*targets->items), compare);
}

bool nns_targets_meet(struct nns_targets *targets, uint64_t cookie, uint32_t ifindex, const char *name,
                      bool *first)
{
    struct nns_target key = {.cookie = cookie, .ifindex = ifindex}, *found = NULL;

    if (targets->count > 0)
        found = bsearch(&key, targets->items, targets->count, sizeof(key), compare);
    if (!found || strcmp(found->name, name) != 0)
        return false;
    *first = !found->met;
    found->met = true;
    return true;
}

void nns_targets_deinit(struct nns_targets *targets)
{
    free(targets->items);
    *targets = (struct nns_targets){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/exclude.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/asker.h"

/* How long a file system may take to say where a path leads, before nobody waits for it any more. */
enum { PATIENCE_MS = 500 };

static struct nns_log_limit unknown_limit;

struct exclusion {
    const char *path;        /* the parameter's; NULL: it is a number */
    struct nns_asker *asker; /* of a path that the kernel did not know by itself once; else NULL */
    uint64_t inum;           /* the number; of a path, the owner's: that of the one met last */
    uint64_t leads;          /* of a path, the owner's: to which inum it did when it was last looked at */
    _Atomic uint64_t cookie; /* of the one met last; 0: none. The owner writes it. */
};

struct nns_exclusions {
    nns_exclusions_taker *take; /* NULL: nobody is told */
    void *context;
    size_t count;
    struct exclusion items[];
};

int nns_exclusions_new(const struct nns_params *params, struct nns_exclusions **out)
{
    const struct nns_list *list = &params->exclude_namespaces;
    struct nns_exclusions *exclusions =
        calloc(1, sizeof(*exclusions) + list->count * sizeof(exclusions->items[0]));

    if (!exclusions)
        return -ENOMEM;
    exclusions->count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i][0] == '/')
            exclusions->items[i].path = list->items[i];
        else
            exclusions->items[i].inum = strtoull(list->items[i], NULL, 10);
    }
    *out = exclusions;
    return 0;
}

void nns_exclusions_tell(struct nns_exclusions *exclusions, nns_exclusions_taker *take, void *context)
{
    exclusions->take = take;
    exclusions->context = context;
}

void nns_exclusions_free(struct nns_exclusions *exclusions)
{
    for (size_t i = 0; exclusions && i < exclusions->count; i++)
        nns_asker_free(exclusions->items[i].asker);
    free(exclusions);
}

/* What is no inum: where a path leads if that is no namespace, and if nobody can say. */
enum { NOWHERE = 0 };
#define UNKNOWN UINT64_MAX

/* A file system that has to be asked may not answer, and is asked elsewhere. */
NNS_OWNER_ONLY static int ask_where(struct exclusion *item, uint32_t *inum)
{
    int rc = nns_netns_led_to_now(item->path, inum);

    if (rc != -EAGAIN)
        return rc;
    if (!item->asker)
        item->asker = nns_asker_new(item->path);
    return item->asker ? nns_asker_ask(item->asker, inum, PATIENCE_MS) : -ENOMEM;
}

NNS_OWNER_ONLY static uint64_t look_where(struct exclusion *item)
{
    uint32_t inum;
    int rc = ask_where(item, &inum);

    if (!rc)
        return inum;
    if (rc == -ENOENT || rc == -ENOTDIR)
        return NOWHERE;
    nns_count(NNS_COUNT_EXCLUDE_UNKNOWN, 1);
    nns_log_limited(&unknown_limit, NNS_LOG_WARNING, "exclude.namespaces: cannot see where %s leads: %s",
                    item->path, rc == -EAGAIN ? "its file system does not answer" : strerrordesc_np(-rc));
    return UNKNOWN;
}

NNS_OWNER_ONLY static void look_everywhere(struct nns_exclusions *exclusions)
{
    for (size_t i = 0; i < exclusions->count; i++)
        if (exclusions->items[i].path)
            exclusions->items[i].leads = look_where(&exclusions->items[i]);
}

static uint64_t cookie_of(const struct exclusion *item)
{
    return atomic_load_explicit(&item->cookie, memory_order_relaxed);
}

/* Unknown is not gone (I9): who was excluded stays so. */
NNS_OWNER_ONLY static bool means(const struct exclusion *item, struct nns_netns_id id)
{
    uint64_t met = cookie_of(item);

    if (!item->path)
        return item->inum == id.inum && (!met || met == id.cookie);
    return item->leads == id.inum || (item->leads == UNKNOWN && met == id.cookie);
}

/* From one namespace to another, or to none (0). */
NNS_OWNER_ONLY static void turn(struct nns_exclusions *exclusions, struct exclusion *item, uint64_t cookie)
{
    uint64_t before = cookie_of(item);

    if (before == cookie)
        return;
    atomic_store_explicit(&item->cookie, cookie, memory_order_relaxed);
    if (before && exclusions->take)
        exclusions->take(exclusions->context, before);
    if (cookie && exclusions->take)
        exclusions->take(exclusions->context, cookie);
}

bool nns_exclusions_meet(struct nns_exclusions *exclusions, struct nns_netns_id id)
{
    look_everywhere(exclusions);
    return nns_exclusions_meet_again(exclusions, id);
}

bool nns_exclusions_meet_again(struct nns_exclusions *exclusions, struct nns_netns_id id)
{
    bool met = false;

    for (size_t i = 0; i < exclusions->count; i++) {
        struct exclusion *item = &exclusions->items[i];

        if (means(item, id)) {
            item->inum = id.inum;
            turn(exclusions, item, id.cookie);
            met = true;
        } else if (item->path && cookie_of(item) == id.cookie) {
            turn(exclusions, item, 0);
        }
    }
    return met;
}

bool nns_exclusions_lead(const struct nns_exclusions *exclusions)
{
    for (size_t i = 0; i < exclusions->count; i++)
        if (exclusions->items[i].path && cookie_of(&exclusions->items[i]))
            return true;
    return false;
}

/* One that the path led to and that lives has its inum to itself. */
bool nns_exclusions_review(struct nns_exclusions *exclusions)
{
    bool changed = false;

    look_everywhere(exclusions);
    for (size_t i = 0; i < exclusions->count; i++) {
        struct exclusion *item = &exclusions->items[i];

        if (!item->path || !cookie_of(item) || item->leads == UNKNOWN || item->leads == item->inum)
            continue;
        turn(exclusions, item, 0);
        changed = true;
    }
    return changed;
}

bool nns_exclusions_have(const struct nns_exclusions *exclusions, uint64_t cookie)
{
    for (size_t i = 0; cookie && i < exclusions->count; i++)
        if (cookie_of(&exclusions->items[i]) == cookie)
            return true;
    return false;
}

bool nns_excludes_device(const struct nns_params *params, const char *name)
{
    for (size_t i = 0; i < params->exclude_devices.count; i++)
        if (fnmatch(params->exclude_devices.items[i], name, 0) == 0)
            return true;
    return false;
}

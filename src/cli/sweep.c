/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sweep.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "io/links.h"
#include "io/netns.h"
#include "io/proc.h"
#include "io/tc.h"

/* Room for as many answers of the kernel as a namespace of some hundred devices gives at once. */
#define ANSWERS 1024

/* Listings of one namespace where devices come and go meanwhile. */
enum { LISTINGS_MAX = 8 };

struct walk {
    const char *instance;        /* whose filters; NULL: only the targets' qdiscs */
    struct nns_targets *targets; /* where there is no instance */
    struct nns_qdiscs *qdiscs;   /* NULL: they stay */
    struct nns_sweep *sweep;
    size_t met;     /* targets, each once */
    uint64_t *seen; /* cookies, one a namespace swept */
    size_t count, capacity;
};

/* True when this is its first time. A cookie is never used twice, an inum is. -ENOMEM without room to note
 * it. */
static int note(struct walk *walk, uint64_t cookie, bool *first)
{
    *first = true;
    for (size_t i = 0; i < walk->count && *first; i++)
        *first = walk->seen[i] != cookie;
    if (!*first)
        return 0;
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity ? 2 * walk->capacity : 64;
        uint64_t *seen = realloc(walk->seen, capacity * sizeof(*seen));

        if (!seen)
            return -ENOMEM;
        walk->seen = seen;
        walk->capacity = capacity;
    }
    walk->seen[walk->count++] = cookie;
    return 0;
}

/* A namespace that was entered. */
struct inside {
    int socket;
    uint64_t cookie;
    uint32_t inum;
    struct nns_links links;
};

/* Looking for filters is two dumps a device, and there are none without clsact or ingress. */
static void keep_those_with_a_qdisc(struct nns_links *links)
{
    size_t kept = 0;

    for (size_t i = 0; i < links->count; i++) {
        if (links->items[i].qdisc != NNS_QDISC_NONE)
            links->items[kept++] = links->items[i];
    }
    links->count = kept;
}

static void delete_qdisc(struct walk *walk, const struct inside *inside, const struct nns_link *link)
{
    nns_qdiscs_delete(walk->qdiscs, inside->socket, inside->cookie, inside->inum, link);
}

static int sweep_links(struct walk *walk, const struct inside *inside, uint32_t *ifindexes, unsigned *removed)
{
    const struct nns_links *links = &inside->links;
    struct nns_tc_stats stats = {0};
    int result;

    for (size_t i = 0; i < links->count; i++)
        ifindexes[i] = links->items[i].ifindex;
    result = nns_tc_sweep(inside->socket, walk->instance, ifindexes, links->count, removed, &stats);
    walk->sweep->filters += stats.removed;
    for (size_t i = 0; i < links->count && walk->qdiscs; i++) {
        if (removed[i])
            delete_qdisc(walk, inside, &links->items[i]);
    }
    return result;
}

static int sweep_filters(struct walk *walk, struct inside *inside)
{
    uint32_t *ifindexes;
    unsigned *removed;
    int result = -ENOMEM;

    keep_those_with_a_qdisc(&inside->links);
    ifindexes = calloc(inside->links.count + 1, sizeof(*ifindexes));
    removed = calloc(inside->links.count + 1, sizeof(*removed));
    if (ifindexes && removed)
        result = sweep_links(walk, inside, ifindexes, removed);
    free(removed);
    free(ifindexes);
    return result;
}

static void meet_targets(struct walk *walk, const struct inside *inside)
{
    for (size_t i = 0; i < inside->links.count; i++) {
        const struct nns_link *link = &inside->links.items[i];
        bool first;

        if (!nns_targets_meet(walk->targets, inside->cookie, link->ifindex, link->name, &first))
            continue;
        walk->met += first;
        if (link->qdisc != NNS_QDISC_NONE)
            delete_qdisc(walk, inside, link);
    }
}

/* What one listing shows: an answer of nns_links_list, or -errno. */
static int sweep_shown(struct walk *walk, struct inside *inside)
{
    int result = 0, listed = nns_links_list(inside->socket, &inside->links);

    if (listed < 0)
        return listed;
    if (walk->instance)
        result = sweep_filters(walk, inside);
    else
        meet_targets(walk, inside);
    nns_links_deinit(&inside->links);
    return result ? result : listed;
}

/* A device that a listing passed over is shown by another (I9). */
static int sweep_all_shown(struct walk *walk, struct inside *inside)
{
    const size_t before = walk->sweep->filters;
    int result = NNS_LINKS_PART;

    for (int listings = 0; listings < LISTINGS_MAX && result == NNS_LINKS_PART; listings++)
        result = sweep_shown(walk, inside);
    walk->sweep->namespaces += walk->sweep->filters > before;
    return result == NNS_LINKS_PART ? -EAGAIN : result;
}

static int sweep_inside(struct walk *walk, struct inside *inside)
{
    bool first;
    int result = nns_netns_socket_cookie(inside->socket, &inside->cookie);

    if (!result)
        result = note(walk, inside->cookie, &first);
    if (result || !first)
        return result;
    walk->sweep->looked_at++;
    return sweep_all_shown(walk, inside);
}

static int sweep_namespace(struct walk *walk, int fd, uint32_t inum)
{
    struct inside inside = {.socket = nns_netns_enter(fd, ANSWERS), .inum = inum, .links = NNS_LINKS_NULL};
    int result;

    if (inside.socket < 0)
        return inside.socket;
    result = sweep_inside(walk, &inside);
    nns_netns_leave(inside.socket);
    return result;
}

/* -ENOENT makes the walk try another path to the same namespace. */
static int visit(const char *path, uint32_t inum, void *context)
{
    struct walk *walk = context;
    int result, fd = nns_netns_open_meant(path, inum);

    if (fd == -ENOENT)
        return -ENOENT;
    result = fd;
    if (fd >= 0) {
        result = sweep_namespace(walk, fd, inum);
        close(fd);
    }
    if (result) {
        walk->sweep->failed++;
        nns_cli_complain("the namespace %s could not be swept: %s", path, strerror(-result));
    }
    return 0;
}

static int walk_all(struct walk *walk)
{
    struct nns_netns_abilities abilities;
    int result = nns_netns_probe(&abilities);

    *walk->sweep = (struct nns_sweep){0};
    if (!result)
        result = nns_proc_open();
    if (!result)
        result = nns_proc_each_namespace(visit, walk);
    free(walk->seen);
    if (result)
        nns_cli_complain("not all namespaces could be looked for: %s", strerror(-result));
    return result;
}

int nns_sweep_all(const char *instance, struct nns_qdiscs *qdiscs, struct nns_sweep *sweep)
{
    struct walk walk = {.instance = instance, .qdiscs = qdiscs, .sweep = sweep};

    return walk_all(&walk);
}

int nns_sweep_qdiscs(struct nns_targets *targets, struct nns_qdiscs *qdiscs, struct nns_sweep *sweep,
                     size_t *met)
{
    struct walk walk = {.targets = targets, .qdiscs = qdiscs, .sweep = sweep};
    int result = walk_all(&walk);

    *met = walk.met;
    return result;
}

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

struct walk {
    const char *instance;
    struct nns_sweep *sweep;
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

static int sweep_links(int socket, const char *instance, const struct nns_links *links,
                       struct nns_tc_stats *stats)
{
    uint32_t *ifindexes = malloc((links->count + 1) * sizeof(*ifindexes));
    int result;

    if (!ifindexes)
        return -ENOMEM;
    for (size_t i = 0; i < links->count; i++)
        ifindexes[i] = links->items[i].ifindex;
    result = nns_tc_sweep(socket, instance, ifindexes, links->count, NULL, stats);
    free(ifindexes);
    return result;
}

/* With a socket inside the namespace. */
static int sweep_inside(struct walk *walk, int socket)
{
    struct nns_links links = NNS_LINKS_NULL;
    struct nns_tc_stats stats = {0};
    uint64_t cookie;
    bool first;
    int result = nns_netns_socket_cookie(socket, &cookie);

    if (!result)
        result = note(walk, cookie, &first);
    if (result || !first)
        return result;
    walk->sweep->looked_at++;
    result = nns_links_list(socket, &links);
    if (!result)
        result = sweep_links(socket, walk->instance, &links, &stats);
    nns_links_deinit(&links);
    walk->sweep->filters += stats.removed;
    walk->sweep->namespaces += stats.removed > 0;
    return result;
}

static int sweep_namespace(struct walk *walk, int fd)
{
    int result, socket = nns_netns_enter(fd, ANSWERS);

    if (socket < 0)
        return socket;
    result = sweep_inside(walk, socket);
    nns_netns_leave(socket);
    return result;
}

/* The fd, once it is known to be the namespace that was meant; -ENOENT when the path does not lead there. */
static int open_meant(const char *path, uint32_t inum)
{
    struct nns_netns_id id;
    int result, fd = nns_netns_open_path(path);

    if (fd == -ENOENT || fd == -ESRCH || fd == -EINVAL || fd == -ENOTDIR)
        return -ENOENT;
    if (fd < 0)
        return fd;
    result = nns_netns_identify(fd, &id);
    if (!result && id.inum == inum)
        return fd;
    close(fd);
    return result && result != -EINVAL ? result : -ENOENT;
}

/* -ENOENT makes the walk try another path to the same namespace. */
static int visit(const char *path, uint32_t inum, void *context)
{
    struct walk *walk = context;
    int result, fd = open_meant(path, inum);

    if (fd == -ENOENT)
        return -ENOENT;
    result = fd;
    if (fd >= 0) {
        result = sweep_namespace(walk, fd);
        close(fd);
    }
    if (result) {
        walk->sweep->failed++;
        nns_cli_complain("the namespace %s could not be swept: %s", path, strerror(-result));
    }
    return 0;
}

int nns_sweep_all(const char *instance, struct nns_sweep *sweep)
{
    struct nns_netns_abilities abilities;
    struct walk walk = {.instance = instance, .sweep = sweep};
    int result = nns_netns_probe(&abilities);

    *sweep = (struct nns_sweep){0};
    if (!result)
        result = nns_proc_open();
    if (!result)
        result = nns_proc_each_namespace(visit, &walk);
    free(walk.seen);
    if (result)
        nns_cli_complain("not all namespaces could be looked for: %s", strerror(-result));
    return result;
}

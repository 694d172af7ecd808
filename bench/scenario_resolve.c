/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "floor/floor.h"
#include "io/resolve.h"
#include "pods.h"
#include "today/today.h"

#define NAMESPACES 200u
#define EACH       5u /* processes in each namespace */
#define PIDS       (NAMESPACES * EACH)
#define ASKED      16384u /* of a turn: whole calls of every size */

/* How many pids the program is given at a time; a metric each. */
static const unsigned sizes[] = {1, 64, 256, NNS_RESOLVE_MAX};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* The others are asked one pid at a time anyway: what they need stands beside every size. */
struct resolve {
    struct bench_pods pods;
    struct bench_crowd crowd;
    struct nns_resolver *resolver;
    unsigned first; /* of the sizes, in the turn that is next */
    uint32_t random;
    uint32_t inums[PIDS]; /* of the crowd, by fstat */
    uint32_t pids[ASKED];
    uint64_t sum; /* of the inums of all that are asked about */
};

/* ---- asking ---- */

/* Ours, on as many pids as one call takes: the only place that knows how it is called. */
static int resolve_call(struct nns_resolver *resolver, const uint32_t *pids, size_t count, uint32_t *inums)
{
    const struct nns_resolved *resolved;

    memcpy(nns_resolver_pids(resolver, 0), pids, count * sizeof(pids[0]));
    resolved = nns_resolve(resolver, 0, count);
    if (!resolved)
        return -errno;
    for (size_t i = 0; i < count; i++)
        inums[i] = resolved[i].inum;
    return 0;
}

static int resolve_all(struct resolve *resolve, unsigned size, uint64_t *sum)
{
    uint32_t inums[NNS_RESOLVE_MAX];

    for (size_t asked = 0; asked < ASKED; asked += size) {
        int result = resolve_call(resolve->resolver, resolve->pids + asked, size, inums);

        if (result)
            return result;
        for (size_t i = 0; i < size; i++)
            *sum += inums[i];
    }
    return 0;
}

/* All pids in an order of their own, again and again; the sum of their namespaces is what everybody must come
 * to. */
static int prepare(void *context, enum bench_side side)
{
    struct resolve *resolve = context;
    uint32_t order[PIDS];

    resolve->sum = 0;
    for (size_t i = 0; i < ASKED; i++) {
        if (i % PIDS == 0) {
            for (uint32_t pid = 0; pid < PIDS; pid++)
                order[pid] = pid;
            bench_shuffle(order, PIDS, &resolve->random);
        }
        resolve->pids[i] = (uint32_t)resolve->crowd.pids[order[i % PIDS]];
        resolve->sum += resolve->inums[order[i % PIDS]];
    }
    return 0;
}

static int conclude(const struct resolve *resolve, uint64_t since, uint64_t sum, double *value)
{
    *value = (double)(bench_now() - since) / ASKED;
    return sum == resolve->sum ? 0 : bench_error(-EBADMSG, "not the namespaces these processes are in");
}

static int run_ours(void *context, double *values)
{
    struct resolve *resolve = context;
    int result = 0;

    for (unsigned i = 0; i < SIZES && result == 0; i++) {
        unsigned size = (resolve->first + i) % SIZES;
        uint64_t sum = 0, since = bench_now();

        result = resolve_all(resolve, sizes[size], &sum);
        result = result ? bench_error(result, "resolving") : conclude(resolve, since, sum, &values[size]);
    }
    resolve->first++;
    return result;
}

static int run_other(struct resolve *resolve, int (*ask)(const uint32_t *pids, size_t count, uint64_t *sum),
                     const char *who, double *values)
{
    uint64_t sum = 0, since = bench_now();
    int result = ask(resolve->pids, ASKED, &sum);

    result = result ? bench_error(result, "%s", who) : conclude(resolve, since, sum, &values[0]);
    for (unsigned i = 1; i < SIZES; i++)
        values[i] = values[0];
    return result;
}

static int run_floor(void *context, double *values)
{
    return run_other(context, floor_resolve, "floor: reading links", values);
}

static int run_readlink(void *context, double *values)
{
    return run_other(context, today_resolve_readlink, "reading links by their whole path", values);
}

static int run_open(void *context, double *values)
{
    return run_other(context, today_resolve_open, "opening namespaces", values);
}

/* ---- what is asked about ---- */

static int stat_inum(pid_t pid, uint32_t *inum)
{
    char path[64];
    struct stat netns;
    int fd, result;

    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bench_error(-errno, "%s", path);
    result = fstat(fd, &netns) ? bench_error(-errno, "%s", path) : 0;
    close(fd);
    *inum = (uint32_t)netns.st_ino;
    return result;
}

/* Once, pid by pid and in calls of every size; the turns compare sums. */
static int check_answers(struct resolve *resolve, unsigned size)
{
    uint32_t pids[NNS_RESOLVE_MAX], inums[NNS_RESOLVE_MAX];

    for (size_t asked = 0; asked < PIDS; asked += size) {
        int result;

        for (size_t i = 0; i < size; i++)
            pids[i] = (uint32_t)resolve->crowd.pids[(asked + i) % PIDS];
        result = resolve_call(resolve->resolver, pids, size, inums);
        if (result)
            return bench_error(result, "resolving");
        for (size_t i = 0; i < size; i++)
            if (inums[i] != resolve->inums[(asked + i) % PIDS])
                return bench_error(-EBADMSG, "pid %u is said to be in namespace %u", pids[i], inums[i]);
    }
    return 0;
}

static int furnish(struct resolve *resolve)
{
    int result = bench_pods_init(&resolve->pods, NAMESPACES);

    if (result == 0)
        result = bench_pods_grow(&resolve->pods, NAMESPACES);
    if (result == 0)
        result = bench_crowd_init(&resolve->crowd, &resolve->pods, EACH);
    for (size_t i = 0; i < PIDS && result == 0; i++)
        result = stat_inum(resolve->crowd.pids[i], &resolve->inums[i]);
    return result;
}

static int open_resolver(struct resolve *resolve)
{
    int result = nns_resolver_open(1, &resolve->resolver);

    if (result)
        return bench_error(result, "loading the resolver (Linux 6.14, for a private host)");
    for (unsigned i = 0; i < SIZES && result == 0; i++)
        result = check_answers(resolve, sizes[i]);
    return result;
}

static int measure(const struct bench_options *options, struct bench_report *report, struct resolve *resolve)
{
    struct bench_experiment experiment = {
        .scenario = "resolve",
        .metrics = {{"1000 pids in 200 namespaces, 1 a call", "ns/pid"},
                    {"1000 pids in 200 namespaces, 64 a call", "ns/pid"},
                    {"1000 pids in 200 namespaces, 256 a call", "ns/pid"},
                    {"1000 pids in 200 namespaces, 1024 a call", "ns/pid"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .others = {{.name = "readlink by whole path", .run = run_readlink},
                   {.name = "open, fstat, close", .run = run_open}},
        .context = resolve,
    };

    /* The floor is the same whatever is beside it. */
    if (options->floor_only)
        experiment.metrics[1].variant = NULL;
    return bench_run_pairs(options, &experiment, report);
}

int bench_resolve(const struct bench_options *options, struct bench_report *report)
{
    struct resolve *resolve = calloc(1, sizeof(*resolve));
    int result;

    if (!resolve)
        return bench_error(-ENOMEM, "resolve");
    result = furnish(resolve);
    if (result == 0 && !options->floor_only)
        result = open_resolver(resolve);
    if (result == 0)
        result = measure(options, report, resolve);
    nns_resolver_close(resolve->resolver);
    bench_crowd_deinit(&resolve->crowd);
    bench_pods_deinit(&resolve->pods);
    free(resolve);
    return result;
}

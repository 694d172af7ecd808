/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario_attach.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "private_host.h"
#include "report.h"
#include "rtnl.h"

/* Each of the links waits for the kernel, when it is made and when it goes. */
#define LINKS_ROUNDS 3u

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS and, after it, BPF_TCX_EGRESS, which older headers lack */

/* One namespace's part of a turn. */
typedef int attach_one_fn(struct attach *attach, size_t pod);

static int attach_all(struct attach *attach, attach_one_fn *attach_one, const char *who, double *value)
{
    uint64_t since = bench_now();

    for (size_t i = 0; i < attach->pods.count; i++) {
        int result = attach_one(attach, i);

        if (result)
            return bench_error(result, "%s: attaching", who);
    }
    *value = attach_per_device(attach, since);
    return 0;
}

static int *kept_of(const struct attach *attach, size_t pod)
{
    return attach->today.kept + 2 * attach->devices * pod;
}

static void let_go(struct attach *attach)
{
    for (size_t i = 0; i < 2 * attach->devices * attach->pods.count; i++) {
        if (attach->today.kept[i] >= 0)
            close(attach->today.kept[i]);
        attach->today.kept[i] = -1;
    }
}

/* ---- the ways ---- */

static int libbpf_one(struct attach *attach, size_t pod)
{
    return today_attach_libbpf(attach->pods.items[pod].netns, bench_home(), attach->ifindexes,
                               attach->devices, attach->programs);
}

static int run_libbpf(void *context, double *value)
{
    return attach_all(context, libbpf_one, "libbpf", value);
}

static int socket_one(struct attach *attach, size_t pod)
{
    return today_attach_socket(attach->today.sockets[pod], attach->ifindexes, attach->devices,
                               attach->programs);
}

static int run_socket(void *context, double *value)
{
    return attach_all(context, socket_one, "socket kept", value);
}

static int clones_one(struct attach *attach, size_t pod)
{
    return today_attach_clones(attach->today.sockets[pod], attach->ifindexes, attach->devices,
                               attach->today.originals, kept_of(attach, pod));
}

static int run_clones(void *context, double *value)
{
    return attach_all(context, clones_one, "clones", value);
}

static int verify_clones(void *context)
{
    int result = attach_verify(context);

    let_go(context);
    return result;
}

static int links_one(struct attach *attach, size_t pod)
{
    return today_attach_tcx(attach->pods.items[pod].netns, bench_home(), attach->ifindexes, attach->devices,
                            attach->programs, kept_of(attach, pod));
}

static int run_links(void *context, double *value)
{
    return attach_all(context, links_one, "tcx links", value);
}

/* In the present namespace. */
static int count_links(const struct attach *attach)
{
    for (unsigned i = 0; i < 2 * attach->devices; i++) {
        uint32_t count = 0;

        if (bpf_prog_query((int)attach->ifindexes[i / 2], (enum bpf_attach_type)(TCX_INGRESS + i % 2), 0,
                           NULL, NULL, &count))
            return -errno;
        if (count != 1)
            return -ENODATA;
    }
    return 0;
}

static int verify_links(void *context)
{
    struct attach *attach = context;
    int result = 0;

    for (size_t i = 0; i < attach->pods.count && result == 0; i++) {
        if (setns(attach->pods.items[i].netns, CLONE_NEWNET))
            return bench_error(-errno, "setns");
        result = count_links(attach);
        bench_go_home();
    }
    let_go(attach);
    return result ? bench_error(result, "not every device carries one link on each hook") : 0;
}

/* Asked about home's loopback, where nothing is. */
static bool knows_links(void)
{
    uint32_t count = 0;

    return bpf_prog_query(1, (enum bpf_attach_type)TCX_INGRESS, 0, NULL, NULL, &count) == 0;
}

void attach_today_take_part(struct bench_experiment *experiment, bool with_links)
{
    struct bench_other *others = experiment->others;

    *others++ = (struct bench_other){"libbpf", run_libbpf, attach_verify, 0};
    *others++ = (struct bench_other){"socket kept per namespace", run_socket, attach_verify, 0};
    *others++ = (struct bench_other){"clone of programs per device", run_clones, verify_clones, 0};
    if (with_links && knows_links())
        *others++ = (struct bench_other){"tcx links", run_links, verify_links, LINKS_ROUNDS};
}

/* ---- what they need ---- */

static int open_inside(const struct bench_pod *pod)
{
    int socket;

    if (setns(pod->netns, CLONE_NEWNET))
        return -errno;
    socket = bench_rtnl_open();
    bench_go_home();
    return socket;
}

static int open_sockets(struct attach *attach)
{
    for (size_t i = 0; i < attach->pods.count; i++) {
        int socket = open_inside(&attach->pods.items[i]);

        if (socket < 0)
            return bench_error(socket, "opening a socket in a namespace");
        attach->today.sockets[i] = socket;
    }
    return 0;
}

static int *new_fds(size_t count)
{
    int *fds = malloc(count * sizeof(*fds));

    for (size_t i = 0; fds && i < count; i++)
        fds[i] = -1;
    return fds;
}

int attach_today_init(struct attach *attach)
{
    struct attach_today *today = &attach->today;
    int result = today_originals_open(&today->originals);

    if (result)
        return bench_error(result, "loading programs to clone");
    today->sockets = new_fds(attach->pods.count);
    today->kept = new_fds(2 * attach->devices * attach->pods.count);
    return today->sockets && today->kept ? open_sockets(attach) : bench_error(-ENOMEM, "attach");
}

void attach_today_deinit(struct attach *attach)
{
    struct attach_today *today = &attach->today;

    if (today->kept)
        let_go(attach);
    for (size_t i = 0; today->sockets && i < attach->pods.count; i++)
        if (today->sockets[i] >= 0)
            close(today->sockets[i]);
    today_originals_close(today->originals);
    free(today->sockets);
    free(today->kept);
    *today = (struct attach_today){.originals = NULL};
}

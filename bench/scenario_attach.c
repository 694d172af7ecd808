/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "floor/floor.h"
#include "io/netns.h"
#include "private_host.h"
#include "program.h"
#include "scenario_attach.h"

static int prepare(void *context, enum bench_side side)
{
    struct attach *attach = context;
    int result = bench_pods_clear(&attach->pods, 0, attach->pods.count, attach->devices);

    return result ? result : bench_settle();
}

double attach_per_device(const struct attach *attach, uint64_t since)
{
    return (double)(bench_now() - since) / 1000.0 / (double)(attach->pods.count * attach->devices);
}

static int run_floor(void *context, double *value)
{
    struct attach *attach = context;
    uint64_t since = bench_now();

    for (size_t i = 0; i < attach->pods.count; i++) {
        int result = floor_attach(attach->pods.items[i].netns, bench_home(), attach->ifindexes,
                                  attach->devices, attach->programs);

        if (result)
            return bench_error(result, "floor: attaching");
    }
    *value = attach_per_device(attach, since);
    return 0;
}

static void write_jobs(struct attach *attach)
{
    memset(attach->jobs, 0, attach->devices * sizeof(attach->jobs[0]));
    for (unsigned i = 0; i < attach->devices; i++) {
        attach->jobs[i].ifindex = attach->ifindexes[i];
        attach->jobs[i].slot = (uint16_t)(i + 1);
        attach->jobs[i].qdisc = NNS_QDISC_NONE;
    }
}

/* What it says of itself; bench_pods_verify asks the kernel. */
static int all_attached(const struct attach *attach)
{
    for (unsigned i = 0; i < NNS_HOOKS * attach->devices; i++) {
        const struct nns_attachment *hook = &attach->jobs[i / NNS_HOOKS].hooks[i % NNS_HOOKS];

        if (hook->reason != NNS_REASON_NONE || !hook->program_id)
            return hook->error ? -hook->error : -ENODATA;
    }
    return 0;
}

static int attach_one(struct attach *attach, const struct bench_pod *pod)
{
    struct nns_tc_stats stats = {0};
    int result, socket;

    write_jobs(attach);
    socket = nns_netns_enter(pod->netns, 3 * attach->devices);
    if (socket < 0)
        return socket;
    result = nns_tc_attach(socket, &attach->set, attach->jobs, attach->devices, &stats);
    nns_netns_leave(socket);
    return result ? result : all_attached(attach);
}

static int run_ours(void *context, double *value)
{
    struct attach *attach = context;
    uint64_t since = bench_now();

    for (size_t i = 0; i < attach->pods.count; i++) {
        int result = attach_one(attach, &attach->pods.items[i]);

        if (result)
            return bench_error(result, "attaching");
    }
    *value = attach_per_device(attach, since);
    return 0;
}

int attach_verify(void *context)
{
    struct attach *attach = context;

    return bench_pods_verify(&attach->pods, 0, attach->pods.count, attach->devices);
}

static void describe_programs(struct attach *attach, const struct nns_meter *meter)
{
    strcpy(attach->set.instance, "bench");
    attach->set.priority = 10;
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        const struct nns_program *program = nns_meter_program(meter, hook);

        attach->set.programs[hook].fd = program->fd;
        attach->set.programs[hook].id = program->id;
        memcpy(attach->set.programs[hook].name, program->name, sizeof(program->name));
        memcpy(attach->set.programs[hook].tag, program->tag, sizeof(program->tag));
    }
}

static int allocate(struct attach *attach)
{
    attach->ifindexes = calloc(attach->devices, sizeof(attach->ifindexes[0]));
    attach->jobs = calloc(attach->devices, sizeof(attach->jobs[0]));
    if (!attach->ifindexes || !attach->jobs)
        return bench_error(-ENOMEM, "attach");
    for (unsigned i = 0; i < attach->devices; i++)
        attach->ifindexes[i] = i + 1;
    return 0;
}

/* pairs: veth pairs in each namespace, 0 for a pod's own two devices. */
static int furnish(struct attach *attach, unsigned namespaces, unsigned pairs)
{
    int result = bench_pods_init(&attach->pods, namespaces);

    if (result || pairs == 0)
        return result ? result : bench_pods_grow(&attach->pods, namespaces);
    for (unsigned i = 0; i < namespaces && result == 0; i++)
        result = bench_pods_add_wide(&attach->pods, pairs);
    return result;
}

static int measure(const struct bench_options *options, struct bench_report *report, struct attach *attach,
                   bool with_links, const char *variant)
{
    struct bench_experiment experiment = {
        .scenario = "attach",
        .metrics = {{variant, "us/device"}},
        .prepare = prepare,
        .run = {run_floor, run_ours},
        .verify = attach_verify,
        .context = attach,
    };

    attach_today_take_part(&experiment, with_links);
    return bench_run_pairs(options, &experiment, report);
}

static int run_variant(const struct bench_options *options, struct bench_report *report,
                       const struct bench_program *program, unsigned namespaces, unsigned pairs,
                       const char *variant)
{
    struct attach attach = {.pods = BENCH_PODS_NULL,
                            .devices = pairs ? 1 + 2 * pairs : BENCH_POD_DEVICES,
                            .programs = {program->fds[0], program->fds[1]}};
    int result = allocate(&attach);

    describe_programs(&attach, program->meter);
    if (result == 0)
        result = furnish(&attach, namespaces, pairs);
    if (result == 0)
        result = attach_today_init(&attach);
    /* A few of those links are enough, and take long. */
    if (result == 0)
        result = measure(options, report, &attach, pairs == 0, variant);
    attach_today_deinit(&attach);
    bench_pods_deinit(&attach.pods);
    free(attach.ifindexes);
    free(attach.jobs);
    return result;
}

int bench_attach(const struct bench_options *options, struct bench_report *report)
{
    struct bench_program program = BENCH_PROGRAM_NULL;
    struct nns_netns_abilities abilities;
    int result = bench_program_open(&program);

    if (result == 0)
        result = nns_netns_probe(&abilities);
    if (result == 0)
        result = run_variant(options, report, &program, 1, 50, "101 devices in one namespace");
    if (result == 0)
        result = run_variant(options, report, &program, 25, 0, "2 devices in each of 25 namespaces");
    bench_program_close(&program);
    return result;
}

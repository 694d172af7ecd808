/* SPDX-License-Identifier: Apache-2.0 */
#include "packet_programs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "packet.skel.h"
#include "pairs.h"
#include "report.h"

/* An Ethernet frame, as small as they come. */
#define PACKET_BYTES 64

static int describe(int fd, struct nns_tc_program *program)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd, &info, &size))
        return bench_error(-errno, "asking for a program");
    *program = (struct nns_tc_program){.fd = fd, .id = info.id};
    snprintf(program->name, sizeof(program->name), "%s", info.name);
    memcpy(program->tag, info.tag, sizeof(program->tag));
    return 0;
}

static int describe_set(struct nns_tc_set *set, int ingress, int egress)
{
    int result;

    strcpy(set->instance, "bench");
    set->priority = 10;
    result = describe(ingress, &set->programs[NNS_INGRESS]);
    return result ? result : describe(egress, &set->programs[NNS_EGRESS]);
}

static int describe_all(struct bench_packet_programs *programs)
{
    const struct bpf_program *const own[BENCH_COUNTINGS][NNS_HOOKS] = {
        [BENCH_COUNTING_NOTHING] = {programs->skeleton->progs.bench_empty_in,
                                    programs->skeleton->progs.bench_empty_out},
        [BENCH_COUNTING_BARE] = {programs->skeleton->progs.bench_bare_in,
                                 programs->skeleton->progs.bench_bare_out},
        [BENCH_COUNTING_PERCPU_HASH] = {programs->skeleton->progs.bench_percpu_hash_in,
                                        programs->skeleton->progs.bench_percpu_hash_out},
        [BENCH_COUNTING_HASH] = {programs->skeleton->progs.bench_hash_in,
                                 programs->skeleton->progs.bench_hash_out},
    };
    int result = describe_set(&programs->sets[BENCH_COUNTING_METER],
                              nns_meter_program(programs->meter, NNS_INGRESS)->fd,
                              nns_meter_program(programs->meter, NNS_EGRESS)->fd);

    for (int i = 0; i < BENCH_COUNTINGS && result == 0; i++)
        if (i != BENCH_COUNTING_METER)
            result = describe_set(&programs->sets[i], bpf_program__fd(own[i][NNS_INGRESS]),
                                  bpf_program__fd(own[i][NNS_EGRESS]));
    return result;
}

static int load_meter(struct nns_meter **meter)
{
    char error[256] = "";
    struct nns_params params;
    int result = nns_params_init(&params);

    if (result)
        return bench_error(result, "parameters");
    result = nns_meter_open(&params, NULL, meter, error, sizeof(error));
    nns_params_deinit(&params);
    return result ? bench_error(result, "loading the meter: %s", error) : 0;
}

int bench_packet_programs_open(struct bench_packet_programs *programs)
{
    int result;

    *programs = BENCH_PACKET_PROGRAMS_NULL;
    result = load_meter(&programs->meter);
    if (result)
        return result;
    programs->skeleton = packet_bpf__open_and_load();
    if (!programs->skeleton)
        return bench_error(-errno, "loading programs to measure the meter beside (Linux 6.2 is needed)");
    return describe_all(programs);
}

void bench_packet_programs_close(struct bench_packet_programs *programs)
{
    packet_bpf__destroy(programs->skeleton);
    nns_meter_close(programs->meter);
    *programs = BENCH_PACKET_PROGRAMS_NULL;
}

/* By a clock of our own: the kernel's answer is in whole nanoseconds. */
int bench_packet_test_run(int program, unsigned repeat, double *nanoseconds)
{
    char packet[PACKET_BYTES] = {0};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet),
                .repeat = (int)repeat);
    uint64_t since = bench_now();

    if (bpf_prog_test_run_opts(program, &options))
        return bench_error(-errno, "running a program");
    *nanoseconds = (double)(bench_now() - since) / repeat;
    return 0;
}

int bench_packet_totals(int program, struct bench_packet_totals *totals)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);

    if (bpf_obj_get_info_by_fd(program, &info, &size))
        return bench_error(-errno, "reading a program's run time");
    *totals = (struct bench_packet_totals){.time = info.run_time_ns, .runs = info.run_cnt};
    return 0;
}

int bench_packet_time(void)
{
    int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

    return fd < 0 ? bench_error(fd, "measuring programs' run time") : fd;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>

#include "floor/floor.h"
#include "private_host.h"
#include "report.h"

static int load(struct bench_program *program)
{
    char error[256] = "";
    struct nns_params params;
    int result = nns_params_init(&params);

    if (result)
        return bench_error(result, "parameters");
    result = nns_meter_open(&params, NULL, &program->meter, error, sizeof(error));
    nns_params_deinit(&params);
    if (result)
        return bench_error(result, "loading the meter: %s", error);
    program->fds[0] = nns_meter_program(program->meter, NNS_INGRESS)->fd;
    program->fds[1] = nns_meter_program(program->meter, NNS_EGRESS)->fd;
    return 0;
}

static int keep(struct bench_program *program)
{
    static const uint32_t loopback = 1;
    int result = bench_pods_init(&program->keeper, 1);

    if (result == 0)
        result = bench_pods_add_wide(&program->keeper, 1);
    if (result)
        return result;
    result = floor_attach(program->keeper.items[0].netns, bench_home(), &loopback, 1, program->fds);
    return result ? bench_error(result, "attaching the keeper") : 0;
}

int bench_program_open(struct bench_program *program)
{
    int result = load(program);

    return result ? result : keep(program);
}

void bench_program_close(struct bench_program *program)
{
    bench_pods_deinit(&program->keeper);
    nns_meter_close(program->meter);
    *program = BENCH_PROGRAM_NULL;
}

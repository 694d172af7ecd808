/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "counter.skel.h"
#include "today_device.h"

struct today_originals {
    struct counter_bpf *skeleton;
    const struct bpf_program *programs[2];
};

int today_originals_open(struct today_originals **out)
{
    struct today_originals *originals = calloc(1, sizeof(*originals));

    if (!originals)
        return -ENOMEM;
    originals->skeleton = counter_bpf__open_and_load();
    if (!originals->skeleton) {
        free(originals);
        return -errno;
    }
    originals->programs[0] = originals->skeleton->progs.count_in;
    originals->programs[1] = originals->skeleton->progs.count_out;
    *out = originals;
    return 0;
}

void today_originals_close(struct today_originals *originals)
{
    if (!originals)
        return;
    counter_bpf__destroy(originals->skeleton);
    free(originals);
}

/* The instructions as they were loaded, the map's fd in them: all copies share the map. */
static int clone_program(const struct bpf_program *program)
{
    return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, bpf_program__name(program), "Dual BSD/GPL",
                         bpf_program__insns(program), bpf_program__insn_cnt(program), NULL);
}

static int attach_device(int socket, uint32_t ifindex, const struct today_originals *originals, int clones[2])
{
    for (int hook = 0; hook < 2; hook++) {
        clones[hook] = clone_program(originals->programs[hook]);
        if (clones[hook] < 0)
            return clones[hook];
    }
    return today_device_socket(socket, ifindex, clones);
}

int today_attach_clones(int socket, const uint32_t *ifindexes, size_t count,
                        const struct today_originals *originals, int *clones)
{
    int result = 0;

    for (size_t i = 0; i < 2 * count; i++)
        clones[i] = -1;
    for (size_t i = 0; i < count && result == 0; i++)
        result = attach_device(socket, ifindexes[i], originals, clones + 2 * i);
    return result;
}

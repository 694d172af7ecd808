/* SPDX-License-Identifier: Apache-2.0 */
#include "stopwatch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/trace.h"
#include "pairs.h"
#include "report.h"
#include "stopwatch.skel.h"

#define WAIT_SECONDS  20u
#define READ_EVERY_NS 5000000 /* the moment that is waited for is taken in the kernel */

struct bench_stopwatch {
    struct stopwatch_bpf *skeleton;
    int devices; /* the table, borrowed from the skeleton */
};

/* As the program writes it. */
struct moments {
    uint64_t up, attached;
};

static int start(struct bench_stopwatch *stopwatch)
{
    LIBBPF_OPTS(bpf_test_run_opts, options);
    int result;

    stopwatch->skeleton = stopwatch_bpf__open_and_load();
    if (!stopwatch->skeleton)
        return -errno;
    stopwatch->devices = bpf_map__fd(stopwatch->skeleton->maps.bench_devices);
    result = bpf_prog_test_run_opts(bpf_program__fd(stopwatch->skeleton->progs.bench_learn), &options);
    return result ? result : stopwatch_bpf__attach(stopwatch->skeleton);
}

int bench_stopwatch_open(struct bench_stopwatch **out)
{
    struct bench_stopwatch *stopwatch = calloc(1, sizeof(*stopwatch));
    int result = stopwatch ? start(stopwatch) : -ENOMEM;

    if (result) {
        bench_stopwatch_close(stopwatch);
        return bench_error(result, "tracing when devices come up (BTF and tracepoints are needed)");
    }
    *out = stopwatch;
    return 0;
}

void bench_stopwatch_close(struct bench_stopwatch *stopwatch)
{
    if (!stopwatch)
        return;
    stopwatch_bpf__destroy(stopwatch->skeleton);
    free(stopwatch);
}

void bench_stopwatch_restart(struct bench_stopwatch *stopwatch)
{
    __atomic_store_n(&stopwatch->skeleton->bss->bench_last_attached, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&stopwatch->skeleton->bss->bench_attached, 0, __ATOMIC_SEQ_CST);
}

int bench_stopwatch_await(const struct bench_stopwatch *stopwatch, uint64_t count, uint64_t *last)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000), attached;

    while ((attached = __atomic_load_n(&stopwatch->skeleton->bss->bench_attached, __ATOMIC_SEQ_CST)) <
           count) {
        if (bench_now() > deadline)
            return bench_error(-ETIMEDOUT, "%" PRIu64 " of %" PRIu64 " devices were attached", attached,
                               count);
        nanosleep(&(struct timespec){.tv_nsec = READ_EVERY_NS}, NULL);
    }
    *last = __atomic_load_n(&stopwatch->skeleton->bss->bench_last_attached, __ATOMIC_SEQ_CST);
    return 0;
}

int bench_stopwatch_reset(struct bench_stopwatch *stopwatch)
{
    struct nns_trace_device key;

    while (bpf_map_get_next_key(stopwatch->devices, NULL, &key) == 0)
        if (bpf_map_delete_elem(stopwatch->devices, &key) && errno != ENOENT)
            return bench_error(-errno, "forgetting devices");
    return 0;
}

/* Others on the machine make devices, too, and only their attachments are seen: no time of coming up. */
int bench_stopwatch_read(const struct bench_stopwatch *stopwatch, struct bench_device_times *times,
                         size_t capacity, size_t *count)
{
    struct nns_trace_device key, *last = NULL;
    int result;

    *count = 0;
    while ((result = bpf_map_get_next_key(stopwatch->devices, last, &key)) == 0) {
        struct moments moments;

        last = &key;
        if (bpf_map_lookup_elem(stopwatch->devices, &key, &moments) || !moments.up)
            continue;
        if (*count == capacity)
            return bench_error(-E2BIG, "devices");
        times[(*count)++] = (struct bench_device_times){
            .cookie = key.cookie, .ifindex = key.ifindex, .up = moments.up, .attached = moments.attached};
    }
    return result == -ENOENT ? 0 : bench_error(result, "reading devices");
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_STOPWATCH_H
#define BENCH_STOPWATCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * When devices that the bench set up came up, and when somebody had attached to them, timed in the kernel
 * (stopwatch.bpf.c). The bench's only user of libbpf for it.
 *
 * All return 0 or -errno, told on stderr.
 */
struct bench_stopwatch;

/* On bench_now's clock; attached is 0 as long as nobody did. It may be before up. */
struct bench_device_times {
    uint64_t cookie; /* of its namespace */
    uint32_t ifindex;
    uint64_t up, attached;
};

int bench_stopwatch_open(struct bench_stopwatch **out);
void bench_stopwatch_close(struct bench_stopwatch *stopwatch); /* NULL is fine */

/* The attachments to devices that came up since this was opened, even if not for the first time: begin to
 * count them, and wait until there were so many. *last is when the last one was attached, on bench_now's
 * clock. The waiting sleeps, and asks nobody. */
void bench_stopwatch_restart(struct bench_stopwatch *stopwatch);
int bench_stopwatch_await(const struct bench_stopwatch *stopwatch, uint64_t count, uint64_t *last);

/* Forget all devices. */
int bench_stopwatch_reset(struct bench_stopwatch *stopwatch);

/* The devices that came up since the reset, as many as there is room for; *count is how many. */
int bench_stopwatch_read(const struct bench_stopwatch *stopwatch, struct bench_device_times *times,
                         size_t capacity, size_t *count);

#endif

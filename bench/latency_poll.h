/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_LATENCY_POLL_H
#define BENCH_LATENCY_POLL_H

#include <stddef.h>

/*
 * How long containers wait for somebody who looks for new ones every so often (today/today_poll.c): they come
 * at random moments of one period, and stay until they are found. waits[]: from eth0 up until loopback and
 * eth0 are attached, in nanoseconds.
 *
 * 0 or -errno, told on stderr.
 */
int bench_latency_poll(const int programs[2], unsigned period_ms, double *waits, size_t count);

#endif

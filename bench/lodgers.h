/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_LODGERS_H
#define BENCH_LODGERS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Threads of the bench that do nothing but live in a network namespace of their own, each in another. They
 * stay until all leave.
 */
struct bench_lodgers;

/* Room for so many. NULL: no memory. */
struct bench_lodgers *bench_lodgers_new(size_t capacity);

/* One more. Its thread's id, or -1 with errno. */
pid_t bench_lodgers_add(struct bench_lodgers *lodgers);

/* All leave, and with them, unless somebody else holds them, their namespaces. */
void bench_lodgers_free(struct bench_lodgers *lodgers);

#endif

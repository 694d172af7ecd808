/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SLEEPERS_H
#define BENCH_SLEEPERS_H

#include <stddef.h>
#include <sys/types.h>

/* Child processes that do nothing but hold their namespace. They share our memory, so that a thousand are
 * cheap, and each needs a stack: the number-th of these. */
char *bench_stacks_new(size_t count);               /* NULL without memory */
void bench_stacks_free(char *stacks, size_t count); /* NULL is fine */

/* flags: CLONE_NEW…. A pid, or -1 with errno. */
pid_t bench_sleeper_start(char *stacks, size_t number, int flags);

/* Kill them all and take their ends. */
void bench_sleepers_end(const pid_t *pids, size_t count);

/* In the present namespace: IPv6 would go on talking on every device that comes up, in the middle of what is
 * timed. */
void bench_silence_ipv6(void);

#endif

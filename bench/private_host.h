/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PRIVATE_HOST_H
#define BENCH_PRIVATE_HOST_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A host of the bench's own: network, mount, pid and ipc namespaces that nobody else is in, a /proc that
 * shows them, an empty /run, and no network namespace mounted anywhere. Whatever the bench attaches to is
 * made in there, and all of it goes when the bench ends, however it ends.
 *
 * Returns 0 in a new process that is pid 1 of that host; the calling process waits for it and exits with its
 * status, and never comes back. Otherwise an error, told on stderr: without a private host nothing is
 * measured, and nothing is changed before the kernel has shown that all of these namespaces are new. Nor is
 * anything measured where a new network namespace has more devices than loopback.
 */
int bench_private_host_enter(void);

/* An fd of the private host's network namespace, where the bench is at home; open until the end. */
int bench_home(void);

/* The inum of the network namespace that the bench was started in, whose devices are none of its business. */
uint32_t bench_outside(void);

/* Whether it, and so any other namespace of the machine, can be opened from in here, by its identity alone.
 */
bool bench_outside_opens(void);

/* Return there from another namespace, or end. */
void bench_go_home(void);

#endif

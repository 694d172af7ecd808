/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CONTAINERS_H
#define BENCH_CONTAINERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Containers that come and go: each a namespace with a process, loopback and eth0 up, and eth0's peer at
 * home. The bench holds nothing of theirs, so that they die with their process. In the order in which they
 * came they go.
 *
 * All return 0 or -errno, told on stderr.
 */
#define BENCH_CONTAINER_ETH0 2

struct bench_container {
    pid_t pid;
    uint32_t peer; /* the ifindex at home, never used twice */
};

struct bench_containers {
    struct bench_container *ring;
    size_t capacity, first, count;
    char *stacks;
    unsigned links; /* at home when there were none of ours */
    int home;       /* a netlink socket at home; owned */
};

#define BENCH_CONTAINERS_NULL ((struct bench_containers){.home = -1})

/* Room for so many at a time. Close it in any case: all end. */
int bench_containers_init(struct bench_containers *containers, size_t capacity);
void bench_containers_deinit(struct bench_containers *containers);

/* Make one more, but for its peer, which is still down. *container is good until it ends. */
int bench_containers_start(struct bench_containers *containers, const struct bench_container **container);

/* Go into its namespace; bench_go_home leads back. */
int bench_containers_enter(const struct bench_container *container);

/* Set its peer up. */
int bench_containers_plug(struct bench_containers *containers, const struct bench_container *container);

/* Wait until the kernel shows exactly one BPF filter on both hooks of loopback and eth0 of each. */
int bench_containers_await_attached(const struct bench_containers *containers);

/* End the oldest: its process is gone, its namespace dies soon after. */
void bench_containers_stop(struct bench_containers *containers);

/* End all, and wait until they and those that ended before have left nothing at home. */
int bench_containers_clear(struct bench_containers *containers);

/* The same, and measure how long it takes from the first one's end until the last one's peer has vanished.
 * None must have ended since the last clearing. */
int bench_containers_vanish(struct bench_containers *containers, uint64_t *nanoseconds);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PODS_H
#define BENCH_PODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Namespaces as a container host has them, each held alive by a sleeping child process of its own: loopback
 * and eth0 with its peer at home, or as many devices as asked for.
 */
#define BENCH_POD_DEVICES 2

struct bench_lodgers;

struct bench_pod {
    pid_t pid;   /* or a thread's */
    bool lodger; /* a thread's */
    int netns;   /* owned */
};

struct bench_pods {
    struct bench_pod *items;
    size_t count, capacity;
    char *stacks; /* of the children: they share our memory, so that making a thousand is cheap */
    struct bench_lodgers *lodgers; /* who come from now on are threads; NULL: children */
};

#define BENCH_PODS_NULL ((struct bench_pods){.items = NULL})

/* Room for `capacity` pods, none made yet. Only one of these at a time may have uplinks. 0 or -errno, told.
 */
int bench_pods_init(struct bench_pods *pods, size_t capacity);

/* The same, each to be held by a thread of ours instead of a process: thousands of these would keep everybody
 * busy who looks at all processes of the machine from time to time. */
int bench_pods_init_threads(struct bench_pods *pods, size_t capacity);

/* Those that are made from now on are held by threads. A thread's id is no process's to pidfd_open(2). */
int bench_pods_use_threads(struct bench_pods *pods);

/* Make pods until there are `count`. 0 or -errno, told on stderr. */
int bench_pods_grow(struct bench_pods *pods, size_t count);

/* One namespace with loopback and `pairs` veth pairs, both ends inside: ifindexes 1 to 1 + 2 × pairs. The
 * room must have been made with bench_pods_init. */
int bench_pods_add_wide(struct bench_pods *pods, unsigned pairs);

/* Remove clsact from ifindexes 1 to `devices` of every pod. */
int bench_pods_clear(const struct bench_pods *pods, size_t from, size_t count, unsigned devices);

/* Remove it from home's loopback and from the peers of all the pods' uplinks. */
int bench_pods_clear_home(const struct bench_pods *pods);

/* Check in the kernel that ifindexes 1 to `devices` have exactly one BPF filter on both hooks. */
int bench_pods_verify(const struct bench_pods *pods, size_t from, size_t count, unsigned devices);

/* The same of home's loopback and of the peers of all the pods' uplinks. */
int bench_pods_verify_home(const struct bench_pods *pods);

/* Check in the kernel that ifindexes 1 to `devices` have clsact still, and no BPF filter on either hook. */
int bench_pods_verify_emptied(const struct bench_pods *pods, size_t from, size_t count, unsigned devices);

/* End the children, and wait until the devices they leave at home are gone. */
void bench_pods_deinit(struct bench_pods *pods);

/* Wait until the kernel has done what earlier removals left for later, as far as it can be told. */
int bench_settle(void);

/* More sleeping processes in a pod's namespace. */
struct bench_crowd {
    pid_t *pids;
    size_t count, capacity;
    char *stacks;
};

#define BENCH_CROWD_NULL ((struct bench_crowd){.pids = NULL})

/* each: processes per pod. 0 or -errno, told on stderr. */
int bench_crowd_init(struct bench_crowd *crowd, const struct bench_pods *pods, size_t each);
void bench_crowd_deinit(struct bench_crowd *crowd);

#endif

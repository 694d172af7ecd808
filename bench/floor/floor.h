/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOOR_H
#define FLOOR_H

#include <stddef.h>
#include <stdint.h>

/*
 * The floors: the bare system calls a job cannot do without, in one thread, as fast as we can write them,
 * with no project header. They keep no state, identify nothing, retry nothing and know nothing of anybody
 * else's filters: what netnsync does on top is what the ratios show.
 *
 * All return 0 or -errno. "home" is an fd of the namespace to return to; programs[] are the fds of the
 * ingress and the egress program.
 */
#define FLOOR_DEVICES_MAX 32768 /* of a namespace */
#define FLOOR_SEND_MAX    300   /* devices in one send */

/* Of the filters that are attached. */
#define FLOOR_PRIORITY 10
#define FLOOR_HANDLE   1

/* Enter a namespace, attach both programs to all devices in one send on one socket, close it, return home. */
int floor_attach(int netns, int home, const uint32_t *ifindexes, size_t count, const int programs[2]);

/* The exchange alone, on a NETLINK_ROUTE socket of the devices' namespace: one for every FLOOR_SEND_MAX. */
int floor_attach_on(int socket, const uint32_t *ifindexes, size_t count, const int programs[2]);

/* Put both programs in the place of those that floor_attach_on attached. */
int floor_replace_on(int socket, const uint32_t *ifindexes, size_t count, const int programs[2]);

/* The error that lies on a socket after a send, 0 for none. */
int floor_first_error(int socket);

/* Enter a process's namespace, open a socket there and list the devices on it. The socket, or -errno; the
 * thread stays inside. */
int floor_open_list(uint32_t pid, uint32_t ifindexes[FLOOR_DEVICES_MAX], size_t *count);

/* Open, list and attach the namespaces of these processes, then return home. */
int floor_miss(const uint32_t *pids, size_t count, int home, const int programs[2]);

/* Open and list the namespaces of these processes and put programs in the place of what floor_miss attached,
 * then return home. */
int floor_restart(const uint32_t *pids, size_t count, int home, const int programs[2]);

/* Delete both filters of these devices in the namespace of every pidfd, then return home. */
int floor_close(const int *pidfds, size_t count, int home, const uint32_t *ifindexes, size_t devices);

/* Read every process's namespace link; *sum keeps the compiler from dropping the work. */
int floor_resolve(const uint32_t *pids, size_t count, uint64_t *sum);

/* Find every process in a mounted proc and read its namespace link; with `threads` every thread's. How many.
 */
int floor_scan(const char *path, int threads, uint64_t *sum);

#endif

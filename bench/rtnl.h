/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_RTNL_H
#define BENCH_RTNL_H

#include <stddef.h>
#include <stdint.h>

/*
 * What the bench makes, clears away and checks by netlink. Little of it is ever timed. The socket is one of
 * bench_rtnl_open and works on the namespace it was opened in. All return 0 or -errno.
 */
int bench_rtnl_open(void);

int bench_rtnl_up(int socket, uint32_t ifindex);
int bench_rtnl_down(int socket, uint32_t ifindex);

/* A veth pair whose ends have these ifindexes, both here, both up. */
int bench_rtnl_add_pair(int socket, uint32_t ifindex, uint32_t peer_ifindex);

/* eth0 with ifindex 2 here, up; its peer, still down, in the namespace of the fd with this ifindex. */
int bench_rtnl_add_uplink(int socket, int peer_netns, uint32_t peer_ifindex);

int bench_rtnl_delete_link(int socket, uint32_t ifindex);

/* Put a clsact without filters on a device that has none. */
int bench_rtnl_add_clsact(int socket, uint32_t ifindex);

/* Remove clsact, and with it all filters, from a device; having none is fine. */
int bench_rtnl_clear(int socket, uint32_t ifindex);

/* How many BPF filters the kernel shows on a device's hook (0 ingress, 1 egress). */
int bench_rtnl_count_filters(int socket, uint32_t ifindex, int hook, unsigned *count);

/* How many devices of the namespace have clsact. */
int bench_rtnl_count_clsact(int socket, unsigned *count);

int bench_rtnl_count_links(int socket, unsigned *count);

/* A socket that hears of the present namespace's devices from now on. */
int bench_rtnl_watch(void);

/* Wait for news, and add to *gone how many devices they say have vanished. -ETIMEDOUT; -ENOBUFS when there
 * was more to hear than it could keep. */
int bench_rtnl_await_gone(int watcher, unsigned seconds, unsigned *gone);

#endif

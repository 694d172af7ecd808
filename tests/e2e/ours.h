/* SPDX-License-Identifier: Apache-2.0 */
#ifndef E2E_OURS_H
#define E2E_OURS_H

#include <stdint.h>

/*
 * Filters of ours, by handle and name (docs/ARCHITECTURE.md, Filters), as the kernel shows them to who asks
 * and tells of them to who listens. Anybody else's are passed over. Hooks are 0 ingress, 1 egress.
 */
#define OURS_HOOKS 2

/* A socket that is told of filters in the present namespace, without asking: waiting takes nothing from
 * others. Or -errno. */
int ours_listen(void);

/* Call told for each filter of ours that came since, until there is no more word of any. A socket that
 * overflowed goes on: who must know asks. */
void ours_hear(int listener, void (*told)(void *context, uint32_t ifindex, unsigned hook), void *context);

/* How many the kernel shows on a device's hook, or -errno. The socket is one of bench_rtnl_open. */
int ours_count(int socket, uint32_t ifindex, unsigned hook);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_TESTS_KERNEL_DUMP_HOST_H
#define NNS_TESTS_KERNEL_DUMP_HOST_H

#include <linux/netlink.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * A test that stands between the program and the kernel's dumps: it sees, and may spoil, each message on its
 * way. To be linked with --wrap=recv.
 */
/* The test's. */
void dump_host_spoil(struct nlmsghdr *message);

ssize_t __real_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    ssize_t n = __real_recv(fd, bytes, length, flags);
    uint32_t left = n < 0 ? 0 : n < (ssize_t)length ? (uint32_t)n : (uint32_t)length;

    for (struct nlmsghdr *message = bytes; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
        if (message->nlmsg_flags & NLM_F_MULTI)
            dump_host_spoil(message);
    return n;
}

#endif

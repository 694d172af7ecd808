/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_NETNS_H
#define NNS_IO_NETNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Network namespaces: opening, identifying and entering them. The only user of setns(2).
 *
 * Identity is always read from the fd itself after opening (I4). A thread that enters a namespace returns to
 * its own or the daemon stops (I8). Every ability is probed by trying it once.
 */
struct nns_netns_id {
    uint64_t cookie; /* 0 when it is not known yet: then nns_netns_cookie tells */
    uint32_t inum;
};

/* How this host answers. Filled by nns_netns_probe; read-only after. */
struct nns_netns_abilities {
    bool pidfd_ioctl;  /* PIDFD_GET_NET_NAMESPACE, Linux 6.11 */
    bool pidfd_thread; /* PIDFD_THREAD, Linux 6.9 */
    bool ns_get_id;    /* NS_GET_ID on a namespace fd, Linux 6.18 */
    bool open_by_id;   /* nsfs file handles of all that live, Linux 6.18 alone: later kernels hide some */
    bool members;      /* others' processes lead to their namespaces, whose cookies can be read, Linux 5.14 */
};

/* Look what the kernel can do and open the daemon's own namespace. Once, before any thread. 0 or -errno. */
int nns_netns_probe(struct nns_netns_abilities *abilities);

/* Identity of the daemon's own namespace. */
struct nns_netns_id nns_netns_own(void);

enum nns_netns_way { NNS_NETNS_BY_PIDFD, NNS_NETNS_BY_PROC };

/*
 * Open the network namespace of a process or thread; *way says how. Returns an fd (close-on-exec), or
 * -ESRCH when there is no such process (or only a zombie), -EACCES/-EPERM when the kernel does not let us, or
 * -errno.
 */
int nns_netns_open_pid(uint32_t pid, enum nns_netns_way *way);

/* Open a namespace file (a bind mount such as /run/netns/NAME, or /proc/PID/ns/net). -EINVAL when it is no
 * network namespace; -ENOENT also for a process that ends meanwhile. */
int nns_netns_open_path(const char *path);

/* The same by one who was told, a moment ago, the inum of what the path leads to. -ENOENT when it does not,
 * or no longer, or to nothing at all: another path may. */
int nns_netns_open_meant(const char *path, uint32_t inum);

/*
 * Both without ever waiting for a file system: a path may be in somebody else's hands and lead through one
 * that does not answer. What the kernel cannot say by itself, from its cache, is -EAGAIN: unknown.
 */
int nns_netns_open_path_now(const char *path);
int nns_netns_open_meant_now(const char *path, uint32_t inum);

/* Where a path leads, with nothing opened or mounted for it: the inum of a namespace of whatever type, or 0
 * for anything else. 0 or -errno. The second as above. */
int nns_netns_led_to(const char *path, uint32_t *inum);
int nns_netns_led_to_now(const char *path, uint32_t *inum);

/*
 * Open a namespace by its identity alone, both members known (an nsfs file handle): nothing needs to have
 * been kept of it. Returns an fd; -ESTALE when it is dead; -EACCES when the kernel denies it, which it tells
 * in the same way: another that is known to live, and that no thread is in, is tried as well; -EOPNOTSUPP
 * without the ability; or -errno.
 */
int nns_netns_open_id(struct nns_netns_id id);

/* Is a namespace dead for certain? False also when that cannot be told. */
bool nns_netns_is_dead(struct nns_netns_id id);

/* Verify that fd is a network namespace and say which. 0; -EINVAL when it is none; -errno. */
int nns_netns_identify(int fd, struct nns_netns_id *id);

/* The cookie of an open namespace whose fd does not tell it: the thread goes in for a moment. The thread must
 * be at home. 0 or -errno. */
int nns_netns_cookie(int fd, uint64_t *cookie);

/* The same as nns_netns_identify, but the cookie is always told. */
int nns_netns_identify_fully(int fd, struct nns_netns_id *id);

/*
 * Enter a namespace and open a NETLINK_ROUTE socket in it, ready for requests: strict checking, capped acks,
 * a receive buffer large enough for `answers` error messages. Returns the socket, or -errno with the thread
 * back in its own namespace. The thread stays inside until nns_netns_leave.
 */
int nns_netns_enter(int fd, unsigned answers);

/* Make a new namespace, which is gone with the last socket opened in it, and stay inside until
 * nns_netns_leave(-1). 0, or -errno with the thread where it was. */
int nns_netns_enter_new(void);

/* Make the socket's receive buffer large enough for so many error messages; it never shrinks. */
void nns_netns_expect(int socket, unsigned answers);

/* Close the socket (-1 is fine) and return to the daemon's own namespace; aborts the process when that fails.
 */
void nns_netns_leave(int socket);

/* Close the socket and stay, to enter another namespace at once: saves one of two moves. The last one is left
 * with nns_netns_leave, or with nns_netns_leave(-1) after this. */
void nns_netns_move_on(int socket);

/* Cookie of the namespace a socket was opened in (SO_NETNS_COOKIE, Linux 5.14). 0 or -errno. */
int nns_netns_socket_cookie(int socket, uint64_t *cookie);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/dying_task.h"
#include "core/log.h"

/* Younger than the oldest headers we build with. */
#ifndef PIDFD_GET_NET_NAMESPACE
#define PIDFD_GET_NET_NAMESPACE _IO(0xFF, 4)
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif
#ifndef NS_GET_ID
#define NS_GET_ID _IOR(0xb7, 13, __u64)
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#ifndef FD_NSFS_ROOT
#define FD_NSFS_ROOT (-10003)
#endif

/* What an nsfs file handle holds. */
struct nsfs_place {
    uint64_t cookie;
    uint32_t type; /* CLONE_NEWNET */
    uint32_t inum;
};

#define NSFS_HANDLE_TYPE 241

/* What one error answer takes from the receive buffer (a small skb and its head), rounded up, and how many
 * the default buffer of 208 KiB holds with room to spare: below that the system call is saved. */
#define ANSWER_BYTES    1280
#define DEFAULT_ANSWERS 128

#define HOME_TRIES 9 /* a quarter of a second in all */

static struct {
    int fd; /* where every thread goes back to */
    struct nns_netns_id id;
    struct nns_netns_abilities abilities;
} own = {.fd = -1};

static int pidfd_open_raw(uint32_t pid, unsigned flags)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, flags);
    return fd < 0 ? -errno : fd;
}

static int namespace_of_pidfd(int pidfd)
{
    int fd = ioctl(pidfd, PIDFD_GET_NET_NAMESPACE, 0);
    return fd < 0 ? -errno : fd;
}

/* A thread id that is no thread group's is refused with ENOENT (EINVAL before 6.9). */
static int open_pidfd(uint32_t pid)
{
    int pidfd = pidfd_open_raw(pid, 0);
    if ((pidfd == -ENOENT || pidfd == -EINVAL) && own.abilities.pidfd_thread)
        pidfd = pidfd_open_raw(pid, PIDFD_THREAD);
    return pidfd;
}

static int open_by_pidfd(uint32_t pid)
{
    int pidfd = open_pidfd(pid);
    if (pidfd < 0)
        return pidfd;
    int fd = namespace_of_pidfd(pidfd);
    close(pidfd);
    return fd;
}

/* Of a zombie, as of nobody, /proc has no namespace: ENOENT. ESRCH comes from a process that dies meanwhile.
 */
static int open_by_proc(uint32_t pid)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
    int fd = NNS_ASK_TASK(open(path, O_RDONLY | O_CLOEXEC));
    if (fd >= 0)
        return fd;
    return errno == ENOENT ? -ESRCH : -errno;
}

/* Answers that say "not this way" rather than something of the process. */
static bool way_is_closed(int error)
{
    return error == -ENOENT || error == -EINVAL || error == -ENOSYS || error == -ENOTTY ||
           error == -EOPNOTSUPP;
}

int nns_netns_open_pid(uint32_t pid, enum nns_netns_way *way)
{
    if (own.abilities.pidfd_ioctl) {
        int fd = open_by_pidfd(pid);
        if (fd >= 0)
            *way = NNS_NETNS_BY_PIDFD;
        if (!way_is_closed(fd))
            return fd;
    }
    int fd = open_by_proc(pid);
    if (fd >= 0)
        *way = NNS_NETNS_BY_PROC;
    return fd;
}

static int reopen_namespace(int place)
{
    struct statfs fs;
    if (fstatfs(place, &fs) < 0)
        return -errno;
    if (fs.f_type != NSFS_MAGIC)
        return -EINVAL;
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct nns_netns_id id;
    int r = nns_netns_identify(fd, &id);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

/* Anybody may name us a path, and opening a FIFO, a terminal or a watchdog does something: look before
 * opening, and open what was looked at. Many paths are a task's, as those of a sweep. */
int nns_netns_open_path(const char *path)
{
    int place = NNS_ASK_TASK(open(path, O_PATH | O_CLOEXEC));
    if (place < 0)
        return -errno;
    int fd = reopen_namespace(place);
    close(place);
    return fd;
}

static int open_handle(struct nns_netns_id id)
{
    union {
        struct file_handle head;
        char bytes[sizeof(struct file_handle) + sizeof(struct nsfs_place)];
    } handle = {.head = {.handle_bytes = sizeof(struct nsfs_place), .handle_type = NSFS_HANDLE_TYPE}};
    struct nsfs_place place = {.cookie = id.cookie, .type = CLONE_NEWNET, .inum = id.inum};
    memcpy(handle.head.f_handle, &place, sizeof(place));
    int fd = open_by_handle_at(FD_NSFS_ROOT, &handle.head, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* I4: on the very fd. No two namespaces, of whatever type, share a cookie. */
static int open_verified(struct nns_netns_id id)
{
    int fd = open_handle(id);
    __u64 cookie;
    if (fd < 0)
        return fd;
    if (ioctl(fd, NS_GET_ID, &cookie) == 0 && cookie == id.cookie)
        return fd;
    close(fd);
    return -EIO;
}

int nns_netns_open_id(struct nns_netns_id id)
{
    if (!own.abilities.open_by_id)
        return -EOPNOTSUPP;
    int fd = open_verified(id);
    if (fd != -ESTALE)
        return fd;
    int alive = open_verified(own.id);
    if (alive < 0)
        return -EACCES;
    close(alive);
    return -ESTALE;
}

bool nns_netns_is_dead(struct nns_netns_id id)
{
    int fd = nns_netns_open_id(id);
    if (fd >= 0)
        close(fd);
    return fd == -ESTALE;
}

int nns_netns_identify(int fd, struct nns_netns_id *id)
{
    int type = ioctl(fd, NS_GET_NSTYPE);
    if (type < 0)
        return errno == EBADF ? -EBADF : -EINVAL;
    if (type != CLONE_NEWNET)
        return -EINVAL;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    __u64 cookie = 0;
    if (own.abilities.ns_get_id && ioctl(fd, NS_GET_ID, &cookie) < 0)
        cookie = 0;
    *id = (struct nns_netns_id){.cookie = cookie, .inum = (uint32_t)st.st_ino};
    return 0;
}

int nns_netns_socket_cookie(int socket, uint64_t *cookie)
{
    uint64_t value;
    socklen_t length = sizeof(value);
    if (getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &value, &length) < 0)
        return -errno;
    *cookie = value;
    return 0;
}

void nns_netns_expect(int socket, unsigned answers)
{
    if (answers <= DEFAULT_ANSWERS)
        return;
    /* The kernel doubles the value. Refused, answers may be lost, which tc notices and asks again. */
    int size = answers > INT32_MAX / ANSWER_BYTES ? INT32_MAX / 2 : (int)answers * (ANSWER_BYTES / 2);
    setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

static int open_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    int on = 1;
    /* Each only makes answers smaller or clearer: kernels without one still serve us. */
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    return fd;
}

/* The kernel makes a set of namespaces anew for that: memory may be there a moment later. */
static int set_home(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    int result = setns(own.fd, CLONE_NEWNET);

    for (int tries = 1; tries < HOME_TRIES && result < 0 && errno == ENOMEM; tries++) {
        nanosleep(&pause, NULL);
        pause.tv_nsec *= 2;
        result = setns(own.fd, CLONE_NEWNET);
    }
    return result;
}

/* I8: a thread in the wrong namespace would do its next work to the wrong host. */
static void go_home(void)
{
    if (set_home() == 0)
        return;
    nns_error("cannot return to the own network namespace: %s", strerror(errno));
    abort();
}

int nns_netns_enter(int fd, unsigned answers)
{
    if (setns(fd, CLONE_NEWNET) < 0)
        return -errno;
    int socket_or_error = open_socket();
    if (socket_or_error < 0)
        go_home();
    else
        nns_netns_expect(socket_or_error, answers);
    return socket_or_error;
}

void nns_netns_move_on(int socket)
{
    close(socket);
}

void nns_netns_leave(int socket)
{
    if (socket >= 0)
        close(socket);
    go_home();
}

static bool try_pidfd_ioctl(void)
{
    int pidfd = pidfd_open_raw((uint32_t)getpid(), 0);
    if (pidfd < 0)
        return false;
    int fd = namespace_of_pidfd(pidfd);
    close(pidfd);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static bool try_pidfd_thread(void)
{
    int pidfd = pidfd_open_raw((uint32_t)gettid(), PIDFD_THREAD);
    if (pidfd >= 0)
        close(pidfd);
    return pidfd >= 0;
}

static uint64_t cookie_of_here(void)
{
    uint64_t cookie = 0;
    int fd = open_socket();
    if (fd < 0)
        return 0;
    nns_netns_socket_cookie(fd, &cookie);
    close(fd);
    return cookie;
}

/* Believed only where it is the cookie: the cache's key, whichever way it was read. */
static bool try_ns_get_id(int fd, uint64_t cookie)
{
    __u64 id;
    return ioctl(fd, NS_GET_ID, &id) == 0 && id == cookie;
}

/* Without NS_GET_ID what was opened could not be verified. */
static bool try_open_by_id(void)
{
    if (!own.abilities.ns_get_id || !own.id.cookie)
        return false;
    int fd = open_verified(own.id);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int open_own(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int nns_netns_probe(struct nns_netns_abilities *abilities)
{
    int fd = open_own();
    if (fd < 0)
        return fd;
    struct nns_netns_id id;
    own.abilities.ns_get_id = false;
    int r = nns_netns_identify(fd, &id);
    if (r < 0) {
        close(fd);
        return r;
    }
    id.cookie = cookie_of_here();
    if (own.fd >= 0)
        close(own.fd);
    own.fd = fd;
    own.id = id;
    own.abilities = (struct nns_netns_abilities){
        .pidfd_ioctl = try_pidfd_ioctl(),
        .pidfd_thread = try_pidfd_thread(),
        .ns_get_id = try_ns_get_id(fd, id.cookie),
    };
    own.abilities.open_by_id = try_open_by_id();
    *abilities = own.abilities;
    return 0;
}

struct nns_netns_id nns_netns_own(void)
{
    return own.id;
}

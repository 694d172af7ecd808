/* SPDX-License-Identifier: Apache-2.0 */
#include "io/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
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

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

#ifndef FD_NSFS_ROOT
#define FD_NSFS_ROOT (-10003)
#endif

/* What an nsfs file handle holds. */
struct nsfs_place {
    uint64_t cookie;
    uint32_t type; /* CLONE_NEWNET; CLONE_NEWUTS of the witness */
    uint32_t inum;
};

#define NSFS_HANDLE_TYPE 241

/* What one error answer takes from the receive buffer (a small skb and its head), rounded up, and how many
 * the default buffer of 208 KiB holds with room to spare: below that the system call is saved. */
#define ANSWER_BYTES    1280
#define DEFAULT_ANSWERS 128

#define HOME_TRIES   9 /* a quarter of a second in all */
#define CACHED_TRIES 3

static struct {
    int fd; /* where every thread goes back to */
    struct nns_netns_id id;
    struct nns_netns_abilities abilities;
    struct {
        int fd; /* keeps it alive; -1: there is none */
        struct nsfs_place place;
    } witness;
} own = {.fd = -1, .witness = {.fd = -1}};

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
    struct statfs fs;
    int fd = fstatfs(place, &fs) < 0 ? -errno : fs.f_type != NSFS_MAGIC ? -EINVAL : reopen_namespace(place);
    close(place);
    return fd;
}

/* The root of a task's mounts, "/proc/PID/root", where a path begins so; *rest is what follows. An fd on it,
 * AT_FDCWD where a path begins elsewhere, or -errno. */
static int open_root(const char *path, const char **rest)
{
    char root[48];
    const char *end = strncmp(path, "/proc/", 6) == 0 ? strstr(path, "/root/") : NULL;
    size_t length = end ? (size_t)(end - path) + 5 : sizeof(root);
    *rest = path;
    if (length >= sizeof(root))
        return AT_FDCWD;
    memcpy(root, path, length);
    root[length] = '\0';
    *rest = path + length;
    int fd = NNS_ASK_TASK(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

/*
 * Below a root the kernel is told to use what it has cached, and to ask no file system. Where a namespace is
 * mounted it has every directory of the path: a mount holds them there. A walk that others disturb, as by
 * mounting, ends in EAGAIN, too. The kernel's own /proc does not keep anybody waiting.
 */
static int open_cached(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    int fd = -1;
    if (root >= 0)
        how.resolve |= RESOLVE_IN_ROOT;
    errno = EAGAIN;
    for (int tries = 0; tries < CACHED_TRIES && fd < 0 && errno == EAGAIN; tries++)
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static int open_place_now(const char *path)
{
    const char *rest;
    int root = open_root(path, &rest);
    if (root < 0 && root != AT_FDCWD)
        return root;
    int fd = root < 0 && strncmp(path, "/proc/", 6) == 0 ? -ENOSYS : open_cached(root, rest);
    if (root >= 0)
        close(root);
    if (fd != -ENOSYS)
        return fd;
    fd = NNS_ASK_TASK(open(path, O_PATH | O_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

/* The inum of what is at a place, 0 for what is none of the kernel's namespaces: other file systems number
 * their files as they like. By the device: statfs would ask the file system. 0 or -errno. */
static int inum_at(int directory, const char *path, uint32_t *inum)
{
    struct statx at, home;
    const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
    if (statx(directory, path, flags, STATX_INO, &at) < 0 || statx(own.fd, "", flags, 0, &home) < 0)
        return -errno;
    bool on_nsfs = at.stx_dev_major == home.stx_dev_major && at.stx_dev_minor == home.stx_dev_minor;
    *inum = on_nsfs ? (uint32_t)at.stx_ino : 0;
    return 0;
}

int nns_netns_open_path_now(const char *path)
{
    uint32_t inum;
    int place = open_place_now(path);
    if (place < 0)
        return place;
    int r = inum_at(place, "", &inum), fd = r < 0 ? r : inum ? reopen_namespace(place) : -EINVAL;
    close(place);
    return fd;
}

int nns_netns_led_to_now(const char *path, uint32_t *inum)
{
    int place = open_place_now(path);
    if (place < 0)
        return place;
    int r = inum_at(place, "", inum);
    close(place);
    return r;
}

int nns_netns_led_to(const char *path, uint32_t *inum)
{
    return inum_at(AT_FDCWD, path, inum);
}

/* Answers that say of a path where it does not lead. */
static bool leads_elsewhere(int error)
{
    return error == -ENOENT || error == -ESRCH || error == -EINVAL || error == -ENOTDIR;
}

static int check_meant(int fd, uint32_t inum)
{
    struct nns_netns_id id;
    if (fd < 0)
        return leads_elsewhere(fd) ? -ENOENT : fd;
    int r = nns_netns_identify(fd, &id);
    if (r == 0 && id.inum == inum)
        return fd;
    close(fd);
    return r == 0 || leads_elsewhere(r) ? -ENOENT : r;
}

int nns_netns_open_meant(const char *path, uint32_t inum)
{
    return check_meant(nns_netns_open_path(path), inum);
}

int nns_netns_open_meant_now(const char *path, uint32_t inum)
{
    return check_meant(nns_netns_open_path_now(path), inum);
}

static int open_handle(const struct nsfs_place *place)
{
    union {
        struct file_handle head;
        char bytes[sizeof(struct file_handle) + sizeof(struct nsfs_place)];
    } handle = {.head = {.handle_bytes = sizeof(struct nsfs_place), .handle_type = NSFS_HANDLE_TYPE}};
    memcpy(handle.head.f_handle, place, sizeof(*place));
    int fd = open_by_handle_at(FD_NSFS_ROOT, &handle.head, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* I4: on the very fd. No two namespaces, of whatever type, share a cookie. */
static int open_verified(const struct nsfs_place *place)
{
    int fd = open_handle(place);
    __u64 cookie;
    if (fd < 0)
        return fd;
    if (ioctl(fd, NS_GET_ID, &cookie) == 0 && cookie == place->cookie)
        return fd;
    close(fd);
    return -EIO;
}

/*
 * Does the same way still open a living one? One that this thread is in would prove nothing: the kernel lets
 * everybody open those, whatever it denies of all others. The witness is one of our own that no thread is in.
 * It is a uts namespace, which costs next to nothing and is nobody else's business; who may open others is
 * one rule for all types.
 */
static bool witness_opens(void)
{
    int fd = own.witness.fd < 0 ? -ENOENT : open_verified(&own.witness.place);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int nns_netns_open_id(struct nns_netns_id id)
{
    if (!own.abilities.open_by_id)
        return -EOPNOTSUPP;
    const struct nsfs_place place = {.cookie = id.cookie, .type = CLONE_NEWNET, .inum = id.inum};
    int fd = open_verified(&place);
    if (fd != -ESTALE)
        return fd;
    /* I9: once more after the witness, or a denial that was lifted between the two would pass for death. */
    return witness_opens() ? open_verified(&place) : -EACCES;
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

/* Not with a netlink socket, whose death, and with it the namespace's, takes 13 ms. */
static int cookie_of_here(uint64_t *cookie)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = nns_netns_socket_cookie(fd, cookie);
    close(fd);
    return r;
}

/* Connected, so that only the kernel is heard: whoever has CAP_NET_ADMIN over the namespace, as every user
 * has over those of a user namespace of his own, may send to any socket that is not. */
static int open_socket(void)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    int on = 1;
    /* Each only makes answers smaller or clearer: kernels without one still serve us. */
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    return fd;
}

/* The kernel makes a set of namespaces anew for that: memory may be there a moment later. */
static int set_home(int fd, int type)
{
    struct timespec pause = {.tv_nsec = 1000000};
    int result = setns(fd, type);

    for (int tries = 1; tries < HOME_TRIES && result < 0 && errno == ENOMEM; tries++) {
        nanosleep(&pause, NULL);
        pause.tv_nsec *= 2;
        result = setns(fd, type);
    }
    return result;
}

/* I8: a thread in the wrong namespace would do its next work to the wrong host. */
static void go_home(void)
{
    if (set_home(own.fd, CLONE_NEWNET) == 0)
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

int nns_netns_cookie(int fd, uint64_t *cookie)
{
    if (setns(fd, CLONE_NEWNET) < 0)
        return -errno;
    int r = cookie_of_here(cookie);
    go_home();
    return r;
}

int nns_netns_identify_fully(int fd, struct nns_netns_id *id)
{
    struct nns_netns_id found;
    int r = nns_netns_identify(fd, &found);
    if (r == 0 && !found.cookie)
        r = nns_netns_cookie(fd, &found.cookie);
    if (r == 0)
        *id = found;
    return r;
}

int nns_netns_enter_new(void)
{
    return unshare(CLONE_NEWNET) < 0 ? -errno : 0;
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

/* Believed only where it is the cookie: the cache's key, whichever way it was read. */
static bool try_ns_get_id(int fd, uint64_t cookie)
{
    __u64 id;
    return ioctl(fd, NS_GET_ID, &id) == 0 && id == cookie;
}

static int open_own(const char *link)
{
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A new uts namespace, and back out of it. An fd on it or -errno; *home is 0, or why the thread is in it
 * still. */
static int make_uts(int *home)
{
    *home = 0;
    int old = open_own("/proc/thread-self/ns/uts");
    if (old < 0)
        return old;
    int fd = unshare(CLONE_NEWUTS) < 0 ? -errno : 0;
    if (fd == 0) {
        fd = open_own("/proc/thread-self/ns/uts");
        *home = set_home(old, CLONE_NEWUTS) < 0 ? -errno : 0;
    }
    close(old);
    return fd;
}

/* 0, also when there is none; -errno when the thread did not come back (I8). */
static int make_witness(void)
{
    struct stat st;
    __u64 cookie;
    int home, fd = make_uts(&home);
    if (fd < 0)
        return home;
    if (home == 0 && ioctl(fd, NS_GET_ID, &cookie) == 0 && fstat(fd, &st) == 0) {
        own.witness.fd = fd;
        own.witness.place = (struct nsfs_place){cookie, CLONE_NEWUTS, (uint32_t)st.st_ino};
        return 0;
    }
    close(fd);
    return home;
}

static void close_witness(void)
{
    if (own.witness.fd >= 0)
        close(own.witness.fd);
    own.witness.fd = -1;
}

/* A new network namespace that nobody is in and no file is of: only a socket keeps it. The socket, or -errno.
 */
static int make_deserted(struct nsfs_place *place)
{
    struct stat st;
    uint64_t cookie = 0;
    int keeper = -1, r = nns_netns_enter_new();
    if (r < 0)
        return r;
    if (stat("/proc/thread-self/ns/net", &st) == 0)
        keeper = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    r = keeper < 0 ? -errno : nns_netns_socket_cookie(keeper, &cookie);
    nns_netns_leave(r < 0 ? keeper : -1);
    if (r < 0)
        return r;
    *place = (struct nsfs_place){cookie, CLONE_NEWNET, (uint32_t)st.st_ino};
    return keeper;
}

/* From Linux 6.19 on a namespace opens only while a task is in it or a file of it is open; of others, which
 * may be alive and be peopled again, the kernel says what it says of the dead. There a member has to lead the
 * way. */
static bool opens_the_deserted(void)
{
    struct nsfs_place place;
    int keeper = make_deserted(&place), fd = keeper < 0 ? keeper : open_verified(&place);
    if (fd >= 0)
        close(fd);
    if (keeper >= 0)
        close(keeper);
    return fd >= 0;
}

/* Without NS_GET_ID what was opened could not be verified. The witness stays where it is of use. 0 or -errno.
 */
static int try_open_by_id(bool *can)
{
    close_witness();
    int r = own.abilities.ns_get_id ? make_witness() : 0;
    *can = witness_opens() && opens_the_deserted();
    if (!*can)
        close_witness();
    return r;
}

/* The first process is always there, and nobody is more its own master: who may open its namespace may open
 * all that /proc shows. */
static bool try_members(void)
{
    int fd = own.id.cookie ? nns_netns_open_path("/proc/1/ns/net") : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int nns_netns_probe(struct nns_netns_abilities *abilities)
{
    int fd = open_own("/proc/thread-self/ns/net");
    if (fd < 0)
        return fd;
    struct nns_netns_id id;
    own.abilities.ns_get_id = false;
    int r = nns_netns_identify(fd, &id);
    if (r < 0) {
        close(fd);
        return r;
    }
    cookie_of_here(&id.cookie);
    if (own.fd >= 0)
        close(own.fd);
    own.fd = fd;
    own.id = id;
    own.abilities = (struct nns_netns_abilities){
        .pidfd_ioctl = try_pidfd_ioctl(),
        .pidfd_thread = try_pidfd_thread(),
        .ns_get_id = try_ns_get_id(fd, id.cookie),
    };
    r = try_open_by_id(&own.abilities.open_by_id);
    own.abilities.members = try_members();
    *abilities = own.abilities;
    return r;
}

struct nns_netns_id nns_netns_own(void)
{
    return own.id;
}

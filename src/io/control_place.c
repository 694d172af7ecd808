/* SPDX-License-Identifier: Apache-2.0 */
#include "io/control_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_MODE 0660
#define LOCK_MODE   0600 /* who could open it could lock it, and keep every daemon from starting */
#define LOCK_SUFFIX ".lock"

/* Only those we make get the mode; the umask must not have a say in it. */
static int make_directories(const char *path)
{
    char *copy = strdup(path);
    int result = copy ? 0 : -ENOMEM;

    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash && !result;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) == 0)
            result = chmod(copy, 0755) ? -errno : 0;
        else if (errno != EEXIST)
            result = -errno;
        *slash = '/';
    }
    free(copy);
    return result;
}

/* Does anybody listen there? 0 no, -EADDRINUSE yes, -errno unknown. */
static int probe_listener(const struct sockaddr_un *address)
{
    /* Not blocking: a full backlog would hold us, and is an answer too. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (fd < 0)
        return -errno;
    error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
    close(fd);
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
        return 0;
    case 0:
    case EAGAIN:
    case EPROTOTYPE:
        return -EADDRINUSE;
    default:
        return -error;
    }
}

static int clear_stale(const struct sockaddr_un *address)
{
    struct stat status;
    int result;

    if (lstat(address->sun_path, &status))
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    result = probe_listener(address);
    if (result)
        return result;
    return unlink(address->sun_path) && errno != ENOENT ? -errno : 0;
}

/* Linux gives the file the socket's mode less the umask: so it is never more open than it should be, and what
 * the umask took is put back before anybody can connect. */
static int bind_socket(int fd, const struct sockaddr_un *address, struct stat *status)
{
    int error;

    if (fchmod(fd, SOCKET_MODE) || bind(fd, (const struct sockaddr *)address, sizeof(*address)))
        return -errno;
    if (lstat(address->sun_path, status) == 0 &&
        ((status->st_mode & 07777) == SOCKET_MODE || chmod(address->sun_path, SOCKET_MODE) == 0))
        return 0;
    error = errno;
    unlink(address->sun_path); /* ours: bind made it just now */
    return -error;
}

/*
 * Only who holds the lock may take the socket's place. Connecting cannot tell a dead daemon's socket from one
 * that is bound but not yet listened on, and no link(2) or rename(2) puts a new one in the place of a dead
 * one without doing the same to a live one that came there meanwhile. The kernel drops the lock when its
 * holder dies, however. The file stays: were it removed, two daemons could each hold a lock of that name.
 *
 * Returns a descriptor, -EADDRINUSE when it is held, or -errno.
 */
static int take_lock(const char *path)
{
    char name[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(LOCK_SUFFIX)];
    int fd, result;

    snprintf(name, sizeof(name), "%s" LOCK_SUFFIX, path);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, LOCK_MODE);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    result = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
    close(fd);
    return result;
}

/* A bound socket, or -errno. */
static int open_bound(const struct sockaddr_un *address, struct stat *status)
{
    int fd, result = clear_stale(address);

    if (result)
        return result;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    result = bind_socket(fd, address, status);
    if (result) {
        close(fd);
        return result;
    }
    return fd;
}

static int take(struct nns_control_place *place, const struct sockaddr_un *address)
{
    struct stat status;
    int result = make_directories(place->path);

    if (result)
        return result;
    place->lock = take_lock(place->path);
    if (place->lock < 0)
        return place->lock;
    place->fd = open_bound(address, &status);
    if (place->fd < 0)
        return place->fd;
    place->device = status.st_dev;
    place->inode = status.st_ino;
    return 0;
}

int nns_control_place_take(struct nns_control_place *place, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct nns_control_place taken = NNS_CONTROL_PLACE_NULL;
    int result;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (!*path)
        return -EINVAL;
    strcpy(address.sun_path, path);
    taken.path = strdup(path);
    result = taken.path ? take(&taken, &address) : -ENOMEM;
    if (result)
        nns_control_place_leave(&taken);
    else
        *place = taken;
    return result;
}

static void remove_socket(const struct nns_control_place *place)
{
    struct stat status;

    if (lstat(place->path, &status) == 0 && status.st_dev == place->device && status.st_ino == place->inode)
        unlink(place->path);
}

void nns_control_place_leave(struct nns_control_place *place)
{
    if (place->fd >= 0) {
        remove_socket(place);
        close(place->fd);
    }
    if (place->lock >= 0)
        close(place->lock);
    free(place->path);
    *place = NNS_CONTROL_PLACE_NULL;
}

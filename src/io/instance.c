/* SPDX-License-Identifier: Apache-2.0 */
#include "io/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/log.h"

enum { RUN_MODE = 0755, LOCK_MODE = 0600, DIRECTORY_MODE = 0700 };

/* A directory may be removed and made again between being opened and being locked; not for ever. */
enum { TRIES = 8 };

struct nns_instance {
    struct nns_pins pins;
    char path[PATH_MAX]; /* of the lock file */
    bool named;          /* a bpffs was */
    int lock, directory; /* descriptors, or why there is none: -errno */
};

/* ---- the lock file ---- */

static int lock(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
}

/* The file stays: were it removed, two daemons could each hold a lock of that name. Returns a descriptor,
 * -EADDRINUSE or -errno. */
static int take_lock(const char *path)
{
    int fd, rc;

    if (mkdir(NNS_RUN_DIRECTORY, RUN_MODE) && errno != EEXIST)
        return -errno;
    /* Who could open it could lock it, and keep every daemon from starting. */
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, LOCK_MODE);
    if (fd < 0)
        return -errno;
    rc = lock(fd);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

/* ---- the directory ---- */

static int check_bpffs(int fd)
{
    struct statfs status;

    if (fstatfs(fd, &status))
        return -errno;
    return (unsigned long)status.f_type == BPF_FS_MAGIC ? 0 : -EMEDIUMTYPE;
}

/* What others can put something else in the place of is not to be relied on. */
static int check_owner(int fd, mode_t others)
{
    struct stat status;

    if (fstat(fd, &status))
        return -errno;
    return status.st_uid == geteuid() && (!(status.st_mode & others) || status.st_mode & S_ISVTX) ? 0
                                                                                                  : -EPERM;
}

/* Nothing is made where there is no bpffs. */
static int make_parent(const char *path)
{
    char copy[NNS_PIN_PATH_SIZE];
    int fd, rc;

    snprintf(copy, sizeof(copy), "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = check_bpffs(fd);
    if (!rc && mkdir(path, DIRECTORY_MODE) && errno != EEXIST)
        rc = -errno;
    close(fd);
    return rc;
}

static int open_parent(const struct nns_pins *pins)
{
    int fd = open(pins->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0 && errno == ENOENT) {
        rc = make_parent(pins->parent);
        if (rc)
            return rc;
        fd = open(pins->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return -errno;
    rc = check_bpffs(fd);
    if (!rc)
        rc = check_owner(fd, S_IWGRP | S_IWOTH);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

/* -EAGAIN: what was locked is not what stands there now. */
static int lock_directory(int fd, const char *path)
{
    struct stat opened, there;
    int rc = check_owner(fd, S_IRWXG | S_IRWXO);

    if (!rc)
        rc = lock(fd);
    if (rc)
        return rc;
    if (fstat(fd, &opened) || lstat(path, &there))
        return errno == ENOENT ? -EAGAIN : -errno;
    return opened.st_ino == there.st_ino && opened.st_dev == there.st_dev ? 0 : -EAGAIN;
}

/* What is there is used whether or not anything can be made. */
static int try_directory(const struct nns_pins *pins)
{
    int fd = open(pins->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;

    if (fd < 0 && errno == ENOENT)
        return mkdir(pins->directory, DIRECTORY_MODE) && errno != EEXIST ? -errno : -EAGAIN;
    if (fd < 0)
        return -errno;
    rc = lock_directory(fd, pins->directory);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

/* The instance's directory, locked: a descriptor, -EADDRINUSE, -EMEDIUMTYPE without a bpffs, or -errno. */
static int open_directory(const struct nns_pins *pins)
{
    int parent = open_parent(pins), fd = -EAGAIN;

    if (parent < 0)
        return parent;
    for (int tries = 0; tries < TRIES && fd == -EAGAIN; tries++)
        fd = try_directory(pins);
    close(parent);
    return fd;
}

/* ---- an instance ---- */

/* A descriptor, or why there is none. */
static int take_directory(struct nns_instance *instance, const char *bpffs, const char *name)
{
    int rc;

    if (!*bpffs)
        return -ENOENT;
    rc = nns_pins_name(&instance->pins, bpffs, name);
    return rc ? rc : open_directory(&instance->pins);
}

/* Both locks; one of them will do. */
static int take(struct nns_instance *instance, const char *bpffs, const char *name, char *error, size_t size)
{
    static const char taken[] = "instance %s has a daemon already, or is being detached: %s%s is locked";

    nns_lock_name(instance->path, name);
    instance->named = *bpffs;
    instance->lock = take_lock(instance->path);
    if (instance->lock == -EADDRINUSE) {
        snprintf(error, size, taken, name, "", instance->path);
        return -EADDRINUSE;
    }
    instance->directory = take_directory(instance, bpffs, name);
    if (instance->directory == -EADDRINUSE) {
        snprintf(error, size, taken, name, "its directory in ", bpffs);
        return -EADDRINUSE;
    }
    if (instance->lock >= 0 || instance->directory >= 0)
        return 0;
    snprintf(error, size, "cannot make sure that instance %s has no other daemon: %s: %s", name,
             instance->path, strerrordesc_np(-instance->lock));
    return instance->lock;
}

int nns_instance_open(const char *bpffs, const char *name, struct nns_instance **out, char *error,
                      size_t size)
{
    struct nns_instance *instance = calloc(1, sizeof(*instance));
    int rc;

    if (!instance) {
        snprintf(error, size, "out of memory");
        return -ENOMEM;
    }
    instance->lock = instance->directory = -ENOENT;
    rc = take(instance, bpffs, name, error, size);
    if (rc) {
        nns_instance_close(instance);
        return rc;
    }
    *out = instance;
    return 0;
}

static const char *why(int error)
{
    switch (error) {
    case -EMEDIUMTYPE:
        return "no bpffs is mounted there";
    case -EPERM:
        return "it is not ours alone to change, or the kernel refuses";
    default:
        return strerrordesc_np(-error);
    }
}

void nns_instance_warn(const struct nns_instance *instance, bool pins)
{
    if (pins && instance->named && instance->directory < 0)
        nns_warning("counts will not outlive this daemon: %s: %s", instance->pins.parent,
                    why(instance->directory));
    if (instance->lock < 0)
        nns_warning("%s: %s: a daemon with another bpffs.path would not be noticed", instance->path,
                    strerrordesc_np(-instance->lock));
}

const struct nns_pins *nns_instance_pins(const struct nns_instance *instance)
{
    return instance->directory >= 0 ? &instance->pins : NULL;
}

/* Counts without their holders are not used again: whenever this is interrupted, what is left is refused. */
int nns_instance_discard(struct nns_instance *instance, bool *found)
{
    int rc = 0;

    *found = false;
    if (!instance->named || instance->directory == -ENOENT || instance->directory == -EMEDIUMTYPE)
        return 0;
    if (instance->directory < 0)
        return instance->directory;
    for (int pin = NNS_PINS; pin-- > 0;) {
        if (unlink(instance->pins.paths[pin]) == 0)
            *found = true;
        else if (errno != ENOENT)
            rc = -errno;
    }
    return rc;
}

static bool is_empty(const struct nns_pins *pins)
{
    for (int pin = 0; pin < NNS_PINS; pin++)
        if (access(pins->paths[pin], F_OK) == 0 || errno != ENOENT)
            return false;
    return true;
}

void nns_instance_close(struct nns_instance *instance)
{
    if (!instance)
        return;
    if (instance->directory >= 0) {
        if (is_empty(&instance->pins) && rmdir(instance->pins.directory))
            nns_warning("cannot remove %s: %s", instance->pins.directory, strerrordesc_np(errno));
        close(instance->directory);
    }
    if (instance->lock >= 0)
        close(instance->lock);
    free(instance);
}

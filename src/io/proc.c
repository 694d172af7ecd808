/* SPDX-License-Identifier: Apache-2.0 */
#include "io/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/dying_task.h"
#include "core/mountinfo.h"

/* Unique for ever, where an inode number or an old mount id is given out again at once. Linux 6.8; older
 * kernels ignore the bit. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

/* "4294967295/task/4294967295/ns/net" and its end fit. */
enum { PATH_ROOM = 48, LINK_ROOM = 32 };

static int proc = -1, pid_max = -1; /* set once by nns_proc_open, before any thread */

/* ---- opening ---- */

static ssize_t read_at(int directory, const char *path, char *buffer, size_t room)
{
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return -errno;
    length = read(fd, buffer, room - 1);
    if (length < 0)
        length = -errno;
    else
        buffer[length] = '\0';
    close(fd);
    return length;
}

/*
 * Our entry lists our pid in each pid namespace from that of the mount down to our own: exactly one pid, and
 * getpid()'s, says that the mount is of our own. A plain look at "self" would take a parent's /proc for ours
 * whenever the two numbers happen to be equal.
 */
static int check_pid_namespace(int directory)
{
    static const char label[] = "\nNSpid:";
    char status[4096], *at, *end;
    ssize_t length = read_at(directory, "self/status", status, sizeof(status));

    if (length < 0)
        return length == -ENOENT ? -EXDEV : (int)length;
    at = strstr(status, label);
    if (!at)
        return -EXDEV;
    if (strtol(at + sizeof(label) - 1, &end, 10) != getpid() || *end != '\n')
        return -EXDEV;
    return 0;
}

int nns_proc_open(void)
{
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), result = 0;
    struct statfs status;

    if (fd < 0)
        return -errno;
    if (fstatfs(fd, &status) < 0)
        result = -errno;
    else if (status.f_type != PROC_SUPER_MAGIC)
        result = -EXDEV;
    else
        result = check_pid_namespace(fd);
    if (result < 0) {
        close(fd);
        return result;
    }
    if (proc >= 0)
        close(proc);
    proc = fd;
    if (pid_max >= 0)
        close(pid_max);
    pid_max = openat(proc, "sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);
    return 0;
}

uint32_t nns_proc_pid_max(void)
{
    enum { PID_MAX_LIMIT = 4194304 }; /* what a 64-bit kernel can be set to */
    char text[16];
    ssize_t length = pread(pid_max, text, sizeof(text) - 1, 0);
    unsigned long limit;

    if (length <= 0)
        return PID_MAX_LIMIT;
    text[length] = '\0';
    limit = strtoul(text, NULL, 10);
    return limit > 0 && limit < PID_MAX_LIMIT ? (uint32_t)limit : PID_MAX_LIMIT;
}

/* ---- one link ---- */

static char *put_text(char *at, const char *text)
{
    while (*text)
        *at++ = *text++;
    return at;
}

/* printf costs a fifth of the readlink that follows. */
static char *put_number(char *at, uint32_t number)
{
    char digits[10];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

/* "PID" or "PID/task/TID"; tid 0 is the process. Returns its end, where a '\0' stands. */
static char *put_task(char *at, uint32_t pid, uint32_t tid)
{
    at = put_number(at, pid);
    if (tid)
        at = put_number(put_text(at, "/task/"), tid);
    *at = '\0';
    return at;
}

static int read_link(const char *path, const char *type, uint32_t *inum)
{
    char link[LINK_ROOM];
    ssize_t length = NNS_ASK_TASK(readlinkat(proc, path, link, sizeof(link)));
    uint32_t found;

    if (length < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    found = nns_namespace_inum(link, (size_t)length, type);
    if (!found)
        return -EPROTO;
    *inum = found;
    return 0;
}

static int task_namespace(uint32_t pid, uint32_t tid, const char *type, uint32_t *inum)
{
    char path[PATH_ROOM], *at = put_task(path, pid, tid);

    at = put_text(put_text(at, "/ns/"), type);
    *at = '\0';
    return read_link(path, type, inum);
}

int nns_proc_netns(uint32_t pid, uint32_t *inum)
{
    return task_namespace(pid, 0, "net", inum);
}

/* ---- a walk over all processes and mounts ---- */

/* A view of mounts: one /proc/.../mountinfo shows what of one mount namespace lies under one root. */
struct view {
    uint64_t root_mount, root_inode;
    uint32_t mounts; /* the mount namespace's inum */
};

struct walk {
    void *inums; /* tsearch trees: inums as pointers, and struct view */
    void *views;
    size_t count; /* of inums */
    char *text;   /* of the mountinfo that is read */
    size_t room;
    bool init_seen;
    int unknown; /* the first thing that kept us from seeing all, or 0 */
    int (*visit)(const char *path, uint32_t inum, void *context); /* NULL when only inums are wanted */
    void *context;
    bool own; /* look at our own process, too: at its first thread, as others are only passing through */
};

static int compare_inums(const void *left, const void *right)
{
    uintptr_t l = (uintptr_t)left, r = (uintptr_t)right;

    return (l > r) - (l < r);
}

static uint32_t key_inum(const void *key)
{
    return (uint32_t)(uintptr_t)key;
}

static int compare_views(const void *left, const void *right)
{
    const struct view *l = left, *r = right;

    if (l->mounts != r->mounts)
        return l->mounts < r->mounts ? -1 : 1;
    if (l->root_mount != r->root_mount)
        return l->root_mount < r->root_mount ? -1 : 1;
    return (l->root_inode > r->root_inode) - (l->root_inode < r->root_inode);
}

static void keep(void *node)
{
}

static void walk_deinit(struct walk *walk)
{
    tdestroy(walk->inums, keep);
    tdestroy(walk->views, free);
    free(walk->text);
}

/* A task that is gone is no news; what else hides something from us is kept, and the walk goes on. */
static void note(struct walk *walk, int error)
{
    if (error < 0 && error != -ENOENT && error != -ESRCH && !walk->unknown)
        walk->unknown = error;
}

/*
 * A namespace was found. The path, prefix and name together, is shown to the visitor once a namespace, unless
 * the visitor found it gone. 0, or what ends the walk.
 */
static int found(struct walk *walk, uint32_t inum, const char *prefix, const char *name)
{
    void *key = (void *)(uintptr_t)inum, **node;
    char *path;
    int result;

    if (tfind(key, &walk->inums, compare_inums))
        return 0;
    if (walk->visit) {
        if (asprintf(&path, "%s%s", prefix, name) < 0)
            return -ENOMEM;
        result = walk->visit(path, inum, walk->context);
        free(path);
        if (result == -ENOENT)
            return 0;
        if (result)
            return result;
    }
    node = tsearch(key, &walk->inums, compare_inums);
    if (!node)
        return -ENOMEM;
    walk->count++;
    return 0;
}

/* Read a file of unknown size whole. Its length, or -errno. */
static ssize_t read_whole(struct walk *walk, const char *path)
{
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 1;

    if (fd < 0)
        return -errno;
    while (got > 0) {
        if (walk->room - length < 4096) {
            size_t room = walk->room ? walk->room * 2 : 65536;
            char *text = realloc(walk->text, room);

            if (!text) {
                got = -ENOMEM;
                break;
            }
            walk->text = text;
            walk->room = room;
        }
        got = read(fd, walk->text + length, walk->room - length - 1);
        if (got < 0)
            got = errno == EINTR ? 1 : -errno;
        else
            length += (size_t)got;
    }
    close(fd);
    if (got < 0)
        return got;
    walk->text[length] = '\0';
    return (ssize_t)length;
}

/* The mounts that a task ("self", "PID" or "PID/task/TID") sees. Its paths start at the task's own root. */
static int read_mounts(struct walk *walk, const char *task)
{
    char path[PATH_ROOM + 16], prefix[PATH_ROOM + 16] = "", *rest, *line;
    ssize_t length;

    snprintf(path, sizeof(path), "%s/mountinfo", task);
    length = read_whole(walk, path);
    if (length == -EINVAL)
        length = -ESRCH; /* a task that is just ending has no mount namespace any more */
    if (length == -ENOMEM)
        return -ENOMEM;
    note(walk, (int)length);
    if (length < 0)
        return 0;
    if (strcmp(task, "self") != 0)
        snprintf(prefix, sizeof(prefix), "/proc/%s/root", task);
    for (rest = walk->text; (line = strsep(&rest, "\n"));) {
        struct nns_namespace_mount mount;
        int result = nns_mountinfo_parse(line, &mount) ? found(walk, mount.inum, prefix, mount.path) : 0;

        if (result)
            return result;
    }
    return 0;
}

/*
 * Which view a task has. A process in a chroot sees only the mounts below it, so one process per mount
 * namespace would not do. DONT_SYNC: a root on a dead network file system must not hold us.
 */
static int task_view(const char *task, uint32_t mounts, struct view *view)
{
    const unsigned wanted = STATX_INO | STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
    char path[PATH_ROOM + 16];
    struct statx status;

    snprintf(path, sizeof(path), "%s/root", task);
    if (NNS_ASK_TASK(statx(proc, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, wanted, &status)) < 0)
        return -errno;
    *view = (struct view){.mounts = mounts, .root_mount = status.stx_mnt_id, .root_inode = status.stx_ino};
    return 0;
}

static int keep_view(struct walk *walk, const struct view *view)
{
    struct view *copy = malloc(sizeof(*copy));

    if (!copy)
        return -ENOMEM;
    *copy = *view;
    if (tsearch(copy, &walk->views, compare_views))
        return 0;
    free(copy);
    return -ENOMEM;
}

/* Read a task's mounts unless that view was read before. What a task that is gone afterwards had to show may
 * not have been all: the next one that has the view is asked, too. *seen: it was read, now or before. */
static int look_at_view(struct walk *walk, const char *task, uint32_t mounts, bool *seen)
{
    struct view view, after;
    int result = task_view(task, mounts, &view);

    note(walk, result);
    *seen = result == 0 && tfind(&view, &walk->views, compare_views);
    if (result < 0 || *seen)
        return 0;
    result = read_mounts(walk, task);
    *seen = task_view(task, mounts, &after) == 0 && compare_views(&view, &after) == 0;
    return result || !*seen ? result : keep_view(walk, &view);
}

/* One task. *mounts: the mount namespace of the thread looked at before in this process, which most share. */
static int look_at_task(struct walk *walk, uint32_t pid, uint32_t tid, uint32_t *mounts)
{
    char task[PATH_ROOM], prefix[PATH_ROOM + 16];
    uint32_t inum, its_mounts;
    bool seen;
    int result;

    put_task(task, pid, tid);
    result = task_namespace(pid, tid, "net", &inum);
    note(walk, result);
    if (result == 0) {
        snprintf(prefix, sizeof(prefix), "/proc/%s", task);
        result = found(walk, inum, prefix, "/ns/net");
        if (result)
            return result;
    }
    result = task_namespace(pid, tid, "mnt", &its_mounts);
    note(walk, result);
    if (result < 0 || its_mounts == *mounts)
        return 0;
    result = look_at_view(walk, task, its_mounts, &seen);
    if (seen)
        *mounts = its_mounts;
    return result;
}

/* Call look for each number in a directory of /proc until it returns other than 0, which is then returned. */
static int each_number(struct walk *walk, const char *path, uint32_t pid,
                       int (*look)(struct walk *walk, uint32_t pid, uint32_t number, uint32_t *mounts))
{
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    uint32_t mounts = 0;

    if (!directory) {
        note(walk, -errno);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    while (result == 0 && (errno = 0, entry = readdir(directory))) {
        char *end;
        unsigned long number = strtoul(entry->d_name, &end, 10);

        if (number > 0 && *end == '\0')
            result = look(walk, pid, (uint32_t)number, &mounts);
    }
    if (result == 0)
        note(walk, -errno);
    closedir(directory);
    return result;
}

static int look_at_process(struct walk *walk, uint32_t unused, uint32_t pid, uint32_t *mounts)
{
    char path[PATH_ROOM];
    struct stat status;

    *mounts = 0;
    if (pid == 1)
        walk->init_seen = true;
    if (pid == (uint32_t)getpid())
        return walk->own ? look_at_task(walk, pid, 0, mounts) : 0;
    put_text(put_task(path, pid, 0), "/task")[0] = '\0';
    /* "task" has a link for itself, one for its parent and one a thread: most processes need no listing. */
    if (fstatat(proc, path, &status, 0) == 0 && status.st_nlink == 3)
        return look_at_task(walk, pid, 0, mounts);
    return each_number(walk, path, pid, look_at_task);
}

/* Walk everything. 0, or what ended the walk; walk->unknown tells whether all was seen. */
static int walk_all(struct walk *walk)
{
    /* Our mounts first, which need no detour through another's root. */
    uint32_t mounts;
    bool seen;
    int result = read_link("self/ns/mnt", "mnt", &mounts);

    if (result == 0)
        result = look_at_view(walk, "self", mounts, &seen);
    if (result == 0)
        result = each_number(walk, ".", 0, look_at_process);
    /* The first process is always there: where we are not shown it, /proc hides others' processes from us. */
    if (result == 0 && !walk->init_seen)
        note(walk, -EACCES);
    return result;
}

struct filling {
    uint32_t *items;
    size_t count;
};

static void fill(const void *node, VISIT which, void *closure)
{
    struct filling *filling = closure;

    /* "postorder" means after the left and before the right branch: what others call in order. */
    if (which == postorder || which == leaf)
        filling->items[filling->count++] = key_inum(*(void *const *)node);
}

int nns_proc_inhabited(struct nns_inums *inums)
{
    struct walk walk = {.visit = NULL};
    struct filling filling = {.count = 0};
    int result = walk_all(&walk);

    if (result == 0)
        result = walk.unknown;
    if (result == 0) {
        filling.items = malloc((walk.count ? walk.count : 1) * sizeof(uint32_t));
        if (!filling.items)
            result = -ENOMEM;
    }
    if (result == 0) {
        twalk_r(walk.inums, fill, &filling);
        nns_inums_deinit(inums);
        *inums = (struct nns_inums){filling.items, filling.count, filling.count};
    }
    walk_deinit(&walk);
    return result;
}

int nns_proc_each_namespace(int (*visit)(const char *path, uint32_t inum, void *context), void *context)
{
    struct walk walk = {.visit = visit, .context = context, .own = true};
    int result = walk_all(&walk);

    walk_deinit(&walk);
    return result ? result : walk.unknown;
}

bool nns_inums_has(const struct nns_inums *inums, uint32_t inum)
{
    size_t low = 0, high = inums->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (inums->items[middle] < inum)
            low = middle + 1;
        else
            high = middle;
    }
    return low < inums->count && inums->items[low] == inum;
}

void nns_inums_deinit(struct nns_inums *inums)
{
    free(inums->items);
    *inums = NNS_INUMS_NULL;
}

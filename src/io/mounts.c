/* SPDX-License-Identifier: Apache-2.0 */
#include "io/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/mountinfo.h"

/* Newer than the headers of the oldest hosts we are built on. */
#ifndef FAN_REPORT_MNT
#define FAN_REPORT_MNT          0x4000
#define FAN_MARK_MNTNS          0x110
#define FAN_MNT_ATTACH          0x01000000
#define FAN_MNT_DETACH          0x02000000
#define FAN_EVENT_INFO_TYPE_MNT 7
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

enum { NR_STATMOUNT = 457, NR_LISTMOUNT = 458 }; /* Linux 6.8; the same on every architecture but alpha */

/* A mount of a network namespace that we know of. */
struct known {
    uint64_t id;    /* with fanotify unique for ever, with mountinfo given out again at once */
    uint64_t birth; /* only with mountinfo */
    uint32_t inum;  /* likewise */
    uint32_t place; /* likewise: its path, hashed */
};

struct known_set {
    struct known *items; /* sorted by id */
    size_t count, capacity;
};

/* A burst of more than so many, and all mounts may as well be looked at. */
enum { FRESH_MAX = 256 };

/* A new mount: what it is of, and where. */
struct fresh_mount {
    uint32_t inum;
    char *path; /* owned */
};

/* What was found new, on its way from whoever watches to whoever looks. */
struct fresh {
    pthread_mutex_t lock; /* guards the rest; held for a few instructions */
    struct fresh_mount items[FRESH_MAX];
    size_t count;
    bool all; /* more than these */
};

struct nns_mounts {
    enum nns_mounts_way way;
    int fd;
    struct known_set known;
    bool stale; /* what is mounted was not learned whole: every answer is 1 until it was */
    struct fresh fresh;
};

/* ---- what is new ---- */

/* NULL: some, whose paths are not known. */
static void add_fresh(struct fresh *fresh, uint32_t inum, const char *path)
{
    char *copy = path ? strdup(path) : NULL;

    pthread_mutex_lock(&fresh->lock);
    if (copy && fresh->count < FRESH_MAX) {
        fresh->items[fresh->count++] = (struct fresh_mount){.inum = inum, .path = copy};
        copy = NULL;
    } else {
        fresh->all = true;
    }
    pthread_mutex_unlock(&fresh->lock);
    free(copy);
}

/* Move what is there to an empty one, whose lock is not used. */
static void take_fresh(struct fresh *fresh, struct fresh *to)
{
    pthread_mutex_lock(&fresh->lock);
    memcpy(to->items, fresh->items, fresh->count * sizeof(fresh->items[0]));
    to->count = fresh->count;
    to->all = fresh->all;
    fresh->count = 0;
    fresh->all = false;
    pthread_mutex_unlock(&fresh->lock);
}

static void empty_fresh(struct fresh *fresh)
{
    while (fresh->count)
        free(fresh->items[--fresh->count].path);
}

/* ---- the set ---- */

static int compare_known(const void *left, const void *right)
{
    const struct known *l = left, *r = right;

    return (l->id > r->id) - (l->id < r->id);
}

/* Where the first that is not before id stands. */
static size_t set_place(const struct known_set *set, uint64_t id)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool set_has_at(const struct known_set *set, size_t place, uint64_t id)
{
    return place < set->count && set->items[place].id == id;
}

/* Put one at its place, before those that stand there. */
static int set_insert(struct known_set *set, size_t place, struct known known)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 64;
        struct known *items = realloc(set->items, capacity * sizeof(*items));

        if (!items)
            return -ENOMEM;
        set->items = items;
        set->capacity = capacity;
    }
    memmove(&set->items[place + 1], &set->items[place], (set->count - place) * sizeof(known));
    set->items[place] = known;
    set->count++;
    return 0;
}

static void set_remove(struct known_set *set, size_t place)
{
    set->count--;
    memmove(&set->items[place], &set->items[place + 1], (set->count - place) * sizeof(*set->items));
}

static void set_deinit(struct known_set *set)
{
    free(set->items);
    *set = (struct known_set){NULL, 0, 0};
}

/* ---- asking the kernel of one mount ---- */

struct mount_request {
    uint32_t size, spare;
    uint64_t id;
    uint64_t param; /* statmount: what is asked for; listmount: the id to go on after */
};

enum { ASK_MAGIC = 0x1, ASK_ROOT = 0x8, ASK_POINT = 0x10 };

/* The kernel's struct statmount: what we read of its 512 bytes, and room for the texts behind. */
struct mount_answer {
    uint32_t size, options;
    uint64_t answered;
    uint32_t major, minor;
    uint64_t magic;
    unsigned char unread[72];
    uint32_t root; /* where in text, like the next */
    uint32_t point;
    unsigned char unread_too[512 - 112];
    char text[32]; /* the root of a namespace's mount fits: "net:[4294967295]", "time_for_children:[…" */
};

_Static_assert(offsetof(struct mount_answer, magic) == 24 && offsetof(struct mount_answer, root) == 104 &&
                   offsetof(struct mount_answer, text) == 512,
               "the kernel's layout");

static int ask(uint64_t id, uint64_t what, struct mount_answer *answer, size_t room)
{
    struct mount_request request = {.size = sizeof(request), .id = id, .param = what};

    if (syscall(NR_STATMOUNT, &request, answer, room, 0UL) < 0)
        return -errno;
    return answer->answered & what ? 0 : -EPROTO;
}

/*
 * The inum of the network namespace that a mount is of; 0: it is of none, or gone. 0 or -errno. The root's
 * text is asked for only where it is known to be short: another mount's can be as long as a path.
 */
static int ask_for_namespace(uint64_t id, uint32_t *inum)
{
    struct mount_answer answer;
    int result = ask(id, ASK_MAGIC, &answer, offsetof(struct mount_answer, text));

    *inum = 0;
    if (result == 0 && answer.magic != NSFS_MAGIC)
        return 0;
    if (result == 0)
        result = ask(id, ASK_ROOT, &answer, sizeof(answer));
    if (result < 0)
        return result == -ENOENT ? 0 : result;
    if (answer.root >= sizeof(answer.text))
        return -EPROTO;
    answer.text[sizeof(answer.text) - 1] = '\0';
    *inum = nns_namespace_inum(answer.text + answer.root, strlen(answer.text + answer.root), "net");
    return 0;
}

/* Note where one of ours is mounted, as this process sees it; one that it does not see it cannot look at. */
static void note_place(struct nns_mounts *mounts, uint64_t id, uint32_t inum)
{
    union {
        struct mount_answer answer;
        char room[offsetof(struct mount_answer, text) + PATH_MAX];
    } mount;
    size_t skip;
    int result = ask(id, ASK_POINT, &mount.answer, sizeof(mount));

    if (result == -ENOENT || result == -EPROTO)
        return; /* gone; out of reach */
    skip = offsetof(struct mount_answer, text) + mount.answer.point;
    if (result == 0 && memchr(mount.room + skip, '\0', sizeof(mount) - skip))
        add_fresh(&mounts->fresh, inum, mount.room + skip);
    else
        add_fresh(&mounts->fresh, 0, NULL);
}

/* ---- fanotify ---- */

/* Of a mount that came, or moved: the inum of its namespace, 0 when it has none. 0 or -errno. */
static int learn(struct nns_mounts *mounts, uint64_t id, uint32_t *inum)
{
    int result = ask_for_namespace(id, inum);
    size_t place;

    if (result < 0 || !*inum)
        return result;
    place = set_place(&mounts->known, id);
    return set_has_at(&mounts->known, place, id)
               ? 0
               : set_insert(&mounts->known, place, (struct known){.id = id});
}

/* A mount that went cannot be asked any more. One that we never saw, nobody else saw by us either. */
static int forget(struct nns_mounts *mounts, uint64_t id)
{
    size_t place = set_place(&mounts->known, id);

    if (!set_has_at(&mounts->known, place, id))
        return 0;
    set_remove(&mounts->known, place);
    return 1;
}

/* Learn all that is mounted. The queue was opened, or emptied, before: it tells of what changes meanwhile. */
static int learn_all(struct nns_mounts *mounts)
{
    struct mount_request request = {.size = sizeof(request), .id = UINT64_MAX /* all */};
    uint64_t ids[256];
    uint32_t inum;
    long count;

    mounts->stale = true;
    mounts->known.count = 0;
    while ((count = syscall(NR_LISTMOUNT, &request, ids, sizeof(ids) / sizeof(ids[0]), 0UL)) > 0) {
        for (long i = 0; i < count; i++) {
            int result = learn(mounts, ids[i], &inum);

            if (result < 0)
                return result;
        }
        request.param = ids[count - 1];
    }
    if (count < 0)
        return -errno;
    mounts->stale = false;
    return 0;
}

/* What follows the metadata of an event. */
struct mount_info {
    struct fanotify_event_info_header header;
    uint64_t id;
};

/* 1 when it may be of ours, else 0. */
static int take_event(struct nns_mounts *mounts, const struct fanotify_event_metadata *event)
{
    bool came = event->mask & FAN_MNT_ATTACH; /* with FAN_MNT_DETACH when it moved */
    struct mount_info info;
    uint32_t inum = 0;
    int result;

    if (event->event_len < event->metadata_len + sizeof(info)) {
        mounts->stale = true; /* FAN_Q_OVERFLOW, which tells of no mount: events were lost */
        return 1;
    }
    memcpy(&info, (const char *)event + event->metadata_len, sizeof(info));
    result = came ? learn(mounts, info.id, &inum) : forget(mounts, info.id);
    if (result < 0)
        mounts->stale = true;
    else if (inum)
        note_place(mounts, info.id, inum);
    return result || inum;
}

static int take_events(struct nns_mounts *mounts)
{
    _Alignas(struct fanotify_event_metadata) char buffer[4096];
    int changed = 0;

    for (;;) {
        ssize_t left = read(mounts->fd, buffer, sizeof(buffer));
        struct fanotify_event_metadata *event = (struct fanotify_event_metadata *)buffer;

        if (left < 0 && errno == EINTR)
            continue;
        if (left < 0 && errno == EAGAIN)
            return changed;
        if (left <= 0) {
            mounts->stale = true;
            return left < 0 ? -errno : -EPROTO;
        }
        for (; FAN_EVENT_OK(event, left); event = FAN_EVENT_NEXT(event, left))
            changed |= take_event(mounts, event);
    }
}

static int changed_by_fanotify(struct nns_mounts *mounts)
{
    int result = take_events(mounts);

    if (mounts->stale)
        add_fresh(&mounts->fresh, 0, NULL);
    if (result >= 0 && mounts->stale) {
        result = learn_all(mounts);
        if (result == 0)
            result = 1;
    }
    return result;
}

static int open_fanotify(struct nns_mounts *mounts)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_MNT | FAN_CLOEXEC | FAN_NONBLOCK, 0), result = 0;

    if (fd < 0)
        return -errno;
    if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MNTNS, FAN_MNT_ATTACH | FAN_MNT_DETACH, AT_FDCWD,
                      "/proc/self/ns/mnt") < 0)
        result = -errno;
    if (result == 0)
        result = learn_all(mounts);
    if (result < 0) {
        close(fd);
        return result;
    }
    mounts->fd = fd;
    mounts->way = NNS_MOUNTS_FANOTIFY;
    return 0;
}

/* ---- mountinfo ---- */

/* Read a file of unknown size whole. 0 and *out to be freed, or -errno. */
static int read_whole(int fd, char **out)
{
    size_t length = 0, room = 65536;
    char *text = malloc(room);
    ssize_t got = text ? 1 : -ENOMEM;

    while (got > 0) {
        got = read(fd, text + length, room - length - 1);
        if (got < 0)
            got = errno == EINTR ? 1 : -errno;
        else
            length += (size_t)got;
        if (room - length < 4096) {
            char *larger = realloc(text, room *= 2);

            if (!larger)
                got = -ENOMEM;
            else
                text = larger;
        }
    }
    if (got < 0) {
        free(text);
        return (int)got;
    }
    text[length] = '\0';
    *out = text;
    return 0;
}

/* Show every mount of a network namespace. visit returns 0 to go on. */
static int each_mount(int (*visit)(void *context, const struct nns_namespace_mount *mount), void *context)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), result;
    char *text, *rest, *line;

    if (fd < 0)
        return -errno;
    result = read_whole(fd, &text);
    close(fd);
    if (result < 0)
        return result;
    for (rest = text; result == 0 && (line = strsep(&rest, "\n"));) {
        struct nns_namespace_mount mount;

        if (nns_mountinfo_parse(line, &mount))
            result = visit(context, &mount);
    }
    free(text);
    return result;
}

/*
 * A namespace that is unmounted and made anew between two looks may get the same mount id and the same inum.
 * What tells them apart is the mount's unique id (6.8), before that when the inode was made, by a clock that
 * ticks every few milliseconds. 0 when the path leads nowhere. DONT_SYNC: a path through a dead network file
 * system must not hold us.
 */
static uint64_t birth_of(const char *path)
{
    struct statx status;

    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_CTIME | STATX_MNT_ID_UNIQUE,
              &status) < 0)
        return 0;
    if (status.stx_mask & STATX_MNT_ID_UNIQUE)
        return status.stx_mnt_id;
    return (uint64_t)status.stx_ctime.tv_sec * 1000000000 + status.stx_ctime.tv_nsec;
}

static uint32_t hash_of(const char *path)
{
    uint32_t hash = 2166136261;

    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619;
    return hash;
}

static bool equal(const struct known *left, const struct known *right)
{
    return left->id == right->id && left->inum == right->inum && left->birth == right->birth &&
           left->place == right->place;
}

/* What mountinfo shows now, beside what it showed before. */
struct reading {
    struct nns_mounts *mounts;
    struct known_set now;
};

static int collect(void *context, const struct nns_namespace_mount *mount)
{
    struct reading *reading = context;
    struct known_set *before = &reading->mounts->known, *now = &reading->now;
    struct known known = {
        .id = mount->id, .birth = birth_of(mount->path), .inum = mount->inum, .place = hash_of(mount->path)};
    size_t place = set_place(before, known.id);

    if (!set_has_at(before, place, known.id) || !equal(&before->items[place], &known))
        add_fresh(&reading->mounts->fresh, mount->inum, mount->path);
    return set_insert(now, now->count, known);
}

static bool equal_sets(const struct known_set *left, const struct known_set *right)
{
    for (size_t i = 0; i < left->count && i < right->count; i++)
        if (!equal(&left->items[i], &right->items[i]))
            return false;
    return left->count == right->count;
}

static int changed_by_mountinfo(struct nns_mounts *mounts)
{
    struct pollfd poll_for = {.fd = mounts->fd, .events = POLLPRI};
    struct reading reading = {.mounts = mounts, .now = {NULL, 0, 0}};
    struct known_set *now = &reading.now;
    int result;

    /* Before reading, so that a change after it is told of. An interrupted poll had nothing to tell. */
    poll(&poll_for, 1, 0);
    result = each_mount(collect, &reading);
    if (result < 0) {
        set_deinit(now);
        return result;
    }
    if (now->count)
        qsort(now->items, now->count, sizeof(*now->items), compare_known);
    result = !equal_sets(now, &mounts->known);
    set_deinit(&mounts->known);
    mounts->known = *now;
    return result;
}

static int open_mountinfo(struct nns_mounts *mounts)
{
    int result;

    mounts->way = NNS_MOUNTS_MOUNTINFO;
    mounts->fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (mounts->fd < 0)
        return -errno;
    result = changed_by_mountinfo(mounts);
    empty_fresh(&mounts->fresh); /* what was there before is not new */
    mounts->fresh.all = false;
    return result < 0 ? result : 0;
}

/* ---- both ---- */

int nns_mounts_open(struct nns_mounts **out, enum nns_mounts_way *way)
{
    struct nns_mounts *mounts = calloc(1, sizeof(*mounts));
    int result;

    if (!mounts)
        return -ENOMEM;
    mounts->fd = -1;
    pthread_mutex_init(&mounts->fresh.lock, NULL);
    result = open_fanotify(mounts);
    if (result < 0)
        result = open_mountinfo(mounts);
    if (result < 0) {
        nns_mounts_close(mounts);
        return result;
    }
    *out = mounts;
    *way = mounts->way;
    return 0;
}

void nns_mounts_close(struct nns_mounts *mounts)
{
    if (!mounts)
        return;
    if (mounts->fd >= 0)
        close(mounts->fd);
    set_deinit(&mounts->known);
    empty_fresh(&mounts->fresh);
    pthread_mutex_destroy(&mounts->fresh.lock);
    free(mounts);
}

int nns_mounts_fd(const struct nns_mounts *mounts)
{
    return mounts->fd;
}

int nns_mounts_changed(struct nns_mounts *mounts)
{
    return mounts->way == NNS_MOUNTS_FANOTIFY ? changed_by_fanotify(mounts) : changed_by_mountinfo(mounts);
}

struct visitor {
    int (*visit)(void *context, const char *path, uint32_t inum);
    void *context;
};

static int show(void *context, const struct nns_namespace_mount *mount)
{
    const struct visitor *visitor = context;

    return visitor->visit(visitor->context, mount->path, mount->inum);
}

int nns_mounts_each(int (*visit)(void *context, const char *path, uint32_t inum), void *context)
{
    struct visitor visitor = {visit, context};

    return each_mount(show, &visitor);
}

bool nns_mounts_has_new(struct nns_mounts *mounts)
{
    bool has;

    pthread_mutex_lock(&mounts->fresh.lock);
    has = mounts->fresh.count || mounts->fresh.all;
    pthread_mutex_unlock(&mounts->fresh.lock);
    return has;
}

/* One that was mounted and is gone, or hidden, since leads nowhere, or elsewhere. */
int nns_mounts_each_new(struct nns_mounts *mounts,
                        int (*visit)(void *context, const char *path, uint32_t inum), void *context)
{
    struct fresh taken = {.count = 0};
    int result = 0;

    if (!mounts)
        return 0;
    take_fresh(&mounts->fresh, &taken);
    if (taken.all)
        result = nns_mounts_each(visit, context);
    for (size_t i = 0; !taken.all && i < taken.count && result == 0; i++)
        result = visit(context, taken.items[i].path, taken.items[i].inum);
    empty_fresh(&taken);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "io/mounts.h"

#include <malloc.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "host.h"

/*
 * Mounts made by the usual tools, in a mount namespace of the test's own, on a tmpfs that hides the host's
 * /run. Every test that is true of both ways runs by both.
 */
static struct nns_mounts *mounts;
static enum nns_mounts_way way;

/* ---- what the kernel refuses, or what an old one does not know ---- */

enum { NR_STATMOUNT = 457, NR_LISTMOUNT = 458, MNT_ID_UNIQUE = 0x4000, REPORT_MNT = 0x4000 };

static int no_fanotify, no_mark, no_statmount, no_listmount; /* an errno */
static unsigned interruptions;                               /* of the next reads */
static bool no_unique_ids;
static unsigned added_age; /* nanoseconds */

int __real_fanotify_init(unsigned flags, unsigned event_flags);
int __wrap_fanotify_init(unsigned flags, unsigned event_flags);
int __real_fanotify_mark(int fd, unsigned flags, uint64_t mask, int directory, const char *path);
int __wrap_fanotify_mark(int fd, unsigned flags, uint64_t mask, int directory, const char *path);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
int __real_statx(int directory, const char *path, int flags, unsigned mask, struct statx *status);
int __wrap_statx(int directory, const char *path, int flags, unsigned mask, struct statx *status);

static bool refuse(int error)
{
    errno = error;
    return error != 0;
}

int __wrap_fanotify_init(unsigned flags, unsigned event_flags)
{
    return refuse(no_fanotify) ? -1 : __real_fanotify_init(flags, event_flags);
}

int __wrap_fanotify_mark(int fd, unsigned flags, uint64_t mask, int directory, const char *path)
{
    return refuse(no_mark) ? -1 : __real_fanotify_mark(fd, flags, mask, directory, path);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == NR_STATMOUNT && refuse(no_statmount))
        return -1;
    if (number == NR_LISTMOUNT && refuse(no_listmount))
        return -1;
    return __real_syscall(number, a, b, c, d, e, f);
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    if (interruptions) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return __real_read(fd, buffer, size);
}

int __wrap_statx(int directory, const char *path, int flags, unsigned mask, struct statx *status)
{
    if (no_unique_ids)
        mask &= ~(unsigned)MNT_ID_UNIQUE;
    int result = __real_statx(directory, path, flags, mask, status);
    status->stx_ctime.tv_nsec += added_age;
    return result;
}

/* ---- set up ---- */

static void set_up(void)
{
    host_new();
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    cr_assert_eq(mount("none", "/run", "tmpfs", 0, NULL), 0);
}

static void tear_down(void)
{
    nns_mounts_close(mounts);
    mounts = NULL;
    host_free();
}

static bool kernel_tells_of_mounts(void)
{
    int fd = __real_fanotify_init(FAN_CLASS_NOTIF | REPORT_MNT | FAN_CLOEXEC, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool kernel_has_unique_ids(void)
{
    struct statx status;

    cr_assert_eq(__real_statx(AT_FDCWD, "/", 0, MNT_ID_UNIQUE, &status), 0);
    return status.stx_mask & MNT_ID_UNIQUE;
}

static void watch_by(enum nns_mounts_way wanted)
{
    if (wanted == NNS_MOUNTS_FANOTIFY && !kernel_tells_of_mounts())
        cr_skip_test("this kernel has no mount events");
    no_fanotify = wanted == NNS_MOUNTS_MOUNTINFO ? EINVAL : 0;
    cr_assert_eq(nns_mounts_open(&mounts, &way), 0);
    cr_assert_eq(way, wanted);
}

TestSuite(fanotify, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(mountinfo, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(mounts, .init = set_up, .fini = tear_down, .timeout = 60);

/* A test that opens the watch when it wants to, by watch_by(wanted). */
#define TEST_BY_BOTH(name)                                                                                   \
    static void name(enum nns_mounts_way wanted);                                                            \
    Test(fanotify, name)                                                                                     \
    {                                                                                                        \
        name(NNS_MOUNTS_FANOTIFY);                                                                           \
    }                                                                                                        \
    Test(mountinfo, name)                                                                                    \
    {                                                                                                        \
        name(NNS_MOUNTS_MOUNTINFO);                                                                          \
    }                                                                                                        \
    static void name(enum nns_mounts_way wanted)

/* ---- asking ---- */

enum { QUIET = -1000 };

static bool is_told(void)
{
    struct pollfd poll_for = {.fd = nns_mounts_fd(mounts),
                              .events = way == NNS_MOUNTS_FANOTIFY ? POLLIN : POLLPRI};

    return poll(&poll_for, 1, 0) > 0;
}

/* What a loop gets to know: QUIET, or what nns_mounts_changed says. */
static int news(void)
{
    int result;

    if (!is_told())
        return QUIET;
    result = nns_mounts_changed(mounts);
    cr_expect(!is_told(), "told again of what was taken note of");
    cr_expect(!is_told());
    return result;
}

static uint32_t inum_at(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0, "%s: %s", path, strerror(errno));
    return (uint32_t)status.st_ino;
}

struct sought {
    const char *path;
    uint32_t inum;
    unsigned found, all;
    int stop;
};

static int seek(void *context, const char *path, uint32_t inum)
{
    struct sought *sought = context;

    sought->all++;
    if (sought->path && strcmp(path, sought->path) == 0) {
        sought->found++;
        cr_expect_eq(inum, sought->inum, "%s", path);
    }
    return sought->stop;
}

static unsigned count_each(void)
{
    struct sought sought = {.path = NULL};

    cr_assert_eq(nns_mounts_each(seek, &sought), 0);
    return sought.all;
}

static bool is_listed(const char *path)
{
    struct sought sought = {.path = path, .inum = inum_at(path)};

    cr_assert_eq(nns_mounts_each(seek, &sought), 0);
    return sought.found > 0;
}

/* ---- by both ways ---- */

TEST_BY_BOTH(namespaces_that_come_and_go_are_told)
{
    watch_by(wanted);
    cr_expect_eq(news(), QUIET);
    cr_expect_eq(count_each(), 0);
    host_run("ip netns add a");
    cr_expect_eq(news(), 1);
    cr_expect(is_listed("/run/netns/a"));
    host_run("ip netns add b");
    cr_expect_eq(news(), 1);
    cr_expect(is_listed("/run/netns/a") && is_listed("/run/netns/b"));
    host_run("ip netns del a");
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_each(), 1);
    host_run("ip netns del b");
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_each(), 0);
    cr_expect_eq(news(), QUIET);
}

TEST_BY_BOTH(other_mounts_are_no_change)
{
    host_run("ip netns add a");
    watch_by(wanted);
    host_run("mkdir /run/t /run/u && mount -t tmpfs none /run/t");
    cr_expect_eq(news(), 0);
    host_run("mount --move /run/t /run/u");
    cr_expect_eq(news(), 0);
    host_run("umount /run/u");
    cr_expect_eq(news(), 0);
    cr_expect_eq(count_each(), 1);
}

/* A mount namespace is mounted only in one that is older, and the kernel may tell their age by numbers that
 * rise on each processor by itself. */
static void have_later_namespaces_count_as_newer(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
}

TEST_BY_BOTH(other_namespaces_are_no_change)
{
    have_later_namespaces_count_as_newer();
    watch_by(wanted);
    host_run("touch /run/uts /run/mnt /run/pid && mount --bind /proc/self/ns/uts /run/uts");
    cr_expect_eq(news(), 0);
    host_run("unshare --mount=/run/mnt true");
    cr_expect_eq(news(), 0);
    host_run("unshare --pid=/run/pid --fork true");
    cr_expect_eq(news(), 0);
    cr_expect_eq(host_count(host_ask("cat /proc/self/mountinfo"), " - nsfs "), 3);
    cr_expect_eq(count_each(), 0);
    host_run("umount /run/uts /run/mnt /run/pid");
    cr_expect_eq(news(), 0);
}

TEST_BY_BOTH(one_gone_before_anybody_looked_is_no_change)
{
    host_run("ip netns add a");
    watch_by(wanted);
    host_run("ip netns add b && ip netns del b");
    cr_expect_eq(news(), 0);
    host_run("ip netns add b && ip netns del a");
    cr_expect_eq(news(), 1);
    host_run("ip netns del b");
    cr_expect_eq(news(), 1);
}

TEST_BY_BOTH(what_was_mounted_before_is_known)
{
    host_run("ip netns add a && touch /run/uts && mount --bind /proc/self/ns/uts /run/uts");
    watch_by(wanted);
    cr_expect_eq(news(), QUIET);
    cr_expect(is_listed("/run/netns/a"));
    host_run("umount /run/uts");
    cr_expect_eq(news(), 0);
    host_run("ip netns del a");
    cr_expect_eq(news(), 1);
}

TEST_BY_BOTH(every_mount_of_a_namespace_counts)
{
    host_run("ip netns add a && touch /run/second /run/third");
    watch_by(wanted);
    host_run("mount --bind /run/netns/a /run/second");
    cr_expect_eq(news(), 1);
    cr_expect_eq(inum_at("/run/second"), inum_at("/run/netns/a"));
    cr_expect(is_listed("/run/second"));
    host_run("mount --move /run/second /run/third");
    cr_expect_geq(news(), 0);
    cr_expect(is_listed("/run/third"));
    host_run("umount /run/third");
    cr_expect_eq(news(), 1);
    cr_expect_eq(news(), QUIET);
}

TEST_BY_BOTH(a_namespace_mounted_anew_in_place_of_another_is_told)
{
    host_run("ip netns add a");
    watch_by(wanted);
    host_run("ip netns del a && ip netns add a");
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_each(), 1);
}

TEST_BY_BOTH(other_peoples_mounts_are_not_seen)
{
    watch_by(wanted);
    host_run("touch /run/theirs && unshare --mount --net sh -c '"
             "mount --bind /proc/self/ns/net /run/theirs && grep -q theirs /proc/self/mountinfo'");
    cr_expect_eq(news(), QUIET);
    cr_expect_eq(count_each(), 0);
}

TEST_BY_BOTH(mounts_that_reach_us_from_elsewhere_are_seen)
{
    host_run("touch /run/theirs && mount --make-shared /run");
    watch_by(wanted);
    cr_expect_eq(nns_mounts_changed(mounts), 0);
    host_run("unshare --mount --propagation unchanged --net mount --bind /proc/self/ns/net /run/theirs");
    cr_expect_eq(news(), 1);
    cr_expect(is_listed("/run/theirs"));
    host_run("unshare --mount --propagation unchanged umount /run/theirs");
    cr_expect_eq(news(), 1);
}

TEST_BY_BOTH(many_at_once_are_all_seen)
{
    enum { MANY = 1000 }; /* more than one read of mountinfo, and one buffer of ours, can hold */
    const unsigned size = 64;

    /* A tree that one call mounts again and again. */
    host_run("ip netns add a && ip netns add b && mkdir /run/tree /run/copies-of-the-tree && mount -t tmpfs "
             "none /run/tree && "
             "cd /run/tree && for i in $(seq %u); do touch a$i b$i; mount --bind /run/netns/a a$i; "
             "mount --bind /run/netns/b b$i; done",
             size / 2);
    watch_by(wanted);
    unsigned before = count_each(), copies = MANY / size + 1;
    for (unsigned i = 0; i < copies; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/run/copies-of-the-tree/%u", i);
        cr_assert_eq(mkdir(path, 0700), 0);
        cr_assert_eq(mount("/run/tree", path, NULL, MS_BIND | MS_REC, NULL), 0);
    }
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_each(), before + copies * size);
    cr_expect(is_listed("/run/copies-of-the-tree/0/a1") && is_listed("/run/copies-of-the-tree/15/b32"));
    host_run("umount -l /run/copies-of-the-tree/*");
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_each(), before);
    cr_expect_eq(news(), QUIET);
}

TEST_BY_BOTH(interruptions_hide_nothing)
{
    host_run("ip netns add a");
    watch_by(wanted);
    host_run("ip netns add b");
    interruptions = 3;
    cr_expect_eq(news(), 1);
    cr_expect_eq(interruptions, 0);
    interruptions = 3;
    cr_expect_eq(count_each(), 2);
    cr_expect_eq(interruptions, 0);
}

/* ---- by fanotify ---- */

/* More than the queue holds: a tree of mounts that comes and goes. */
static void overflow_the_queue(void)
{
    unsigned limit, size = 256;

    cr_assert_eq(sscanf(host_ask("cat /proc/sys/fs/fanotify/max_queued_events"), "%u", &limit), 1);
    host_run("mkdir /run/tree /run/copy && mount -t tmpfs none /run/tree && cd /run/tree && "
             "for i in $(seq %u); do touch $i; mount --bind $i $i; done",
             size - 1);
    for (unsigned events = 0; events < limit; events += 2 * size) {
        cr_assert_eq(mount("/run/tree", "/run/copy", NULL, MS_BIND | MS_REC, NULL), 0);
        cr_assert_eq(umount2("/run/copy", MNT_DETACH), 0);
    }
}

Test(fanotify, after_lost_events_all_is_known_again)
{
    host_run("ip netns add a && ip netns add b");
    watch_by(NNS_MOUNTS_FANOTIFY);
    overflow_the_queue();
    host_run("ip netns add c && ip netns del a");
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_each(), 2);
    cr_expect_eq(news(), QUIET);
    host_run("umount /run/tree/1");
    cr_expect_eq(news(), 0);
    host_run("ip netns del c");
    cr_expect_eq(news(), 1);
    host_run("ip netns del b");
    cr_expect_eq(news(), 1);
}

Test(fanotify, lost_events_alone_are_a_change)
{
    watch_by(NNS_MOUNTS_FANOTIFY);
    overflow_the_queue();
    cr_expect_eq(news(), 1);
    cr_expect_eq(news(), QUIET);
}

/* Unknown is not gone: a mount the kernel would not tell of may have been one of ours. */
Test(fanotify, what_cannot_be_asked_counts_as_a_change)
{
    watch_by(NNS_MOUNTS_FANOTIFY);
    host_run("ip netns add a");
    no_statmount = EPERM;
    cr_expect_eq(news(), -EPERM);
    host_run("mkdir /run/t && mount -t tmpfs none /run/t");
    cr_expect_eq(news(), -EPERM);
    host_run("umount /run/t");
    cr_expect_eq(news(), -EPERM, "it does not know yet what is mounted");
    no_statmount = 0;
    host_run("mount -t tmpfs none /run/t");
    cr_expect_eq(news(), 1);
    host_run("umount /run/t");
    cr_expect_eq(news(), 0);
    host_run("ip netns del a");
    cr_expect_eq(news(), 1, "it was not learned later");
}

/* ---- what is new ---- */

static struct {
    unsigned all;
    uint32_t inum;
    char last[256];
} shown;

static int show_new(void *context, const char *path, uint32_t inum)
{
    shown.all++;
    shown.inum = inum;
    snprintf(shown.last, sizeof(shown.last), "%s", path);
    return 0;
}

static unsigned count_new(void)
{
    shown.all = 0;
    cr_assert_eq(nns_mounts_each_new(mounts, show_new, NULL), 0);
    return shown.all;
}

static void expect_new(const char *path)
{
    struct stat there;

    cr_assert_geq(news(), 0);
    cr_expect(nns_mounts_has_new(mounts));
    cr_expect_eq(count_new(), 1);
    cr_expect_str_eq(shown.last, path);
    cr_assert_eq(stat(path, &there), 0);
    cr_expect_eq(shown.inum, there.st_ino, "it is of another namespace");
    cr_expect_not(nns_mounts_has_new(mounts));
    cr_expect_eq(count_new(), 0, "once");
}

TEST_BY_BOTH(only_what_is_new_is_shown)
{
    host_run("for i in $(seq 20); do ip netns add $i; done; touch '/run/a b' /run/moved");
    watch_by(wanted);
    cr_expect_not(nns_mounts_has_new(mounts), "what was there before is not new");
    host_run("ip netns add new");
    expect_new("/run/netns/new");
    host_run("mount --bind /run/netns/1 '/run/a b'");
    expect_new("/run/a b");
    host_run("mount --move '/run/a b' /run/moved");
    expect_new("/run/moved");
    host_run("umount /run/moved && ip netns del new");
    cr_expect_eq(news(), 1);
    cr_expect_not(nns_mounts_has_new(mounts), "what went is not new");
    host_run("ip netns del 1 && ip netns add 1");
    expect_new("/run/netns/1");
    host_run("mkdir /run/t && mount -t tmpfs none /run/t && touch /run/u && mount --bind /proc/self/ns/uts "
             "/run/u");
    cr_expect_eq(news(), 0);
    cr_expect_not(nns_mounts_has_new(mounts));
}

TEST_BY_BOTH(what_is_new_adds_up_until_it_is_shown)
{
    watch_by(wanted);
    host_run("ip netns add a");
    cr_expect_eq(news(), 1);
    host_run("ip netns add b");
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_new(), 2);
    cr_expect_str_eq(shown.last, "/run/netns/b");
}

static void bind(const char *what, unsigned number)
{
    char path[64];

    snprintf(path, sizeof(path), "/run/tree/%u", number);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(mount(what, path, NULL, MS_BIND, NULL), 0);
}

/* A whole tree of them comes at once. */
TEST_BY_BOTH(too_many_new_ones_are_a_look_at_all)
{
    host_run("ip netns add a && mkdir /run/tree /run/copy && mount -t tmpfs none /run/tree");
    for (unsigned i = 0; i < 300; i++) /* by programs it would take minutes on a slow machine */
        bind("/run/netns/a", i);
    watch_by(wanted);
    cr_assert_eq(mount("/run/tree", "/run/copy", NULL, MS_BIND | MS_REC, NULL), 0);
    cr_expect_eq(news(), 1);
    cr_expect_eq(count_new(), 601);
    cr_expect_eq(count_new(), 0);
}

TEST_BY_BOTH(one_that_is_gone_before_it_was_shown_harms_nobody)
{
    watch_by(wanted);
    host_run("ip netns add a");
    cr_expect_eq(news(), 1);
    host_run("ip netns del a");
    cr_expect_leq(count_new(), 1);
}

Test(mounts, without_a_watch_nothing_is_new)
{
    cr_expect_eq(nns_mounts_each_new(NULL, show_new, NULL), 0);
}

Test(fanotify, what_could_not_be_asked_is_a_look_at_all)
{
    host_run("ip netns add a");
    watch_by(NNS_MOUNTS_FANOTIFY);
    host_run("ip netns add b");
    no_statmount = ENOMEM;
    cr_expect_lt(news(), 0);
    no_statmount = 0;
    cr_expect_eq(count_new(), 2);
    cr_expect_eq(nns_mounts_changed(mounts), 1);
}

/* Ids are never given out again: whoever kept those of the gone would grow for ever. */
Test(fanotify, what_is_gone_takes_no_memory)
{
    host_run(
        "ip netns add a && mkdir /run/tree /run/copy && mount -t tmpfs none /run/tree && cd /run/tree && "
        "for i in $(seq 100); do touch $i; mount --bind /run/netns/a $i; done");
    watch_by(NNS_MOUNTS_FANOTIFY);
    size_t before = 0;
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(mount("/run/tree", "/run/copy", NULL, MS_BIND | MS_REC, NULL), 0);
        cr_expect_eq(news(), 1);
        cr_assert_eq(umount2("/run/copy", MNT_DETACH), 0);
        cr_expect_eq(news(), 1);
        if (i == 0)
            before = mallinfo2().uordblks;
    }
    cr_expect_leq(mallinfo2().uordblks, before + 16384);
}

static void expect_second_way(const char *what)
{
    unsigned before = host_open_fds();

    cr_assert_eq(nns_mounts_open(&mounts, &way), 0, "%s", what);
    cr_expect_eq(way, NNS_MOUNTS_MOUNTINFO, "%s", what);
    cr_expect_eq(host_open_fds(), before + 1, "%s", what);
    host_run("ip netns add b");
    cr_expect_eq(news(), 1, "%s", what);
    host_run("ip netns del b");
    cr_expect_eq(news(), 1, "%s", what);
    nns_mounts_close(mounts);
    mounts = NULL;
    cr_expect_eq(host_open_fds(), before, "%s", what);
}

Test(fanotify, whatever_is_missing_leads_to_the_second_way)
{
    host_run("ip netns add a");
    no_fanotify = ENOSYS;
    expect_second_way("fanotify_init");
    no_fanotify = 0;
    no_mark = EINVAL;
    expect_second_way("fanotify_mark");
    no_mark = 0;
    no_statmount = ENOSYS;
    expect_second_way("statmount");
    no_statmount = 0;
    no_listmount = EPERM;
    expect_second_way("listmount");
}

/* ---- by mountinfo ---- */

#define PLACE "/run/place"

static void mount_own_namespace(void)
{
    cr_assert_eq(mount("/proc/self/ns/net", PLACE, NULL, MS_BIND, NULL), 0);
}

static uint32_t mount_id(void)
{
    uint32_t id;

    cr_assert_eq(sscanf(host_ask("grep ' " PLACE " ' /proc/self/mountinfo"), "%u", &id), 1);
    return id;
}

/* Mount our namespace anew, where it was known, so that mountinfo's line stays as it was. Somebody else on
 * the host may get the mount's id; the suite's time limit is the deadline. */
static void mount_anew_with_the_same_line(void)
{
    uint32_t id;

    do {
        cr_assert_geq(nns_mounts_changed(mounts), 0);
        id = mount_id();
        cr_assert_eq(umount2(PLACE, MNT_DETACH), 0);
        mount_own_namespace();
    } while (mount_id() != id);
}

Test(mountinfo, a_mount_id_given_out_again_is_not_taken_for_the_same)
{
    host_run("touch " PLACE);
    mount_own_namespace();
    watch_by(NNS_MOUNTS_MOUNTINFO);
    mount_anew_with_the_same_line();
    /* Without them the namespace's age decides: that of its inode, which may or may not be made anew. */
    cr_expect(news() == 1 || !kernel_has_unique_ids());
}

Test(mountinfo, without_unique_ids_the_age_of_the_namespace_counts)
{
    int holds_the_inode = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    no_unique_ids = true;
    host_run("touch " PLACE);
    mount_own_namespace();
    watch_by(NNS_MOUNTS_MOUNTINFO);
    mount_anew_with_the_same_line();
    cr_expect_eq(news(), 0, "it is the same namespace");
    mount_anew_with_the_same_line();
    added_age = 1;
    cr_expect_eq(news(), 1);
    close(holds_the_inode);
}

static long age_at(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0);
    return status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec;
}

static void wait_for_the_next_tick(void)
{
    struct timespec then, now;

    clock_gettime(CLOCK_REALTIME_COARSE, &then);
    do
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    while (now.tv_sec == then.tv_sec && now.tv_nsec == then.tv_nsec);
}

/* What the test before takes for given. */
Test(mounts, a_namespace_keeps_the_date_it_was_mounted_first)
{
    host_run("ip netns add a && touch /run/second");
    long age = age_at("/run/netns/a");
    wait_for_the_next_tick();
    host_run("mount --bind /run/netns/a /run/second && ip netns exec a true && ip netns add b");
    cr_expect_eq(age_at("/run/second"), age);
    cr_expect_eq(age_at("/run/netns/a"), age);
    cr_expect_gt(age_at("/run/netns/b"), age);
}

/* Why nns_mounts_fd asks to poll for POLLPRI alone. */
Test(mountinfo, it_can_always_be_read)
{
    watch_by(NNS_MOUNTS_MOUNTINFO);
    struct pollfd poll_for = {.fd = nns_mounts_fd(mounts), .events = POLLIN | POLLPRI};
    cr_expect_eq(nns_mounts_changed(mounts), 0);
    cr_expect_eq(poll(&poll_for, 1, 0), 1);
    cr_expect_eq(poll_for.revents, POLLIN);
}

/* Why nns_mounts_fd asks for a look after the descriptor was added. */
Test(mountinfo, epoll_takes_away_what_changed_before)
{
    struct epoll_event event = {.events = EPOLLPRI};
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    watch_by(NNS_MOUNTS_MOUNTINFO);
    host_run("ip netns add a");
    cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, nns_mounts_fd(mounts), &event), 0);
    cr_expect_eq(epoll_wait(epoll, &event, 1, 0), 0);
    cr_expect_eq(nns_mounts_changed(mounts), 1);
    host_run("ip netns del a");
    cr_expect_eq(epoll_wait(epoll, &event, 1, 0), 1);
    cr_expect_eq(nns_mounts_changed(mounts), 1);
    cr_expect_eq(epoll_wait(epoll, &event, 1, 0), 0);
    close(epoll);
}

/* ---- errors, and the walk ---- */

static struct rlimit let_no_more_be_opened(void)
{
    struct rlimit before, now;
    int next = dup(0);

    cr_assert_geq(next, 0);
    close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)next;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

Test(mounts, what_cannot_be_opened_is_an_error)
{
    struct rlimit before = let_no_more_be_opened();
    struct sought sought = {.path = NULL};
    enum nns_mounts_way untouched = 77;

    int opened = nns_mounts_open(&mounts, &untouched), walked = nns_mounts_each(seek, &sought);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_expect_eq(opened, -EMFILE);
    cr_expect_null(mounts);
    cr_expect_eq(untouched, 77);
    cr_expect_eq(walked, -EMFILE);
    cr_expect_eq(sought.all, 0);
}

Test(mountinfo, a_look_that_fails_is_made_good_by_the_next)
{
    watch_by(NNS_MOUNTS_MOUNTINFO);
    host_run("ip netns add a");
    struct rlimit before = let_no_more_be_opened();
    int result = news();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_expect_eq(result, -EMFILE);
    cr_expect_eq(nns_mounts_changed(mounts), 1);
    cr_expect_eq(nns_mounts_changed(mounts), 0);
}

Test(mounts, any_path_is_found)
{
    static const char path[] = "/run/a \\ b\twith\n\"all\" \\040 in it";
    struct sought sought;

    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL), 0);
    sought = (struct sought){.path = path, .inum = inum_at("/proc/self/ns/net")};
    cr_assert_eq(nns_mounts_each(seek, &sought), 0);
    cr_expect_eq(sought.found, 1);
    cr_expect_eq(sought.all, 1);
}

Test(mounts, a_visit_can_end_the_walk)
{
    struct sought sought = {.stop = -ECANCELED};

    host_run("ip netns add a && ip netns add b");
    cr_expect_eq(nns_mounts_each(seek, &sought), -ECANCELED);
    cr_expect_eq(sought.all, 1);
    sought.stop = 3;
    cr_expect_eq(nns_mounts_each(seek, &sought), 3);
    cr_expect_eq(sought.all, 2);
}

Test(mounts, closing_nothing_is_fine)
{
    nns_mounts_close(NULL);
}

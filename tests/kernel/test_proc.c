/* SPDX-License-Identifier: Apache-2.0 */
#include "io/proc.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Children that hold namespaces in every way there is. They tell when they are ready, and the inum they made,
 * over a pipe; they die with the test. Mounts are made on a tmpfs in a mount namespace of the test's own.
 */
#define ROOM "/tmp"

struct child {
    pid_t pid;
    uint32_t told; /* an inum or a tid */
};

static int told; /* the pipe's end in a child */

static void set_up(void)
{
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    cr_assert_eq(mount("none", ROOM, "tmpfs", 0, NULL), 0);
    cr_assert_eq(nns_proc_open(), 0);
}

TestSuite(proc, .init = set_up, .timeout = 60);

/* What the kernel says by another way than a readlink. 0: no namespace there. */
static uint32_t inum_at(const char *path)
{
    struct statfs system;
    struct stat status;

    if (statfs(path, &system) < 0 || system.f_type != NSFS_MAGIC || stat(path, &status) < 0)
        return 0;
    return (uint32_t)status.st_ino;
}

static uint32_t inum_of(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    return inum_at(path);
}

/* In a child: it did what it is for. */
static void ready(uint32_t what)
{
    if (write(told, &what, sizeof(what)) != sizeof(what))
        _exit(1);
}

static void ready_and_wait(uint32_t what)
{
    ready(what);
    for (;;)
        pause();
}

static void must(bool fine)
{
    if (!fine)
        _exit(1);
}

static struct child spawn(void (*run)(void))
{
    struct child child;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    child.pid = fork();
    cr_assert(child.pid >= 0);
    if (child.pid == 0) {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        close(ends[0]);
        told = ends[1];
        run();
        _exit(0);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &child.told, sizeof(child.told)), (ssize_t)sizeof(child.told),
                 "a child failed");
    close(ends[0]);
    return child;
}

static void end(struct child *child)
{
    kill(child->pid, SIGKILL);
    cr_assert_eq(waitpid(child->pid, NULL, 0), child->pid);
}

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    must(fd >= 0);
    close(fd);
}

/* Make a namespace that only a mount at path holds. Returns its inum. */
static uint32_t mount_new_namespace(const char *path)
{
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    uint32_t inum;

    make_file(path);
    must(home >= 0 && unshare(CLONE_NEWNET) == 0);
    must(mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) == 0);
    inum = inum_at("/proc/thread-self/ns/net");
    must(setns(home, CLONE_NEWNET) == 0);
    close(home);
    return inum;
}

static bool inhabited(uint32_t inum)
{
    struct nns_inums inums = NNS_INUMS_NULL;
    int result = nns_proc_inhabited(&inums);
    bool has = nns_inums_has(&inums, inum);

    cr_assert_eq(result, 0, "%s", strerror(-result));
    for (size_t i = 1; i < inums.count; i++)
        cr_assert(inums.items[i - 1] < inums.items[i]);
    cr_assert(nns_inums_has(&inums, inum_at("/proc/self/ns/net")), "our own is always held");
    nns_inums_deinit(&inums);
    return has;
}

/* ---- one process ---- */

static void in_own_namespace(void)
{
    must(unshare(CLONE_NEWNET) == 0);
    ready_and_wait(inum_at("/proc/self/ns/net"));
}

static void *thread_in_own_namespace(void *unused)
{
    must(unshare(CLONE_NEWNET) == 0);
    ready_and_wait((uint32_t)gettid());
    return NULL;
}

static void with_thread_in_own_namespace(void)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, thread_in_own_namespace, NULL) == 0);
    for (;;)
        pause();
}

static void leader_ends_before_its_thread(void)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, thread_in_own_namespace, NULL) == 0);
    pthread_exit(NULL);
}

Test(proc, netns_of_processes_and_threads)
{
    struct child process = spawn(in_own_namespace), threaded = spawn(with_thread_in_own_namespace);
    uint32_t own = inum_at("/proc/self/ns/net"), inum = 0;

    cr_expect_eq(nns_proc_netns((uint32_t)getpid(), &inum), 0);
    cr_expect_eq(inum, own);
    cr_expect_eq(nns_proc_netns((uint32_t)process.pid, &inum), 0);
    cr_expect_eq(inum, process.told);
    cr_expect_neq(inum, own);
    cr_expect_eq(nns_proc_netns((uint32_t)threaded.pid, &inum), 0);
    cr_expect_eq(inum, own);
    cr_expect_eq(nns_proc_netns(threaded.told, &inum), 0, "a thread's id is answered, too");
    cr_expect_eq(inum, inum_of((pid_t)threaded.told));
    cr_expect_neq(inum, own);
    end(&process);
    end(&threaded);
}

static void ends_at_once(void)
{
    ready(1);
}

Test(proc, zombies_and_the_dead_are_gone)
{
    struct child child = spawn(ends_at_once);
    uint32_t inum = 77;
    siginfo_t info;

    cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(nns_proc_netns((uint32_t)child.pid, &inum), -ESRCH, "a zombie");
    cr_assert_eq(waitpid(child.pid, NULL, 0), child.pid);
    cr_expect_eq(nns_proc_netns((uint32_t)child.pid, &inum), -ESRCH, "reaped");
    cr_expect_eq(nns_proc_netns(0, &inum), -ESRCH);
    cr_expect_eq(nns_proc_netns(UINT32_MAX, &inum), -ESRCH);
    cr_expect_eq(inum, 77, "touched on failure");
}

static void as_nobody(void)
{
    struct nns_inums inums = {(uint32_t[]){5}, 1, 1};
    uint32_t inum = 77;

    must(setgid(65534) == 0 && setuid(65534) == 0);
    must(nns_proc_netns(1, &inum) == -EACCES && inum == 77);
    must(nns_proc_inhabited(&inums) == -EACCES && inums.count == 1 && inums.items[0] == 5);
    ready(1);
}

Test(proc, what_is_denied_is_not_gone)
{
    struct child child = spawn(as_nobody);

    end(&child);
}

static unsigned kernels_pid_max(void)
{
    FILE *file = fopen("/proc/sys/kernel/pid_max", "r");
    unsigned limit = 0;

    cr_assert(file && fscanf(file, "%u", &limit) == 1);
    fclose(file);
    return limit;
}

static void set_pid_max(unsigned limit)
{
    FILE *file = fopen("/proc/sys/kernel/pid_max", "w");

    cr_assert_not_null(file);
    fprintf(file, "%u", limit);
    cr_assert_eq(fclose(file), 0);
}

Test(proc, pid_max_is_the_kernels_also_when_it_changes)
{
    unsigned limit = kernels_pid_max();

    cr_expect_eq(nns_proc_pid_max(), limit);
    set_pid_max(limit - 1);
    cr_expect_eq(nns_proc_pid_max(), limit - 1);
    set_pid_max(limit);
    cr_expect_eq(nns_proc_pid_max(), limit);
}

/* ---- opening ---- */

static void in_foreign_pid_namespace(void)
{
    int status;
    pid_t inner;

    must(unshare(CLONE_NEWPID) == 0);
    inner = fork();
    must(inner >= 0);
    if (inner == 0)
        _exit(nns_proc_open() == -EXDEV ? 0 : 1);
    must(waitpid(inner, &status, 0) == inner && status == 0);
    ready(1);
}

/* The inner process has the same number in both namespaces: only the kernel's list of its pids tells. */
static void in_foreign_pid_namespace_with_equal_pid(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD, .set_tid_size = 2};
    pid_t ids[2], inner;
    int status;

    must(unshare(CLONE_NEWPID) == 0);
    inner = fork();
    must(inner >= 0);
    if (inner > 0) {
        must(waitpid(inner, &status, 0) == inner && status == 0);
        ready(1);
        return;
    }
    arguments.set_tid = (uintptr_t)ids;
    for (ids[0] = ids[1] = 20000; ids[0] < 20010; ids[0] = ++ids[1]) { /* one of them is free in both */
        inner = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
        if (inner >= 0)
            break;
    }
    if (inner == 0)
        _exit(getpid() == ids[0] && nns_proc_open() == -EXDEV ? 0 : 1);
    must(inner > 0 && waitpid(inner, &status, 0) == inner && status == 0);
    _exit(0);
}

/* Even what says the right things is not taken for /proc when it is none. */
static void without_proc(void)
{
    FILE *status;

    must(unshare(CLONE_NEWNS) == 0 && mount("none", "/proc", "tmpfs", 0, NULL) == 0);
    must(nns_proc_open() == -EXDEV);
    must(mkdir("/proc/self", 0700) == 0);
    status = fopen("/proc/self/status", "w");
    must(status && fprintf(status, "Name:\tx\nNSpid:\t%d\n", getpid()) > 0 && fclose(status) == 0);
    must(nns_proc_open() == -EXDEV);
    ready(1);
}

Test(proc, a_proc_that_is_not_ours_is_refused)
{
    struct child child = spawn(in_foreign_pid_namespace);

    end(&child);
    child = spawn(in_foreign_pid_namespace_with_equal_pid);
    end(&child);
    child = spawn(without_proc);
    end(&child);
}

static void where_others_are_hidden(void)
{
    struct nns_inums inums = NNS_INUMS_NULL;

    must(unshare(CLONE_NEWNS) == 0 && mount("none", "/proc", "proc", 0, "hidepid=invisible") == 0);
    must(setgid(65534) == 0 && setuid(65534) == 0);
    must(nns_proc_open() == 0);
    must(nns_proc_inhabited(&inums) == -EACCES);
    ready(1);
}

Test(proc, hidden_processes_are_unknown_not_absent)
{
    struct child child = spawn(where_others_are_hidden);

    end(&child);
}

/* ---- all processes and mounts ---- */

Test(proc, inhabited_while_a_process_is_in_it)
{
    struct child child = spawn(in_own_namespace);

    cr_expect(inhabited(child.told));
    end(&child);
    cr_expect(!inhabited(child.told));
}

Test(proc, inhabited_by_a_thread_alone)
{
    struct child child = spawn(with_thread_in_own_namespace);
    uint32_t inum = inum_of((pid_t)child.told);

    cr_assert_neq(inum, 0);
    cr_expect(inhabited(inum));
    end(&child);
    cr_expect(!inhabited(inum));
}

Test(proc, inhabited_by_the_thread_of_a_dead_leader)
{
    struct child child = spawn(leader_ends_before_its_thread);
    uint32_t inum = inum_of((pid_t)child.told), of_leader;

    cr_assert_neq(inum, 0);
    while (inum_of(child.pid)) /* the test's own time limit is the deadline */
        sched_yield();
    cr_expect_eq(nns_proc_netns((uint32_t)child.pid, &of_leader), -ESRCH);
    cr_expect(inhabited(inum));
    end(&child);
    cr_expect(!inhabited(inum));
}

static uint32_t own_thread_inum;
static pthread_barrier_t barrier;

static void *enter_and_leave(void *unused)
{
    unshare(CLONE_NEWNET);
    own_thread_inum = inum_at("/proc/thread-self/ns/net");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* Workers enter namespaces all the time: that must not keep one from being lonely. */
Test(proc, not_inhabited_by_our_own_threads)
{
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, enter_and_leave, NULL), 0);
    pthread_barrier_wait(&barrier);
    cr_assert_neq(own_thread_inum, inum_at("/proc/self/ns/net"));
    cr_expect(!inhabited(own_thread_inum));
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}

static void hold_zombie(void)
{
    pid_t inner = fork();
    siginfo_t info;

    must(inner >= 0);
    if (inner == 0)
        _exit(unshare(CLONE_NEWNET));
    must(waitid(P_PID, (id_t)inner, &info, WEXITED | WNOWAIT) == 0);
    ready_and_wait(1);
}

Test(proc, zombies_hinder_no_walk)
{
    struct child child = spawn(hold_zombie);

    cr_expect(!inhabited(1));
    end(&child);
}

Test(proc, inhabited_while_mounted)
{
    uint32_t inum = mount_new_namespace(ROOM "/mounted");

    cr_expect(inhabited(inum));
    cr_assert_eq(umount2(ROOM "/mounted", MNT_DETACH), 0);
    cr_expect(!inhabited(inum));
}

static void mount_in_own_mount_namespace(void)
{
    must(unshare(CLONE_NEWNS) == 0);
    ready_and_wait(mount_new_namespace(ROOM "/theirs"));
}

Test(proc, inhabited_by_a_mount_in_anothers_mount_namespace)
{
    struct child child = spawn(mount_in_own_mount_namespace);

    cr_expect_eq(inum_at(ROOM "/theirs"), 0, "it is mounted where we see it");
    cr_expect(inhabited(child.told));
    end(&child);
    cr_expect(!inhabited(child.told));
}

static void *thread_with_mount(void *unused)
{
    must(unshare(CLONE_NEWNS) == 0);
    ready_and_wait(mount_new_namespace(ROOM "/theirs"));
    return NULL;
}

static void with_thread_in_own_mount_namespace(void)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, thread_with_mount, NULL) == 0);
    for (;;)
        pause();
}

Test(proc, inhabited_by_a_mount_that_one_thread_sees)
{
    struct child child = spawn(with_thread_in_own_mount_namespace);

    cr_expect(inhabited(child.told));
    end(&child);
    cr_expect(!inhabited(child.told));
}

/* The process that is met first sees nothing of its mount namespace's mounts, the second all. */
static void chrooted_before_another(void)
{
    uint32_t inum;
    int gate[2];
    pid_t inner;
    char byte;

    must(unshare(CLONE_NEWNS) == 0 && pipe(gate) == 0);
    inum = mount_new_namespace(ROOM "/theirs");
    must(mkdir(ROOM "/empty", 0700) == 0);
    inner = fork();
    must(inner >= 0);
    if (inner == 0) {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        must(read(gate[0], &byte, 1) == 1);
        ready_and_wait(inum);
    }
    must(inner > getpid() && chroot(ROOM "/empty") == 0 && write(gate[1], "", 1) == 1);
    for (;;)
        pause();
}

Test(proc, a_chroot_hides_no_mount)
{
    struct child child = spawn(chrooted_before_another);

    cr_expect(inhabited(child.told));
    end(&child);
    while (inhabited(
        child.told)) /* the second process dies of the first's death; the time limit is the deadline */
        sched_yield();
}

/* More mounts than one buffer holds, and the one that counts is the last. */
static void many_mounts(void)
{
    char path[64];

    must(unshare(CLONE_NEWNS) == 0);
    make_file(ROOM "/file");
    for (int i = 0; i < 1500; i++) {
        snprintf(path, sizeof(path), ROOM "/a-name-that-makes-the-line-longer-%d", i);
        make_file(path);
        must(mount(ROOM "/file", path, NULL, MS_BIND, NULL) == 0);
    }
    ready_and_wait(mount_new_namespace(ROOM "/last"));
}

Test(proc, a_long_list_of_mounts_is_read_to_its_end)
{
    struct child child = spawn(many_mounts);

    cr_expect(inhabited(child.told));
    end(&child);
}

static void fork_without_end(void)
{
    ready(1);
    for (;;) {
        pid_t inner = fork();

        if (inner == 0)
            _exit(0);
        if (inner > 0)
            waitpid(inner, NULL, 0);
    }
}

/* A process that dies under the walk's hands answers in many ways; none may make the walk fail. */
Test(proc, a_walk_among_dying_processes_succeeds)
{
    struct child children[3];

    for (int i = 0; i < 3; i++)
        children[i] = spawn(fork_without_end);
    for (int i = 0; i < 1000; i++)
        cr_assert(!inhabited(1));
    for (int i = 0; i < 3; i++)
        end(&children[i]);
}

/* As the kernel has it when the task goes after the path was found: it is refused, and gone from then on. */
static pid_t dying;
static bool shows_its_root; /* and is gone then */

int __real_statx(int directory, const char *path, int flags, unsigned mask, struct statx *status);
int __wrap_statx(int directory, const char *path, int flags, unsigned mask, struct statx *status);

int __wrap_statx(int directory, const char *path, int flags, unsigned mask, struct statx *status)
{
    char root[32];

    snprintf(root, sizeof(root), "%d/root", dying);
    if (!dying || strcmp(path, root) != 0)
        return __real_statx(directory, path, flags, mask, status);
    int result = __real_statx(directory, path, flags, mask, status);
    kill(dying, SIGKILL);
    waitpid(dying, NULL, 0);
    dying = 0;
    errno = EACCES;
    return shows_its_root ? result : -1;
}

Test(proc, a_process_that_dies_while_its_root_is_asked_for_is_gone)
{
    struct child child = spawn(in_own_namespace);

    dying = child.pid;
    cr_expect(inhabited(child.told), "its namespace was seen before");
    cr_expect_eq(dying, 0, "nobody asked");
    cr_expect(!inhabited(child.told));
}

/* Which outlives the first; its pid is in a file. */
static void two_in_own_mount_namespace(void)
{
    uint32_t inum;
    pid_t inner;
    FILE *file;

    must(unshare(CLONE_NEWNS) == 0);
    inum = mount_new_namespace(ROOM "/theirs");
    inner = fork();
    must(inner >= 0);
    while (!inner)
        pause();
    file = fopen(ROOM "/inner", "w");
    must(inner > getpid() && file && fprintf(file, "%d", inner) > 0 && fclose(file) == 0);
    ready_and_wait(inum);
}

Test(proc, mounts_that_one_did_not_live_to_show_are_shown_by_another)
{
    struct child child = spawn(two_in_own_mount_namespace);
    FILE *file = fopen(ROOM "/inner", "r");
    pid_t inner;

    cr_assert_eq(fscanf(file, "%d", &inner), 1);
    fclose(file);
    dying = child.pid;
    shows_its_root = true;
    cr_expect(inhabited(child.told));
    cr_expect_eq(dying, 0, "nobody asked");
    kill(inner, SIGKILL);
}

/* ---- paths to all namespaces ---- */

struct visits {
    struct {
        char path[128];
        uint32_t inum;
    } seen[64];
    size_t count;
    uint32_t refuse; /* an inum whose first path leads nowhere */
    int stop;        /* what to return at once */
};

static int visit(const char *path, uint32_t inum, void *context)
{
    struct visits *visits = context;

    cr_assert_lt(visits->count, 64);
    cr_expect_eq(inum_at(path), inum, "%s is not %u", path, inum);
    snprintf(visits->seen[visits->count].path, sizeof(visits->seen[0].path), "%s", path);
    visits->seen[visits->count++].inum = inum;
    if (visits->stop)
        return visits->stop;
    if (inum == visits->refuse) {
        visits->refuse = 0;
        return -ENOENT;
    }
    return 0;
}

/* The only path of a namespace, or NULL. */
static const char *path_of(const struct visits *visits, uint32_t inum)
{
    const char *path = NULL;

    for (size_t i = 0; i < visits->count; i++) {
        if (visits->seen[i].inum != inum)
            continue;
        cr_expect_null(path, "%u twice: %s, %s", inum, path, visits->seen[i].path);
        path = visits->seen[i].path;
    }
    return path;
}

Test(proc, each_namespace_has_one_path_that_leads_to_it)
{
    struct child process = spawn(in_own_namespace), threaded = spawn(with_thread_in_own_namespace),
                 mounted = spawn(mount_in_own_mount_namespace);
    uint32_t inum = mount_new_namespace(ROOM "/with \\ and\nmore");
    struct visits visits = {.count = 0};
    char wanted[128];

    cr_assert_eq(nns_proc_each_namespace(visit, &visits), 0);
    cr_expect_not_null(path_of(&visits, inum_at("/proc/self/ns/net")));
    snprintf(wanted, sizeof(wanted), "/proc/%d/ns/net", process.pid);
    cr_expect_str_eq(path_of(&visits, process.told), wanted);
    snprintf(wanted, sizeof(wanted), "/proc/%d/task/%u/ns/net", threaded.pid, threaded.told);
    cr_expect_str_eq(path_of(&visits, inum_of((pid_t)threaded.told)), wanted);
    snprintf(wanted, sizeof(wanted), "/proc/%d/root" ROOM "/theirs", mounted.pid);
    cr_expect_str_eq(path_of(&visits, mounted.told), wanted);
    cr_expect_str_eq(path_of(&visits, inum), ROOM "/with \\ and\nmore");
    end(&process);
    end(&threaded);
    end(&mounted);
}

/* One that the owner is just clearing, to forget it, would come back by that. */
Test(proc, no_path_leads_through_a_thread_of_ours)
{
    struct visits visits = {.count = 0};
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, enter_and_leave, NULL), 0);
    pthread_barrier_wait(&barrier);
    cr_assert_eq(nns_proc_each_namespace(visit, &visits), 0);
    cr_expect_null(path_of(&visits, own_thread_inum));
    cr_expect_not_null(path_of(&visits, inum_at("/proc/self/ns/net")));
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}

Test(proc, another_path_is_tried_when_one_is_gone)
{
    struct child process = spawn(in_own_namespace);
    struct visits visits = {.refuse = process.told};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/net", process.pid);
    make_file(ROOM "/second");
    cr_assert_eq(mount(path, ROOM "/second", NULL, MS_BIND, NULL), 0);
    cr_assert_eq(nns_proc_each_namespace(visit, &visits), 0);
    cr_expect_eq(visits.refuse, 0);
    cr_assert_geq(visits.count, 2);
    cr_expect_str_eq(visits.seen[0].path, ROOM "/second");
    visits.seen[0].inum = 0;
    cr_expect_str_eq(path_of(&visits, process.told), path);
    end(&process);
}

Test(proc, a_visit_can_end_the_walk)
{
    struct visits visits = {.stop = -ECANCELED};

    cr_expect_eq(nns_proc_each_namespace(visit, &visits), -ECANCELED);
    cr_expect_eq(visits.count, 1);
    visits = (struct visits){.stop = 3};
    cr_expect_eq(nns_proc_each_namespace(visit, &visits), 3);
}

/* ---- the set ---- */

Test(proc, a_set_knows_its_members)
{
    uint32_t items[] = {2, 4, 6, 4026531840u, UINT32_MAX};
    struct nns_inums inums = {items, 5, 5}, none = NNS_INUMS_NULL;

    for (int i = 0; i < 5; i++)
        cr_expect(nns_inums_has(&inums, items[i]));
    cr_expect(!nns_inums_has(&inums, 0) && !nns_inums_has(&inums, 3) && !nns_inums_has(&inums, 7));
    cr_expect(!nns_inums_has(&inums, 4026531841u));
    cr_expect(!nns_inums_has(&none, 2));
    nns_inums_deinit(&none);
}

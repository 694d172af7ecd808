/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "io/netns.h"
#include "io/resolve.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define INITIAL_PID_NAMESPACE 0xeffffffcu

enum { WORKERS = 2, EVERYBODY = NNS_RESOLVE_MAX, DEADLINE = 30 };

static struct nns_resolver *resolver;

static bool kernel_looks_callers_pids_up(void)
{
    return system("grep -qw bpf_task_from_vpid /proc/kallsyms") == 0;
}

/* Whether programs find a task by its pid, as this test's pid namespace counts. */
static bool kernel_looks_pids_up(void)
{
    struct stat own;

    if (kernel_looks_callers_pids_up())
        return true;
    return stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == INITIAL_PID_NAMESPACE &&
           system("grep -qw bpf_task_from_pid /proc/kallsyms") == 0;
}

static void set_up(void)
{
    if (!kernel_looks_pids_up())
        cr_skip_test("this kernel looks no pids up");
    cr_assert_eq(nns_resolver_open(WORKERS, &resolver), 0);
}

static void tear_down(void)
{
    nns_resolver_close(resolver);
}

static const struct nns_resolved *resolve(unsigned worker, const uint32_t *pids, size_t count)
{
    if (worker < WORKERS && count <= NNS_RESOLVE_MAX && count)
        memcpy(nns_resolver_pids(resolver, worker), pids, count * sizeof(pids[0]));
    return nns_resolve(resolver, worker, count);
}

TestSuite(resolve, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(resolve_open, .timeout = 60);

/* What the kernel says of the calling thread, by other ways than ours. */
static struct nns_resolved own_namespace(void)
{
    struct nns_resolved own = {0};
    socklen_t length = sizeof(own.cookie);
    struct stat st = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &own.cookie, &length);
    close(fd);
    stat("/proc/thread-self/ns/net", &st);
    own.inum = (uint32_t)st.st_ino;
    return own;
}

static void expect(const struct nns_resolved *got, const struct nns_resolved *wanted)
{
    cr_assert_not_null(got, "%s", strerror(errno));
    cr_assert_neq(wanted->cookie, 0);
    cr_assert_eq(got->cookie, wanted->cookie, "cookie %lu, not %lu", got->cookie, wanted->cookie);
    cr_assert_eq(got->inum, wanted->inum, "inum %u, not %u", got->inum, wanted->inum);
}

static void expect_none(const struct nns_resolved *got)
{
    cr_assert_not_null(got, "%s", strerror(errno));
    cr_assert_eq(got->cookie, 0, "cookie %lu", got->cookie);
    cr_assert_eq(got->inum, 0, "inum %u", got->inum);
}

static const struct nns_resolved *ask(uint32_t pid)
{
    return resolve(0, &pid, 1);
}

/* A task that waits in a namespace of its own, a child's first thread or another, and where it is. */
struct child {
    pid_t pid, tid;
    struct nns_resolved is;
};

static int told; /* the pipe's end in a child */

static void *unshare_and_wait(void *unused)
{
    struct child self = {.pid = getpid(), .tid = gettid()};

    if (unshare(CLONE_NEWNET) < 0)
        _exit(1);
    self.is = own_namespace();
    (void)!write(told, &self, sizeof(self));
    for (;;)
        pause();
}

static void of_a_process(void)
{
    unshare_and_wait(NULL);
}

static void of_a_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, unshare_and_wait, NULL);
    pthread_join(thread, NULL);
}

/* The first thread ends and stays a zombie as long as the other lives. */
static void of_a_thread_alone(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, unshare_and_wait, NULL);
    syscall(SYS_exit, 0);
}

static struct child start(void (*what)(void))
{
    struct child child = {0};
    int pipes[2];
    pid_t pid;

    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        told = pipes[1];
        what();
        _exit(0);
    }
    close(pipes[1]);
    cr_assert_eq(read(pipes[0], &child, sizeof(child)), (ssize_t)sizeof(child));
    close(pipes[0]);
    child.pid = pid;
    return child;
}

static void stop(const struct child *child)
{
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
}

Test(resolve, this_thread)
{
    struct nns_resolved own = own_namespace();

    expect(ask((uint32_t)getpid()), &own);
    host_new();
    cr_assert_neq(own_namespace().cookie, own.cookie);
    own = own_namespace();
    expect(ask((uint32_t)getpid()), &own);
}

Test(resolve, children_in_their_own_namespaces)
{
    struct child children[] = {start(of_a_process), start(of_a_process), start(of_a_process)};
    uint32_t pids[] = {(uint32_t)children[2].pid, (uint32_t)children[0].pid, (uint32_t)children[1].pid};
    const struct nns_resolved *got = resolve(1, pids, 3);

    expect(got, &children[2].is);
    expect(got + 1, &children[0].is);
    expect(got + 2, &children[1].is);
    cr_assert_neq(got[0].cookie, got[1].cookie);
    for (int i = 0; i < 3; i++)
        stop(&children[i]);
}

/* As nns_netns_open_pid has it: a thread's id stands for the thread, wherever its process is. */
static void expect_thread(const struct child *child)
{
    struct nns_netns_abilities abilities;
    enum nns_netns_way way;
    struct nns_netns_id id;
    int fd;

    expect(ask((uint32_t)child->tid), &child->is);
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    fd = nns_netns_open_pid((uint32_t)child->tid, &way);
    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    cr_assert_eq(nns_netns_identify(fd, &id), 0);
    cr_assert_eq(id.inum, child->is.inum);
    close(fd);
}

Test(resolve, a_thread_that_unshared)
{
    struct nns_resolved own = own_namespace();
    struct child child = start(of_a_thread);

    cr_assert_neq(child.tid, child.pid);
    expect_thread(&child);
    expect(ask((uint32_t)child.pid), &own);
    stop(&child);
}

static bool is_zombie(pid_t pid)
{
    return strstr(host_ask("cat /proc/%d/task/%d/stat", pid, pid), ") Z ");
}

static void await_zombie(pid_t pid)
{
    time_t end = time(NULL) + DEADLINE;

    while (!is_zombie(pid))
        cr_assert_lt(time(NULL), end, "%d does not end", pid);
}

Test(resolve, a_dead_leader_of_a_living_thread)
{
    struct nns_netns_abilities abilities;
    enum nns_netns_way way;
    struct child child = start(of_a_thread_alone);

    await_zombie(child.pid);
    expect_thread(&child);
    expect_none(ask((uint32_t)child.pid));
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    cr_assert_eq(nns_netns_open_pid((uint32_t)child.pid, &way), -ESRCH);
    stop(&child);
    host_free();
}

Test(resolve, nobody)
{
    static const uint32_t never[] = {0, 4294967295u, 2147483648u, 2147483647u, 4194305, 4194304};
    const struct nns_resolved *got = resolve(0, never, 6);

    for (int i = 0; i < 6; i++)
        expect_none(got + i);
}

Test(resolve, the_dead)
{
    struct child child = start(of_a_process);
    siginfo_t info;

    kill(child.pid, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    expect_none(ask((uint32_t)child.pid));
    waitpid(child.pid, NULL, 0);
    expect_none(ask((uint32_t)child.pid));
}

/* Each place of a slot is its own: neighbours differ, and nothing of the call before is left. */
Test(resolve, as_many_as_there_is_room_for)
{
    static uint32_t pids[EVERYBODY];
    struct child children[7];
    const struct nns_resolved *got;

    for (size_t i = 0; i < 7; i++)
        children[i] = start(of_a_process);
    for (size_t i = 0; i < EVERYBODY; i++)
        pids[i] = i % 8 == 7 ? 0 : (uint32_t)children[i % 8].pid;
    got = resolve(WORKERS - 1, pids, EVERYBODY);
    for (size_t i = 0; i < EVERYBODY; i++)
        i % 8 == 7 ? expect_none(got + i) : expect(got + i, &children[i % 8].is);
    memset(pids, 0, sizeof(pids));
    got = resolve(WORKERS - 1, pids, EVERYBODY);
    for (size_t i = 0; i < EVERYBODY; i++)
        expect_none(got + i);
    for (size_t i = 0; i < 7; i++)
        stop(&children[i]);
}

Test(resolve, none_and_too_many)
{
    static uint32_t pids[EVERYBODY + 1];

    errno = 0;
    cr_assert_not_null(resolve(0, pids, 0));
    cr_assert_not_null(resolve(0, NULL, 0));
    cr_assert_eq(errno, 0);
    cr_assert_null(resolve(0, pids, EVERYBODY + 1));
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_null(resolve(WORKERS, pids, 1));
    cr_assert_eq(errno, EINVAL);
}

struct worker {
    pthread_t thread;
    unsigned number;
    struct child children[4];
    unsigned wrong; /* answers */
};

static void *resolve_again_and_again(void *argument)
{
    struct worker *worker = argument;
    uint32_t pids[64];

    for (int i = 0; i < 64; i++)
        pids[i] = (uint32_t)worker->children[i % 4].pid;
    for (int round = 0; round < 5000; round++) {
        const struct nns_resolved *got = resolve(worker->number, pids, 64);

        for (int i = 0; i < 64; i++)
            worker->wrong += !got || got[i].cookie != worker->children[i % 4].is.cookie;
    }
    return NULL;
}

Test(resolve, workers_at_the_same_time)
{
    struct worker workers[WORKERS] = {0};

    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].number = i;
        for (int j = 0; j < 4; j++)
            workers[i].children[j] = start(of_a_process);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, resolve_again_and_again, &workers[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        cr_assert_eq(workers[i].wrong, 0, "worker %u: %u wrong answers", i, workers[i].wrong);
        for (int j = 0; j < 4; j++)
            stop(&workers[i].children[j]);
    }
}

/* Whose nsproxy is freed, and whose takes its place: threads that never rest, each between two namespaces of
 * its own. */
struct restless {
    pthread_t thread;
    _Atomic pid_t tid;
    int fds[2];
    struct nns_resolved is[2];
};

static atomic_bool enough;

static void *never_rest(void *argument)
{
    struct restless *restless = argument;

    for (int i = 0; i < 2; i++) {
        if (unshare(CLONE_NEWNET) < 0)
            return NULL;
        restless->is[i] = own_namespace();
        restless->fds[i] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    }
    restless->tid = gettid();
    for (unsigned i = 0; !enough; i++)
        setns(restless->fds[i % 2], CLONE_NEWNET);
    return NULL;
}

static bool is_one_of(const struct nns_resolved *got, const struct restless *restless)
{
    for (int i = 0; i < 2; i++)
        if (got->cookie == restless->is[i].cookie && got->inum == restless->is[i].inum)
            return true;
    return false;
}

Test(resolve, never_what_another_task_is_in)
{
    struct restless tasks[4] = {0};
    unsigned wrong = 0, refused = 0;
    uint32_t pids[256];

    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&tasks[i].thread, NULL, never_rest, &tasks[i]), 0);
    for (int i = 0; i < 256; i++) {
        while (!tasks[i % 4].tid)
            sched_yield();
        pids[i] = (uint32_t)tasks[i % 4].tid;
    }
    for (int round = 0; round < 3000; round++) {
        const struct nns_resolved *got = resolve(0, pids, 256);

        refused += !got;
        for (int i = 0; got && i < 256; i++)
            wrong += !is_one_of(got + i, &tasks[i % 4]);
    }
    enough = true;
    for (int i = 0; i < 4; i++)
        pthread_join(tasks[i].thread, NULL);
    cr_assert_eq(wrong, 0, "%u wrong answers", wrong);
    cr_assert_lt(refused, 300, "%u calls refused", refused);
}

/* Seen from a pid namespace below, the same numbers are other tasks'. The caller's counts. */
static int look_from_below(pid_t above)
{
    struct nns_resolved own;
    const struct nns_resolved *got;

    if (getpid() != 1 || unshare(CLONE_NEWNET) < 0)
        return 1;
    own = own_namespace();
    got = ask(1);
    if (!got || got->cookie != own.cookie || got->inum != own.inum)
        return 2;
    got = ask((uint32_t)above);
    return !got || got->cookie ? 3 : 0;
}

Test(resolve, pids_are_those_of_the_callers_namespace)
{
    pid_t above = getpid(), pid;
    int status = -1;

    if (!kernel_looks_callers_pids_up())
        cr_skip_test("this kernel looks pids up in the initial pid namespace alone");
    cr_assert_eq(unshare(CLONE_NEWPID), 0);
    pid = fork();
    if (pid == 0)
        _exit(look_from_below(above));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "status %x", status);
}

/* What the kernel is made to say to bpf_object__load_skeleton, to the program's run and to mmap. */
static int loads_to_refuse, load_error, run_error, run_value, mmap_error;
static bool run_nothing;
static unsigned loads;

int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __real_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *options);
int __wrap_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *options);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton)
{
    loads++;
    if (loads_to_refuse > 0 && loads_to_refuse--)
        return load_error;
    return __real_bpf_object__load_skeleton(skeleton);
}

int __wrap_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *options)
{
    if (!run_nothing && !run_error && !run_value)
        return __real_bpf_prog_test_run_opts(fd, options);
    options->retval = (uint32_t)run_value;
    return run_error;
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (!mmap_error)
        return __real_mmap(address, length, protection, flags, fd, offset);
    errno = mmap_error;
    return MAP_FAILED;
}

Test(resolve, a_run_that_fails_says_so)
{
    struct nns_resolved own = own_namespace();

    run_error = -EPERM;
    errno = 0;
    cr_assert_null(ask((uint32_t)getpid()));
    cr_assert_eq(errno, EPERM);
    run_error = 0;
    run_value = -EAGAIN;
    cr_assert_null(ask((uint32_t)getpid()));
    cr_assert_eq(errno, EAGAIN);
    run_value = 0;
    expect(ask((uint32_t)getpid()), &own);
}

static void expect_refusal(int error)
{
    struct nns_resolver *untouched = (struct nns_resolver *)&enough;
    unsigned fds = host_open_fds();
    int rc = nns_resolver_open(WORKERS, &untouched);

    cr_assert_eq(rc, error, "%s, not %s", strerror(-rc), strerror(-error));
    cr_assert_eq((void *)untouched, (void *)&enough);
    cr_assert_eq(host_open_fds(), fds);
}

Test(resolve_open, leaves_nothing_behind)
{
    unsigned fds = host_open_fds();

    set_up();
    tear_down();
    cr_assert_eq(host_open_fds(), fds);
    nns_resolver_close(NULL);
    cr_assert_eq(nns_resolver_open(0, &resolver), -EINVAL);
}

static int heard(enum libbpf_print_level level, const char *format, va_list arguments)
{
    return 0;
}

Test(resolve_open, libbpf_speaks_to_whom_it_spoke_before)
{
    libbpf_set_print(heard);
    set_up();
    cr_assert_eq(libbpf_set_print(NULL), heard);
    tear_down();
}

Test(resolve_open, what_is_refused_is_not_tried_twice)
{
    static const int errors[] = {-EPERM, -ENOMEM, -EMFILE, -ENFILE};

    for (int i = 0; i < 4; i++) {
        loads = 0;
        loads_to_refuse = 1;
        load_error = errors[i];
        expect_refusal(errors[i]);
        cr_assert_eq(loads, 1);
    }
}

Test(resolve_open, memory_that_cannot_be_shared)
{
    if (!kernel_looks_pids_up())
        cr_skip_test("this kernel looks no pids up");
    mmap_error = ENOMEM;
    expect_refusal(-ENOMEM);
}

Test(resolve_open, a_kernel_without_either_function)
{
    loads_to_refuse = 4;
    load_error = -EINVAL;
    expect_refusal(-EOPNOTSUPP);
}

Test(resolve_open, what_answers_wrong_is_not_used)
{
    run_nothing = true;
    expect_refusal(-EOPNOTSUPP);
}

static bool in_the_hosts_pid_namespace(void)
{
    struct stat st;

    cr_assert_eq(stat("/proc/self/ns/pid", &st), 0);
    return st.st_ino == 0xEFFFFFFC;
}

/* The lower rung knows the host's pids only. This runs in the host's pid namespace and in another. */
Test(resolve_open, a_kernel_without_the_callers_pids)
{
    struct nns_resolved own = own_namespace();
    struct child child, thread;

    load_error = -EINVAL;
    if (!in_the_hosts_pid_namespace()) {
        loads_to_refuse = 2;
        expect_refusal(-EOPNOTSUPP);
        cr_assert_eq(loads, 2);
        return;
    }
    loads_to_refuse = 1;
    set_up();
    cr_assert_eq(loads, 2);
    child = start(of_a_process);
    thread = start(of_a_thread);
    expect(ask((uint32_t)getpid()), &own);
    expect(ask((uint32_t)child.pid), &child.is);
    expect(ask((uint32_t)thread.tid), &thread.is);
    expect(ask((uint32_t)thread.pid), &own);
    stop(&child);
    expect_none(ask((uint32_t)child.pid));
    expect_none(ask(0));
    expect_none(ask(4294967295u));
    stop(&thread);
    tear_down();
}

/* A kernel that has all for pids, and not for devices. */
Test(resolve_open, pids_without_devices)
{
    struct nns_resolved own = own_namespace();
    struct nns_links links = NNS_LINKS_NULL;

    loads_to_refuse = in_the_hosts_pid_namespace() ? 2 : 1;
    load_error = -EINVAL;
    set_up();
    cr_assert_eq(loads_to_refuse, 0);
    cr_assert_not(nns_resolver_lists(resolver));
    cr_assert_eq(nns_resolver_list(resolver, 0, own.cookie, &links), -EOPNOTSUPP);
    expect(ask((uint32_t)getpid()), &own);
    tear_down();
    cr_assert_not(nns_resolver_lists(NULL));
}

/* Only where the whole program is denied something: NNS_DENIED is the errno that is to come of it. */
Test(resolve_open, denied)
{
    const char *error = getenv("NNS_DENIED");

    if (!error)
        cr_skip_test("nothing is denied");
    expect_refusal(-atoi(error));
}

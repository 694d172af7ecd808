/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <linux/rtnetlink.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io/netns.h"

static struct nns_netns_abilities abilities;
static enum nns_netns_way way;

static void set_up(void)
{
    cr_assert_eq(nns_netns_probe(&abilities), 0);
}

TestSuite(netns, .init = set_up);

static uint32_t inum_of(const char *format, ...)
{
    char path[64];
    va_list list;
    va_start(list, format);
    vsnprintf(path, sizeof(path), format, list);
    va_end(list);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0, "%s: %s", path, strerror(errno));
    return (uint32_t)st.st_ino;
}

/* A child in a namespace of its own, until its end of the pipe closes with ours. */
struct child {
    pid_t pid;
    int hold;
};

static struct child start(bool thread_only);

static void *unshare_and_wait(void *fd)
{
    int pipes = *(int *)fd;
    char ready = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
    pid_t tid = gettid();
    (void)!write(pipes, &ready, 1);
    (void)!write(pipes, &tid, sizeof(tid));
    (void)!read(pipes, &ready, 1);
    return NULL;
}

static pid_t tid_of_child;

static struct child start(bool thread_only)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        if (thread_only) {
            pthread_t thread;
            pthread_create(&thread, NULL, unshare_and_wait, &pair[1]);
            pthread_join(thread, NULL);
        } else {
            unshare_and_wait(&pair[1]);
        }
        _exit(0);
    }
    close(pair[1]);
    char ready = 0;
    cr_assert_eq(read(pair[0], &ready, 1), 1);
    cr_assert_eq(ready, 'y');
    cr_assert_eq(read(pair[0], &tid_of_child, sizeof(tid_of_child)), (ssize_t)sizeof(tid_of_child));
    return (struct child){.pid = pid, .hold = pair[0]};
}

static void stop(struct child *child)
{
    close(child->hold);
    waitpid(child->pid, NULL, 0);
}

static void expect_namespace(uint32_t pid, uint32_t inum)
{
    unsigned fds = host_open_fds();
    int fd = nns_netns_open_pid(pid, &way);
    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    struct nns_netns_id id = {0};
    cr_assert_eq(nns_netns_identify(fd, &id), 0);
    cr_assert_eq(id.inum, inum);
    cr_assert_eq(host_open_fds(), fds + 1);
    close(fd);
}

Test(netns, probe_knows_its_own)
{
    struct nns_netns_id id = nns_netns_own();
    cr_assert_eq(id.inum, inum_of("/proc/self/ns/net"));
    uint64_t cookie = 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(nns_netns_socket_cookie(fd, &cookie), 0);
    cr_assert_eq(id.cookie, cookie);
    close(fd);
    unsigned fds = host_open_fds();
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    cr_assert_eq(host_open_fds(), fds, "probing twice leaks");
}

/* As on kernels whose fds do not tell it. */
Test(netns, tells_the_cookie_by_going_in)
{
    struct child child = start(false);
    int fd = nns_netns_open_pid((uint32_t)child.pid, &way);
    uint64_t cookie = 0, told = 0;
    int inside = nns_netns_enter(fd, 1);
    cr_assert_eq(nns_netns_socket_cookie(inside, &told), 0);
    nns_netns_leave(inside);

    unsigned fds = host_open_fds();
    cr_assert_eq(nns_netns_cookie(fd, &cookie), 0);
    cr_assert_eq(cookie, told);
    cr_assert_neq(cookie, nns_netns_own().cookie);
    cr_assert_eq(inum_of("/proc/thread-self/ns/net"), nns_netns_own().inum, "it did not come back");
    cr_assert_eq(host_open_fds(), fds);

    struct nns_netns_id id;
    cr_assert_eq(nns_netns_identify_fully(fd, &id), 0);
    cr_assert_eq(id.cookie, told);
    close(fd);
    cr_assert_eq(nns_netns_cookie(-1, &cookie), -EBADF);
    cr_assert_eq(cookie, told);
    stop(&child);
}

Test(netns, opens_a_process)
{
    struct child child = start(false);
    uint32_t inum = inum_of("/proc/%d/ns/net", child.pid);
    cr_assert_neq(inum, nns_netns_own().inum);
    expect_namespace((uint32_t)child.pid, inum);
    cr_assert_eq(way, abilities.pidfd_ioctl ? NNS_NETNS_BY_PIDFD : NNS_NETNS_BY_PROC);
    stop(&child);
}

/* A thread's namespace is its own; its id is no process's. */
Test(netns, opens_a_thread)
{
    struct child child = start(true);
    cr_assert_neq(tid_of_child, child.pid);
    uint32_t inum = inum_of("/proc/%d/task/%d/ns/net", child.pid, tid_of_child);
    cr_assert_neq(inum, inum_of("/proc/%d/ns/net", child.pid));
    expect_namespace((uint32_t)tid_of_child, inum);
    cr_assert_eq(way, abilities.pidfd_thread ? NNS_NETNS_BY_PIDFD : NNS_NETNS_BY_PROC);
    expect_namespace((uint32_t)child.pid, nns_netns_own().inum);
    stop(&child);
}

Test(netns, nobody_and_the_dead_are_gone)
{
    unsigned fds = host_open_fds();
    static const uint32_t never[] = {0, 4294967295u, 2147483648u, 4194305, 4194304};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        cr_assert_eq(nns_netns_open_pid(never[i], &way), -ESRCH, "%u", never[i]);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(nns_netns_open_pid((uint32_t)pid, &way), -ESRCH, "zombie");
    waitpid(pid, NULL, 0);
    cr_assert_eq(nns_netns_open_pid((uint32_t)pid, &way), -ESRCH, "reaped");
    cr_assert_eq(host_open_fds(), fds);
}

Test(netns, what_is_no_network_namespace)
{
    struct nns_netns_id id = {.cookie = 1, .inum = 2};
    int files[] = {
        open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC),
        open("/dev/null", O_RDONLY | O_CLOEXEC),
        open("/", O_RDONLY | O_CLOEXEC),
        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        open("/proc/self/ns/net", O_PATH | O_CLOEXEC),
    };
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(nns_netns_identify(files[i], &id), -EINVAL, "%zu", i);
        close(files[i]);
    }
    cr_assert_lt(nns_netns_identify(files[4], &id), 0);
    cr_assert_eq(nns_netns_identify(-1, &id), -EBADF);
    cr_assert_eq(id.cookie, 1);
    cr_assert_eq(id.inum, 2);
}

/* A FIFO would hold up whoever opens it. */
Test(netns, opens_paths, .timeout = 20)
{
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && touch /mnt/ns /mnt/file && mkfifo "
             "/mnt/fifo");
    struct child child = start(false);
    uint32_t inum = inum_of("/proc/%d/ns/net", child.pid);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", child.pid);
    cr_assert_eq(mount(path, "/mnt/ns", NULL, MS_BIND, NULL), 0);
    stop(&child);
    unsigned fds = host_open_fds();
    int fd = nns_netns_open_path("/mnt/ns");
    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    struct nns_netns_id id;
    cr_assert_eq(nns_netns_identify(fd, &id), 0);
    cr_assert_eq(id.inum, inum);
    close(fd);
    cr_assert_eq(nns_netns_open_path("/mnt/none"), -ENOENT);
    cr_assert_eq(nns_netns_open_path("/mnt/file"), -EINVAL);
    cr_assert_eq(nns_netns_open_path("/mnt/fifo"), -EINVAL);
    cr_assert_eq(nns_netns_open_path("/mnt"), -EINVAL);
    cr_assert_eq(nns_netns_open_path("/proc/self/ns/mnt"), -EINVAL);
    cr_assert_eq(host_open_fds(), fds);
}

/* What mountinfo says of a mount that another lies over is true, but no path leads there. */
Test(netns, opens_what_was_meant)
{
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && touch /mnt/ns /mnt/file");
    struct child child = start(false), other = start(false);
    uint32_t inum = inum_of("/proc/%d/ns/net", child.pid), others = inum_of("/proc/%d/ns/net", other.pid);
    host_run("mount --bind /proc/%d/ns/net /mnt/ns", child.pid);
    unsigned fds = host_open_fds();
    int fd = nns_netns_open_meant("/mnt/ns", inum);
    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    close(fd);
    host_run("mount --bind /proc/%d/ns/net /mnt/ns", other.pid);
    cr_assert_eq(nns_netns_open_meant("/mnt/ns", inum), -ENOENT);
    fd = nns_netns_open_meant("/mnt/ns", others);
    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    close(fd);
    cr_assert_eq(nns_netns_open_meant("/mnt/none", inum), -ENOENT);
    cr_assert_eq(nns_netns_open_meant("/mnt/file", inum_of("/mnt/file")), -ENOENT);
    cr_assert_eq(nns_netns_open_meant("/mnt/file/none", inum), -ENOENT);
    cr_assert_eq(nns_netns_open_meant("/proc/self/ns/mnt", inum_of("/proc/self/ns/mnt")), -ENOENT);
    cr_assert_eq(host_open_fds(), fds);
    stop(&other); /* it has the other end of the first one's pipe */
    stop(&child);
}

/* With a mount namespace of its own, in which /mnt/deep/ns leads to the namespace it is in. */
static void *keep_a_mount(void *fd)
{
    char ready = system("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && mkdir /mnt/deep && touch "
                        "/mnt/deep/ns && mount --bind /proc/self/ns/net /mnt/deep/ns") == 0
                     ? 'y'
                     : 'n';
    (void)!write(*(int *)fd, &ready, 1);
    (void)!read(*(int *)fd, &ready, 1);
    return NULL;
}

static struct child start_with_a_mount(void)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
            keep_a_mount(&pair[1]);
        _exit(0);
    }
    close(pair[1]);
    char ready = 0;
    cr_assert_eq(read(pair[0], &ready, 1), 1);
    cr_assert_eq(ready, 'y');
    return (struct child){.pid = pid, .hold = pair[0]};
}

static void expect_now(uint32_t inum, const char *format, ...)
{
    char path[96];
    va_list list;
    va_start(list, format);
    vsnprintf(path, sizeof(path), format, list);
    va_end(list);
    unsigned fds = host_open_fds();
    int fd = nns_netns_open_meant_now(path, inum);
    cr_assert_geq(fd, 0, "%s: %s", path, strerror(-fd));
    cr_assert_eq(host_open_fds(), fds + 1);
    close(fd);
}

Test(netns, opens_mounts_of_others_without_waiting, .timeout = 20)
{
    struct child child = start_with_a_mount();
    uint32_t inum = inum_of("/proc/%d/ns/net", child.pid);
    expect_now(inum, "/proc/%d/root/mnt/deep/ns", child.pid);
    expect_now(inum, "/proc/%d/task/%d/root/mnt/deep/ns", child.pid, child.pid);
    expect_now(inum, "/proc/%d/ns/net", child.pid);
    char path[96];
    /* Nobody has asked for that name before: the file system would have to be. */
    snprintf(path, sizeof(path), "/proc/%d/root/mnt/deep/none", child.pid);
    cr_expect_eq(nns_netns_open_path_now(path), -EAGAIN);
    snprintf(path, sizeof(path), "/proc/%d/root/mnt/deep", child.pid);
    cr_expect_eq(nns_netns_open_path_now(path), -EINVAL);
    cr_expect_eq(nns_netns_open_path_now("/proc/self/ns/mnt"), -EINVAL);
    cr_expect_eq(nns_netns_open_path_now("/dev/null"), -EINVAL);
    stop(&child);
    cr_expect_eq(nns_netns_open_path_now(path), -ENOENT);
}

/* Nobody serves this one: who asks it for a name waits until it is gone. */
Test(netns, a_file_system_that_does_not_answer_keeps_nobody_waiting, .timeout = 20)
{
    char options[96];
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && mkdir /mnt/deaf");
    int server = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (server < 0)
        cr_skip_test("no file system can be served here");
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
    cr_assert_eq(mount("fuse", "/mnt/deaf", "fuse", 0, options), 0);
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/root/mnt/deaf/ns", getpid());
    cr_expect_eq(nns_netns_open_path_now("/mnt/deaf/ns"), -EAGAIN);
    cr_expect_eq(nns_netns_open_path_now(path), -EAGAIN);
    cr_expect_eq(nns_netns_open_path_now("/mnt/deaf"), -EINVAL);
    close(server);
}

/* As the kernel has it when the task goes after the path was found: it is refused, and gone from then on. */
static struct child *dying;
static bool without_pidfd_ioctl;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_open(const char *path, int flags, ...)
{
    char link[40];
    mode_t mode = 0;
    va_list list;
    va_start(list, flags);
    if (flags & O_CREAT)
        mode = va_arg(list, mode_t);
    va_end(list);
    snprintf(link, sizeof(link), "/proc/%d/ns/net", dying ? dying->pid : 0);
    if (!dying || strcmp(path, link) != 0)
        return __real_open(path, flags, mode);
    stop(dying);
    dying = NULL;
    errno = EACCES;
    return -1;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (without_pidfd_ioctl && request == _IO(0xff, 4)) {
        errno = ENOTTY;
        return -1;
    }
    return __real_ioctl(fd, request, argument);
}

Test(netns, who_dies_while_it_is_opened_is_gone)
{
    without_pidfd_ioctl = true;
    set_up();
    struct child child = start(false);
    dying = &child;
    cr_assert_eq(nns_netns_open_pid((uint32_t)child.pid, &way), -ESRCH);
    cr_assert_null(dying, "nobody opened it");
    child = start(false);
    char path[40];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", child.pid);
    dying = &child;
    cr_assert_eq(nns_netns_open_path(path), -ENOENT);
    cr_assert_null(dying, "nobody opened it");
}

/* As where the kernel denies others' namespaces to whoever asks: those that the caller is in it opens always.
 */
static bool others_denied, deserted_denied;

int __real_open_by_handle_at(int mount, struct file_handle *handle, int flags);
int __wrap_open_by_handle_at(int mount, struct file_handle *handle, int flags);

static uint32_t type_of(const struct file_handle *handle)
{
    uint32_t type;
    memcpy(&type, handle->f_handle + 8, sizeof(type));
    return type;
}

int __wrap_open_by_handle_at(int mount, struct file_handle *handle, int flags)
{
    uint32_t inum;
    memcpy(&inum, handle->f_handle + 12, sizeof(inum));
    bool denied = others_denied || (deserted_denied && type_of(handle) == CLONE_NEWNET);
    if (!denied || inum == inum_of("/proc/thread-self/ns/net") || inum == inum_of("/proc/thread-self/ns/uts"))
        return __real_open_by_handle_at(mount, handle, flags);
    errno = ESTALE;
    return -1;
}

static void skip_without_handles(void)
{
    if (!abilities.open_by_id)
        cr_skip_test("this kernel opens no namespace by its identity");
}

Test(netns, what_opens_only_our_own_is_no_ability)
{
    uint32_t home = inum_of("/proc/thread-self/ns/uts");
    skip_without_handles();
    unsigned fds = host_open_fds();
    others_denied = true;
    set_up();
    cr_assert_not(abilities.open_by_id);
    cr_assert_eq(host_open_fds(), fds - 1, "the witness of before is not needed");
    others_denied = false;
    set_up();
    cr_assert(abilities.open_by_id);
    cr_assert_eq(host_open_fds(), fds);
    cr_assert_eq(inum_of("/proc/thread-self/ns/uts"), home, "it stayed with its witness");
}

/* As from Linux 6.19 on. */
Test(netns, what_opens_only_where_somebody_is_is_no_ability)
{
    skip_without_handles();
    unsigned fds = host_open_fds();
    deserted_denied = true;
    set_up();
    cr_assert_not(abilities.open_by_id);
    cr_assert_eq(host_open_fds(), fds - 1, "nothing is kept of what was tried");
}

/* Everybody is root over the namespaces of a user namespace of his own. */
Test(netns, nobody_else_is_heard)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    socklen_t length = sizeof(address);
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int socket_of_ours = nns_netns_enter(home, 1);
    cr_assert_geq(socket_of_ours, 0);
    cr_assert_eq(getsockname(socket_of_ours, (struct sockaddr *)&address, &length), 0);
    cr_assert_neq(address.nl_pid, 0);
    int stranger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct nlmsghdr forged = {.nlmsg_len = sizeof(forged), .nlmsg_type = NLMSG_DONE};
    cr_assert_lt(sendto(stranger, &forged, sizeof(forged), 0, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(errno, ECONNREFUSED);
    nns_netns_leave(socket_of_ours);
    close(stranger);
    close(home);
}

Test(netns, who_is_denied_is_not_dead)
{
    skip_without_handles();
    struct child child = start(false);
    struct nns_netns_id id;
    int fd = nns_netns_open_pid((uint32_t)child.pid, &way);
    cr_assert_eq(nns_netns_identify(fd, &id), 0);
    close(fd);
    others_denied = true;
    cr_expect_eq(nns_netns_open_id(id), -EACCES);
    cr_expect_not(nns_netns_is_dead(id));
    fd = nns_netns_open_id(nns_netns_own());
    cr_expect_geq(fd, 0);
    close(fd);
    others_denied = false;
    fd = nns_netns_open_id(id);
    cr_expect_geq(fd, 0);
    close(fd);
    stop(&child);
    while ((fd = nns_netns_open_id(id)) >= 0)
        close(fd);
    cr_expect_eq(fd, -ESTALE);
    cr_expect(nns_netns_is_dead(id));
}

static void *as_nobody(void *unused)
{
    (void)unused;
    cr_assert_eq(syscall(SYS_setresuid, 65534, 65534, 65534), 0); /* of this thread alone */
    cr_assert_eq(nns_netns_open_pid(1, &way), -EACCES);
    cr_assert_eq(nns_netns_open_path("/proc/1/ns/net"), -EACCES);
    return NULL;
}

Test(netns, who_is_denied_is_not_gone)
{
    pthread_t thread;
    without_pidfd_ioctl = true;
    set_up();
    cr_assert_eq(pthread_create(&thread, NULL, as_nobody, NULL), 0);
    pthread_join(thread, NULL);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);
    cr_assert_eq(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

Test(netns, enters_and_leaves)
{
    struct child child = start(false);
    uint32_t inum = inum_of("/proc/%d/ns/net", child.pid), own = inum_of("/proc/thread-self/ns/net");
    int fd = nns_netns_open_pid((uint32_t)child.pid, &way);
    unsigned fds = host_open_fds();
    int few = nns_netns_enter(fd, 8);
    cr_assert_geq(few, 0);
    cr_assert_eq(inum_of("/proc/thread-self/ns/net"), inum);
    uint64_t cookie = 0;
    struct nns_netns_id id;
    cr_assert_eq(nns_netns_socket_cookie(few, &cookie), 0);
    cr_assert_eq(nns_netns_identify(fd, &id), 0);
    cr_assert_neq(cookie, nns_netns_own().cookie);
    if (abilities.ns_get_id)
        cr_assert_eq(id.cookie, cookie);
    cr_assert_eq(option(few, SOL_NETLINK, NETLINK_GET_STRICT_CHK), 1);
    cr_assert_eq(option(few, SOL_NETLINK, NETLINK_CAP_ACK), 1);
    nns_netns_leave(few);
    cr_assert_eq(inum_of("/proc/thread-self/ns/net"), own);
    cr_assert_eq(host_open_fds(), fds);
    int many = nns_netns_enter(fd, 4000);
    cr_assert_geq(many, 0);
    cr_assert_geq(option(many, SOL_SOCKET, SO_RCVBUF), 4000 * 768);
    nns_netns_leave(many);
    cr_assert_eq(inum_of("/proc/thread-self/ns/net"), own);
    close(fd);
    stop(&child);
}

/* As many errors as were announced fit. */
Test(netns, announced_answers_fit)
{
    enum { MOST = 3000 };
    static struct {
        struct nlmsghdr head;
        struct tcmsg message;
    } requests[MOST];
    for (int i = 0; i < MOST; i++) {
        requests[i].head = (struct nlmsghdr){.nlmsg_len = sizeof(requests[i]), .nlmsg_type = RTM_DELQDISC};
        requests[i].head.nlmsg_flags = NLM_F_REQUEST;
        requests[i].message.tcm_ifindex = 1;
        requests[i].message.tcm_parent = 77;
    }
    static const unsigned announced[] = {128, 129, MOST};
    int own = nns_netns_open_pid((uint32_t)getpid(), &way);
    for (size_t k = 0; k < 3; k++) {
        int fd = nns_netns_enter(own, announced[k]);
        cr_assert_gt(send(fd, requests, announced[k] * sizeof(requests[0]), 0), 0);
        char answer[1024];
        for (unsigned i = 0; i < announced[k]; i++)
            cr_assert_gt(recv(fd, answer, sizeof(answer), MSG_DONTWAIT), 0, "%u of %u: %s", i, announced[k],
                         strerror(errno));
        nns_netns_leave(fd);
    }
    close(own);
}

Test(netns, a_failed_enter_stays_home)
{
    uint32_t own = inum_of("/proc/thread-self/ns/net");
    unsigned fds = host_open_fds();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(nns_netns_enter(null, 1), -EINVAL);
    cr_assert_eq(nns_netns_enter(-1, 1), -EBADF);
    close(null);
    struct child child = start(false);
    int fd = nns_netns_open_pid((uint32_t)child.pid, &way);
    struct rlimit before, none = {.rlim_cur = 3};
    getrlimit(RLIMIT_NOFILE, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    int r = nns_netns_enter(fd, 1);
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert_eq(r, -EMFILE);
    cr_assert_eq(inum_of("/proc/thread-self/ns/net"), own);
    close(fd);
    stop(&child);
    nns_netns_leave(-1);
    cr_assert_eq(inum_of("/proc/thread-self/ns/net"), own);
    cr_assert_eq(host_open_fds(), fds);
}

Test(netns, no_way_home_ends_the_process)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = nns_netns_open_pid((uint32_t)getpid(), &way);
        int socket = nns_netns_enter(fd, 1);
        if (unshare(CLONE_NEWUSER) < 0) /* no right over the old namespace any more */
            _exit(7);
        freopen("/dev/null", "w", stderr);
        nns_netns_leave(socket);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", status);
}

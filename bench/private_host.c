/* SPDX-License-Identifier: Apache-2.0 */
#include "private_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mountinfo.h"
#include "report.h"
#include "rtnl.h"

/* What is asked for, and what the kernel has to show for it afterwards. */
enum { NETWORK };
static const struct {
    int flag;
    const char *path;
} kinds[] = {[NETWORK] = {CLONE_NEWNET, "/proc/self/ns/net"},
             {CLONE_NEWNS, "/proc/self/ns/mnt"},
             {CLONE_NEWPID, "/proc/self/ns/pid"},
             {CLONE_NEWIPC, "/proc/self/ns/ipc"}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Looks at the mounts until none of a network namespace is left: several may lie on one another. */
#define LOOKS_MAX 64u

static int home = -1;
static uint32_t outside_inum;
static bool outside_opens;

int bench_home(void)
{
    return home;
}

uint32_t bench_outside(void)
{
    return outside_inum;
}

bool bench_outside_opens(void)
{
    return outside_opens;
}

void bench_go_home(void)
{
    if (setns(home, CLONE_NEWNET)) {
        bench_error(-errno, "returning to the private host");
        abort(); /* what would follow would touch the wrong namespace */
    }
}

static _Noreturn void wait_and_exit(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            exit(1);
    if (WIFSIGNALED(status))
        fprintf(stderr, "netnsync-bench: killed by signal %d\n", WTERMSIG(status));
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static bool opens_namespace(const char *path)
{
    struct statfs file;
    int fd = open(path, O_PATH | O_CLOEXEC);
    bool opens = fd >= 0 && fstatfs(fd, &file) == 0 && file.f_type == NSFS_MAGIC;

    if (fd >= 0)
        close(fd);
    return opens;
}

/* One look at the mounts. How many network namespaces could be opened, or -errno. One that lies under another
 * mount cannot be reached, by the daemon neither. */
static int detach_namespaces(void)
{
    struct nns_namespace_mount mount;
    char *line = NULL;
    size_t size = 0;
    int found = 0;
    FILE *in = fopen("/proc/self/mountinfo", "re");

    if (!in)
        return -errno;
    while (getline(&line, &size, in) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (!nns_mountinfo_parse(line, &mount) || !opens_namespace(mount.path))
            continue;
        found++;
        if (umount2(mount.path, MNT_DETACH))
            bench_error(-errno, "%s", mount.path);
    }
    free(line);
    fclose(in);
    return found;
}

/* The copy of the host's mounts has its bind-mounted network namespaces, wherever they are, and a daemon that
 * discovers would open them and attach to devices that the bench did not make. */
static int leave_foreign_namespaces(void)
{
    int found = 1;

    for (unsigned look = 0; look < LOOKS_MAX && found > 0; look++)
        found = detach_namespaces();
    if (found < 0)
        return bench_error(found, "/proc/self/mountinfo");
    return found ? bench_error(-EPERM, "other network namespaces are mounted here: refusing to run") : 0;
}

static int mount_private(void)
{
    int result;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return bench_error(-errno, "making mounts private");
    result = leave_foreign_namespaces();
    if (result)
        return result;
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return bench_error(-errno, "mounting /proc");
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m"))
        return bench_error(-errno, "mounting an empty /run");
    return 0;
}

static int look(struct stat namespaces[KINDS])
{
    for (size_t i = 0; i < KINDS; i++)
        if (stat(kinds[i].path, &namespaces[i]))
            return bench_error(-errno, "%s", kinds[i].path);
    return 0;
}

/* The proof, asked of the kernel, that none of these is a namespace the bench was started in. Before anything
 * is done in them, or it would be done to the real host. */
static int check_private(const struct stat outside[KINDS])
{
    struct stat now[KINDS];
    int result = look(now);

    for (size_t i = 0; i < KINDS && result == 0; i++) {
        const struct stat *before = &outside[i];

        if (before->st_dev == now[i].st_dev && before->st_ino == now[i].st_ino)
            result = bench_error(-EPERM, "%s is the real host's: refusing to run", kinds[i].path);
    }
    if (result == 0 && getpid() != 1)
        result = bench_error(-EPERM, "this is not the first process of a private host: refusing to run");
    return result;
}

/* Some kernels put tunnels of their own into every network namespace: devices that the bench did not make,
 * where it counts on the ones it did. */
static int check_bare(void)
{
    unsigned links = 0;
    int socket = bench_rtnl_open();
    int result = socket < 0 ? socket : bench_rtnl_count_links(socket, &links);

    if (socket >= 0)
        close(socket);
    if (result)
        return bench_error(result, "listing the private host's devices");
    return links == 1 ? 0
                      : bench_error(-EPERM,
                                    "a new network namespace has %u devices here, not loopback alone "
                                    "(sysctl net.core.fb_tunnels_only_for_init_net=1?): refusing to run",
                                    links);
}

/* By its handle, from in here. */
static bool opens(int netns)
{
    union {
        struct file_handle head;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount, fd;

    if (name_to_handle_at(netns, "", &handle.head, &mount, AT_EMPTY_PATH))
        return false; /* before 6.18 these files have no handles */
    fd = open_by_handle_at(home, &handle.head, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int settle_in(int started_in, const struct stat outside[KINDS])
{
    int result;

    /* Pid 1 of a pid namespace takes everybody in it along, and a bench that is interrupted takes pid 1. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        return bench_error(-errno, "prctl");
    result = check_private(outside);
    if (result == 0)
        result = mount_private();
    if (result == 0)
        result = check_bare();
    if (result)
        return result;
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return bench_error(-errno, "opening /proc/self/ns/net");
    outside_inum = (uint32_t)outside[NETWORK].st_ino;
    outside_opens = opens(started_in);
    return 0;
}

static int make(void)
{
    int flags = 0;

    for (size_t i = 0; i < KINDS; i++)
        flags |= kinds[i].flag;
    return unshare(flags) ? bench_error(-errno, "making a private host (root is needed)") : 0;
}

/* The inum of the namespace it was started in stays its own only as long as somebody keeps that: the process
 * that waits, outside. */
int bench_private_host_enter(void)
{
    int started_in = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    struct stat outside[KINDS];
    int result = started_in < 0 ? bench_error(-errno, "opening /proc/self/ns/net") : look(outside);
    pid_t child;

    if (result == 0)
        result = make();
    if (result)
        return result;
    child = fork();
    if (child < 0)
        return bench_error(-errno, "fork");
    if (child > 0)
        wait_and_exit(child);
    result = settle_in(started_in, outside);
    close(started_in);
    return result;
}

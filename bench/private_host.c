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

/* Looks at the mounts until none of a network namespace is left: several may lie on one another. */
#define LOOKS_MAX 64u

static int home = -1;

int bench_home(void)
{
    return home;
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

/* The proof, asked of the kernel, that this is not the network namespace the bench was started in. */
static int check_private(int started_in)
{
    struct stat before, now;

    if (fstat(started_in, &before) || fstat(home, &now))
        return bench_error(-errno, "comparing network namespaces");
    if (getpid() != 1 || (before.st_dev == now.st_dev && before.st_ino == now.st_ino))
        return bench_error(-EPERM, "this is not a private host: refusing to run");
    return 0;
}

static int settle_in(int started_in)
{
    int result;

    /* Pid 1 of a pid namespace takes everybody in it along, and a bench that is interrupted takes pid 1. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        return bench_error(-errno, "prctl");
    result = mount_private();
    if (result)
        return result;
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return bench_error(-errno, "opening /proc/self/ns/net");
    return check_private(started_in);
}

int bench_private_host_enter(void)
{
    int started_in = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int result;
    pid_t child;

    if (started_in < 0)
        return bench_error(-errno, "opening /proc/self/ns/net");
    if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC))
        return bench_error(-errno, "making a private host (root is needed)");
    child = fork();
    if (child < 0)
        return bench_error(-errno, "fork");
    if (child > 0)
        wait_and_exit(child);
    result = settle_in(started_in);
    close(started_in);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault [--control SOCKET] [--counts FILE] SITE[=FAULT]... -- COMMAND [ARGUMENT...]: runs COMMAND with some
 * of its system calls failing now and then, and counts how often. deny, its sibling, has calls fail always.
 *
 * SITE is SYSCALL[@INDEX][:VALUE], as in rule.h, or SYSCALL~TEXT: the first argument is a descriptor that
 * /proc/PID/fd says leads to something with TEXT in its name, or SYSCALL!NUMBER: the second points to a file
 * handle that does not begin with this 64-bit NUMBER, as that of the namespace with this cookie does. A site
 * without a FAULT is only counted.
 *
 * FAULT is ERRNO, for every call, or
 *     ERRNO/N    every N-th call
 *     ERRNO#N    the N-th call alone
 *     ERRNO+N    the N-th call and all after it
 *     ERRNO%P,S  P calls of a hundred, which ones decided by the seed S
 * or PASS: the calls go on, whatever sites that stand later say.
 * A call that fails is not made at all: ENOBUFS of a recv loses no message. Of several sites that a call
 * belongs to each counts it, and the first whose fault is due decides.
 *
 * SOCKET (SOCK_SEQPACKET, one message a connection) changes faults while COMMAND runs. A message is a list of
 * words: SITE=FAULT, of a site that stands in the command line, sets its only fault and counts from 0 again;
 * "off" takes all faults away and counts from 0; "counts" changes nothing. The answer holds a line "SITE SEEN
 * FIRED" for each site as it was before the message, or "error" and the word that cannot be meant. From the
 * answer on the change holds. The same lines go to FILE at the end.
 *
 * How: a seccomp filter hands the calls of the sites, and no other, to this process (user notification, Linux
 * 5.5), which answers with an errno or has the kernel go on. Threads and children inherit the filter; when
 * COMMAND ends, whoever still has it is refused those calls with ENOSYS.
 * Exit status: COMMAND's, 128 + N when signal N ended it; 125 and 127 as with deny.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rule.h"

#define STATUS_REFUSED    125
#define STATUS_NO_COMMAND 127
#define STATUS_SIGNALLED  128
#define MESSAGE_MAX       65536
#define CONTROL_SECONDS   5 /* that a client may take to say what it wants */

enum when { WHEN_ALWAYS, WHEN_EVERY, WHEN_ONLY, WHEN_FROM, WHEN_CHANCE };

struct fault {
    enum { FAULT_NONE, FAULT_PASS, FAULT_ERROR } kind;
    int error;
    enum when when;
    unsigned long number, seed;
};

struct site {
    char *name;           /* as on the command line, less the fault */
    char *link;           /* TEXT of SYSCALL~TEXT, or NULL */
    unsigned long spared; /* NUMBER of SYSCALL!NUMBER, or 0 */
    struct rule_place place;
    struct fault fault;
    unsigned long seen, fired;
};

static struct {
    struct site *sites;
    size_t count;
    int listener, control, child; /* descriptors; control -1 without one, child a pidfd */
    struct seccomp_notif *request;
    struct seccomp_notif_resp *response;
} supervisor = {.listener = -1, .control = -1, .child = -1};

/* ---- rules ---- */

static int parse_numbers(enum when when, char *text, struct fault *fault)
{
    char *seed = when == WHEN_CHANCE ? rule_cut(text, ',') : NULL;

    if (rule_parse_number(text, when == WHEN_CHANCE ? 100 : ULONG_MAX, &fault->number) < 0 || !fault->number)
        return -EINVAL;
    if (when == WHEN_CHANCE && (!seed || rule_parse_number(seed, ULONG_MAX, &fault->seed) < 0))
        return -EINVAL;
    fault->when = when;
    return 0;
}

static int parse_fault(char *text, struct fault *out)
{
    static const char marks[] = {
        [WHEN_EVERY] = '/', [WHEN_ONLY] = '#', [WHEN_FROM] = '+', [WHEN_CHANCE] = '%'};
    struct fault fault = {.kind = FAULT_ERROR};
    char *numbers = NULL;
    enum when when = WHEN_ALWAYS;

    for (enum when mark = WHEN_EVERY; mark <= WHEN_CHANCE && !numbers; mark++) {
        numbers = rule_cut(text, marks[mark]);
        when = numbers ? mark : WHEN_ALWAYS;
    }
    if (strcmp(text, "PASS") == 0)
        fault.kind = FAULT_PASS;
    else if (rule_parse_errno(text, &fault.error) < 0)
        return -EINVAL;
    if (numbers && parse_numbers(when, numbers, &fault) < 0)
        return -EINVAL;
    *out = fault;
    return 0;
}

static int parse_site(char *text, struct site *site)
{
    char *link = strchr(text, '~'), *spared;

    site->name = strdup(text);
    spared = link ? NULL : rule_cut(text, '!');
    if (spared && (rule_parse_number(spared, ULONG_MAX, &site->spared) < 0 || !site->spared))
        return -EINVAL;
    if (link) {
        *link++ = '\0';
        site->link = strdup(link);
    }
    if (!site->name || (link && !site->link))
        return -ENOMEM;
    if (link && (!*link || strpbrk(text, "@:")))
        return -EINVAL;
    return rule_parse_place(text, &site->place);
}

static int add_site(scmp_filter_ctx filter, char *text)
{
    struct site *site = &supervisor.sites[supervisor.count];
    char *fault = rule_cut(text, '=');
    int r = parse_site(text, site);

    if (r == 0 && fault)
        r = parse_fault(fault, &site->fault);
    if (r == 0)
        r = rule_add(filter, &site->place, SCMP_ACT_NOTIFY);
    supervisor.count++;
    return r == -EEXIST ? 0 : r; /* several may wait for the same call */
}

static int add_sites(scmp_filter_ctx filter, char **texts, char **end)
{
    /* no_new_privs would change more than what was asked for, and root needs none to load a filter. */
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);

    for (; r == 0 && texts < end; texts++) {
        char *shown = strdup(*texts);
        r = shown ? add_site(filter, *texts) : -ENOMEM;
        if (r < 0)
            fprintf(stderr, "fault: rule '%s': %s\n", shown ? shown : "", strerror(-r));
        free(shown);
    }
    return r;
}

static struct site *find_site(const char *name)
{
    for (size_t i = 0; i < supervisor.count; i++)
        if (strcmp(supervisor.sites[i].name, name) == 0)
            return &supervisor.sites[i];
    return NULL;
}

/* ---- deciding ---- */

/* Spreads a number over 64 bits, the same every time (Steele, Lea and Flood's SplitMix64). */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool is_due(const struct fault *fault, unsigned long call)
{
    switch (fault->when) {
    case WHEN_EVERY:
        return call % fault->number == 0;
    case WHEN_ONLY:
        return call == fault->number;
    case WHEN_FROM:
        return call >= fault->number;
    case WHEN_CHANCE:
        return mix(mix(fault->seed) + call) % 100 < fault->number;
    default:
        return true;
    }
}

/* The caller waits in the kernel: what its descriptor leads to is what the call would have acted on. */
static bool leads_to(const struct seccomp_notif *request, const char *text)
{
    char path[64], link[PATH_MAX];

    snprintf(path, sizeof(path), "/proc/%u/fd/%d", request->pid, (int)request->data.args[0]);
    ssize_t length = readlink(path, link, sizeof(link) - 1);
    if (length < 0)
        return false;
    link[length] = '\0';
    return strstr(link, text) != NULL;
}

/* Where the handle cannot be read the call would not have succeeded either. */
static bool spares(const struct seccomp_notif *request, unsigned long number)
{
    uint64_t beginning = 0;
    struct iovec here = {&beginning, sizeof(beginning)};
    struct iovec there = {(void *)(request->data.args[1] + offsetof(struct file_handle, f_handle)),
                          here.iov_len};

    return process_vm_readv((pid_t)request->pid, &here, 1, &there, 1, 0) == (ssize_t)here.iov_len &&
           beginning == number;
}

static bool belongs(const struct site *site, const struct seccomp_notif *request)
{
    const struct rule_place *place = &site->place;

    if (request->data.nr != place->syscall)
        return false;
    if (place->has_value && (uint32_t)request->data.args[place->index] != place->value)
        return false;
    if (site->spared)
        return !spares(request, site->spared);
    return !site->link || leads_to(request, site->link);
}

/* The errno the call fails with, 0 when it is to go on. */
static int decide(const struct seccomp_notif *request)
{
    struct site *first = NULL;

    for (size_t i = 0; i < supervisor.count; i++) {
        struct site *site = &supervisor.sites[i];
        if (!belongs(site, request))
            continue;
        site->seen++;
        if (!first && site->fault.kind && is_due(&site->fault, site->seen))
            first = site;
    }
    if (!first)
        return 0;
    first->fired++;
    return first->fault.error;
}

static void serve_call(void)
{
    /* The caller may have been killed between our being told and our asking. */
    memset(supervisor.request, 0, sizeof(*supervisor.request));
    if (seccomp_notify_receive(supervisor.listener, supervisor.request) < 0)
        return;
    int error = decide(supervisor.request);
    supervisor.response->id = supervisor.request->id;
    supervisor.response->val = 0;
    supervisor.response->error = -error;
    supervisor.response->flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    seccomp_notify_respond(supervisor.listener, supervisor.response);
}

/* ---- control ---- */

static void print_counts(FILE *file)
{
    for (size_t i = 0; i < supervisor.count; i++) {
        const struct site *site = &supervisor.sites[i];
        fprintf(file, "%s %lu %lu\n", site->name, site->seen, site->fired);
    }
}

static void take_all_away(void)
{
    for (size_t i = 0; i < supervisor.count; i++) {
        supervisor.sites[i].fault = (struct fault){0};
        supervisor.sites[i].seen = supervisor.sites[i].fired = 0;
    }
}

static int obey(char *word)
{
    if (strcmp(word, "off") == 0) {
        take_all_away();
        return 0;
    }
    if (strcmp(word, "counts") == 0)
        return 0;
    char *text = rule_cut(word, '=');
    struct site *site = find_site(word);
    if (!site || !text || parse_fault(text, &site->fault) < 0)
        return -EINVAL;
    site->seen = site->fired = 0;
    return 0;
}

static void answer(char *message, FILE *file)
{
    print_counts(file);
    for (char *word = strtok(message, " \n"); word; word = strtok(NULL, " \n")) {
        if (obey(word) < 0) {
            rewind(file);
            fprintf(file, "error %s\n", word);
            return;
        }
    }
}

static void serve_control(void)
{
    static char message[MESSAGE_MAX];
    struct timeval patience = {.tv_sec = CONTROL_SECONDS};
    char *text = NULL;
    size_t size = 0;
    int client = accept4(supervisor.control, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0)
        return;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ssize_t length = recv(client, message, sizeof(message) - 1, 0);
    FILE *file = length > 0 ? open_memstream(&text, &size) : NULL;
    if (file) {
        message[length] = '\0';
        answer(message, file);
        off_t end = ftello(file);
        fclose(file);
        send(client, text, (size_t)end, MSG_NOSIGNAL);
    }
    free(text);
    close(client);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
        return -errno;
    supervisor.control = fd;
    return 0;
}

/* ---- the command ---- */

/* The filter as the kernel takes it. libseccomp would load it, too, but go on with system calls of its own
 * afterwards, on which it would then wait for us. */
static int export_filter(scmp_filter_ctx filter, struct sock_fprog *program)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    struct stat status;

    if (fd < 0)
        return -errno;
    int r = seccomp_export_bpf(filter, fd);
    if (r == 0 && fstat(fd, &status) < 0)
        r = -errno;
    if (r < 0)
        return r;
    program->len = (unsigned short)((size_t)status.st_size / sizeof(struct sock_filter));
    program->filter = malloc((size_t)status.st_size);
    if (!program->filter)
        return -ENOMEM;
    ssize_t length = pread(fd, program->filter, (size_t)status.st_size, 0);
    close(fd);
    return length == status.st_size ? 0 : -EIO;
}

/* The child: its first call that the filter knows already waits for the parent. */
static _Noreturn void run_command(char **command, const struct sock_fprog *program, atomic_int *listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
    atomic_store(listener, fd < 0 ? -errno : fd);
    if (fd < 0)
        _exit(STATUS_REFUSED);
    execvp(*command, command);
    fprintf(stderr, "fault: %s: %s\n", *command, strerror(errno));
    _exit(STATUS_NO_COMMAND);
}

/* A short command may have before we get to look; its status is for later. */
static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == pid;
}

/*
 * With one table of descriptors for both until COMMAND's exec: so the child's listener is ours without its
 * having to send it. Returns the child's pid, or -errno.
 */
static pid_t start_command(char **command, const struct sock_fprog *program)
{
    enum { NOTHING_YET = INT_MIN };
    atomic_int *listener =
        mmap(NULL, sizeof(*listener), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (listener == MAP_FAILED)
        return -errno;
    atomic_init(listener, NOTHING_YET);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        run_command(command, program, listener);
    if (pid < 0)
        return -errno;
    supervisor.child = (int)syscall(SYS_pidfd_open, pid, 0);
    if (supervisor.child < 0)
        return -errno;
    while (atomic_load(listener) == NOTHING_YET && !has_ended(pid))
        sched_yield();
    supervisor.listener = atomic_load(listener);
    if (supervisor.listener < 0)
        return supervisor.listener == NOTHING_YET ? -ECHILD : supervisor.listener;
    return pid;
}

/* Until the command has ended. */
static void supervise(void)
{
    struct pollfd polled[] = {
        {.fd = supervisor.listener, .events = POLLIN},
        {.fd = supervisor.control, .events = POLLIN},
        {.fd = supervisor.child, .events = POLLIN},
    };

    while (!polled[2].revents) {
        if (poll(polled, 3, -1) < 0 && errno != EINTR)
            return;
        if (polled[0].revents & POLLIN)
            serve_call();
        if (polled[1].revents & POLLIN)
            serve_control();
    }
}

static int report(const char *path)
{
    FILE *file = path ? fopen(path, "we") : NULL;

    if (file)
        print_counts(file);
    return file && fclose(file) == 0 ? 0 : path ? -EIO : 0;
}

static int run(scmp_filter_ctx filter, char **command, const char *counts)
{
    struct sock_fprog program;
    int status = 0, r = export_filter(filter, &program);

    seccomp_release(filter);
    if (r == 0)
        r = seccomp_notify_alloc(&supervisor.request, &supervisor.response);
    if (r < 0) {
        fprintf(stderr, "fault: cannot make the filter: %s\n", strerror(-r));
        return STATUS_REFUSED;
    }
    pid_t pid = start_command(command, &program);
    if (pid < 0) {
        fprintf(stderr, "fault: the kernel refused the filter: %s\n", strerror(-pid));
        return STATUS_REFUSED;
    }
    supervise();
    waitpid(pid, &status, 0);
    if (report(counts) < 0)
        fprintf(stderr, "fault: cannot write %s\n", counts);
    return WIFSIGNALED(status) ? STATUS_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The arguments before the sites. Returns the first site; NULL when one lacks its value. */
static char **take_options(char **argv, const char **control, const char **counts)
{
    char **at = argv + 1;

    for (; *at && (strcmp(*at, "--control") == 0 || strcmp(*at, "--counts") == 0); at += 2) {
        if (!at[1])
            return NULL;
        *(strcmp(*at, "--control") == 0 ? control : counts) = at[1];
    }
    return at;
}

int main(int argc, char **argv)
{
    const char *control = NULL, *counts = NULL;
    char **command = rule_command(argv), **sites = take_options(argv, &control, &counts);

    if (!command || !*command || !sites || sites >= command - 1) {
        fprintf(stderr, "usage: fault [--control SOCKET] [--counts FILE] SYSCALL[@INDEX][:VALUE][=FAULT]..."
                        " -- COMMAND [ARGUMENT...]\n");
        return STATUS_REFUSED;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    supervisor.sites = calloc((size_t)argc, sizeof(*supervisor.sites));
    if (!filter || !supervisor.sites) {
        fprintf(stderr, "fault: out of memory\n");
        return STATUS_REFUSED;
    }
    int r = control ? listen_at(control) : 0;
    if (r < 0)
        fprintf(stderr, "fault: %s: %s\n", control, strerror(-r));
    if (r < 0 || add_sites(filter, sites, command - 1) < 0)
        return STATUS_REFUSED;
    return run(filter, command, counts);
}

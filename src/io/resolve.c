/* SPDX-License-Identifier: Apache-2.0 */
#include "io/resolve.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/resolve.h"
#include "core/log.h"
#include "resolve.skel.h"

/* Younger than the oldest headers we build with. */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* The inum of the first pid namespace, the same on every host (PROC_PID_INIT_INO). */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCu

struct nns_resolver {
    struct resolve_bpf *skeleton;
    struct nns_resolve_slot *slots; /* one a worker: only that worker's thread touches it */
    unsigned workers;
    int program; /* borrowed from the skeleton */
};

/* Our callers are given the program's answers where they stand. */
_Static_assert(sizeof(struct nns_resolved) == sizeof(struct nns_resolve_answer), "one layout");
_Static_assert(offsetof(struct nns_resolved, cookie) == offsetof(struct nns_resolve_answer, cookie),
               "one layout");
_Static_assert(offsetof(struct nns_resolved, inum) == offsetof(struct nns_resolve_answer, inum),
               "one layout");
_Static_assert(NNS_RESOLVE_MAX == NNS_RESOLVE_SLOT_PIDS, "one size");

/* Another thread may load programs meanwhile, and what libbpf says of those is to be heard. */
static _Thread_local bool loading;
static _Atomic(libbpf_print_fn_t) print_others;

/* A kernel without these functions is no fault of anybody, however loudly libbpf shows the verifier's log. */
static int murmur(enum libbpf_print_level level, const char *format, va_list arguments)
{
    libbpf_print_fn_t others = print_others;
    char text[512];
    int length;

    if (!loading)
        return others ? others(level, format, arguments) : 0;
    length = vsnprintf(text, sizeof(text), format, arguments);
    if (length > 0 && (size_t)length < sizeof(text) && text[length - 1] == '\n')
        text[length - 1] = '\0';
    nns_debug("libbpf: %s", text);
    return length;
}

static size_t slots_size(unsigned workers)
{
    return workers * sizeof(struct nns_resolve_slot);
}

static void unload(struct nns_resolver *resolver)
{
    if (resolver->slots)
        munmap(resolver->slots, slots_size(resolver->workers));
    resolver->slots = NULL;
    resolve_bpf__destroy(resolver->skeleton);
    resolver->skeleton = NULL;
}

static int map_slots(struct nns_resolver *resolver)
{
    int fd = bpf_map__fd(resolver->skeleton->maps.nns_resolve_slots);
    void *slots = mmap(NULL, slots_size(resolver->workers), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (slots == MAP_FAILED)
        return -errno;
    resolver->slots = slots;
    return 0;
}

static int load(struct nns_resolver *resolver, bool initial)
{
    struct resolve_bpf *skeleton = resolve_bpf__open();
    struct bpf_program *program;
    int rc;

    if (!skeleton)
        return -errno;
    resolver->skeleton = skeleton;
    program = initial ? skeleton->progs.nns_resolve_pid : skeleton->progs.nns_resolve_vpid;
    bpf_program__set_autoload(skeleton->progs.nns_resolve_pid, initial);
    bpf_program__set_autoload(skeleton->progs.nns_resolve_vpid, !initial);
    rc = bpf_map__set_max_entries(skeleton->maps.nns_resolve_slots, resolver->workers);
    if (!rc)
        rc = resolve_bpf__load(skeleton);
    if (!rc)
        rc = map_slots(resolver);
    if (rc) {
        unload(resolver);
        return rc;
    }
    resolver->program = bpf_program__fd(program);
    return 0;
}

static int cookie_of_here(uint64_t *cookie)
{
    socklen_t length = sizeof(*cookie);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = 0;

    if (fd < 0)
        return -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* Ask for the one answer we know: this thread's. */
static int try(struct nns_resolver *resolver)
{
    uint32_t own = (uint32_t)gettid();
    const struct nns_resolved *resolved;
    uint64_t cookie;
    int rc = cookie_of_here(&cookie);

    if (rc)
        return rc;
    resolved = nns_resolve(resolver, 0, &own, 1);
    if (!resolved)
        return -errno;
    return resolved->cookie == cookie ? 0 : -EOPNOTSUPP;
}

static int load_and_try(struct nns_resolver *resolver, bool initial)
{
    int rc = load(resolver, initial);

    if (rc)
        return rc;
    rc = try(resolver);
    if (rc)
        unload(resolver);
    return rc;
}

/* Elsewhere the initial namespace's pids are other processes', ours included. */
static bool in_initial_pid_namespace(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == INITIAL_PID_NAMESPACE;
}

/* Refused for what we are or have, not for what the kernel is: another program would fare no better. */
static bool is_refusal(int error)
{
    return error == -EPERM || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static int find_way(struct nns_resolver *resolver)
{
    int rc = load_and_try(resolver, false);

    if (rc && !is_refusal(rc) && in_initial_pid_namespace())
        rc = load_and_try(resolver, true);
    /* Functions and fields that are not there have many errors: libbpf's, the verifier's and our own. */
    return !rc || is_refusal(rc) ? rc : -EOPNOTSUPP;
}

int nns_resolver_open(unsigned workers, struct nns_resolver **out)
{
    struct nns_resolver *resolver;
    int rc;

    if (!workers)
        return -EINVAL;
    resolver = calloc(1, sizeof(*resolver));
    if (!resolver)
        return -ENOMEM;
    resolver->workers = workers;
    loading = true;
    print_others = libbpf_set_print(murmur);
    rc = find_way(resolver);
    libbpf_set_print(print_others);
    loading = false;
    if (rc) {
        nns_resolver_close(resolver);
        return rc;
    }
    *out = resolver;
    return 0;
}

void nns_resolver_close(struct nns_resolver *resolver)
{
    if (!resolver)
        return;
    unload(resolver);
    free(resolver);
}

static int run(const struct nns_resolver *resolver, struct nns_resolve_call call)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &call, .ctx_size_in = sizeof(call));
    int rc = bpf_prog_test_run_opts(resolver->program, &options);

    return rc ? rc : (int)options.retval;
}

const struct nns_resolved *nns_resolve(struct nns_resolver *resolver, unsigned worker, const uint32_t *pids,
                                       size_t count)
{
    struct nns_resolve_slot *slot;
    int rc = 0;

    if (worker >= resolver->workers || count > NNS_RESOLVE_MAX) {
        errno = EINVAL;
        return NULL;
    }
    slot = &resolver->slots[worker];
    if (count) {
        memcpy(slot->pids, pids, count * sizeof(*pids));
        rc = run(resolver, (struct nns_resolve_call){.worker = worker, .count = (uint32_t)count});
    }
    if (rc) {
        errno = -rc;
        return NULL;
    }
    return (const struct nns_resolved *)slot->answers;
}

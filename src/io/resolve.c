/* SPDX-License-Identifier: Apache-2.0 */
#include "io/resolve.h"

#include <errno.h>
#include <fcntl.h>
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
    struct nns_list_slot *listed;   /* NULL: devices cannot be listed */
    unsigned workers;
    int program; /* borrowed from the skeleton, as the next */
    int list;
};

/* Our callers are given the program's answers where they stand. */
_Static_assert(sizeof(struct nns_resolved) == sizeof(struct nns_resolve_answer), "one layout");
_Static_assert(offsetof(struct nns_resolved, cookie) == offsetof(struct nns_resolve_answer, cookie),
               "one layout");
_Static_assert(offsetof(struct nns_resolved, inum) == offsetof(struct nns_resolve_answer, inum),
               "one layout");
_Static_assert(NNS_RESOLVE_MAX == NNS_RESOLVE_SLOT_PIDS, "one size");
_Static_assert(NNS_LIST_NAME == IFNAMSIZ, "one size");
_Static_assert(NNS_LIST_DEVICES == NNS_RESOLVER_DEVICES_MAX, "one size");

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

static void unmap_listed(struct nns_resolver *resolver)
{
    if (resolver->listed)
        munmap(resolver->listed, sizeof(*resolver->listed));
    resolver->listed = NULL;
}

static void unload(struct nns_resolver *resolver)
{
    if (resolver->slots)
        munmap(resolver->slots, slots_size(resolver->workers));
    resolver->slots = NULL;
    unmap_listed(resolver);
    resolve_bpf__destroy(resolver->skeleton);
    resolver->skeleton = NULL;
}

static int map_into(struct bpf_map *map, size_t size, void **out)
{
    void *slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

    if (slots == MAP_FAILED)
        return -errno;
    *out = slots;
    return 0;
}

static int map_slots(struct nns_resolver *resolver, bool lists)
{
    struct resolve_bpf *skeleton = resolver->skeleton;
    int rc =
        map_into(skeleton->maps.nns_resolve_slots, slots_size(resolver->workers), (void **)&resolver->slots);

    if (!rc && lists)
        rc = map_into(skeleton->maps.nns_list_slots, sizeof(*resolver->listed), (void **)&resolver->listed);
    return rc;
}

/* Which of its programs are loaded. */
struct choice {
    bool initial; /* pids of the initial namespace */
    bool lists;
};

static int configure(struct nns_resolver *resolver, struct choice choice)
{
    struct resolve_bpf *skeleton = resolver->skeleton;
    int rc = bpf_map__set_max_entries(skeleton->maps.nns_resolve_slots, resolver->workers);

    bpf_program__set_autoload(skeleton->progs.nns_resolve_pid, choice.initial);
    bpf_program__set_autoload(skeleton->progs.nns_resolve_vpid, !choice.initial);
    bpf_program__set_autoload(skeleton->progs.nns_list, choice.lists);
    return rc ? rc : bpf_map__set_autocreate(skeleton->maps.nns_list_slots, choice.lists);
}

static int load(struct nns_resolver *resolver, struct choice choice)
{
    struct resolve_bpf *skeleton = resolve_bpf__open();
    int rc;

    if (!skeleton)
        return -errno;
    resolver->skeleton = skeleton;
    rc = configure(resolver, choice);
    if (!rc)
        rc = resolve_bpf__load(skeleton);
    if (!rc)
        rc = map_slots(resolver, choice.lists);
    if (rc) {
        unload(resolver);
        return rc;
    }
    resolver->program =
        bpf_program__fd(choice.initial ? skeleton->progs.nns_resolve_pid : skeleton->progs.nns_resolve_vpid);
    resolver->list = choice.lists ? bpf_program__fd(skeleton->progs.nns_list) : -1;
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

/* Ask for what we know: where this thread is, and that there is a loopback device. */
static int try_list(struct nns_resolver *resolver, uint64_t cookie)
{
    struct nns_links links = NNS_LINKS_NULL;
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = nns_resolver_list(resolver, fd, cookie, &links);
    close(fd);
    /* More devices than it can list is no fault of it. */
    if (!rc && !nns_links_find(&links, 1))
        rc = -EOPNOTSUPP;
    nns_links_deinit(&links);
    return rc == -E2BIG || rc == -EAGAIN ? 0 : rc;
}

static int try(struct nns_resolver *resolver)
{
    const struct nns_resolved *resolved;
    uint64_t cookie;
    int rc = cookie_of_here(&cookie);

    if (rc)
        return rc;
    nns_resolver_pids(resolver, 0)[0] = (uint32_t)gettid();
    resolved = nns_resolve(resolver, 0, 1);
    if (!resolved)
        return -errno;
    if (resolved->cookie != cookie)
        return -EOPNOTSUPP;
    /* Whatever is in the way of that, pids alone are worth having. */
    if (resolver->listed && try_list(resolver, cookie))
        unmap_listed(resolver);
    return 0;
}

static int load_and_try(struct nns_resolver *resolver, struct choice choice)
{
    int rc = load(resolver, choice);

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

/* The kernels that know pids have what listing takes; should one not, pids alone are worth having. */
static int find_way(struct nns_resolver *resolver)
{
    static const struct choice choices[] = {
        {.lists = true}, {.lists = true, .initial = true}, {0}, {.initial = true}};
    int rc = -EOPNOTSUPP;

    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]) && rc && !is_refusal(rc); i++)
        if (!choices[i].initial || in_initial_pid_namespace())
            rc = load_and_try(resolver, choices[i]);
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

/* The kernel writes the call back as the program left it. 0 or -errno, the kernel's or the program's. */
static int run(int program, void *call, uint32_t size)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = call, .ctx_size_in = size);
    int rc = bpf_prog_test_run_opts(program, &options);

    return rc ? rc : (int)options.retval;
}

uint32_t *nns_resolver_pids(struct nns_resolver *resolver, unsigned worker)
{
    return worker < resolver->workers ? resolver->slots[worker].pids : NULL;
}

const struct nns_resolved *nns_resolve(struct nns_resolver *resolver, unsigned worker, size_t count)
{
    struct nns_resolve_call call = {.worker = worker, .count = (uint32_t)count};
    int rc = worker < resolver->workers && count <= NNS_RESOLVE_MAX ? 0 : -EINVAL;

    if (!rc && count)
        rc = run(resolver->program, &call, sizeof(call));
    if (rc) {
        errno = -rc;
        return NULL;
    }
    return (const struct nns_resolved *)resolver->slots[worker].answers;
}

/* ---- devices ---- */

bool nns_resolver_lists(const struct nns_resolver *resolver)
{
    return resolver && resolver->listed;
}

/* Where no qdisc is the kernel has one that does nothing. */
static enum nns_qdisc qdisc_of(const char *id)
{
    if (!id[0] || strcmp(id, "noop") == 0)
        return NNS_QDISC_NONE;
    if (strcmp(id, "clsact") == 0)
        return NNS_QDISC_CLSACT;
    return strcmp(id, "ingress") == 0 ? NNS_QDISC_INGRESS : NNS_QDISC_UNKNOWN;
}

static void copy_name(char to[IFNAMSIZ], const char *from)
{
    memcpy(to, from, IFNAMSIZ);
    to[IFNAMSIZ - 1] = '\0';
}

static const char loopback[IFNAMSIZ] = "loopback";

static void take_device(const struct nns_list_device *device, struct nns_link *link)
{
    link->ifindex = device->ifindex;
    link->qdisc = (uint8_t)qdisc_of(device->ingress);
    copy_name(link->name, device->name);
    copy_name(link->kind, device->flags & IFF_LOOPBACK ? loopback : device->kind);
}

static int take_listed(const struct nns_list_slot *slot, struct nns_links *links)
{
    struct nns_links taken = NNS_LINKS_NULL;

    for (uint32_t i = 0; i < slot->count && i < NNS_LIST_DEVICES; i++) {
        struct nns_link *link = nns_links_append(&taken);

        if (!link) {
            nns_links_deinit(&taken);
            return -ENOMEM;
        }
        take_device(&slot->devices[i], link);
    }
    nns_links_sort(&taken);
    nns_links_deinit(links);
    *links = taken;
    return 0;
}

int nns_resolver_list(struct nns_resolver *resolver, int fd, uint64_t cookie, struct nns_links *links)
{
    struct nns_list_call call = {.cookie = cookie, .fd = fd};
    int rc = resolver->listed ? run(resolver->list, &call, sizeof(call)) : -EOPNOTSUPP;

    return rc ? rc : take_listed(resolver->listed, links);
}

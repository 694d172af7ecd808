/* SPDX-License-Identifier: Apache-2.0 */
#include "io/trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/trace.h"
#include "core/counters.h"
#include "core/log.h"
#include "trace.skel.h"

/* Each is loaded and attached as a whole, or left out. */
enum { DEVICES = 1, TASKS = 2, WALK = 4, ALL_PIECES = 7 };

/* In the order they are put to use: who asks for pids must know first whose. */
static const struct {
    const char *name;
    uint8_t pieces; /* that need it */
    enum { RUN_ONCE, TRACEPOINT, ITERATOR } use;
} programs[] = {
    {"nns_learn", TASKS | WALK, RUN_ONCE},
    {"nns_qdisc_create", DEVICES, TRACEPOINT},
    {"nns_qdisc_destroy", DEVICES, TRACEPOINT},
    {"nns_fork", TASKS, TRACEPOINT},
    {"nns_exec", TASKS, TRACEPOINT},
    {"nns_exit", TASKS, TRACEPOINT},
    {"nns_walk", WALK, ITERATOR},
};

enum { PROGRAMS = sizeof(programs) / sizeof(programs[0]) };

/* Records that one read of a walk hands over at most. */
enum { WALK_RECORDS = 340 };

struct limits {
    uint32_t namespaces, devices;
};

struct nns_trace {
    struct trace_bpf *skeleton; /* NULL: nothing could be loaded */
    struct ring_buffer *ring;   /* NULL: no tracepoint is attached */
    unsigned pieces;            /* that are in use */
    int links[PROGRAMS];        /* -1: not attached */
    bool walked;                /* the table of reported namespaces is not empty */
    _Atomic bool hiding;        /* a namespace may count as known that is not */

    /* While events are read. */
    nns_trace_taker *take;
    void *context;
    int taken, most;
};

/* ---- loading ---- */

/*
 * Ask for the right, without libbpf, which complains aloud: a tracing program that names nothing to trace is
 * refused with EINVAL only once all rights were there.
 */
static bool may_trace(void)
{
    static const struct bpf_insn nothing[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP);
    int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "GPL", nothing, 2, &options);

    if (fd >= 0)
        close(fd);
    return fd == -EINVAL && access("/sys/kernel/btf/vmlinux", R_OK) == 0;
}

static int configure(struct trace_bpf *skeleton, struct limits limits, unsigned pieces)
{
    bool tasks = pieces & (TASKS | WALK);
    int rc = 0;

    for (int i = 0; i < PROGRAMS && !rc; i++) {
        struct bpf_program *program = bpf_object__find_program_by_name(skeleton->obj, programs[i].name);

        rc = bpf_program__set_autoload(program, programs[i].pieces & pieces);
    }
    if (!rc)
        rc = bpf_map__set_max_entries(skeleton->maps.nns_covered, limits.devices);
    if (!rc)
        rc = bpf_map__set_max_entries(skeleton->maps.nns_known, limits.namespaces);
    if (!rc)
        rc = bpf_map__set_max_entries(skeleton->maps.nns_walked, limits.namespaces);
    if (!rc)
        rc = bpf_map__set_autocreate(skeleton->maps.nns_known, tasks);
    if (!rc)
        rc = bpf_map__set_autocreate(skeleton->maps.nns_walked, pieces & WALK);
    if (!rc)
        rc = bpf_map__set_autocreate(skeleton->maps.nns_told, pieces & TASKS);
    return rc;
}

static int load(struct nns_trace *trace, struct limits limits, unsigned pieces)
{
    struct trace_bpf *skeleton = trace_bpf__open();
    int rc;

    if (!skeleton)
        return -errno;
    rc = configure(skeleton, limits, pieces);
    if (!rc)
        rc = trace_bpf__load(skeleton);
    /* libbpf tries whether maps can be mapped; whatever the reason was, it remembers that they cannot. */
    if (!rc && !skeleton->bss)
        rc = -EOPNOTSUPP;
    if (rc) {
        trace_bpf__destroy(skeleton);
        return rc;
    }
    trace->skeleton = skeleton;
    return 0;
}

static void unload(struct nns_trace *trace)
{
    trace_bpf__destroy(trace->skeleton);
    trace->skeleton = NULL;
}

/* One program that this kernel refuses fails the whole object: see then which pieces go alone. */
static int load_what_goes(struct nns_trace *trace, struct limits limits, unsigned *pieces)
{
    unsigned good = 0;
    int rc = load(trace, limits, *pieces);

    if (!rc || rc == -ENOMEM)
        return rc;
    for (unsigned piece = 1; piece < ALL_PIECES; piece <<= 1) {
        if ((*pieces & piece) && load(trace, limits, piece) == 0) {
            good |= piece;
            unload(trace);
        }
    }
    *pieces = good;
    return good ? load(trace, limits, good) : 0;
}

/* ---- attaching ---- */

static void detach(struct nns_trace *trace, unsigned pieces)
{
    for (int i = 0; i < PROGRAMS; i++) {
        if ((programs[i].pieces & pieces) && trace->links[i] >= 0) {
            close(trace->links[i]);
            trace->links[i] = -1;
        }
    }
}

/* libbpf's own way to attach would log every refusal, which is an expected outcome. */
static int use(struct nns_trace *trace, int i)
{
    LIBBPF_OPTS(bpf_test_run_opts, options);
    int fd = bpf_program__fd(bpf_object__find_program_by_name(trace->skeleton->obj, programs[i].name));

    switch (programs[i].use) {
    case RUN_ONCE:
        return bpf_prog_test_run_opts(fd, &options);
    case TRACEPOINT:
        trace->links[i] = bpf_raw_tracepoint_open(NULL, fd);
        break;
    case ITERATOR:
        trace->links[i] = bpf_link_create(fd, 0, BPF_TRACE_ITER, NULL);
        break;
    }
    return trace->links[i] < 0 ? trace->links[i] : 0;
}

static unsigned attach(struct nns_trace *trace, unsigned pieces)
{
    for (int i = 0; i < PROGRAMS; i++) {
        int rc = programs[i].pieces & pieces ? use(trace, i) : 0;

        if (rc < 0) {
            nns_debug("tracing: no %s: errno %d", programs[i].name, -rc);
            detach(trace, programs[i].pieces);
            pieces &= ~programs[i].pieces;
        }
    }
    return pieces;
}

/* ---- events ---- */

static void hand_over(const struct nns_trace_record *record, nns_trace_taker *take, void *context)
{
    static const uint8_t kinds[] = {
        [NNS_RECORD_UP] = NNS_TRACE_DEVICE_UP,
        [NNS_RECORD_BARE] = NNS_TRACE_DEVICE_BARE,
        [NNS_RECORD_TASK] = NNS_TRACE_TASK,
        [NNS_RECORD_DEAD] = NNS_TRACE_DEAD,
    };
    struct nns_trace_event event = {
        .cookie = record->cookie,
        .inum = record->inum,
        .number = record->number,
        .kind = kinds[record->kind],
    };

    take(context, &event);
}

static int take_record(void *of, void *record, size_t size)
{
    struct nns_trace *trace = of;

    hand_over(record, trace->take, trace->context);
    /* A busy host could keep a reader here for ever; what is left keeps the descriptor readable. */
    return ++trace->taken < trace->most ? 0 : -ECANCELED;
}

int nns_trace_read(struct nns_trace *trace, int most, nns_trace_taker *take, void *context)
{
    int rc;

    if (!trace->ring)
        return 0;
    trace->take = take;
    trace->context = context;
    trace->taken = 0;
    trace->most = most;
    rc = ring_buffer__consume(trace->ring);
    return rc < 0 && rc != -ECANCELED ? rc : trace->taken;
}

int nns_trace_fd(const struct nns_trace *trace)
{
    return trace->ring ? bpf_map__fd(trace->skeleton->maps.nns_ring) : -1;
}

uint64_t nns_trace_lost(const struct nns_trace *trace)
{
    return trace->skeleton ? __atomic_load_n(&trace->skeleton->bss->nns_lost, __ATOMIC_RELAXED) : 0;
}

/* ---- opening ---- */

static int start(struct nns_trace *trace, struct limits limits, unsigned pieces)
{
    int rc = load_what_goes(trace, limits, &pieces);

    if (rc || !pieces)
        return rc == -ENOMEM ? rc : 0;
    pieces = attach(trace, pieces);
    if (pieces & (DEVICES | TASKS)) {
        trace->ring = ring_buffer__new(bpf_map__fd(trace->skeleton->maps.nns_ring), take_record, trace, NULL);
        if (!trace->ring) {
            nns_warning("tracing: cannot map the buffer of events: errno %d", errno);
            detach(trace, DEVICES | TASKS);
            pieces &= WALK;
        }
    }
    trace->pieces = pieces;
    if (!pieces)
        unload(trace);
    return 0;
}

int nns_trace_open(uint32_t namespaces, uint32_t devices, bool discover, struct nns_trace **out,
                   struct nns_trace_abilities *abilities)
{
    struct limits limits = {.namespaces = namespaces ? namespaces : 1, .devices = devices ? devices : 1};
    struct nns_trace *trace = calloc(1, sizeof(*trace));
    int rc = 0;

    if (!trace)
        return -ENOMEM;
    for (int i = 0; i < PROGRAMS; i++)
        trace->links[i] = -1;
    if (may_trace())
        rc = start(trace, limits, discover ? ALL_PIECES : DEVICES);
    if (rc) {
        nns_trace_close(trace);
        return rc;
    }
    *abilities = (struct nns_trace_abilities){
        .devices = trace->pieces & DEVICES,
        .tasks = trace->pieces & TASKS,
        .walk = trace->pieces & WALK,
    };
    *out = trace;
    return 0;
}

void nns_trace_stop(struct nns_trace *trace)
{
    if (!trace)
        return;
    detach(trace, ALL_PIECES);
}

void nns_trace_close(struct nns_trace *trace)
{
    if (!trace)
        return;
    nns_trace_stop(trace);
    ring_buffer__free(trace->ring);
    trace_bpf__destroy(trace->skeleton);
    free(trace);
}

/* ---- the tables ---- */

/* What it was about goes on without events until somebody looks: nobody has to handle that, but it is known.
 */
static int told(int rc)
{
    nns_count(NNS_COUNT_EVENTS_UNTOLD, rc != 0);
    return rc;
}

static int put(const struct bpf_map *map, const void *key)
{
    const uint8_t yes = 1;
    int rc = bpf_map_update_elem(bpf_map__fd(map), key, &yes, BPF_ANY);

    return told(rc == -E2BIG ? -ENOSPC : rc);
}

static int drop(const struct bpf_map *map, const void *key)
{
    int rc = bpf_map_delete_elem(bpf_map__fd(map), key);

    return told(rc == -ENOENT ? 0 : rc);
}

int nns_trace_know(struct nns_trace *trace, uint64_t cookie)
{
    return trace && trace->pieces & (TASKS | WALK) ? put(trace->skeleton->maps.nns_known, &cookie) : 0;
}

/* One that cannot be taken out (no memory for a copy of the key, a lock that is not to be had) would never be
 * news again. */
int nns_trace_forget(struct nns_trace *trace, uint64_t cookie)
{
    int rc = trace && trace->pieces & (TASKS | WALK) ? drop(trace->skeleton->maps.nns_known, &cookie) : 0;

    if (rc)
        atomic_store(&trace->hiding, true);
    return rc;
}

int nns_trace_cover(struct nns_trace *trace, uint64_t cookie, uint32_t ifindex)
{
    const struct nns_trace_device key = {.cookie = cookie, .ifindex = ifindex};

    return trace && trace->pieces & DEVICES ? put(trace->skeleton->maps.nns_covered, &key) : 0;
}

int nns_trace_uncover(struct nns_trace *trace, uint64_t cookie, uint32_t ifindex)
{
    const struct nns_trace_device key = {.cookie = cookie, .ifindex = ifindex};

    return trace && trace->pieces & DEVICES ? drop(trace->skeleton->maps.nns_covered, &key) : 0;
}

bool nns_trace_covers(const struct nns_trace *trace, uint64_t cookie, uint32_t ifindex)
{
    const struct nns_trace_device key = {.cookie = cookie, .ifindex = ifindex};
    uint8_t yes;

    return trace && trace->pieces & DEVICES &&
           bpf_map_lookup_elem(bpf_map__fd(trace->skeleton->maps.nns_covered), &key, &yes) == 0;
}

/* ---- the walk ---- */

static int clear_walked(struct nns_trace *trace)
{
    enum { AT_ONCE = 256 };
    int fd = bpf_map__fd(trace->skeleton->maps.nns_walked), rc;
    uint64_t cookies[AT_ONCE];
    uint8_t marks[AT_ONCE];
    uint32_t place, count, *from = NULL;

    do {
        count = AT_ONCE;
        rc = bpf_map_lookup_and_delete_batch(fd, from, &place, cookies, marks, &count, NULL);
        from = &place;
    } while (!rc);
    if (rc != -ENOENT)
        return rc;
    trace->walked = false;
    return 0;
}

/* The kernel stops at the first record that fills what it was given: whole records, as all are of one size.
 */
static int read_walk(struct nns_trace *trace, int fd, nns_trace_taker *take, void *context)
{
    struct nns_trace_record records[WALK_RECORDS];
    ssize_t length;

    while ((length = read(fd, records, sizeof(records)))) {
        if (length < 0) {
            /* EAGAIN: it went past a million tasks that were no news. */
            if (errno == EAGAIN || errno == EINTR)
                continue;
            return -errno;
        }
        if ((size_t)length % sizeof(records[0]))
            return -EPROTO;
        trace->walked = true;
        for (size_t i = 0; i < (size_t)length / sizeof(records[0]); i++)
            hand_over(&records[i], take, context);
    }
    return 0;
}

static int walk(struct nns_trace *trace, bool all, nns_trace_taker *take, void *context)
{
    int link = -1, fd, rc;

    rc = trace->walked ? clear_walked(trace) : 0;
    if (rc)
        return rc;
    for (int i = 0; i < PROGRAMS; i++)
        link = programs[i].use == ITERATOR ? trace->links[i] : link;
    trace->skeleton->bss->nns_walk_all = all;
    trace->skeleton->bss->nns_walk_last = 0;
    fd = bpf_iter_create(link);
    if (fd < 0)
        return fd;
    rc = read_walk(trace, fd, take, context);
    close(fd);
    return rc;
}

int nns_trace_walk(struct nns_trace *trace, bool all, nns_trace_taker *take, void *context)
{
    bool hiding;
    int rc;

    if (!(trace->pieces & WALK))
        return -EOPNOTSUPP;
    hiding = atomic_exchange(&trace->hiding, false);
    rc = walk(trace, all || hiding, take, context);
    if (rc && hiding)
        atomic_store(&trace->hiding, true);
    return rc;
}

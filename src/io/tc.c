/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tc.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/netlink.h"
#include "core/tc_leave.h"

/* One send: well below the default send buffer of 208 KiB, and 400 devices. */
#define SEND_BYTES (128u << 10)

/* Requests answered with an object, in one send: their answers must fit the default receive buffer. */
#define SEND_QUESTIONS 64

#define INBOX_BYTES (32u << 10) /* no datagram of the kernel's is larger */

/* Losses that one exchange goes on after: the kernel tells of one once, but each time it is asked while it
 * has no memory for what it is to tell. */
#define LOSSES_MAX 64

/* Looks at a device whose qdisc or filters change under our hands. */
#define LOOKS 3

#define FILTER_NAME 256 /* the kernel's limit */

#define KNOWN_PROGRAMS 8 /* the first NNS_HOOKS of them a set's own */

#define MAPS_ASKED 4 /* of a program; the meter has one */

/* What the kernel says of a program. */
struct program {
    uint32_t id; /* 0: unused */
    char name[16];
    uint8_t tag[8];
    bool counts; /* in the set's map */
};

/* One call's dialogue with the kernel. */
struct talk {
    int socket;
    struct nns_tc_stats *stats;
    size_t send_bytes;
    char *inbox;
    struct nns_netlink_batch batch;
    uint32_t counts; /* the set's map, 0 for none */
    struct program programs[KNOWN_PROGRAMS];
    unsigned next_program;
};

/* Asking costs six system calls a namespace. A program whose fd is held keeps its id, so none is needed. */
static void know_programs(struct talk *talk, const struct nns_tc_set *set)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        const struct nns_tc_program *own = &set->programs[hook];
        struct program *known = &talk->programs[hook];
        known->id = own->id;
        memcpy(known->name, own->name, sizeof(known->name));
        memcpy(known->tag, own->tag, sizeof(known->tag));
        known->counts = set->counts != 0;
    }
    talk->counts = set->counts;
}

/* The set may be NULL. */
static int talk_init(struct talk *talk, int socket, const struct nns_tc_set *set, struct nns_tc_stats *stats)
{
    *talk = (struct talk){.socket = socket, .stats = stats, .send_bytes = SEND_BYTES};
    if (set)
        know_programs(talk, set);
    talk->inbox = malloc(INBOX_BYTES);
    return talk->inbox ? 0 : -ENOMEM;
}

static void talk_deinit(struct talk *talk)
{
    free(talk->inbox);
    nns_netlink_batch_deinit(&talk->batch);
}

static int send_all(struct talk *talk, const void *bytes, size_t length)
{
    talk->stats->sends++;
    for (;;) {
        if (send(talk->socket, bytes, length, 0) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

/* What a datagram holds. -EAGAIN: the kernel answers before send returns, so nothing there means lost.
 * -ENOBUFS: something was lost, more may follow. */
static int receive(struct talk *talk)
{
    for (;;) {
        ssize_t n = recv(talk->socket, talk->inbox, INBOX_BYTES, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        return n > (ssize_t)INBOX_BYTES ? -ENOBUFS : (int)n;
    }
}

/* Answers that do not come stay NNS_NETLINK_UNHEARD. */
static int hear_part(struct talk *talk, const struct nns_netlink_part *part,
                     const struct nns_netlink_taker *taker)
{
    unsigned losses = 0;
    bool last = false;
    while (!last) {
        int n = receive(talk);
        if (n == -EAGAIN)
            return 0;
        if (n == -ENOBUFS && losses < LOSSES_MAX)
            losses++;
        else if (n < 0)
            return n;
        else
            last = nns_netlink_hear(part, talk->inbox, (size_t)n, taker);
    }
    if (!losses)
        nns_netlink_heard_all(part);
    return 0;
}

/* Hand the batch to the kernel, at most `most` requests at once, and hear its answers. With a taker each asks
 * for an object. */
static int exchange(struct talk *talk, size_t most, const struct nns_netlink_taker *taker)
{
    struct nns_netlink_batch *batch = &talk->batch;
    if (batch->failed)
        return -ENOMEM;
    for (size_t first = 0; first < batch->count;) {
        size_t count = nns_netlink_cut(batch, first, talk->send_bytes, most);
        struct nns_netlink_part part = nns_netlink_seal(batch, first, count, taker != NULL);
        int r = send_all(talk, part.bytes, part.length);
        if (r == -EMSGSIZE && count > 1) {
            talk->send_bytes = part.length / 2; /* this host's send buffers are small */
            continue;
        }
        if (r == 0)
            r = hear_part(talk, &part, taker);
        if (r < 0)
            return r;
        first += count;
    }
    return 0;
}

static long bpf_call(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* 0; -EAGAIN when it has gone, and with it the filter that ran it: look again; -errno. */
static int ask_program(const struct talk *talk, uint32_t id, struct program *program)
{
    uint32_t maps[MAPS_ASKED];
    union bpf_attr attr = {.prog_id = id};
    int fd = (int)bpf_call(BPF_PROG_GET_FD_BY_ID, &attr);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : -errno;
    struct bpf_prog_info info = {.nr_map_ids = MAPS_ASKED, .map_ids = (uintptr_t)maps};
    attr = (union bpf_attr){
        .info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(info), .info = (uintptr_t)&info}};
    int r = bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0 ? -errno : 0;
    close(fd);
    if (r < 0)
        return r;
    program->id = id;
    memcpy(program->name, info.name, sizeof(program->name));
    memcpy(program->tag, info.tag, sizeof(program->tag));
    program->counts = false;
    for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_ASKED && talk->counts; i++)
        program->counts = program->counts || maps[i] == talk->counts;
    return 0;
}

/* Thousands of filters share a program or two. 0 or as above. */
static int find_program(struct talk *talk, uint32_t id, const struct program **program)
{
    for (int i = 0; i < KNOWN_PROGRAMS; i++) {
        if (talk->programs[i].id == id) {
            *program = &talk->programs[i];
            return 0;
        }
    }
    struct program found;
    int r = ask_program(talk, id, &found);
    if (r < 0)
        return r;
    unsigned others = KNOWN_PROGRAMS - NNS_HOOKS;
    struct program *place = &talk->programs[NNS_HOOKS + talk->next_program++ % others];
    *place = found;
    *program = place;
    return 0;
}

/* I7: handle, name, and the program's own name and tag. 1 or 0; -errno when the kernel does not tell, which
 * says neither (I9); -EAGAIN when the filter has gone meanwhile. */
static int is_ours(struct talk *talk, const char *instance, const struct nns_tc_filter *filter)
{
    struct nns_tc_name_parts parts;
    if (!filter->like_ours || !nns_tc_name_parse(filter->name, instance, &parts) ||
        memcmp(parts.tag, filter->tag, sizeof(parts.tag)) != 0 || !filter->program_id)
        return 0;
    const struct program *program;
    int r = find_program(talk, filter->program_id, &program);
    if (r < 0)
        return r;
    return strncmp(program->name, parts.program, sizeof(parts.program)) == 0 &&
           memcmp(program->tag, parts.tag, sizeof(parts.tag)) == 0;
}

/* Show all of something to the taker. 0; -EAGAIN when it was not all; -errno. */
static int dump(struct talk *talk, uint16_t type, const struct tcmsg *head,
                const struct nns_netlink_taker *taker)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg message;
    } request = {.head = {.nlmsg_len = sizeof(request), .nlmsg_type = type}, .message = *head};
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.head.nlmsg_seq = nns_netlink_sequence(1);
    int r = send_all(talk, &request, sizeof(request));
    if (r < 0)
        return r;
    bool incomplete = false;
    unsigned losses = 0;
    do {
        r = receive(talk);
        if (r == -ENOBUFS && losses < LOSSES_MAX)
            losses++;
        else if (r < 0)
            return r;
        else
            r = nns_netlink_hear_dump(request.head.nlmsg_seq, (uint32_t)head->tcm_ifindex, talk->inbox,
                                      (size_t)r, taker, &incomplete);
    } while (r > 0 || r == -ENOBUFS);
    /* EBUSY: one before broke off, and has come to its end by now. */
    return r == -EBUSY || (r == 0 && (incomplete || losses)) ? -EAGAIN : r;
}

/* Every filter of a hook; a device without a qdisc has none. */
static int dump_filters(struct talk *talk, uint32_t ifindex, enum nns_hook hook,
                        const struct nns_netlink_taker *taker)
{
    struct tcmsg head = {.tcm_ifindex = (int)ifindex, .tcm_parent = nns_tc_parent(hook)};
    return dump(talk, RTM_GETTFILTER, &head, taker);
}

struct attach {
    struct talk talk;
    struct nns_tc_work work;
};

static void take_qdisc(void *context, uint32_t nothing, const struct nlmsghdr *message)
{
    struct attach *attach = context;
    struct nns_tc_qdisc qdisc;
    if (nns_tc_read_qdisc(message, &qdisc))
        nns_tc_work_see_qdisc(&attach->work, &qdisc);
}

struct look {
    struct attach *attach;
    struct nns_tc_task *task;
    enum nns_hook hook;
    bool unsure; /* some filter may be ours or not */
};

/* Of ours, whose program was found just now. */
static enum nns_tc_whose whose(struct talk *talk, const struct nns_tc_filter *filter)
{
    const struct program *program;
    if (find_program(talk, filter->program_id, &program) < 0)
        return NNS_TC_OURS;
    return program->counts ? NNS_TC_OURS_COUNTS : NNS_TC_OURS;
}

static void take_filter(void *context, uint32_t ifindex, const struct nlmsghdr *message)
{
    struct look *look = context;
    const struct nns_tc_set *set = look->attach->work.set;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter))
        return;
    int ours = is_ours(&look->attach->talk, set->instance, &filter);
    if (ours < 0)
        look->unsure = true;
    else
        nns_tc_task_see_filter(look->task, set, look->hook, &filter,
                               ours ? whose(&look->attach->talk, &filter) : NNS_TC_ANOTHERS);
}

/* Both hooks' filters. -EAGAIN: not seen for sure. */
static int look_at_filters(struct attach *attach, struct nns_tc_task *task)
{
    int r = 0;
    for (int hook = 0; hook < NNS_HOOKS && r == 0; hook++) {
        struct look look = {.attach = attach, .task = task, .hook = hook};
        struct nns_netlink_taker taker = {.take = take_filter, .context = &look};
        if (nns_tc_task_reaches(task, hook))
            r = dump_filters(&attach->talk, task->job->ifindex, hook, &taker);
        if (r == 0 && look.unsure)
            r = -EAGAIN;
    }
    return r;
}

/* Asking for one device's qdisc would tell all of the namespace's listeners about it. It is told by how the
 * kernel refuses what cannot be there; only where that is not clsact, all of the namespace's are shown. */
static int look_at_qdiscs(struct attach *attach)
{
    struct nns_tc_work *work = &attach->work;
    struct nns_netlink_batch *batch = &attach->talk.batch;
    struct nns_netlink_taker taker = {.take = take_qdisc, .context = attach};
    struct tcmsg all = {0};
    nns_netlink_batch_clear(batch);
    nns_tc_work_ask(work, batch);
    int r = exchange(&attach->talk, SEND_QUESTIONS, NULL);
    if (r < 0 || nns_tc_work_told(work, batch))
        return r;
    attach->talk.stats->dumps++;
    nns_tc_work_look(work);
    return dump(&attach->talk, RTM_GETQDISC, &all, &taker);
}

/* Learn what is there on the devices in doubt; those not seen for sure stay in doubt. */
static int look(struct attach *attach)
{
    struct nns_tc_work *work = &attach->work;
    int r = look_at_qdiscs(attach);
    for (size_t i = 0; i < work->count && r == 0; i++) {
        if (!work->tasks[i].doubt)
            continue;
        r = look_at_filters(attach, &work->tasks[i]);
        if (r == 0)
            nns_tc_task_seen(&work->tasks[i]);
        else if (r == -EAGAIN)
            r = 0;
    }
    return r == -EAGAIN ? 0 : r;
}

static int attach_round(struct attach *attach, bool *pending)
{
    struct nns_netlink_batch *batch = &attach->talk.batch;
    nns_netlink_batch_clear(batch);
    nns_tc_work_plan(&attach->work, batch);
    int r = exchange(&attach->talk, SIZE_MAX, NULL);
    /* What was heard before a failure counts: those filters are there. */
    *pending = nns_tc_work_settle(&attach->work, batch);
    return r;
}

static unsigned count_done(const struct nns_netlink_batch *batch)
{
    unsigned count = 0;
    for (size_t i = 0; i < batch->count; i++)
        count += batch->requests[i].answer == 0;
    return count;
}

static int remove_surplus(struct attach *attach)
{
    struct nns_netlink_batch *batch = &attach->talk.batch;
    nns_netlink_batch_clear(batch);
    nns_tc_work_surplus(&attach->work, batch);
    int r = exchange(&attach->talk, SIZE_MAX, NULL);
    attach->talk.stats->removed += count_done(batch);
    return r;
}

static int attach_all(struct attach *attach)
{
    bool pending = true;
    for (int looks = 0; pending;) {
        int r = 0;
        if (nns_tc_work_in_doubt(&attach->work)) {
            if (looks++ == LOOKS)
                break;
            r = look(attach);
        }
        if (r == 0)
            r = attach_round(attach, &pending);
        if (r < 0)
            return r;
    }
    return remove_surplus(attach);
}

int nns_tc_attach(int socket, const struct nns_tc_set *set, struct nns_tc_job *jobs, size_t count,
                  struct nns_tc_stats *stats)
{
    for (size_t i = 0; i < count * NNS_HOOKS; i++)
        jobs[i / NNS_HOOKS].hooks[i % NNS_HOOKS].reason = NNS_REASON_UNKNOWN;
    struct attach attach = {0};
    int r = talk_init(&attach.talk, socket, set, stats);
    if (r == 0)
        r = nns_tc_work_init(&attach.work, set, jobs, count, stats);
    if (r == 0)
        r = attach_all(&attach);
    nns_tc_work_deinit(&attach.work);
    talk_deinit(&attach.talk);
    return r;
}

struct detach {
    struct talk talk;
    const char *instance;
    struct nns_tc_leave leave;
};

static struct nns_tc_spot spot_of(const struct nns_tc_filter *filter, size_t index)
{
    return (struct nns_tc_spot){
        .ifindex = filter->ifindex,
        .priority = filter->priority,
        .hook = (uint8_t)(index % NNS_HOOKS),
    };
}

static void take_attached(void *context, uint32_t index, const struct nlmsghdr *message)
{
    struct detach *detach = context;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter))
        return;
    int ours = 0;
    if (nns_tc_leave_expects(&detach->leave, index, &filter))
        ours = is_ours(&detach->talk, detach->instance, &filter);
    if (ours >= 0)
        nns_tc_leave_see(&detach->leave, index, ours);
}

struct seek {
    struct detach *detach;
    size_t index;
    bool clean; /* for sure nothing of ours */
};

static void take_sought(void *context, uint32_t ifindex, const struct nlmsghdr *message)
{
    struct seek *seek = context;
    struct detach *detach = seek->detach;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter) || filter.ifindex != ifindex)
        return;
    int ours = is_ours(&detach->talk, detach->instance, &filter);
    seek->clean = seek->clean && ours == 0;
    if (ours > 0)
        nns_tc_put_delete(&detach->talk.batch, spot_of(&filter, seek->index), (uint32_t)seek->index);
}

static int seek_hooks(struct detach *detach)
{
    struct nns_tc_leave *leave = &detach->leave;
    nns_netlink_batch_clear(&detach->talk.batch);
    for (size_t i = 0; i < leave->hooks; i++) {
        struct seek seek = {.detach = detach, .index = i, .clean = true};
        struct nns_netlink_taker taker = {.take = take_sought, .context = &seek};
        if (!nns_tc_leave_seeks(leave, i))
            continue;
        int r = dump_filters(&detach->talk, leave->jobs[i / NNS_HOOKS].ifindex, i % NNS_HOOKS, &taker);
        if (r < 0 && r != -EAGAIN)
            return r;
        if (r == 0 && seek.clean)
            nns_tc_leave_left(leave, i);
    }
    int r = exchange(&detach->talk, SIZE_MAX, NULL);
    detach->talk.stats->removed += count_done(&detach->talk.batch);
    return r;
}

static int ask_hooks(struct detach *detach)
{
    struct nns_netlink_taker taker = {.take = take_attached, .context = detach};
    nns_tc_leave_ask(&detach->leave, &detach->talk.batch);
    int r = exchange(&detach->talk, SEND_QUESTIONS, &taker);
    nns_tc_leave_told(&detach->leave, &detach->talk.batch);
    return r;
}

static int delete_hooks(struct detach *detach)
{
    nns_tc_leave_delete(&detach->leave, &detach->talk.batch);
    int r = exchange(&detach->talk, SIZE_MAX, NULL);
    nns_tc_leave_deleted(&detach->leave, &detach->talk.batch);
    return r;
}

static int detach_all(struct detach *detach)
{
    for (int looks = 0; looks < LOOKS; looks++) {
        int r = seek_hooks(detach);
        if (r == 0)
            r = ask_hooks(detach);
        if (r == 0)
            r = delete_hooks(detach);
        if (r < 0)
            return r;
    }
    return 0;
}

int nns_tc_detach(int socket, const struct nns_tc_set *set, struct nns_tc_job *jobs, size_t count,
                  struct nns_tc_stats *stats)
{
    struct detach detach = {.instance = set->instance};
    int r = nns_tc_leave_init(&detach.leave, jobs, count, stats);
    if (r == 0)
        r = talk_init(&detach.talk, socket, set, stats);
    if (r == 0)
        r = detach_all(&detach);
    nns_tc_leave_deinit(&detach.leave);
    talk_deinit(&detach.talk);
    return r;
}

struct sweep {
    struct talk talk;
    const char *instance;
    unsigned *removed; /* by device; may be NULL */
    size_t index;      /* of the hook being looked at, as are the requests' */
    int error;         /* why something may have been left; -EAGAIN: it changed, or an answer was lost */
};

/* What does not pass by looking again says more than what may. */
static void note_left(struct sweep *sweep, int error)
{
    if (!sweep->error || sweep->error == -EAGAIN)
        sweep->error = error;
}

/* The filters of a shared block come with another number than the device's. */
static void take_swept(void *context, uint32_t ifindex, const struct nlmsghdr *message)
{
    struct sweep *sweep = context;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter) || filter.ifindex != ifindex)
        return;
    int ours = is_ours(&sweep->talk, sweep->instance, &filter);
    if (ours < 0)
        note_left(sweep, ours);
    if (ours <= 0)
        return;
    nns_tc_put_delete(&sweep->talk.batch, spot_of(&filter, sweep->index), (uint32_t)sweep->index);
}

static void settle_sweep(struct sweep *sweep, const struct nns_netlink_request *request)
{
    if (request->answer == 0) {
        sweep->talk.stats->removed++;
        if (sweep->removed)
            sweep->removed[request->about / NNS_HOOKS]++;
    } else if (request->answer == NNS_NETLINK_UNHEARD) {
        note_left(sweep, -EAGAIN);
    } else if (!nns_tc_says_gone(request->answer)) {
        note_left(sweep, request->answer);
    }
}

/* One look at all devices. What it may have left is noted; -errno when it did not come to its end. */
static int sweep_once(struct sweep *sweep, const uint32_t *ifindexes, size_t count)
{
    struct nns_netlink_batch *batch = &sweep->talk.batch;
    struct nns_netlink_taker taker = {.take = take_swept, .context = sweep};
    nns_netlink_batch_clear(batch);
    for (size_t i = 0; i < count * NNS_HOOKS; i++) {
        sweep->index = i;
        int r = dump_filters(&sweep->talk, ifindexes[i / NNS_HOOKS], i % NNS_HOOKS, &taker);
        if (r == -EAGAIN)
            note_left(sweep, r);
        else if (r < 0)
            return r;
    }
    int r = exchange(&sweep->talk, SIZE_MAX, NULL);
    for (size_t i = 0; i < batch->count; i++)
        settle_sweep(sweep, &batch->requests[i]);
    return r;
}

int nns_tc_sweep(int socket, const char *instance, const uint32_t *ifindexes, size_t count, unsigned *removed,
                 struct nns_tc_stats *stats)
{
    struct sweep sweep = {.instance = instance, .removed = removed};
    int r = talk_init(&sweep.talk, socket, NULL, stats);
    for (int looks = 0; looks < LOOKS && r == 0 && (looks == 0 || sweep.error); looks++) {
        sweep.error = 0;
        r = sweep_once(&sweep, ifindexes, count);
    }
    talk_deinit(&sweep.talk);
    return r < 0 ? r : sweep.error;
}

/* A filter that goes with its qdisc, kept until it has gone. */
struct goner {
    struct nns_tc_taken taken;
    char kind[IFNAMSIZ], name[FILTER_NAME], program[16];
};

struct removal {
    struct talk talk;
    const char *instance;
    uint32_t ifindex;
    enum nns_hook hook; /* being looked at */
    struct goner *goners;
    size_t count, room;
    bool in_use;
    int error; /* why the list says nothing */
};

static struct goner *add_goner(struct removal *removal)
{
    if (removal->count == removal->room) {
        size_t room = removal->room ? 2 * removal->room : 8;
        struct goner *goners = realloc(removal->goners, room * sizeof(*goners));
        if (!goners)
            return NULL;
        removal->goners = goners;
        removal->room = room;
    }
    return &removal->goners[removal->count++];
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static void take_goner(void *context, uint32_t ifindex, const struct nlmsghdr *message)
{
    struct removal *removal = context;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter) || filter.handle == 0 || filter.table)
        return;
    int ours = is_ours(&removal->talk, removal->instance, &filter);
    removal->in_use = removal->in_use || ours > 0;
    struct goner *goner = add_goner(removal);
    if (!goner || ours < 0) {
        removal->error = goner ? ours : -ENOMEM;
        return;
    }
    const struct program *program = NULL;
    if (filter.program_id)
        find_program(&removal->talk, filter.program_id, &program);
    goner->taken = (struct nns_tc_taken){
        .hook = removal->hook,
        .priority = filter.priority,
        .chain = filter.chain,
        .shared = filter.ifindex != ifindex,
        .program_id = filter.program_id,
    };
    copy(goner->kind, sizeof(goner->kind), filter.kind);
    copy(goner->name, sizeof(goner->name), filter.name);
    copy(goner->program, sizeof(goner->program), program ? program->name : NULL);
}

/* -EAGAIN: not seen for sure. */
static int list_goners(struct removal *removal)
{
    struct nns_netlink_taker taker = {.take = take_goner, .context = removal};
    int r = 0;
    removal->count = 0;
    removal->in_use = false;
    removal->error = 0;
    for (int hook = 0; hook < NNS_HOOKS && r == 0; hook++) {
        removal->hook = hook;
        r = dump_filters(&removal->talk, removal->ifindex, hook, &taker);
    }
    return r == 0 ? removal->error : r;
}

static int delete_qdisc(struct removal *removal, enum nns_tc_clsact *result)
{
    struct nns_netlink_batch *batch = &removal->talk.batch;
    nns_tc_put_delete_clsact(batch, removal->ifindex, 0);
    int r = exchange(&removal->talk, 1, NULL);
    if (r < 0)
        return r;
    int answer = batch->requests[0].answer;
    if (answer == 0 || answer == -ENOENT || answer == -ENODEV || answer == -EINVAL) {
        *result = answer == 0 ? NNS_TC_CLSACT_DELETED : NNS_TC_CLSACT_ABSENT;
        return 0;
    }
    return answer == NNS_NETLINK_UNHEARD ? -EAGAIN : answer;
}

static void show_goners(struct removal *removal, const struct nns_tc_witness *witness)
{
    for (size_t i = 0; i < removal->count; i++) {
        struct goner *goner = &removal->goners[i];
        goner->taken.kind = goner->kind;
        goner->taken.name = goner->name;
        goner->taken.program = goner->program;
        witness->take(witness->context, &goner->taken);
    }
}

static int remove_qdisc(struct removal *removal, const struct nns_tc_witness *witness,
                        enum nns_tc_clsact *result)
{
    int r = -EAGAIN;
    for (int looks = 0; looks < LOOKS && r == -EAGAIN; looks++)
        r = list_goners(removal);
    if (r == 0 && removal->in_use) {
        *result = NNS_TC_CLSACT_IN_USE;
        return 0;
    }
    if (r == 0)
        r = delete_qdisc(removal, result);
    if (r == 0 && *result == NNS_TC_CLSACT_DELETED)
        show_goners(removal, witness);
    return r;
}

int nns_tc_delete_clsact(int socket, const char *instance, uint32_t ifindex,
                         const struct nns_tc_witness *witness, enum nns_tc_clsact *result)
{
    struct nns_tc_stats stats = {0};
    struct removal removal = {.instance = instance, .ifindex = ifindex};
    int r = talk_init(&removal.talk, socket, NULL, &stats);
    if (r == 0)
        r = remove_qdisc(&removal, witness, result);
    free(removal.goners);
    talk_deinit(&removal.talk);
    return r;
}

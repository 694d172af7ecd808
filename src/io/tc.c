/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tc.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/netlink.h"
#include "core/tc_message.h"

/* One send: well below the default send buffer of 208 KiB, and 400 devices. */
#define SEND_BYTES (128u << 10)

/* Requests answered with an object, in one send: their answers must fit the default receive buffer. */
#define SEND_QUESTIONS 64

#define INBOX_BYTES (32u << 10) /* no datagram of the kernel's is larger */

/* Looks at a device whose qdisc or filters change under our hands. */
#define LOOKS 3

#define KNOWN_PROGRAMS 8

/* What the kernel says of a program. */
struct program {
    uint32_t id; /* 0: unused */
    char name[16];
    uint8_t tag[8];
};

/* One call's dialogue with the kernel. */
struct talk {
    int socket;
    struct nns_tc_stats *stats;
    size_t send_bytes;
    char *inbox;
    struct nns_netlink_batch batch;
    struct program programs[KNOWN_PROGRAMS];
    unsigned next_program;
};

static int talk_init(struct talk *talk, int socket, struct nns_tc_stats *stats)
{
    *talk = (struct talk){.socket = socket, .stats = stats, .send_bytes = SEND_BYTES};
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
    bool lost = false, last = false;
    while (!last) {
        int n = receive(talk);
        if (n == -EAGAIN)
            return 0;
        if (n == -ENOBUFS)
            lost = true;
        else if (n < 0)
            return n;
        else
            last = nns_netlink_hear(part, talk->inbox, (size_t)n, taker);
    }
    if (!lost)
        nns_netlink_heard_all(part);
    return 0;
}

/* Hand the batch to the kernel, at most `most` requests at once, and hear its answers. */
static int exchange(struct talk *talk, size_t most, const struct nns_netlink_taker *taker)
{
    struct nns_netlink_batch *batch = &talk->batch;
    if (batch->failed)
        return -ENOMEM;
    for (size_t first = 0; first < batch->count;) {
        size_t count = nns_netlink_cut(batch, first, talk->send_bytes, most);
        struct nns_netlink_part part = nns_netlink_seal(batch, first, count);
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

static bool ask_program(uint32_t id, struct program *program)
{
    union bpf_attr attr = {.prog_id = id};
    int fd = (int)bpf_call(BPF_PROG_GET_FD_BY_ID, &attr);
    if (fd < 0)
        return false;
    struct bpf_prog_info info = {0};
    attr = (union bpf_attr){
        .info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(info), .info = (uintptr_t)&info}};
    long r = bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr);
    close(fd);
    if (r < 0)
        return false;
    program->id = id;
    memcpy(program->name, info.name, sizeof(program->name));
    memcpy(program->tag, info.tag, sizeof(program->tag));
    return true;
}

/* Thousands of filters share a program or two. NULL when the kernel does not tell. */
static const struct program *find_program(struct talk *talk, uint32_t id)
{
    for (int i = 0; i < KNOWN_PROGRAMS; i++) {
        if (talk->programs[i].id == id)
            return &talk->programs[i];
    }
    struct program found;
    if (id == 0 || !ask_program(id, &found))
        return NULL;
    struct program *place = &talk->programs[talk->next_program++ % KNOWN_PROGRAMS];
    *place = found;
    return place;
}

/* I7: handle, name, and the program's own name and tag. */
static bool is_ours(struct talk *talk, const char *instance, const struct nns_tc_filter *filter)
{
    struct nns_tc_name_parts parts;
    if (!filter->like_ours || !nns_tc_name_parse(filter->name, instance, &parts) ||
        memcmp(parts.tag, filter->tag, sizeof(parts.tag)) != 0)
        return false;
    const struct program *program = find_program(talk, filter->program_id);
    return program && strncmp(program->name, parts.program, sizeof(parts.program)) == 0 &&
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
    do {
        r = receive(talk);
        if (r == -ENOBUFS)
            incomplete = true;
        else if (r < 0)
            return r;
        else
            r = nns_netlink_hear_dump(request.head.nlmsg_seq, (uint32_t)head->tcm_ifindex, talk->inbox,
                                      (size_t)r, taker, &incomplete);
    } while (r > 0 || r == -ENOBUFS);
    return r == 0 && incomplete ? -EAGAIN : r;
}

/* Every filter of a hook; a device without a qdisc has none. */
static int dump_filters(struct talk *talk, uint32_t ifindex, enum nns_hook hook,
                        const struct nns_netlink_taker *taker)
{
    struct tcmsg head = {.tcm_ifindex = (int)ifindex, .tcm_parent = nns_tc_parent(hook)};
    return dump(talk, RTM_GETTFILTER, &head, taker);
}

/* One job on its way to an answer. */
struct task {
    struct nns_tc_job *job;
    bool pending;
    bool look;       /* what is there is not known for sure */
    bool with_qdisc; /* clsact is among what was sent */
    bool shared[NNS_HOOKS];
    bool sent[NNS_HOOKS];
    uint8_t qdisc;             /* enum nns_qdisc, as the last look saw it */
    uint16_t fresh[NNS_HOOKS]; /* where this call put a filter, or may have */
    struct nns_tc_place places[NNS_HOOKS];
    struct nns_tc_view views[NNS_HOOKS];
    int answers[NNS_HOOKS + 1]; /* of the filters and of clsact */
};

enum { CLSACT = NNS_HOOKS }; /* beside enum nns_hook: what a request was for */

struct attach {
    struct talk talk;
    const struct nns_tc_set *set;
    char names[NNS_HOOKS][NNS_TC_NAME_SIZE];
    struct task *tasks;
    size_t count;
};

static uint32_t about(const struct attach *attach, const struct task *task, unsigned what)
{
    return (uint32_t)(task - attach->tasks) << 2 | what;
}

static void fail_hook(struct task *task, enum nns_hook hook, enum nns_reason reason, int error)
{
    task->job->hooks[hook] = (struct nns_attachment){
        .reason = (uint8_t)reason, .error = reason == NNS_REASON_KERNEL ? (uint16_t)-error : 0};
}

static void fail_job(struct task *task, enum nns_reason reason, int error)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        fail_hook(task, hook, reason, error);
    task->pending = false;
}

static void fail_job_by_errno(struct task *task, int error)
{
    fail_job(task, error == -ENODEV ? NNS_REASON_GONE : NNS_REASON_KERNEL, error);
}

static void put_clsact(struct attach *attach, struct task *task)
{
    nns_tc_put_clsact(&attach->talk.batch, task->job->ifindex, about(attach, task, CLSACT));
    task->with_qdisc = true;
}

static void put_filter(struct attach *attach, struct task *task, enum nns_hook hook)
{
    const struct nns_tc_place *place = &task->places[hook];
    struct nns_tc_spot spot = {
        .ifindex = task->job->ifindex, .priority = place->priority, .hook = (uint8_t)hook};
    nns_tc_put_filter(&attach->talk.batch, spot, attach->set->programs[hook].fd, attach->names[hook],
                      task->job->slot, place->step == NNS_TC_REPLACE, about(attach, task, hook));
    task->sent[hook] = true;
}

static struct task *find_task(const struct attach *attach, uint32_t ifindex)
{
    size_t low = 0, high = attach->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (attach->tasks[middle].job->ifindex < ifindex)
            low = middle + 1;
        else
            high = middle;
    }
    return low < attach->count && attach->tasks[low].job->ifindex == ifindex ? &attach->tasks[low] : NULL;
}

static void take_qdisc(void *context, uint32_t nothing, const struct nlmsghdr *message)
{
    struct nns_tc_qdisc qdisc;
    if (!nns_tc_read_qdisc(message, &qdisc))
        return;
    struct task *task = find_task(context, qdisc.ifindex);
    if (!task || !task->pending || !task->look)
        return;
    task->qdisc = (uint8_t)qdisc.kind;
    memcpy(task->shared, qdisc.shared, sizeof(task->shared));
    if (qdisc.kind == NNS_QDISC_UNKNOWN)
        fail_job(task, NNS_REASON_KERNEL, -EOPNOTSUPP);
}

/* By a dump: asking for one device's qdisc would tell all of the host's listeners about it. */
static int look_at_qdiscs(struct attach *attach)
{
    for (size_t i = 0; i < attach->count; i++) {
        struct task *task = &attach->tasks[i];
        if (!task->pending || !task->look)
            continue;
        task->qdisc = NNS_QDISC_NONE;
        memset(task->shared, 0, sizeof(task->shared));
    }
    struct tcmsg all = {0};
    struct nns_netlink_taker taker = {.take = take_qdisc, .context = attach};
    return dump(&attach->talk, RTM_GETQDISC, &all, &taker);
}

struct look {
    struct attach *attach;
    struct nns_tc_view *view;
};

static void take_filter(void *context, uint32_t ifindex, const struct nlmsghdr *message)
{
    struct look *look = context;
    struct attach *attach = look->attach;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter) || filter.chain != 0)
        return;
    enum nns_tc_seen seen = NNS_TC_SEEN_FOREIGN;
    if (filter.handle == 0)
        seen = NNS_TC_SEEN_HEAD;
    else if (is_ours(&attach->talk, attach->set->instance, &filter))
        seen = NNS_TC_SEEN_OURS;
    nns_tc_view_add(look->view, attach->set->priority, seen, filter.priority, filter.program_id);
}

static bool reachable(const struct task *task, enum nns_hook hook)
{
    return !task->shared[hook] && (task->qdisc == NNS_QDISC_CLSACT || hook == NNS_INGRESS);
}

/* Both hooks' filters. -EAGAIN: not seen for sure. */
static int look_at_filters(struct attach *attach, struct task *task)
{
    int r = 0;
    for (int hook = 0; hook < NNS_HOOKS && r == 0; hook++) {
        if (task->qdisc == NNS_QDISC_NONE || !reachable(task, hook))
            continue;
        task->views[hook] = (struct nns_tc_view){0};
        struct look look = {.attach = attach, .view = &task->views[hook]};
        struct nns_netlink_taker taker = {.take = take_filter, .context = &look};
        r = dump_filters(&attach->talk, task->job->ifindex, hook, &taker);
    }
    return r;
}

/* Learn what is there on the devices in doubt. Those not seen for sure stay in doubt. */
static int look(struct attach *attach)
{
    int r = look_at_qdiscs(attach);
    for (size_t i = 0; i < attach->count && r == 0; i++) {
        struct task *task = &attach->tasks[i];
        if (!task->pending || !task->look)
            continue;
        r = look_at_filters(attach, task);
        task->look = r == -EAGAIN;
        if (r == -EAGAIN)
            r = 0;
        else if (r == 0)
            task->job->qdisc = task->qdisc;
    }
    return r == -EAGAIN ? 0 : r;
}

static void confirm(struct attach *attach, struct task *task, enum nns_hook hook)
{
    task->job->hooks[hook] = (struct nns_attachment){
        .program_id = attach->set->programs[hook].id,
        .priority = task->places[hook].priority,
    };
}

static void plan_hook(struct attach *attach, struct task *task, enum nns_hook hook)
{
    struct nns_tc_place *place = &task->places[hook];
    if (!reachable(task, hook)) {
        *place = (struct nns_tc_place){.step = NNS_TC_REFUSE};
        fail_hook(task, hook, task->shared[hook] ? NNS_REASON_SHARED_BLOCK : NNS_REASON_LEGACY_INGRESS, 0);
        return;
    }
    *place = nns_tc_choose(&task->views[hook], attach->set->priority, attach->set->programs[hook].id,
                           task->fresh[hook]);
    if (place->step == NNS_TC_KEEP)
        confirm(attach, task, hook);
    else if (place->step == NNS_TC_REFUSE)
        fail_hook(task, hook, NNS_REASON_NO_PRIORITY, 0);
    else
        put_filter(attach, task, hook);
}

static void plan_bare(struct attach *attach, struct task *task)
{
    put_clsact(attach, task);
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        task->views[hook] = (struct nns_tc_view){0};
        task->places[hook] = (struct nns_tc_place){.step = NNS_TC_ADD, .priority = attach->set->priority};
        put_filter(attach, task, hook);
    }
}

static void plan(struct attach *attach)
{
    nns_netlink_batch_clear(&attach->talk.batch);
    for (size_t i = 0; i < attach->count; i++) {
        struct task *task = &attach->tasks[i];
        task->with_qdisc = task->sent[NNS_INGRESS] = task->sent[NNS_EGRESS] = false;
        if (!task->pending || task->look)
            continue;
        if (task->qdisc == NNS_QDISC_NONE) {
            plan_bare(attach, task);
            continue;
        }
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            plan_hook(attach, task, hook);
    }
}

/* Somebody was there before us, or took away what we were about to use. */
static bool raced(int answer)
{
    return answer == -EEXIST || answer == -EINVAL || answer == -ENOENT;
}

static void note_fresh(struct task *task, enum nns_hook hook)
{
    int answer = task->answers[hook];
    if (task->places[hook].step == NNS_TC_ADD && (answer == 0 || answer == NNS_NETLINK_UNHEARD))
        task->fresh[hook] = task->places[hook].priority;
}

/* False: to be looked at again. */
static bool settle_hook(struct attach *attach, struct task *task, enum nns_hook hook)
{
    const struct nns_tc_place *place = &task->places[hook];
    int answer = task->answers[hook];
    note_fresh(task, hook);
    if (answer == NNS_NETLINK_UNHEARD) {
        task->job->hooks[hook].reason = NNS_REASON_UNKNOWN;
        return false;
    }
    if (answer == 0) {
        confirm(attach, task, hook);
        return true;
    }
    fail_hook(task, hook, answer == -EOPNOTSUPP ? NNS_REASON_SHARED_BLOCK : NNS_REASON_KERNEL, answer);
    if (place->step == NNS_TC_REPLACE) { /* the old one stays where it was */
        task->job->hooks[hook].program_id = place->program_id;
        task->job->hooks[hook].priority = place->priority;
    }
    return !raced(answer);
}

/* True when clsact's answer leaves the filters' answers their meaning. One that was there already may not be
 * clsact at all, and our filters may have gone where they do not belong. */
static bool settle_clsact(struct task *task)
{
    int answer = task->answers[CLSACT];
    if (answer == 0) {
        task->job->qdisc = task->qdisc = NNS_QDISC_CLSACT;
        return true;
    }
    if (answer < 0 && answer != -EEXIST) {
        fail_job_by_errno(task, answer);
        return false;
    }
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        note_fresh(task, hook);
    task->look = true;
    return false;
}

static void count_found(struct attach *attach, const struct task *task)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        const struct nns_tc_place *place = &task->places[hook];
        bool there = place->step == NNS_TC_KEEP || place->step == NNS_TC_REPLACE;
        attach->talk.stats->adopted += there && place->priority != task->fresh[hook];
        attach->talk.stats->foreign += place->yielded;
    }
}

static void settle_task(struct attach *attach, struct task *task)
{
    if (task->with_qdisc && !settle_clsact(task))
        return;
    bool settled = true;
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        if (task->sent[hook] && task->answers[hook] == -ENODEV) {
            fail_job(task, NNS_REASON_GONE, 0);
            return;
        }
        if (task->sent[hook] && !settle_hook(attach, task, hook))
            settled = false;
    }
    task->pending = task->look = !settled;
    if (settled)
        count_found(attach, task);
}

static bool settle(struct attach *attach)
{
    const struct nns_netlink_batch *batch = &attach->talk.batch;
    for (size_t i = 0; i < batch->count; i++) {
        const struct nns_netlink_request *request = &batch->requests[i];
        attach->tasks[request->about >> 2].answers[request->about & 3] = request->answer;
    }
    bool pending = false;
    for (size_t i = 0; i < attach->count; i++) {
        struct task *task = &attach->tasks[i];
        if (task->pending && !task->look)
            settle_task(attach, task);
        pending = pending || task->pending;
    }
    return pending;
}

/* Filters of ours beside the one that stays: where a place was yielded, or an earlier daemon's at another
 * priority. Taken away last, so that no packet goes uncounted. */
static int remove_surplus(struct attach *attach)
{
    struct talk *talk = &attach->talk;
    nns_netlink_batch_clear(&talk->batch);
    for (size_t i = 0; i < attach->count * NNS_HOOKS; i++) {
        const struct task *task = &attach->tasks[i / NNS_HOOKS];
        enum nns_hook hook = i % NNS_HOOKS;
        const struct nns_tc_view *view = &task->views[hook];
        const struct nns_attachment *now = &task->job->hooks[hook];
        if (now->reason != NNS_REASON_NONE && now->reason != NNS_REASON_NO_PRIORITY)
            continue;
        for (int k = 0; k < view->count; k++) {
            struct nns_tc_spot spot = {
                .ifindex = task->job->ifindex, .priority = view->ours[k].priority, .hook = hook};
            if (spot.priority != now->priority)
                nns_tc_put_delete(&talk->batch, spot, 0);
        }
    }
    int r = exchange(talk, SIZE_MAX, NULL);
    for (size_t i = 0; i < talk->batch.count && r == 0; i++)
        talk->stats->removed += talk->batch.requests[i].answer == 0;
    return r;
}

static bool in_doubt(const struct attach *attach)
{
    for (size_t i = 0; i < attach->count; i++) {
        if (attach->tasks[i].pending && attach->tasks[i].look)
            return true;
    }
    return false;
}

static int attach_all(struct attach *attach)
{
    bool pending = true;
    for (int looks = 0; pending;) {
        int r = 0;
        if (in_doubt(attach)) {
            if (looks++ == LOOKS)
                break;
            r = look(attach);
        }
        if (r == 0) {
            plan(attach);
            r = exchange(&attach->talk, SIZE_MAX, NULL);
        }
        if (r < 0)
            return r;
        pending = settle(attach);
    }
    return remove_surplus(attach);
}

static int by_ifindex(const void *a, const void *b)
{
    uint32_t x = ((const struct task *)a)->job->ifindex, y = ((const struct task *)b)->job->ifindex;
    return (x > y) - (x < y);
}

static int attach_init(struct attach *attach, int socket, const struct nns_tc_set *set,
                       struct nns_tc_job *jobs, size_t count, struct nns_tc_stats *stats)
{
    *attach = (struct attach){.set = set, .count = count};
    int r = talk_init(&attach->talk, socket, stats);
    if (r < 0)
        return r;
    attach->tasks = calloc(count ? count : 1, sizeof(*attach->tasks));
    if (!attach->tasks)
        return -ENOMEM;
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        nns_tc_name(attach->names[hook], set->instance, set->programs[hook].name, set->programs[hook].tag);
    bool sorted = true;
    for (size_t i = 0; i < count; i++) {
        struct task *task = &attach->tasks[i];
        task->job = &jobs[i];
        task->pending = true;
        task->qdisc = NNS_QDISC_NONE;
        task->look = jobs[i].qdisc != NNS_QDISC_NONE;
        sorted = sorted && (i == 0 || jobs[i - 1].ifindex < jobs[i].ifindex);
    }
    if (!sorted)
        qsort(attach->tasks, count, sizeof(*attach->tasks), by_ifindex);
    return 0;
}

static void attach_deinit(struct attach *attach)
{
    free(attach->tasks);
    talk_deinit(&attach->talk);
}

int nns_tc_attach(int socket, const struct nns_tc_set *set, struct nns_tc_job *jobs, size_t count,
                  struct nns_tc_stats *stats)
{
    for (size_t i = 0; i < count * NNS_HOOKS; i++)
        jobs[i / NNS_HOOKS].hooks[i % NNS_HOOKS].reason = NNS_REASON_UNKNOWN;
    struct attach attach;
    int r = attach_init(&attach, socket, set, jobs, count, stats);
    if (r == 0)
        r = attach_all(&attach);
    attach_deinit(&attach);
    return r;
}

/* What is known of one hook's filter while it is being removed. */
enum leave { LEAVE_DONE, LEAVE_ASK, LEAVE_OURS, LEAVE_FOREIGN };

struct detach {
    struct talk talk;
    const struct nns_tc_set *set;
    struct nns_tc_job *jobs;
    size_t count;   /* of hooks: jobs × NNS_HOOKS */
    uint8_t *state; /* enum leave, by hook */
};

static struct nns_attachment *hook_of(const struct detach *detach, size_t index)
{
    return &detach->jobs[index / NNS_HOOKS].hooks[index % NNS_HOOKS];
}

static void take_attached(void *context, uint32_t index, const struct nlmsghdr *message)
{
    struct detach *detach = context;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter))
        return;
    bool ours = filter.program_id == hook_of(detach, index)->program_id &&
                is_ours(&detach->talk, detach->set->instance, &filter);
    detach->state[index] = ours ? LEAVE_OURS : LEAVE_FOREIGN;
}

static bool is_gone(int answer)
{
    return answer == -ENOENT || answer == -ENODEV || answer == -EINVAL || answer == -EOPNOTSUPP;
}

typedef void (*put_fn)(struct nns_netlink_batch *batch, struct nns_tc_spot spot, uint32_t about);

static void put_hooks(struct detach *detach, enum leave state, put_fn put)
{
    nns_netlink_batch_clear(&detach->talk.batch);
    for (size_t i = 0; i < detach->count; i++) {
        struct nns_tc_spot spot = {
            .ifindex = detach->jobs[i / NNS_HOOKS].ifindex,
            .priority = hook_of(detach, i)->priority,
            .hook = i % NNS_HOOKS,
        };
        if (detach->state[i] == state)
            put(&detach->talk.batch, spot, (uint32_t)i);
    }
}

static void left(struct detach *detach, size_t index)
{
    *hook_of(detach, index) = (struct nns_attachment){0};
    detach->state[index] = LEAVE_DONE;
}

/* An answer that is neither yes nor "nothing there": kept as the reason, the program is still there. */
static void settle_leaving(struct detach *detach, size_t index, int answer)
{
    struct nns_attachment *hook = hook_of(detach, index);
    if (is_gone(answer)) {
        left(detach, index);
    } else if (answer == NNS_NETLINK_UNHEARD) {
        hook->reason = NNS_REASON_UNKNOWN;
        detach->state[index] = LEAVE_ASK;
    } else if (answer < 0) {
        hook->reason = NNS_REASON_KERNEL;
        hook->error = (uint16_t)-answer;
        detach->state[index] = LEAVE_DONE;
    }
}

static int ask_hooks(struct detach *detach)
{
    const struct nns_netlink_batch *batch = &detach->talk.batch;
    put_hooks(detach, LEAVE_ASK, nns_tc_put_get);
    struct nns_netlink_taker taker = {.take = take_attached, .context = detach};
    int r = exchange(&detach->talk, SEND_QUESTIONS, &taker);
    for (size_t i = 0; i < batch->count && r == 0; i++) {
        size_t index = batch->requests[i].about;
        if (detach->state[index] == LEAVE_ASK)
            settle_leaving(detach, index, batch->requests[i].answer);
        if (detach->state[index] == LEAVE_FOREIGN) {
            left(detach, index);
            detach->talk.stats->foreign++;
        }
    }
    return r;
}

static int delete_hooks(struct detach *detach)
{
    const struct nns_netlink_batch *batch = &detach->talk.batch;
    put_hooks(detach, LEAVE_OURS, nns_tc_put_delete);
    int r = exchange(&detach->talk, SIZE_MAX, NULL);
    for (size_t i = 0; i < batch->count && r == 0; i++) {
        size_t index = batch->requests[i].about;
        if (batch->requests[i].answer == 0) {
            detach->talk.stats->removed++;
            left(detach, index);
        } else {
            settle_leaving(detach, index, batch->requests[i].answer);
        }
    }
    return r;
}

static int detach_all(struct detach *detach)
{
    for (int looks = 0; looks < LOOKS; looks++) {
        int r = ask_hooks(detach);
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
    struct detach detach = {.set = set, .jobs = jobs, .count = count * NNS_HOOKS};
    int r = talk_init(&detach.talk, socket, stats);
    detach.state = calloc(count * NNS_HOOKS + 1, 1);
    if (r == 0 && !detach.state)
        r = -ENOMEM;
    for (size_t i = 0; i < detach.count; i++) {
        struct nns_attachment *hook = hook_of(&detach, i);
        if (!hook->program_id)
            continue;
        hook->reason = NNS_REASON_UNKNOWN;
        if (r == 0)
            detach.state[i] = LEAVE_ASK;
    }
    if (r == 0)
        r = detach_all(&detach);
    free(detach.state);
    talk_deinit(&detach.talk);
    return r;
}

struct sweep {
    struct talk talk;
    const char *instance;
    enum nns_hook hook; /* being looked at */
};

/* The filters of a shared block come with another number than the device's. */
static void take_swept(void *context, uint32_t ifindex, const struct nlmsghdr *message)
{
    struct sweep *sweep = context;
    struct nns_tc_filter filter;
    if (!nns_tc_read_filter(message, &filter) || filter.ifindex != ifindex ||
        !is_ours(&sweep->talk, sweep->instance, &filter))
        return;
    struct nns_tc_spot spot = {.ifindex = ifindex, .priority = filter.priority, .hook = (uint8_t)sweep->hook};
    nns_tc_put_delete(&sweep->talk.batch, spot, 0);
}

/* One look at all devices; *again when some answers were lost. */
static int sweep_once(struct sweep *sweep, const uint32_t *ifindexes, size_t count, bool *again)
{
    struct nns_netlink_batch *batch = &sweep->talk.batch;
    struct nns_netlink_taker taker = {.take = take_swept, .context = sweep};
    nns_netlink_batch_clear(batch);
    for (size_t i = 0; i < count * NNS_HOOKS; i++) {
        sweep->hook = i % NNS_HOOKS;
        int r = dump_filters(&sweep->talk, ifindexes[i / NNS_HOOKS], sweep->hook, &taker);
        if (r == -EAGAIN)
            *again = true;
        else if (r < 0)
            return r;
    }
    int r = exchange(&sweep->talk, SIZE_MAX, NULL);
    for (size_t i = 0; i < batch->count && r == 0; i++) {
        sweep->talk.stats->removed += batch->requests[i].answer == 0;
        *again = *again || batch->requests[i].answer == NNS_NETLINK_UNHEARD;
    }
    return r;
}

int nns_tc_sweep(int socket, const char *instance, const uint32_t *ifindexes, size_t count,
                 struct nns_tc_stats *stats)
{
    struct sweep sweep = {.instance = instance};
    int r = talk_init(&sweep.talk, socket, stats);
    bool again = true;
    for (int looks = 0; looks < LOOKS && again && r == 0; looks++) {
        again = false;
        r = sweep_once(&sweep, ifindexes, count, &again);
    }
    talk_deinit(&sweep.talk);
    return r == 0 && again ? -EAGAIN : r;
}

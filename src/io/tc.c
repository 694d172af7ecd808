/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/netlink_batch.h"

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

/* Takes an object the kernel answered with; `about` is what the request was for. */
struct taker {
    void (*take)(void *context, uint32_t about, struct nlmsghdr *message);
    void *context;
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

/* `count` numbers of the lower half: listings on the same socket have the upper one. */
static uint32_t take_sequence(size_t count)
{
    static _Thread_local uint32_t next = 1;
    if (next + count > INT32_MAX)
        next = 1;
    uint32_t sequence = next;
    next += (uint32_t)count;
    return sequence;
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

static int error_of(struct nlmsghdr *message)
{
    if (nlmsg_datalen(message) < (int)sizeof(int))
        return -EPROTO;
    return *(int *)nlmsg_data(message);
}

/* Part of a batch on its way. */
struct part {
    struct nns_netlink_request *requests;
    size_t count;
    uint32_t sequence;
};

/* True when the answer to the part's last request was among it. */
static bool take_answers(const struct part *part, struct nlmsghdr *message, int length,
                         const struct taker *taker)
{
    bool last = false;
    for (; nlmsg_ok(message, length); message = nlmsg_next(message, &length)) {
        size_t index = message->nlmsg_seq - part->sequence;
        if (index >= part->count)
            continue;
        if (message->nlmsg_type == NLMSG_ERROR) {
            part->requests[index].answer = error_of(message);
            last = last || index == part->count - 1;
        } else if (taker) {
            taker->take(taker->context, part->requests[index].about, message);
        }
    }
    return last;
}

/* Answers that do not come stay NNS_NETLINK_UNHEARD. */
static int hear_part(struct talk *talk, const struct part *part, const struct taker *taker)
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
            last = take_answers(part, (struct nlmsghdr *)talk->inbox, n, taker);
    }
    for (size_t i = 0; i < part->count && !lost; i++) {
        if (part->requests[i].answer == NNS_NETLINK_UNHEARD)
            part->requests[i].answer = 0;
    }
    return 0;
}

/* Hand the batch to the kernel, at most `most` requests at once, and hear its answers. */
static int exchange(struct talk *talk, size_t most, const struct taker *taker)
{
    struct nns_netlink_batch *batch = &talk->batch;
    if (batch->failed)
        return -ENOMEM;
    for (size_t first = 0; first < batch->count;) {
        struct part part = {.requests = &batch->requests[first]};
        part.count = nns_netlink_cut(batch, first, talk->send_bytes, most);
        part.sequence = take_sequence(part.count);
        size_t length;
        void *bytes = nns_netlink_seal(batch, first, part.count, part.sequence, &length);
        int r = send_all(talk, bytes, length);
        if (r == -EMSGSIZE && part.count > 1) {
            talk->send_bytes = length / 2; /* this host's send buffers are small */
            continue;
        }
        if (r == 0)
            r = hear_part(talk, &part, taker);
        if (r < 0)
            return r;
        first += part.count;
    }
    return 0;
}

static uint32_t parent_of(enum nns_hook hook)
{
    return TC_H_MAKE(TC_H_CLSACT, hook == NNS_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

static struct tcmsg filter_head(uint32_t ifindex, enum nns_hook hook, uint16_t priority)
{
    return (struct tcmsg){
        .tcm_ifindex = (int)ifindex,
        .tcm_parent = parent_of(hook),
        .tcm_handle = NNS_TC_HANDLE,
        .tcm_info = TC_H_MAKE((uint32_t)priority << 16, htons(ETH_P_ALL)),
    };
}

/* About exactly one filter: a deletion with handle 0 would take everybody's. */
static void put_about_filter(struct nns_netlink_batch *batch, uint16_t type, const struct tcmsg *head,
                             uint32_t about)
{
    nns_netlink_begin(batch, type, 0, head, sizeof(*head));
    nns_netlink_put_string(batch, TCA_KIND, "bpf");
    nns_netlink_end(batch, about);
}

/* A filter as an answer shows it. */
struct filter {
    struct tcmsg head;
    uint16_t priority;
    bool bpf;
    uint32_t chain;
    const char *name; /* NULL: none */
    uint32_t program_id;
    uint8_t tag[8];
};

static void read_bpf_options(struct filter *filter, struct nlattr *options)
{
    struct nlattr *attribute;
    int left;
    nla_for_each_nested(attribute, options, left)
    {
        if (nla_type(attribute) == TCA_BPF_NAME && nla_len(attribute) > 0) {
            const char *name = nla_data(attribute);
            filter->name = name[nla_len(attribute) - 1] == '\0' ? name : NULL;
        } else if (nla_type(attribute) == TCA_BPF_ID && nla_len(attribute) >= (int)sizeof(uint32_t)) {
            filter->program_id = nla_get_u32(attribute);
        } else if (nla_type(attribute) == TCA_BPF_TAG) {
            nla_memcpy(filter->tag, attribute, sizeof(filter->tag));
        }
    }
}

static bool read_filter(struct filter *filter, struct nlmsghdr *message)
{
    if (message->nlmsg_type != RTM_NEWTFILTER || !nlmsg_valid_hdr(message, sizeof(struct tcmsg)))
        return false;
    *filter = (struct filter){.head = *(struct tcmsg *)nlmsg_data(message)};
    filter->priority = (uint16_t)(TC_H_MAJ(filter->head.tcm_info) >> 16);
    struct nlattr *chain = nlmsg_find_attr(message, sizeof(struct tcmsg), TCA_CHAIN);
    struct nlattr *kind = nlmsg_find_attr(message, sizeof(struct tcmsg), TCA_KIND);
    struct nlattr *options = nlmsg_find_attr(message, sizeof(struct tcmsg), TCA_OPTIONS);
    filter->chain = chain && nla_len(chain) >= (int)sizeof(uint32_t) ? nla_get_u32(chain) : 0;
    filter->bpf = kind && nla_strcmp(kind, "bpf") == 0;
    if (filter->bpf && options)
        read_bpf_options(filter, options);
    return true;
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
static bool is_ours(struct talk *talk, const char *instance, const struct filter *filter)
{
    struct nns_tc_name_parts parts;
    if (filter->head.tcm_handle != NNS_TC_HANDLE || !filter->bpf || filter->chain != 0 ||
        TC_H_MIN(filter->head.tcm_info) != htons(ETH_P_ALL) ||
        !nns_tc_name_parse(filter->name, instance, &parts) ||
        memcmp(parts.tag, filter->tag, sizeof(parts.tag)))
        return false;
    const struct program *program = find_program(talk, filter->program_id);
    return program && strncmp(program->name, parts.program, sizeof(parts.program)) == 0 &&
           memcmp(program->tag, parts.tag, sizeof(parts.tag)) == 0;
}

/* Show every filter of a hook to the taker; a device without a qdisc has none. 0 or -errno. */
static int dump_filters(struct talk *talk, uint32_t ifindex, enum nns_hook hook, const struct taker *taker)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg message;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = RTM_GETTFILTER,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                 .nlmsg_seq = take_sequence(1)},
        .message = {.tcm_ifindex = (int)ifindex, .tcm_parent = parent_of(hook)},
    };
    int fault = send_all(talk, &request, sizeof(request));
    if (fault < 0)
        return fault;
    for (;;) {
        int length = receive(talk);
        if (length == -ENOBUFS)
            fault = -EAGAIN;
        else if (length < 0)
            return length;
        struct nlmsghdr *message = (struct nlmsghdr *)talk->inbox;
        for (; nlmsg_ok(message, length); message = nlmsg_next(message, &length)) {
            if (message->nlmsg_seq != request.head.nlmsg_seq)
                continue;
            if (message->nlmsg_flags & NLM_F_DUMP_INTR)
                fault = -EAGAIN;
            if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
                int r = error_of(message);
                return r < 0 ? r : fault;
            }
            taker->take(taker->context, ifindex, message);
        }
    }
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
    struct nns_netlink_batch *batch = &attach->talk.batch;
    struct tcmsg head = {
        .tcm_ifindex = (int)task->job->ifindex,
        .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
        .tcm_parent = TC_H_CLSACT,
    };
    nns_netlink_begin(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    nns_netlink_put_string(batch, TCA_KIND, "clsact");
    nns_netlink_end(batch, about(attach, task, CLSACT));
    task->with_qdisc = true;
    task->answers[CLSACT] = NNS_NETLINK_UNHEARD;
}

static void put_filter(struct attach *attach, struct task *task, enum nns_hook hook)
{
    struct nns_netlink_batch *batch = &attach->talk.batch;
    const struct nns_tc_place *place = &task->places[hook];
    struct tcmsg head = filter_head(task->job->ifindex, hook, place->priority);
    uint16_t mode = place->step == NNS_TC_REPLACE ? NLM_F_REPLACE : NLM_F_EXCL;
    nns_netlink_begin(batch, RTM_NEWTFILTER, NLM_F_CREATE | mode, &head, sizeof(head));
    nns_netlink_put_string(batch, TCA_KIND, "bpf");
    size_t options = nns_netlink_nest(batch, TCA_OPTIONS);
    nns_netlink_put_u32(batch, TCA_BPF_FD, (uint32_t)attach->set->programs[hook].fd);
    nns_netlink_put_string(batch, TCA_BPF_NAME, attach->names[hook]);
    nns_netlink_put_u32(batch, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    if (task->job->slot)
        nns_netlink_put_u32(batch, TCA_BPF_CLASSID, task->job->slot);
    nns_netlink_unnest(batch, options);
    nns_netlink_end(batch, about(attach, task, hook));
    task->sent[hook] = true;
    task->answers[hook] = NNS_NETLINK_UNHEARD;
}

static void take_qdisc(void *context, uint32_t index, struct nlmsghdr *message)
{
    struct task *task = &((struct attach *)context)->tasks[index];
    if (message->nlmsg_type != RTM_NEWQDISC || !nlmsg_valid_hdr(message, sizeof(struct tcmsg)))
        return;
    struct nlattr *kind = nlmsg_find_attr(message, sizeof(struct tcmsg), TCA_KIND);
    if (kind && nla_strcmp(kind, "clsact") == 0)
        task->qdisc = NNS_QDISC_CLSACT;
    else if (kind && nla_strcmp(kind, "ingress") == 0)
        task->qdisc = NNS_QDISC_INGRESS;
    else
        task->qdisc = NNS_QDISC_UNKNOWN;
    task->shared[NNS_INGRESS] = nlmsg_find_attr(message, sizeof(struct tcmsg), TCA_INGRESS_BLOCK) != NULL;
    task->shared[NNS_EGRESS] = nlmsg_find_attr(message, sizeof(struct tcmsg), TCA_EGRESS_BLOCK) != NULL;
}

static void settle_qdisc(struct task *task, int answer)
{
    task->look = answer == NNS_NETLINK_UNHEARD;
    if (answer == 0)
        task->job->qdisc = task->qdisc;
    else if (answer == -ENOENT || answer == -EINVAL)
        task->job->qdisc = task->qdisc = NNS_QDISC_NONE;
    else if (answer < 0)
        fail_job_by_errno(task, answer);
    if (answer == 0 && task->qdisc == NNS_QDISC_UNKNOWN)
        fail_job(task, NNS_REASON_KERNEL, -EOPNOTSUPP); /* a kind nobody has heard of yet */
}

static int ask_qdiscs(struct attach *attach)
{
    struct nns_netlink_batch *batch = &attach->talk.batch;
    nns_netlink_batch_clear(batch);
    for (size_t i = 0; i < attach->count; i++) {
        struct task *task = &attach->tasks[i];
        if (!task->pending || !task->look)
            continue;
        struct tcmsg head = {.tcm_ifindex = (int)task->job->ifindex, .tcm_parent = TC_H_CLSACT};
        task->qdisc = NNS_QDISC_NONE; /* no answer but the acknowledgement: nothing worth showing */
        memset(task->shared, 0, sizeof(task->shared));
        nns_netlink_begin(batch, RTM_GETQDISC, 0, &head, sizeof(head));
        nns_netlink_end(batch, (uint32_t)i);
    }
    struct taker taker = {.take = take_qdisc, .context = attach};
    int r = exchange(&attach->talk, SEND_QUESTIONS, &taker);
    for (size_t i = 0; i < batch->count && r == 0; i++)
        settle_qdisc(&attach->tasks[batch->requests[i].about], batch->requests[i].answer);
    return r;
}

struct look {
    struct attach *attach;
    struct nns_tc_view *view;
};

static void take_filter(void *context, uint32_t ifindex, struct nlmsghdr *message)
{
    struct look *look = context;
    struct attach *attach = look->attach;
    struct filter filter;
    if (!read_filter(&filter, message) || filter.chain != 0)
        return;
    enum nns_tc_seen seen = NNS_TC_SEEN_FOREIGN;
    if (filter.head.tcm_handle == 0)
        seen = NNS_TC_SEEN_HEAD;
    else if (is_ours(&attach->talk, attach->set->instance, &filter))
        seen = NNS_TC_SEEN_OURS;
    nns_tc_view_add(look->view, attach->set->priority, seen, filter.priority, filter.program_id);
}

static bool reachable(const struct task *task, enum nns_hook hook)
{
    return !task->shared[hook] && (task->qdisc == NNS_QDISC_CLSACT || hook == NNS_INGRESS);
}

/* A hook we could not read is looked at again: task->look stays. */
static int look_at_filters(struct attach *attach, struct task *task)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        if (!reachable(task, hook))
            continue;
        task->views[hook] = (struct nns_tc_view){0};
        struct look look = {.attach = attach, .view = &task->views[hook]};
        struct taker taker = {.take = take_filter, .context = &look};
        int r = dump_filters(&attach->talk, task->job->ifindex, hook, &taker);
        if (r == -EAGAIN)
            task->look = true;
        else if (r < 0)
            return r;
    }
    return 0;
}

/* Learn what is there on the devices in doubt. */
static int look(struct attach *attach)
{
    int r = ask_qdiscs(attach);
    for (size_t i = 0; i < attach->count && r == 0; i++) {
        struct task *task = &attach->tasks[i];
        if (task->pending && !task->look &&
            (task->qdisc == NNS_QDISC_CLSACT || task->qdisc == NNS_QDISC_INGRESS))
            r = look_at_filters(attach, task);
    }
    return r;
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
            struct tcmsg head = filter_head(task->job->ifindex, hook, view->ours[k].priority);
            if (view->ours[k].priority != now->priority)
                put_about_filter(&talk->batch, RTM_DELTFILTER, &head, 0);
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
    for (size_t i = 0; i < count; i++) {
        struct task *task = &attach->tasks[i];
        *task = (struct task){.job = &jobs[i], .pending = true, .qdisc = NNS_QDISC_NONE};
        task->look = jobs[i].qdisc != NNS_QDISC_NONE;
    }
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

static void take_attached(void *context, uint32_t index, struct nlmsghdr *message)
{
    struct detach *detach = context;
    struct filter filter;
    if (!read_filter(&filter, message))
        return;
    bool ours = filter.program_id == hook_of(detach, index)->program_id &&
                is_ours(&detach->talk, detach->set->instance, &filter);
    detach->state[index] = ours ? LEAVE_OURS : LEAVE_FOREIGN;
}

static bool is_gone(int answer)
{
    return answer == -ENOENT || answer == -ENODEV || answer == -EINVAL || answer == -EOPNOTSUPP;
}

static void put_hooks(struct detach *detach, enum leave state, uint16_t type)
{
    nns_netlink_batch_clear(&detach->talk.batch);
    for (size_t i = 0; i < detach->count; i++) {
        if (detach->state[i] != state)
            continue;
        struct tcmsg head =
            filter_head(detach->jobs[i / NNS_HOOKS].ifindex, i % NNS_HOOKS, hook_of(detach, i)->priority);
        put_about_filter(&detach->talk.batch, type, &head, (uint32_t)i);
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
    put_hooks(detach, LEAVE_ASK, RTM_GETTFILTER);
    struct taker taker = {.take = take_attached, .context = detach};
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
    put_hooks(detach, LEAVE_OURS, RTM_DELTFILTER);
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

static void take_swept(void *context, uint32_t ifindex, struct nlmsghdr *message)
{
    struct sweep *sweep = context;
    struct filter filter;
    if (!read_filter(&filter, message) || (uint32_t)filter.head.tcm_ifindex != ifindex ||
        !is_ours(&sweep->talk, sweep->instance, &filter))
        return;
    struct tcmsg head = filter_head(ifindex, sweep->hook, filter.priority);
    put_about_filter(&sweep->talk.batch, RTM_DELTFILTER, &head, 0);
}

/* One look at all devices; *again when some answers were lost. */
static int sweep_once(struct sweep *sweep, const uint32_t *ifindexes, size_t count, bool *again)
{
    struct nns_netlink_batch *batch = &sweep->talk.batch;
    struct taker taker = {.take = take_swept, .context = sweep};
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

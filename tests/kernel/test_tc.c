/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <criterion/parameterized.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "io/links.h"
#include "io/netns.h"
#include "io/tc.h"

static struct {
    int netns, socket;
    struct nns_tc_set set;
    struct nns_tc_stats stats;
    unsigned sends_left; /* until one fails, 0: none will */
    bool speechless;     /* no answer finds room */
} here;

/* In libc's place: the kernel alone would have to run out of memory. */
ssize_t send(int socket, const void *bytes, size_t length, int flags)
{
    if (here.sends_left && --here.sends_left == 0) {
        errno = ENOBUFS;
        return -1;
    }
    return sendto(socket, bytes, length, flags, NULL, 0);
}

ssize_t recv(int socket, void *bytes, size_t length, int flags)
{
    if (here.speechless) {
        errno = ENOBUFS;
        return -1;
    }
    return recvfrom(socket, bytes, length, flags, NULL, NULL);
}

static struct nns_tc_program load(const char *name, int value)
{
    int fd = host_program(name, value);
    struct bpf_prog_info info = host_program_info(fd);
    struct nns_tc_program program = {.fd = fd, .id = info.id};
    memcpy(program.name, info.name, sizeof(program.name));
    memcpy(program.tag, info.tag, sizeof(program.tag));
    return program;
}

/* A foreign agent attaches from a pin, as people do with tc. */
static void pin(int fd, const char *path)
{
    union bpf_attr attr = {0};
    attr.pathname = (uintptr_t)path;
    attr.bpf_fd = (uint32_t)fd;
    cr_assert_eq(host_bpf(BPF_OBJ_PIN, &attr), 0, "pin %s: %s", path, strerror(errno));
}

static void set_up(void)
{
    host_new();
    struct nns_netns_abilities abilities;
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    enum nns_netns_way way;
    here.netns = nns_netns_open_pid((uint32_t)getpid(), &way);
    cr_assert_geq(here.netns, 0);
    here.socket = nns_netns_enter(here.netns, 1024);
    cr_assert_geq(here.socket, 0);
    here.set = (struct nns_tc_set){.instance = "default", .priority = 10};
    here.set.programs[NNS_INGRESS] = load("test_in", -1);
    here.set.programs[NNS_EGRESS] = load("test_out", -1);
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t bpf bpf /sys/fs/bpf");
    pin(host_program("foreign", -1), "/sys/fs/bpf/foreign");
    host_run("ip link add v0 type veth peer name v1");
}

static void tear_down(void)
{
    nns_netns_leave(here.socket);
    close(here.netns);
    host_free();
}

TestSuite(tc, .init = set_up, .fini = tear_down);

/* Who attaches takes presuming for knowing: the kernel's answer will tell. */
static uint8_t qdisc_of(const struct nns_link *link)
{
    return link->qdisc == NNS_QDISC_PRESUMED_NONE ? NNS_QDISC_NONE : link->qdisc;
}

static struct nns_tc_job job_of(const char *device)
{
    struct nns_links links = NNS_LINKS_NULL;
    cr_assert_eq(nns_links_list(here.socket, &links), 0);
    struct nns_tc_job job = {.ifindex = if_nametoindex(device)};
    for (size_t i = 0; i < links.count; i++) {
        if (links.items[i].ifindex == job.ifindex)
            job.qdisc = qdisc_of(&links.items[i]);
    }
    nns_links_deinit(&links);
    return job;
}

static void attach(struct nns_tc_job *jobs, size_t count)
{
    here.stats = (struct nns_tc_stats){0};
    cr_assert_eq(nns_tc_attach(here.socket, &here.set, jobs, count, &here.stats), 0);
}

static void detach(struct nns_tc_job *jobs, size_t count)
{
    here.stats = (struct nns_tc_stats){0};
    cr_assert_eq(nns_tc_detach(here.socket, &here.set, jobs, count, &here.stats), 0);
}

static const char *const hook_names[NNS_HOOKS] = {"ingress", "egress"};

static char *filters(const char *device, enum nns_hook hook)
{
    return host_ask("tc -j filter show dev %s %s", device, hook_names[hook]);
}

static char *all_filters(const char *device)
{
    return host_ask("tc -j filter show dev %s ingress; tc -j filter show dev %s egress", device, device);
}

/* tc shows exactly one filter of the instance on the hook: this program at this priority. */
static void expect_attached(const char *device, enum nns_hook hook, unsigned priority)
{
    char *text = filters(device, hook), want[256];
    const struct nns_tc_program *program = &here.set.programs[hook];
    snprintf(want, sizeof(want), "\"pref\":%u,\"kind\":\"bpf\",\"chain\":0,\"options\":{\"handle\":\"0x2e\"",
             priority);
    cr_assert_eq(host_count(text, "netnsync:default:"), 1, "%s %s: %s", device, hook_names[hook], text);
    cr_assert(strstr(text, want), "%s %s: %s", device, hook_names[hook], text);
    snprintf(want, sizeof(want), "\"prog\":{\"id\":%u,\"name\":\"%s\"", program->id, program->name);
    cr_assert_eq(host_count(text, want), 1, "%s %s: %s", device, hook_names[hook], text);
}

static void expect_bare(const char *device, enum nns_hook hook)
{
    char *text = filters(device, hook);
    cr_assert_eq(host_count(text, "netnsync:"), 0, "%s %s: %s", device, hook_names[hook], text);
}

/* Both hooks' filters write into this slot, 0 for none. */
static void expect_slot(const char *device, unsigned slot)
{
    char *text = all_filters(device), want[32];
    snprintf(want, sizeof(want), "\"flowid\":\":%x\"", slot);
    cr_assert_eq(host_count(text, "\"flowid\""), slot ? 2 : 0, "%s", text);
    cr_assert_eq(host_count(text, want), slot ? 2 : 0, "%s", text);
}

static void expect_hook(const struct nns_tc_job *job, enum nns_hook hook, unsigned priority)
{
    cr_assert_eq(job->hooks[hook].reason, NNS_REASON_NONE, "%s: reason %u error %u", hook_names[hook],
                 job->hooks[hook].reason, job->hooks[hook].error);
    cr_assert_eq(job->hooks[hook].program_id, here.set.programs[hook].id);
    cr_assert_eq(job->hooks[hook].priority, priority);
}

static void expect_reason(const struct nns_tc_job *job, enum nns_hook hook, enum nns_reason reason)
{
    cr_assert_eq(job->hooks[hook].reason, reason, "%s: reason %u error %u", hook_names[hook],
                 job->hooks[hook].reason, job->hooks[hook].error);
    cr_assert_eq(job->hooks[hook].program_id, 0);
}

static void expect_both(const struct nns_tc_job *job, const char *device, unsigned priority)
{
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        expect_hook(job, hook, priority);
        expect_attached(device, hook, priority);
    }
}

Test(tc, attaches_both_hooks_of_every_device)
{
    struct nns_tc_job jobs[] = {job_of("lo"), job_of("v0"), job_of("v1")};
    jobs[1].slot = 7;
    jobs[2].slot = 65535;
    attach(jobs, 3);
    expect_both(&jobs[0], "lo", 10);
    expect_both(&jobs[1], "v0", 10);
    expect_both(&jobs[2], "v1", 10);
    cr_assert_eq(here.stats.sends, 1);
    cr_assert_eq(jobs[0].qdisc, NNS_QDISC_CLSACT);
    cr_assert_eq(host_count(filters("lo", NNS_INGRESS), "flowid"), 0);
    cr_assert_eq(host_count(filters("v0", NNS_EGRESS), "\"flowid\":\":7\""), 1);
    cr_assert_eq(host_count(filters("v1", NNS_INGRESS), "\"flowid\":\":ffff\""), 1);
}

/* return skb->tc_classid == 7 ? TC_ACT_SHOT : TC_ACT_UNSPEC, on the wire of a ping. */
Test(tc, slot_arrives_as_classid)
{
    const struct bpf_insn code[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W,
         .dst_reg = 1,
         .src_reg = 1,
         .off = offsetof(struct __sk_buff, tc_classid)},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
        {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 1, .off = 1, .imm = 0xfedc},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 2},
        {.code = BPF_JMP | BPF_EXIT},
    };
    here.set.programs[NNS_INGRESS].fd = host_load("slot", code, sizeof(code) / sizeof(code[0]));
    host_run("ip link set lo up && ping -q -c1 -W1 127.0.0.1 >/dev/null");
    struct nns_tc_job job = job_of("lo");
    job.slot = 0xfedb;
    attach(&job, 1);
    host_run("ping -q -c1 -W1 127.0.0.1 >/dev/null");
    host_run("tc qdisc del dev lo clsact");
    job = job_of("lo");
    job.slot = 0xfedc;
    attach(&job, 1);
    host_run("! ping -q -c1 -W1 127.0.0.1 >/dev/null");
}

#define MANY 150

static void make_many(void)
{
    FILE *batch = popen("ip -batch -", "w");
    for (int i = 0; i < MANY; i++)
        fprintf(batch, "link add a%d type veth peer name b%d\n", i, i);
    cr_assert_eq(pclose(batch), 0);
}

static size_t list_jobs(struct nns_tc_job *jobs, size_t room)
{
    struct nns_links links = NNS_LINKS_NULL;
    cr_assert_eq(nns_links_list(here.socket, &links), 0);
    cr_assert_leq(links.count, room);
    for (size_t i = 0; i < links.count; i++) {
        jobs[i] = (struct nns_tc_job){.ifindex = links.items[i].ifindex, .qdisc = qdisc_of(&links.items[i])};
        jobs[i].slot = (uint16_t)(i + 1);
    }
    size_t count = links.count;
    nns_links_deinit(&links);
    return count;
}

static unsigned count_everywhere(const char *part)
{
    char *text = host_ask("for d in $(ls /sys/class/net); do for h in ingress egress; do "
                          "echo filter show dev $d $h; done; done | tc -j -batch -");
    return host_count(text, part);
}

Test(tc, covers_300_devices_in_as_few_sends_as_their_bytes_need)
{
    host_run("mount -t sysfs sysfs /sys");
    make_many();
    static struct nns_tc_job jobs[2 * MANY + 3];
    size_t count = list_jobs(jobs, sizeof(jobs) / sizeof(jobs[0]));
    cr_assert_eq(count, 2 * MANY + 3);
    attach(jobs, count);
    cr_assert_eq(here.stats.sends, 1);
    for (size_t i = 0; i < count; i++) {
        expect_hook(&jobs[i], NNS_INGRESS, 10);
        expect_hook(&jobs[i], NNS_EGRESS, 10);
    }
    cr_assert_eq(count_everywhere("netnsync:default:test_in:"), count);
    cr_assert_eq(count_everywhere("netnsync:default:test_out:"), count);
    detach(jobs, count);
    cr_assert_eq(here.stats.removed, 2 * count);
    cr_assert_eq(count_everywhere("netnsync:"), 0);
}

/* A listing told that nothing is there, and everything is: an error a request, more than the buffer holds. */
Test(tc, lost_answers_are_asked_for_again)
{
    host_run("mount -t sysfs sysfs /sys");
    make_many();
    static struct nns_tc_job jobs[2 * MANY + 3];
    size_t count = list_jobs(jobs, sizeof(jobs) / sizeof(jobs[0]));
    attach(jobs, count);
    int small = 4096;
    cr_assert_eq(setsockopt(here.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct nns_tc_job){.ifindex = jobs[i].ifindex, .qdisc = NNS_QDISC_NONE};
    here.stats = (struct nns_tc_stats){0};
    nns_tc_attach(here.socket, &here.set, jobs, count, &here.stats);
    size_t unknown = 0;
    for (size_t i = 0; i < count; i++) {
        for (int hook = 0; hook < NNS_HOOKS; hook++) {
            if (jobs[i].hooks[hook].reason == NNS_REASON_UNKNOWN)
                unknown++;
            else
                expect_hook(&jobs[i], hook, 10);
        }
    }
    cr_assert_lt(unknown, 2 * count, "the last answers always fit");
    cr_assert_eq(count_everywhere("netnsync:default:"), 2 * count);
    int large = 1 << 20;
    cr_assert_eq(setsockopt(here.socket, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)), 0);
    for (size_t i = 0; i < count; i++)
        jobs[i].qdisc = NNS_QDISC_NONE;
    attach(jobs, count);
    cr_assert_eq(here.stats.adopted, 2 * count);
    for (size_t i = 0; i < count; i++)
        expect_hook(&jobs[i], NNS_EGRESS, 10);
}

/* More errors than the buffer holds: the kernel drops the rest, and the acknowledgement with them. */
Test(tc, a_lost_error_is_no_success)
{
    make_many();
    static struct nns_tc_job jobs[2 * MANY + 3];
    size_t count = list_jobs(jobs, sizeof(jobs) / sizeof(jobs[0])), heard = 0;
    int small = 4096;
    cr_assert_eq(setsockopt(here.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    here.set.programs[NNS_EGRESS].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(nns_tc_attach(here.socket, &here.set, jobs, count, &here.stats), 0);
    for (size_t i = 0; i < count; i++) {
        expect_hook(&jobs[i], NNS_INGRESS, 10);
        cr_assert_eq(jobs[i].hooks[NNS_EGRESS].program_id, 0);
        cr_assert_neq(jobs[i].hooks[NNS_EGRESS].reason, NNS_REASON_NONE);
        heard += jobs[i].hooks[NNS_EGRESS].reason == NNS_REASON_KERNEL;
    }
    cr_assert_gt(heard, 0);
    cr_assert_lt(heard, count);
}

/* So that a batch takes several sends. */
static void keep_sends_small(void)
{
    int small = 4096;
    cr_assert_eq(setsockopt(here.socket, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
}

static size_t count_reason(const struct nns_tc_job *jobs, size_t count, enum nns_reason reason)
{
    size_t found = 0;
    for (size_t i = 0; i < count * NNS_HOOKS; i++)
        found += jobs[i / NNS_HOOKS].hooks[i % NNS_HOOKS].reason == reason;
    return found;
}

/* The devices that were answered before it have their answers. */
Test(tc, a_failed_send_takes_back_no_answer)
{
    host_run("mount -t sysfs sysfs /sys");
    make_many();
    static struct nns_tc_job jobs[2 * MANY + 3];
    size_t count = list_jobs(jobs, sizeof(jobs) / sizeof(jobs[0]));
    keep_sends_small();
    here.stats = (struct nns_tc_stats){0};
    here.sends_left = 8; /* the first few only find out how much fits */
    cr_assert_eq(nns_tc_attach(here.socket, &here.set, jobs, count, &here.stats), -ENOBUFS);
    size_t there = count_everywhere("netnsync:default:");
    cr_assert_gt(there, 0);
    cr_assert_lt(there, 2 * count);
    cr_assert_eq(count_reason(jobs, count, NNS_REASON_NONE), there);
    cr_assert_eq(count_reason(jobs, count, NNS_REASON_UNKNOWN), 2 * count - there);
    for (size_t i = 0; i < there; i++)
        expect_hook(&jobs[i / NNS_HOOKS], i % NNS_HOOKS, 10);

    attach(jobs, count);
    here.stats = (struct nns_tc_stats){0};
    here.sends_left = 2 * count / 64 + 6; /* ten that ask, and some deletions */
    cr_assert_eq(nns_tc_detach(here.socket, &here.set, jobs, count, &here.stats), -ENOBUFS);
    there = count_everywhere("netnsync:default:");
    cr_assert_gt(there, 0);
    cr_assert_lt(there, 2 * count);
    cr_assert_eq(count_reason(jobs, count, NNS_REASON_UNKNOWN), there);
    cr_assert_eq(here.stats.removed, 2 * count - there);
}

/* That an answer was lost is told once, and by a kernel without memory each time it is asked: for that there
 * are retries, with pauses. */
Test(tc, who_is_told_of_nothing_but_losses_gives_up, .timeout = 10)
{
    struct nns_tc_job fresh = job_of("v0"), again;
    here.speechless = true;
    here.stats = (struct nns_tc_stats){0};
    cr_assert_eq(nns_tc_attach(here.socket, &here.set, &fresh, 1, &here.stats), -ENOBUFS);
    here.speechless = false;
    again = job_of("v0");
    cr_assert_eq(again.qdisc, NNS_QDISC_CLSACT);
    here.speechless = true;
    cr_assert_eq(nns_tc_attach(here.socket, &here.set, &again, 1, &here.stats), -ENOBUFS);
    cr_assert_eq(nns_tc_detach(here.socket, &here.set, &again, 1, &here.stats), -ENOBUFS);
    here.speechless = false;
    attach(&again, 1);
    expect_hook(&again, NNS_INGRESS, 10);
    expect_hook(&again, NNS_EGRESS, 10);
}

/* What we may have put there without knowing, at whatever priority; another daemon's place is its own. */
Test(tc, detach_looks_for_what_was_left_unknown)
{
    struct nns_tc_job jobs[] = {job_of("v0"), job_of("v1"), job_of("lo")};
    struct nns_tc_set former = here.set;
    former.programs[NNS_INGRESS] = load("test_in", -1);
    former.programs[NNS_EGRESS] = load("test_out", -1);
    cr_assert_eq(nns_tc_attach(here.socket, &former, &jobs[2], 1, &here.stats), 0);
    here.set.priority = 12;
    attach(&jobs[0], 1);
    host_run("tc qdisc add dev v1 clsact && "
             "tc filter add dev v1 egress prio 10 handle 0x2e bpf da pinned /sys/fs/bpf/foreign");
    char *before = all_filters("v1");
    for (int i = 0; i < 3; i++) {
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            jobs[i].hooks[hook] = (struct nns_attachment){.reason = NNS_REASON_UNKNOWN};
    }
    detach(jobs, 3);
    cr_assert_eq(here.stats.removed, 4, "its own, and those of a daemon of the instance before it");
    expect_bare("v0", NNS_INGRESS);
    expect_bare("v0", NNS_EGRESS);
    cr_assert_str_eq(all_filters("v1"), before);
    expect_bare("lo", NNS_INGRESS);
    expect_bare("lo", NNS_EGRESS);
    cr_assert_eq(count_reason(jobs, 3, NNS_REASON_NONE), 3 * NNS_HOOKS);
}

Test(tc, second_attach_adopts)
{
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    char *before = filters("v0", NNS_INGRESS);
    struct nns_tc_job again = job_of("v0");
    cr_assert_eq(again.qdisc, NNS_QDISC_CLSACT);
    attach(&again, 1);
    expect_both(&again, "v0", 10);
    cr_assert_eq(here.stats.adopted, 2);
    cr_assert_eq(here.stats.foreign, 0);
    cr_assert_str_eq(filters("v0", NNS_INGRESS), before);
}

Test(tc, a_listing_out_of_date_adopts_as_well)
{
    struct nns_tc_job job = job_of("v0"), stale = job;
    attach(&job, 1);
    attach(&stale, 1);
    expect_both(&stale, "v0", 10);
    cr_assert_eq(here.stats.adopted, 2);
}

Test(tc, another_program_of_ours_is_replaced_in_place)
{
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    here.set.programs[NNS_INGRESS] = load("test_in", 1); /* same name, other tag */
    here.set.programs[NNS_EGRESS] = load("other_out", -1);
    job = job_of("v0");
    attach(&job, 1);
    expect_both(&job, "v0", 10);
    cr_assert_eq(here.stats.adopted, 2);
}

/* A filter left from when the device had another slot would count for that one. */
Test(tc, ours_that_counts_in_another_slot_is_replaced_in_place)
{
    static const uint16_t slots[] = {7, 9, 0, 7};
    for (int i = 0; i < 4; i++) {
        struct nns_tc_job job = job_of("v0");
        job.slot = slots[i];
        attach(&job, 1);
        expect_both(&job, "v0", 10);
        expect_slot("v0", slots[i]);
        cr_assert_eq(here.stats.adopted, i ? 2 : 0);
        cr_assert_eq(job.found, i ? 1 << NNS_INGRESS | 1 << NNS_EGRESS : 0);
        char *before = all_filters("v0");
        job.qdisc = NNS_QDISC_CLSACT;
        attach(&job, 1);
        cr_assert_eq(here.stats.sends, 3, "a look, and nothing to send");
        cr_assert_str_eq(all_filters("v0"), before);
    }
}

Test(tc, ours_at_another_priority_moves_into_the_range)
{
    struct nns_tc_job job = job_of("v0");
    here.set.priority = 5;
    attach(&job, 1);
    expect_both(&job, "v0", 5);
    here.set.priority = 10;
    job = job_of("v0");
    attach(&job, 1);
    expect_both(&job, "v0", 10);
}

Test(tc, u32_at_our_priority_is_left_alone)
{
    host_run("tc qdisc add dev v0 clsact && "
             "tc filter add dev v0 ingress prio 10 protocol ip u32 match ip src 10.9.9.9/32 flowid 1:1");
    char *before = filters("v0", NNS_INGRESS);
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    expect_hook(&job, NNS_INGRESS, 11);
    expect_attached("v0", NNS_INGRESS, 11);
    expect_hook(&job, NNS_EGRESS, 10);
    cr_assert_eq(here.stats.foreign, 1);
    detach(&job, 1);
    cr_assert_str_eq(filters("v0", NNS_INGRESS), before);
    expect_bare("v0", NNS_EGRESS);
}

Test(tc, bpf_at_our_priority_and_at_1_are_left_alone)
{
    host_run("tc qdisc add dev v0 clsact && "
             "tc filter add dev v0 egress prio 10 bpf da pinned /sys/fs/bpf/foreign && "
             "tc filter add dev v0 egress prio 1 bpf da pinned /sys/fs/bpf/foreign");
    char *before = host_ask("tc -j filter show dev v0 egress; tc -j qdisc show");
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    expect_hook(&job, NNS_INGRESS, 10);
    expect_hook(&job, NNS_EGRESS, 11);
    expect_attached("v0", NNS_EGRESS, 11);
    detach(&job, 1);
    cr_assert_eq(here.stats.removed, 2);
    cr_assert_str_eq(host_ask("tc -j filter show dev v0 egress; tc -j qdisc show"), before);
}

Test(tc, another_chain_holds_no_priority)
{
    host_run(
        "tc qdisc add dev v0 clsact && "
        "tc filter add dev v0 ingress chain 3 prio 10 protocol ip u32 match ip src 10.9.9.9/32 flowid 1:1");
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    expect_both(&job, "v0", 10);
}

Test(tc, sixteen_priorities_taken)
{
    host_run("tc qdisc add dev v0 clsact; for p in $(seq 10 25); do "
             "tc filter add dev v0 ingress prio $p bpf da pinned /sys/fs/bpf/foreign || exit 1; done");
    char *before = filters("v0", NNS_INGRESS);
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    expect_reason(&job, NNS_INGRESS, NNS_REASON_NO_PRIORITY);
    expect_hook(&job, NNS_EGRESS, 10);
    cr_assert_str_eq(filters("v0", NNS_INGRESS), before);
    host_run("tc filter del dev v0 ingress prio 25");
    attach(&job, 1);
    expect_hook(&job, NNS_INGRESS, 25);
    expect_attached("v0", NNS_INGRESS, 25);
}

static void expect_legacy(struct nns_tc_job job)
{
    attach(&job, 1);
    expect_hook(&job, NNS_INGRESS, 10);
    expect_attached("v0", NNS_INGRESS, 10);
    expect_reason(&job, NNS_EGRESS, NNS_REASON_LEGACY_INGRESS);
    cr_assert_eq(job.qdisc, NNS_QDISC_INGRESS);
    /* Both parents show the one list that there is. */
    cr_assert_eq(host_count(filters("v0", NNS_EGRESS), "test_out"), 0);
    detach(&job, 1);
    expect_bare("v0", NNS_INGRESS);
    cr_assert_eq(host_count(host_ask("tc -j qdisc show dev v0"), "\"ingress\""), 1);
}

Test(tc, legacy_ingress_takes_no_egress_filter)
{
    host_run("tc qdisc add dev v0 ingress");
    expect_legacy(job_of("v0"));
}

Test(tc, legacy_ingress_that_the_listing_missed)
{
    struct nns_tc_job stale = job_of("v0");
    cr_assert_eq(stale.qdisc, NNS_QDISC_NONE);
    host_run("tc qdisc add dev v0 ingress");
    expect_legacy(stale);
}

Test(tc, legacy_ingress_with_an_egress_program_of_ours)
{
    struct nns_tc_job stale = job_of("v0");
    host_run("tc qdisc add dev v0 ingress");
    struct nns_tc_program in = here.set.programs[NNS_INGRESS];
    here.set.programs[NNS_INGRESS] = here.set.programs[NNS_EGRESS];
    attach(&stale, 1);
    here.set.programs[NNS_INGRESS] = in;
    expect_legacy(job_of("v0"));
}

Test(tc, shared_blocks_are_nobodys_device)
{
    host_run("tc qdisc add dev v0 ingress_block 5 egress_block 6 clsact && "
             "tc qdisc add dev v1 egress_block 6 clsact && "
             "tc filter add block 6 prio 3 bpf da pinned /sys/fs/bpf/foreign");
    char *before = host_ask("tc -j filter show block 5; tc -j filter show block 6");
    struct nns_tc_job jobs[] = {job_of("v0"), job_of("v1")};
    attach(jobs, 2);
    expect_reason(&jobs[0], NNS_INGRESS, NNS_REASON_SHARED_BLOCK);
    expect_reason(&jobs[0], NNS_EGRESS, NNS_REASON_SHARED_BLOCK);
    expect_hook(&jobs[1], NNS_INGRESS, 10);
    expect_reason(&jobs[1], NNS_EGRESS, NNS_REASON_SHARED_BLOCK);
    struct nns_tc_job stale = {.ifindex = jobs[0].ifindex, .qdisc = NNS_QDISC_NONE};
    attach(&stale, 1);
    expect_reason(&stale, NNS_EGRESS, NNS_REASON_SHARED_BLOCK);
    cr_assert_str_eq(host_ask("tc -j filter show block 5; tc -j filter show block 6"), before);
}

Test(tc, clsact_that_was_there_stays)
{
    host_run("tc qdisc add dev v0 clsact");
    char *before =
        host_ask("tc -j qdisc show; tc -j filter show dev v0 ingress; tc -j filter show dev v0 egress");
    struct nns_tc_job job = job_of("v0");
    cr_assert_eq(job.qdisc, NNS_QDISC_CLSACT);
    attach(&job, 1);
    expect_both(&job, "v0", 10);
    detach(&job, 1);
    cr_assert_str_eq(
        host_ask("tc -j qdisc show; tc -j filter show dev v0 ingress; tc -j filter show dev v0 egress"),
        before);
}

Test(tc, clsact_that_the_listing_missed)
{
    struct nns_tc_job stale = job_of("v0");
    host_run("tc qdisc add dev v0 clsact && tc filter add dev v0 ingress prio 10 bpf da pinned "
             "/sys/fs/bpf/foreign");
    char *before = filters("v0", NNS_INGRESS);
    attach(&stale, 1);
    expect_hook(&stale, NNS_INGRESS, 11);
    expect_attached("v0", NNS_INGRESS, 11);
    expect_hook(&stale, NNS_EGRESS, 10);
    expect_attached("v0", NNS_EGRESS, 10);
    cr_assert_eq(here.stats.adopted, 0);
    detach(&stale, 1);
    cr_assert_str_eq(filters("v0", NNS_INGRESS), before);
}

Test(tc, nowhere_to_move_leaves_nothing)
{
    struct nns_tc_job stale = job_of("v0");
    host_run("tc qdisc add dev v0 clsact; for p in $(seq 10 25); do "
             "tc filter add dev v0 ingress prio $p bpf da pinned /sys/fs/bpf/foreign || exit 1; done");
    char *before = filters("v0", NNS_INGRESS);
    attach(&stale, 1);
    expect_reason(&stale, NNS_INGRESS, NNS_REASON_NO_PRIORITY);
    cr_assert_str_eq(filters("v0", NNS_INGRESS), before);
}

/* Nothing but the kernel's refusals tells clsact from what takes egress filters and runs them on ingress. */
Test(tc, clsact_is_told_without_a_look_at_all_qdiscs)
{
    static const struct {
        const char *qdisc;
        enum nns_reason in, out;
        unsigned dumps;
    } cases[] = {
        {"clsact", NNS_REASON_NONE, NNS_REASON_NONE, 0},
        {"egress_block 6 clsact", NNS_REASON_NONE, NNS_REASON_SHARED_BLOCK, 0},
        {"ingress_block 5 clsact", NNS_REASON_SHARED_BLOCK, NNS_REASON_NONE, 0},
        {"ingress_block 5 egress_block 6 clsact", NNS_REASON_SHARED_BLOCK, NNS_REASON_SHARED_BLOCK, 0},
        {"ingress", NNS_REASON_NONE, NNS_REASON_LEGACY_INGRESS, 1},
        {"ingress_block 5 ingress", NNS_REASON_SHARED_BLOCK, NNS_REASON_LEGACY_INGRESS, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nns_tc_job job = job_of("v0");
        cr_assert_eq(job.qdisc, NNS_QDISC_NONE);
        host_run("tc qdisc add dev v0 %s", cases[i].qdisc);
        attach(&job, 1);
        cr_assert_eq(job.hooks[NNS_INGRESS].reason, cases[i].in, "%s", cases[i].qdisc);
        cr_assert_eq(job.hooks[NNS_EGRESS].reason, cases[i].out, "%s", cases[i].qdisc);
        cr_assert_eq(here.stats.dumps, cases[i].dumps, "%s", cases[i].qdisc);
        host_run("tc qdisc del dev v0 parent ffff:fff1");
    }
}

/* A chain may have any number that the kernel takes. */
Test(tc, legacy_ingress_with_the_last_chain)
{
    struct nns_tc_job job = job_of("v0");
    host_run("tc qdisc add dev v0 ingress && "
             "tc filter add dev v0 ingress prio 1 chain 268435455 bpf da pinned /sys/fs/bpf/foreign");
    expect_legacy(job);
}

/* What the listing saw is gone, or nobody looked. */
Test(tc, a_qdisc_told_but_not_there)
{
    struct nns_tc_job job = job_of("v0"), other = job_of("v1"), lo = job_of("lo");
    job.qdisc = NNS_QDISC_CLSACT;
    other.qdisc = NNS_QDISC_INGRESS;
    lo.qdisc = NNS_QDISC_UNKNOWN;
    host_run("tc qdisc add dev lo clsact && tc qdisc del dev lo clsact");
    struct nns_tc_job jobs[] = {job, other, lo};
    attach(jobs, 3);
    expect_both(&jobs[0], "v0", 10);
    expect_both(&jobs[1], "v1", 10);
    expect_both(&jobs[2], "lo", 10);
}

Test(tc, a_device_gone_does_not_hold_up_the_others)
{
    host_run("ip link add x0 type veth peer name x1");
    struct nns_tc_job jobs[] = {job_of("x0"), job_of("v0"), job_of("x1"), job_of("v1")};
    jobs[2].qdisc = NNS_QDISC_CLSACT;
    host_run("ip link del x0");
    attach(jobs, 4);
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        expect_reason(&jobs[0], hook, NNS_REASON_GONE);
        expect_reason(&jobs[2], hook, NNS_REASON_GONE);
    }
    expect_both(&jobs[1], "v0", 10);
    expect_both(&jobs[3], "v1", 10);
}

Test(tc, a_program_that_is_none)
{
    here.set.programs[NNS_EGRESS].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    expect_hook(&job, NNS_INGRESS, 10);
    expect_reason(&job, NNS_EGRESS, NNS_REASON_KERNEL);
    cr_assert_eq(job.hooks[NNS_EGRESS].error, EINVAL);
}

Test(tc, a_socket_that_is_none_leaves_everything_unknown)
{
    struct nns_tc_job job = job_of("v0");
    cr_assert_eq(nns_tc_attach(-1, &here.set, &job, 1, &here.stats), -EBADF);
    cr_assert_eq(job.hooks[NNS_EGRESS].reason, NNS_REASON_UNKNOWN);
    attach(&job, 1);
    cr_assert_eq(nns_tc_detach(-1, &here.set, &job, 1, &here.stats), -EBADF);
    cr_assert_eq(job.hooks[NNS_INGRESS].reason, NNS_REASON_UNKNOWN);
    cr_assert_eq(job.hooks[NNS_INGRESS].program_id, here.set.programs[NNS_INGRESS].id);
    expect_attached("v0", NNS_INGRESS, 10);
}

Test(tc, detach_leaves_a_filter_that_took_our_handle)
{
    struct nns_tc_job jobs[] = {job_of("v0"), job_of("v1"), job_of("lo")};
    attach(jobs, 3);
    host_run("tc filter del dev v0 ingress prio 10 && "
             "tc filter add dev v0 ingress prio 10 handle 0x2e bpf da pinned /sys/fs/bpf/foreign");
    char *before = filters("v0", NNS_INGRESS);
    host_run("tc qdisc del dev v1 clsact && tc filter del dev lo egress prio 10 && "
             "tc filter add dev lo egress prio 10 protocol ip u32 match ip src 10.9.9.9/32 flowid 1:1");
    detach(jobs, 3);
    cr_assert_eq(here.stats.foreign, 1);
    cr_assert_eq(here.stats.removed, 2);
    for (int i = 0; i < 3; i++) {
        for (int hook = 0; hook < NNS_HOOKS; hook++)
            expect_reason(&jobs[i], hook, NNS_REASON_NONE);
    }
    cr_assert_str_eq(filters("v0", NNS_INGRESS), before);
    cr_assert_eq(host_count(filters("lo", NNS_EGRESS), "u32"), 3);
    expect_bare("v0", NNS_EGRESS);
    expect_bare("lo", NNS_INGRESS);
}

/* Our handle and a name like ours, but the program is another. */
Test(tc, a_borrowed_name_is_not_ours)
{
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    struct nns_tc_set wrong = here.set;
    wrong.programs[NNS_INGRESS].fd = host_program("impostor", -1);
    struct nns_tc_job fake = job_of("v1");
    cr_assert_eq(nns_tc_attach(here.socket, &wrong, &fake, 1, &here.stats), 0);
    char *before = filters("v1", NNS_INGRESS);
    cr_assert_eq(host_count(before, "netnsync:default:test_in:"), 1);
    cr_assert_eq(host_count(before, "impostor"), 1);

    uint32_t ifindexes[] = {job.ifindex, fake.ifindex};
    cr_assert_eq(nns_tc_sweep(here.socket, "default", ifindexes, 2, NULL, &here.stats), 0);
    cr_assert_str_eq(filters("v1", NNS_INGRESS), before);
    expect_bare("v0", NNS_INGRESS);
    expect_bare("v1", NNS_EGRESS);

    fake = job_of("v1");
    attach(&fake, 1);
    expect_hook(&fake, NNS_INGRESS, 11);
    cr_assert_eq(here.stats.foreign, 1);
}

Test(tc, sweep_takes_one_instance_alone)
{
    struct nns_tc_job job = job_of("v0"), legacy = job_of("v1");
    host_run("tc qdisc add dev v1 ingress");
    static const char *const instances[] = {"a", "ab", "a:b", "b"};
    for (int i = 0; i < 4; i++) {
        snprintf(here.set.instance, sizeof(here.set.instance), "%s", instances[i]);
        job = job_of("v0");
        attach(&job, 1);
        expect_hook(&job, NNS_EGRESS, 10 + (unsigned)i);
        legacy = job_of("v1");
        attach(&legacy, 1);
    }
    host_run("tc filter add dev v0 egress prio 1 handle 0x2e bpf da pinned /sys/fs/bpf/foreign");
    uint32_t ifindexes[] = {job.ifindex, legacy.ifindex, 4096, if_nametoindex("lo")};
    unsigned removed[4] = {0};
    here.stats = (struct nns_tc_stats){0};
    cr_assert_eq(nns_tc_sweep(here.socket, "a", ifindexes, 4, removed, &here.stats), 0);
    cr_assert_eq(here.stats.removed, 3);
    cr_assert_arr_eq(removed, ((unsigned[]){2, 1, 0, 0}), sizeof(removed));
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        char *text = filters("v0", hook);
        cr_assert_eq(host_count(text, "\"netnsync:a:test_"), 0, "%s", text);
        cr_assert_eq(host_count(text, "\"netnsync:ab:test_"), 1, "%s", text);
        cr_assert_eq(host_count(text, "\"netnsync:a:b:test_"), 1, "%s", text);
        cr_assert_eq(host_count(text, "\"netnsync:b:test_"), 1, "%s", text);
    }
    cr_assert_eq(host_count(filters("v0", NNS_EGRESS), "\"name\":\"foreign\""), 1);
    cr_assert_eq(host_count(filters("v1", NNS_INGRESS), "\"netnsync:"), 3);
}

Test(tc, what_a_sweep_may_not_delete_is_no_success)
{
    struct nns_tc_job job = job_of("v0");
    attach(&job, 1);
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    cr_assert_eq(syscall(SYS_capget, &head, data), 0);
    data[0].effective &= ~(1u << CAP_NET_ADMIN);
    cr_assert_eq(syscall(SYS_capset, &head, data), 0);
    cr_assert_eq(nns_tc_sweep(here.socket, "default", &job.ifindex, 1, NULL, &here.stats), -EPERM);
    cr_assert_eq(here.stats.removed, 0);
    data[0].effective |= 1u << CAP_NET_ADMIN;
    cr_assert_eq(syscall(SYS_capset, &head, data), 0);
    expect_both(&job, "v0", 10);
}

/* What nns_tc_delete_clsact says of a device, and its witness in one text. */
static char told[4096];

static void tell(void *context, const struct nns_tc_taken *taken)
{
    size_t length = strlen(told);
    snprintf(told + length, sizeof(told) - length, "%s %u/%u %s '%s' %s%s;", hook_names[taken->hook],
             taken->priority, taken->chain, taken->kind, taken->name, taken->program,
             taken->shared ? " shared" : "");
    cr_assert_eq(taken->program_id != 0, taken->program[0] != '\0');
}

static enum nns_tc_clsact delete_clsact(uint32_t ifindex)
{
    struct nns_tc_witness witness = {.take = tell};
    enum nns_tc_clsact result = 99;
    told[0] = '\0';
    cr_assert_eq(nns_tc_delete_clsact(here.socket, "default", ifindex, &witness, &result), 0);
    return result;
}

Test(tc, a_clsact_goes_with_all_in_it_and_says_so)
{
    host_run("tc qdisc add dev v0 clsact && "
             "tc filter add dev v0 ingress prio 5 protocol ip u32 match ip src 10.9.9.9/32 flowid 1:1 && "
             "tc filter add dev v0 ingress chain 3 prio 7 u32 match u32 0 0 && "
             "tc filter add dev v0 egress prio 1 bpf da pinned /sys/fs/bpf/foreign && "
             "tc qdisc add dev v1 clsact && tc qdisc add dev v0 root handle 1: pfifo");
    struct nns_tc_job job = job_of("v0");
    snprintf(here.set.instance, sizeof(here.set.instance), "default:b");
    attach(&job, 1);
    cr_assert_eq(delete_clsact(job.ifindex), NNS_TC_CLSACT_DELETED);
    char want[512], name[NNS_TC_NAME_SIZE];
    const struct nns_tc_program *program = &here.set.programs[NNS_INGRESS];
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        nns_tc_name(name, here.set.instance, program[hook].name, program[hook].tag);
        snprintf(want, sizeof(want), "%s 10/0 bpf '%s' %s;", hook_names[hook], name, program[hook].name);
        cr_assert_eq(host_count(told, want), 1, "%s in %s", want, told);
    }
    cr_assert_eq(host_count(told, "ingress 5/0 u32 '' ;"), 1, "%s", told);
    cr_assert_eq(host_count(told, "ingress 7/3 u32 '' ;"), 1, "%s", told);
    cr_assert_eq(host_count(told, "egress 1/0 bpf 'foreign:[*fsobj]' foreign;"), 1, "%s", told);
    cr_assert_eq(host_count(told, ";"), 5, "%s", told);
    cr_assert_eq(host_count(host_ask("tc -j qdisc show dev v0"), "\"clsact\""), 0);
    cr_assert_eq(host_count(host_ask("tc -j qdisc show dev v0"), "\"pfifo\""), 1);
    cr_assert_eq(host_count(host_ask("tc -j qdisc show dev v1"), "\"clsact\""), 1);
}

Test(tc, a_clsact_with_filters_of_the_instance_stays)
{
    struct nns_tc_job job = job_of("v0");
    host_run("tc qdisc add dev v0 clsact && tc filter add dev v0 ingress prio 1 u32 match u32 0 0");
    attach(&job, 1);
    char *before = host_ask("tc -j qdisc show; tc -j filter show dev v0 ingress");
    cr_assert_eq(delete_clsact(job.ifindex), NNS_TC_CLSACT_IN_USE);
    cr_assert_str_empty(told);
    cr_assert_str_eq(host_ask("tc -j qdisc show; tc -j filter show dev v0 ingress"), before);
    detach(&job, 1);
    cr_assert_eq(delete_clsact(job.ifindex), NNS_TC_CLSACT_DELETED);
    cr_assert_str_eq(told, "ingress 1/0 u32 '' ;");
}

Test(tc, a_legacy_ingress_is_no_clsact)
{
    host_run("tc qdisc add dev v0 ingress && tc filter add dev v0 ingress prio 1 u32 match u32 0 0");
    char *before = host_ask("tc -j qdisc show; tc -j filter show dev v0 ingress");
    cr_assert_eq(delete_clsact(if_nametoindex("v0")), NNS_TC_CLSACT_ABSENT);
    cr_assert_str_empty(told);
    cr_assert_str_eq(host_ask("tc -j qdisc show; tc -j filter show dev v0 ingress"), before);
}

Test(tc, no_clsact_to_delete)
{
    host_run("tc qdisc add dev v1 clsact && tc qdisc del dev v1 clsact");
    cr_assert_eq(delete_clsact(if_nametoindex("v0")), NNS_TC_CLSACT_ABSENT);
    cr_assert_eq(delete_clsact(if_nametoindex("v1")), NNS_TC_CLSACT_ABSENT);
    cr_assert_eq(delete_clsact(4096), NNS_TC_CLSACT_ABSENT);
    enum nns_tc_clsact result = 99;
    cr_assert_eq(nns_tc_delete_clsact(-1, "default", 1, &(struct nns_tc_witness){.take = tell}, &result),
                 -EBADF);
    cr_assert_eq((int)result, 99);
}

Test(tc, filters_of_a_shared_block_are_told_as_such)
{
    host_run("tc qdisc add dev v0 egress_block 6 clsact && tc qdisc add dev v1 egress_block 6 clsact && "
             "tc filter add block 6 prio 3 u32 match u32 0 0");
    char *before = host_ask("tc -j filter show block 6");
    cr_assert_eq(delete_clsact(if_nametoindex("v0")), NNS_TC_CLSACT_DELETED);
    cr_assert_str_eq(told, "egress 3/0 u32 ''  shared;");
    cr_assert_str_eq(host_ask("tc -j filter show block 6"), before);
}

/* bpf(2) answers this from now on, in this process and its children: tc shows no program names any more. */
static void forbid_bpf(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0, "%s", strerror(errno));
    cr_assert_eq(host_bpf(BPF_PROG_GET_NEXT_ID, &(union bpf_attr){0}), -1);
}

/* Asking at every namespace is what would make closing slow. */
Test(tc, the_sets_own_programs_are_not_asked_for)
{
    struct nns_tc_job job = job_of("v0"), again;
    attach(&job, 1);
    forbid_bpf(EPERM);
    again = job_of("v0");
    attach(&again, 1);
    cr_assert_eq(here.stats.adopted, 2);
    expect_hook(&again, NNS_INGRESS, 10);
    detach(&job, 1);
    cr_assert_eq(here.stats.removed, 2);
    expect_bare("v0", NNS_INGRESS);
    expect_bare("v0", NNS_EGRESS);
}

/* A dead daemon's filters are on the device: with our name, and of programs that the kernel has to be asked
 * about. */
static struct nns_tc_job leave_by_a_dead_daemon(const char *device)
{
    struct nns_tc_job job = job_of(device);
    attach(&job, 1);
    here.set.programs[NNS_INGRESS] = load("test_in", 1);
    here.set.programs[NNS_EGRESS] = load("test_out", 1);
    return job;
}

static int refusals[] = {EPERM, EMFILE, ENOENT};
#define REFUSALS() cr_make_param_array(int, refusals, sizeof(refusals) / sizeof(refusals[0]))

/* ENOENT: the program has gone, and its filter with it; whoever looks again knows. */
static int told_as(int error)
{
    return error == ENOENT ? -EAGAIN : -error;
}

ParameterizedTestParameters(tc, attach_among_programs_untold)
{
    return REFUSALS();
}

ParameterizedTest(int *error, tc, attach_among_programs_untold)
{
    leave_by_a_dead_daemon("v0");
    struct nns_tc_job jobs[] = {job_of("v0"), job_of("v1")};
    forbid_bpf(*error);
    char *before = all_filters("v0");
    attach(jobs, 2);
    expect_reason(&jobs[0], NNS_INGRESS, NNS_REASON_UNKNOWN);
    expect_reason(&jobs[0], NNS_EGRESS, NNS_REASON_UNKNOWN);
    cr_assert_eq(here.stats.foreign, 0);
    expect_hook(&jobs[1], NNS_INGRESS, 10);
    expect_hook(&jobs[1], NNS_EGRESS, 10);
    cr_assert_eq(host_count(all_filters("v1"), "netnsync:default:"), 2);
    cr_assert_str_eq(all_filters("v0"), before);
}

ParameterizedTestParameters(tc, detach_among_programs_untold)
{
    return REFUSALS();
}

ParameterizedTest(int *error, tc, detach_among_programs_untold)
{
    struct nns_tc_job job = leave_by_a_dead_daemon("v0");
    uint32_t program_id = job.hooks[NNS_INGRESS].program_id;
    forbid_bpf(*error);
    char *before = all_filters("v0");
    detach(&job, 1);
    cr_assert_eq(here.stats.removed, 0);
    cr_assert_eq(here.stats.foreign, 0);
    cr_assert_eq(job.hooks[NNS_INGRESS].reason, NNS_REASON_UNKNOWN);
    cr_assert_eq(job.hooks[NNS_INGRESS].program_id, program_id);
    cr_assert_str_eq(all_filters("v0"), before);
}

ParameterizedTestParameters(tc, sweep_among_programs_untold)
{
    return REFUSALS();
}

ParameterizedTest(int *error, tc, sweep_among_programs_untold)
{
    leave_by_a_dead_daemon("v0");
    uint32_t ifindexes[] = {if_nametoindex("v0"), if_nametoindex("v1")};
    host_run("tc qdisc add dev v1 clsact && "
             "tc filter add dev v1 egress prio 1 handle 0x2e bpf da pinned /sys/fs/bpf/foreign");
    forbid_bpf(*error);
    char *before = all_filters("v0");
    cr_assert_eq(nns_tc_sweep(here.socket, "default", ifindexes, 2, NULL, &here.stats), told_as(*error));
    cr_assert_eq(nns_tc_sweep(here.socket, "default", ifindexes + 1, 1, NULL, &here.stats), 0,
                 "a foreign name needs no asking");
    cr_assert_eq(here.stats.removed, 0);
    cr_assert_str_eq(all_filters("v0"), before);
}

ParameterizedTestParameters(tc, delete_clsact_among_programs_untold)
{
    return REFUSALS();
}

ParameterizedTest(int *error, tc, delete_clsact_among_programs_untold)
{
    leave_by_a_dead_daemon("v0");
    struct nns_tc_witness witness = {.take = tell};
    enum nns_tc_clsact result = 99;
    forbid_bpf(*error);
    char *before = all_filters("v0");
    cr_assert_eq(nns_tc_delete_clsact(here.socket, "default", if_nametoindex("v0"), &witness, &result),
                 told_as(*error));
    cr_assert_eq((int)result, 99);
    cr_assert_str_empty(told);
    cr_assert_str_eq(all_filters("v0"), before);
}

Test(tc, nothing_to_do_sends_nothing)
{
    attach(NULL, 0);
    detach(NULL, 0);
    struct nns_tc_job job = {.ifindex = 1};
    detach(&job, 1);
    cr_assert_eq(here.stats.sends, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's parts, with the test in the owner's role: saving handles, the device queue, eviction. What is
 * attached is asked of tc. */
#include "host.h"

#include <signal.h>
#include <sys/wait.h>

#include "io/proc.h"
#include "workers/dequeue.h"
#include "workers/flush.h"
#include "workers/save.h"

enum { CAPACITY = 3 };

/* A namespace held by a child that sleeps in it. */
struct held {
    pid_t pid;
    char path[64];
    struct nns_netns_id id;
};

static struct nns_params params;
static struct nns_netns_abilities abilities;
static struct nns_owner_context context;
static struct nns_completions completions;
static struct nns_owner *owner;
static uv_loop_t loop;
static int path_calls;

static void set_up(void)
{
    char error[256];

    host_new();
    cr_assert_eq(nns_params_init(&params), 0);
    params.devices_queue = 4;
    cr_assert_eq(nns_proc_open(), 0);
    cr_assert_eq(nns_netns_probe(&abilities), 0);
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(nns_completions_init(&completions, &loop, NULL, NULL), 0);
    context = (struct nns_owner_context){.params = &params,
                                         .abilities = &abilities,
                                         .cache = nns_cache_new(CAPACITY),
                                         .claims = nns_claims_new(),
                                         .completions = &completions};
    cr_assert_eq(nns_meter_open(&params, &context.meter, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(nns_owner_new(&context, &owner), 0);
}

/* Ends as the daemon does, with nothing left; what somebody kept back, a leak checker finds, for nothing
 * points to it any more. */
static void tear_down(void)
{
    nns_role_assert_owner();
    nns_flush_all(owner, NNS_FLUSH_CLOSED);
    nns_owner_free(owner);
    nns_claims_free(context.claims);
    nns_cache_free(context.cache);
    nns_meter_close(context.meter);
    nns_completions_close(&completions);
    uv_run(&loop, UV_RUN_DEFAULT);
    nns_completions_deinit(&completions);
    uv_loop_close(&loop);
    nns_params_deinit(&params);
    owner = NULL;
    context = (struct nns_owner_context){0};
    host_free();
}

TestSuite(owner, .init = set_up, .fini = tear_down);

static struct held hold_namespace(void)
{
    struct held held;
    char ready;
    int fd, pipes[2];

    cr_assert_eq(pipe(pipes), 0);
    held.pid = fork();
    if (held.pid == 0) {
        if (unshare(CLONE_NEWNET) || write(pipes[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert_eq(read(pipes[0], &ready, 1), 1);
    close(pipes[0]);
    close(pipes[1]);
    snprintf(held.path, sizeof(held.path), "/proc/%d/ns/net", held.pid);
    fd = nns_netns_open_path(held.path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(nns_netns_identify(fd, &held.id), 0);
    close(fd);
    return held;
}

static void let_go(const struct held *held)
{
    kill(held->pid, SIGKILL);
    waitpid(held->pid, NULL, 0);
}

static const char *told_path(void *path)
{
    path_calls++;
    return path;
}

NNS_OWNER_ONLY static int save(const struct held *held, struct nns_namespace **ns)
{
    return nns_save_handle(owner, held->id, held->path, ns);
}

/* Our filters on all devices of a namespace, both hooks, as tc counts them. */
static unsigned filters_in(const struct held *held)
{
    char *text = host_ask("nsenter -t %d -n sh -c 'for d in $(ip -o link | cut -d: -f2 | cut -d@ -f1); do tc "
                          "filter show dev $d ingress; tc filter show dev $d egress; "
                          "done 2>/dev/null; true'",
                          held->pid);

    return host_count(text, "netnsync:default:");
}

Test(owner, nothing_is_saved_without_identity_path_or_networking)
{
    struct held held = hold_namespace();
    struct nns_namespace *ns = NULL;

    nns_role_assert_owner();
    cr_assert_eq(nns_save_handle_lazy(owner, (struct nns_netns_id){0}, told_path, held.path, &ns),
                 NNS_SAVED_NOTHING);
    params.network_enabled = false;
    cr_assert_eq(nns_save_handle_lazy(owner, held.id, told_path, held.path, &ns), NNS_SAVED_NOTHING);
    params.network_enabled = true;
    cr_assert_eq(path_calls, 0, "the path was asked for in vain");
    cr_assert_eq(nns_save_handle(owner, held.id, "", &ns), NNS_SAVED_NOTHING);
    cr_assert_eq(nns_save_handle_lazy(owner, held.id, told_path, NULL, &ns), NNS_SAVED_NOTHING);
    cr_assert_null(ns);
    cr_assert_null(nns_cache_find(context.cache, held.id.cookie));
    let_go(&held);
}

Test(owner, the_unknown_is_added_and_the_known_is_not_new)
{
    struct held held = hold_namespace();
    struct nns_namespace *ns = NULL, *again = NULL;
    struct nns_netns_id found;

    nns_role_assert_owner();
    cr_assert_eq(save(&held, &ns), NNS_SAVED_NEW);
    cr_assert_eq(nns_netns_identify(ns->handle.fd, &found), 0);
    cr_assert_eq(found.cookie, held.id.cookie);
    cr_assert_eq(nns_cache_find_inum(context.cache, held.id.inum), ns);
    cr_assert_eq(nns_save_handle_lazy(owner, held.id, told_path, held.path, &again), NNS_SAVED_KNOWN);
    cr_assert_eq(again, ns);
    cr_assert_eq(path_calls, 0);
    let_go(&held);
}

Test(owner, a_failed_open_leaves_no_entry_and_is_tried_again)
{
    struct held held = hold_namespace(), other = hold_namespace();
    struct nns_namespace *ns = NULL;
    unsigned fds = host_open_fds();

    nns_role_assert_owner();
    cr_assert_eq(nns_save_handle(owner, held.id, "/nonexistent", &ns), -ENOENT);
    cr_assert_eq(nns_save_handle(owner, held.id, other.path, &ns), -ESTALE,
                 "another namespace was taken for it");
    cr_assert_eq(nns_save_handle(owner, held.id, "/proc/self/ns/mnt", &ns), -EINVAL);
    cr_assert_null(nns_cache_find(context.cache, held.id.cookie));
    cr_assert_eq(host_open_fds(), fds);
    cr_assert_eq(save(&held, &ns), NNS_SAVED_NEW);
    let_go(&held);
    let_go(&other);
}

Test(owner, a_device_heard_of_first_waits_for_its_namespace)
{
    struct held held = hold_namespace();
    const struct nns_link lo = {.ifindex = 1, .qdisc = NNS_QDISC_UNKNOWN, .name = "lo", .kind = "loopback"};
    struct nns_namespace *ns = NULL;

    nns_role_assert_owner();
    cr_assert_eq(nns_report_device(owner, held.id, &lo), 0);
    ns = nns_cache_find(context.cache, held.id.cookie);
    cr_assert_eq(ns->handle.kind, NNS_HANDLE_NONE);
    cr_assert_null(nns_cache_find_inum(context.cache, held.id.inum), "an inum nothing pins was trusted");
    cr_assert_eq(ns->queue.count, 1);
    cr_assert_eq(nns_report_device(owner, held.id, &lo), 0);
    cr_assert_eq(ns->queue.count, 1);
    cr_assert_eq(save(&held, &ns), NNS_SAVED_HANDLE);
    nns_dequeue(owner, ns);
    cr_assert_eq(filters_in(&held), 2);
    cr_assert_eq(ns->queue.count, 0);
    let_go(&held);
}

Test(owner, more_devices_than_the_queue_holds_are_listed_again_until_all_are_attached)
{
    struct held held = hold_namespace();
    struct nns_namespace *ns = NULL;
    int passes = 0;

    nns_role_assert_owner();
    for (int i = 0; i < 6; i++)
        host_run("nsenter -t %d -n ip link add a%d type veth peer name b%d", held.pid, i, i);
    cr_assert_eq(save(&held, &ns), NNS_SAVED_NEW);
    ns->relist = true;
    do
        nns_dequeue(owner, ns);
    while (nns_due_take(&owner->due, UINT64_MAX) && ++passes < 20);
    cr_assert_gt(passes, 1, "the bound was not met");
    cr_assert_eq(filters_in(&held), 2 * 13);
    let_go(&held);
}

Test(owner, a_vanished_device_is_forgotten_and_gives_its_slot_back)
{
    struct held held = hold_namespace();
    struct nns_namespace *ns = NULL;

    nns_role_assert_owner();
    host_run("nsenter -t %d -n ip link add da type veth peer name db", held.pid);
    cr_assert_eq(save(&held, &ns), NNS_SAVED_NEW);
    ns->relist = true;
    nns_dequeue(owner, ns);
    cr_assert_eq(nns_slots_in_use(&owner->slots), 3);
    host_run("nsenter -t %d -n ip link del da", held.pid);
    ns->relist = true;
    nns_dequeue(owner, ns);
    cr_assert_eq(ns->devices.count, 1);
    cr_assert_eq(nns_slots_in_use(&owner->slots), 1);
    let_go(&held);
}

Test(owner, a_full_cache_evicts_and_takes_its_filters_along)
{
    struct held held[CAPACITY + 1];
    struct nns_namespace *ns;
    unsigned covered = 0, fds = 0;

    nns_role_assert_owner();
    for (int i = 0; i <= CAPACITY; i++) {
        held[i] = hold_namespace();
        cr_assert_eq(save(&held[i], &ns), NNS_SAVED_NEW);
        ns->relist = true;
        nns_dequeue(owner, ns);
        if (i == CAPACITY - 1)
            fds = host_open_fds();
    }
    nns_cache_reclaim(context.cache);
    for (int i = 0; i <= CAPACITY; i++) {
        bool known = nns_cache_find(context.cache, held[i].id.cookie);

        cr_assert_eq(filters_in(&held[i]), known ? 2 : 0);
        covered += known;
    }
    cr_assert_eq(covered, CAPACITY);
    cr_assert_eq(host_open_fds(), fds, "an evicted handle was kept");
    nns_flush_all(owner, NNS_FLUSH_CLOSED);
    for (int i = 0; i <= CAPACITY; i++) {
        cr_assert_eq(filters_in(&held[i]), 0);
        let_go(&held[i]);
    }
}

Test(owner, excluded_devices_are_known_but_left_alone)
{
    struct held held = hold_namespace();
    struct nns_namespace *ns = NULL;
    char error[128];

    nns_role_assert_owner();
    cr_assert_eq(nns_params_set(&params, "exclude.devices=lo,x*", error, sizeof(error)), 0, "%s", error);
    host_run("nsenter -t %d -n ip link add x0 type veth peer name y0", held.pid);
    cr_assert_eq(save(&held, &ns), NNS_SAVED_NEW);
    ns->relist = true;
    nns_dequeue(owner, ns);
    cr_assert_eq(ns->devices.count, 3);
    cr_assert_eq(filters_in(&held), 2);
    let_go(&held);
}

Test(owner, a_flush_gives_back_all_it_took)
{
    struct held held[2];
    struct nns_cache_stats left;
    unsigned fds = host_open_fds();

    nns_role_assert_owner();
    for (int i = 0; i < 2; i++) {
        struct nns_namespace *ns = NULL;

        held[i] = hold_namespace();
        cr_assert_eq(save(&held[i], &ns), NNS_SAVED_NEW);
        ns->relist = true;
        nns_dequeue(owner, ns);
    }
    cr_assert_eq(owner->pinned, 2);
    cr_assert_eq(nns_slots_in_use(&owner->slots), 2);
    nns_flush_all(owner, NNS_FLUSH_CLOSED);
    nns_cache_stats(context.cache, &left);
    cr_assert_eq(left.entries, 0);
    cr_assert_eq(owner->pinned, 0);
    cr_assert_eq(nns_slots_in_use(&owner->slots), 0);
    cr_assert_eq(host_open_fds(), fds);
    for (int i = 0; i < 2; i++)
        let_go(&held[i]);
}

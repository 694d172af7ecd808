/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_TESTS_KERNEL_OWNER_HOST_H
#define NNS_TESTS_KERNEL_OWNER_HOST_H

#include "host.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "io/proc.h"
#include "workers/answer.h"
#include "workers/dequeue.h"
#include "workers/flush.h"
#include "workers/handle.h"
#include "workers/look.h"
#include "workers/save.h"
#include "workers/told.h"

/*
 * An owner without its thread, for tests that play its role themselves, and namespaces for it to hold. What
 * is attached is asked of tc.
 */
enum { OWNER_HOST_CAPACITY = 8, OWNER_HOST_PATIENCE_S = 20 };

struct owner_host {
    struct nns_params params;
    struct nns_netns_abilities abilities;
    struct nns_owner_context context;
    struct nns_completions completions;
    struct nns_owner *owner;
    uv_loop_t loop;
};

static struct owner_host own;

static inline void owner_host_set_up(void)
{
    char error[256];

    host_new();
    cr_assert_eq(nns_params_init(&own.params), 0);
    cr_assert_eq(nns_proc_open(), 0);
    cr_assert_eq(nns_netns_probe(&own.abilities), 0);
    cr_assert_eq(uv_loop_init(&own.loop), 0);
    cr_assert_eq(nns_completions_init(&own.completions, &own.loop, NULL, NULL), 0);
    own.context = (struct nns_owner_context){.params = &own.params,
                                             .abilities = &own.abilities,
                                             .cache = nns_cache_new(OWNER_HOST_CAPACITY),
                                             .claims = nns_claims_new(),
                                             .completions = &own.completions};
    cr_assert_eq(nns_meter_open(&own.params, NULL, &own.context.meter, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(nns_exclusions_new(&own.params, &own.context.exclusions), 0);
    cr_assert_eq(nns_owner_new(&own.context, &own.owner), 0);
}

/* Names, as exclude.namespaces takes them, in place of those that were excluded before. */
NNS_OWNER_ONLY static inline void owner_host_exclude(const char *items)
{
    char setting[512], error[128];

    snprintf(setting, sizeof(setting), "exclude.namespaces=%s", items);
    cr_assert_eq(nns_params_set(&own.params, setting, error, sizeof(error)), 0, "%s", error);
    nns_exclusions_free(own.context.exclusions);
    cr_assert_eq(nns_exclusions_new(&own.params, &own.context.exclusions), 0);
    own.owner->context.exclusions = own.context.exclusions;
    nns_exclusions_tell(own.context.exclusions, nns_tell_exclusion, own.owner);
}

/* ---- the owner's thread, for what only its loop does ---- */

static inline struct nns_order *owner_host_await_orders(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    time_t deadline = time(NULL) + OWNER_HOST_PATIENCE_S;
    struct nns_order *order;

    while (!(order = nns_completions_take(&own.completions).orders)) {
        cr_assert_lt(time(NULL), deadline, "no order was answered");
        nanosleep(&pause, NULL);
    }
    return order;
}

static inline struct nns_order *owner_host_await_order(void)
{
    struct nns_order *order = owner_host_await_orders();

    cr_assert_null(order->next);
    return order;
}

/* Start it without workers: it asks them for a look only at the end of its first interval. */
static inline void owner_host_start(void)
{
    own.params.lonely_timeout_ms = 3600 * 1000;
    cr_assert_eq(nns_owner_start(own.owner, NULL), 0);
}

static inline struct nns_order *owner_host_order(enum nns_order_kind kind)
{
    struct nns_order *order = nns_order_new(kind, NULL);

    cr_assert_not_null(order);
    return order;
}

/* Have an order carried out by the thread and return it answered. */
static inline struct nns_order *owner_host_send(struct nns_order *order)
{
    nns_mailbox_post_now(nns_owner_mailbox(own.owner), &order->letter);
    cr_assert_eq(owner_host_await_order(), order);
    return order;
}

/* Ends the thread if it was started. Orders that a failed test left behind come back first, and are lost. */
static inline void owner_host_stop(void)
{
    struct nns_order *stop = owner_host_order(NNS_ORDER_STOP), *order;

    if (own.owner->started) {
        nns_mailbox_post_now(nns_owner_mailbox(own.owner), &stop->letter);
        do
            for (order = owner_host_await_orders(); order && order != stop;)
                order = order->next;
        while (order != stop);
    }
    nns_order_free(stop);
}

/* All that was made is freed, so that what a sanitizer finds is the product's. */
NNS_OWNER_ONLY static inline void owner_host_tear_down(void)
{
    owner_host_stop();
    nns_flush_all(own.owner, NNS_FLUSH_CLOSED);
    nns_owner_free(own.owner);
    nns_cache_free(own.context.cache);
    nns_claims_free(own.context.claims);
    nns_exclusions_free(own.context.exclusions);
    nns_meter_close(own.context.meter);
    nns_completions_close(&own.completions);
    uv_run(&own.loop, UV_RUN_DEFAULT);
    nns_completions_deinit(&own.completions);
    uv_loop_close(&own.loop);
    nns_params_deinit(&own.params);
    host_free();
}

/* ---- namespaces ---- */

/* One held by a child that sleeps in it. */
struct owner_held {
    pid_t pid;
    char path[64];
    struct nns_netns_id id;
};

static inline struct owner_held owner_host_hold(void)
{
    struct owner_held held;
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
    cr_assert_eq(nns_netns_identify_fully(fd, &held.id), 0);
    close(fd);
    return held;
}

static inline void owner_host_let_go(const struct owner_held *held)
{
    kill(held->pid, SIGKILL);
    waitpid(held->pid, NULL, 0);
}

/* As a worker hands it over, opened by a path, and as the owner leaves it when it has been visited. What is
 * not taken is closed. */
NNS_OWNER_ONLY static inline int owner_host_save_as(struct nns_netns_id id, const char *path,
                                                    struct nns_namespace **ns)
{
    struct nns_place place = {.path = strdup(path)};
    int fd = nns_netns_open_path(path), saved;

    cr_assert_geq(fd, 0);
    saved = nns_save_opened(own.owner, id, fd, &place, ns);
    if (saved == NNS_SAVED_NEW || saved == NNS_SAVED_FOUND)
        nns_handle_done(*ns);
    else
        close(fd);
    free(place.path);
    return saved;
}

/* Known with its handle, not yet visited. */
NNS_OWNER_ONLY static inline struct nns_namespace *owner_host_save(const struct owner_held *held)
{
    struct nns_namespace *ns = NULL;

    cr_assert_eq(owner_host_save_as(held->id, held->path, &ns), NNS_SAVED_NEW);
    ns->visits.owed = true;
    return ns;
}

NNS_OWNER_ONLY static inline struct nns_namespace *owner_host_find(const struct owner_held *held)
{
    return nns_cache_find(own.context.cache, held->id.cookie);
}

NNS_OWNER_ONLY static inline struct nns_device *owner_host_device(const struct nns_namespace *ns,
                                                                  const char *name)
{
    for (uint32_t i = 0; i < ns->devices.count; i++)
        if (strcmp(ns->devices.items[i].link.name, name) == 0)
            return &ns->devices.items[i];
    return NULL;
}

/* What tc says of all filters on all devices of a namespace; freed with the test's process. */
static inline char *owner_host_filter_text(const struct owner_held *held)
{
    return host_ask(
        "nsenter -t %d -n sh -c 'for d in $(ip -o link | cut -d: -f2 | cut -d@ -f1); do echo filter show dev "
        "$d ingress; echo filter show dev $d egress; done | tc -force -batch - 2>/dev/null; true'",
        held->pid);
}

/* Ours, on all devices and both hooks. */
static inline unsigned owner_host_filters(const struct owner_held *held)
{
    char *text = owner_host_filter_text(held);
    unsigned count = host_count(text, "netnsync:default:");

    return count;
}

/* No descriptor can be opened until it is allowed again: no namespace can be entered. */
static inline void owner_host_deny_descriptors(struct rlimit *before)
{
    struct rlimit none;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before->rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static inline void owner_host_allow_descriptors(const struct rlimit *before)
{
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, before), 0);
}

/* ---- opened namespaces ---- */

static inline struct nns_request owner_host_request(uint32_t pid, bool found)
{
    struct nns_request request = {.batch = nns_batch_new(1)};

    cr_assert_not_null(request.batch);
    request.batch->found = found;
    nns_batch_add(request.batch, pid);
    return request;
}

/* One that was found, as a worker posts it; somebody may have named it meanwhile. */
static inline void owner_host_post_found(const struct owner_held *held, bool named)
{
    struct nns_opened *opened = calloc(1, sizeof(*opened));
    struct nns_request found = owner_host_request((uint32_t)held->pid, true);

    cr_assert_not_null(opened);
    cr_assert_eq(nns_claims_take(own.context.claims, held->id.cookie, found), NNS_CLAIM_WON);
    if (named)
        cr_assert_eq(nns_claims_take(own.context.claims, held->id.cookie, owner_host_request(1, false)),
                     NNS_CLAIM_JOINED);
    *opened = (struct nns_opened){.letter.kind = NNS_LETTER_OPENED,
                                  .request = found,
                                  .claim = held->id.cookie,
                                  .id = held->id,
                                  .fd = nns_netns_open_path(held->path),
                                  .place = {.pid = (uint32_t)held->pid}};
    cr_assert_geq(opened->fd, 0);
    nns_mailbox_post_now(nns_owner_mailbox(own.owner), &opened->letter);
}

/* The thread has ended its work, or was told to. */
static inline void owner_host_join(void)
{
    uv_thread_join(&own.owner->thread);
    own.owner->started = false;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/evicted.h"
#include "core/log.h"
#include "io/instance.h"
#include "io/meter.h"
#include "io/netns.h"
#include "io/proc.h"
#include "workers/capabilities.h"
#include "workers/discover.h"
#include "workers/feed.h"
#include "workers/link_feed.h"
#include "workers/memory.h"
#include "workers/owner.h"
#include "workers/requests.h"

/* Descriptors beside pinned namespaces: a worker's (a pidfd, a namespace, a socket), and those of the daemon
 * as a whole (loop, maps, programs, the queue, connections that are being refused, /proc while it is walked).
 */
enum { WORKER_FDS = 4, OTHER_FDS = 192 };

/* Devices a namespace, on average, that the tracepoints can be told are covered. */
enum { DEVICES_TOLD = 4 };

enum { WORKERS_AUTO_MAX = 4, SIGNALS = 2, LAST_ROUNDS = 2 };

struct daemon {
    const struct nns_params *params;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_idle_t last_rounds;
    int rounds_left;
    struct nns_netns_abilities abilities;
    enum nns_handle_way way;
    struct nns_instance *instance;
    struct nns_meter *meter;
    struct nns_cache *cache;
    struct nns_claims *claims;
    struct nns_completions completions;
    struct nns_resolver *resolver; /* NULL: none */
    struct nns_trace *trace;       /* NULL without networking */
    struct nns_trace_abilities trace_abilities;
    struct nns_exclusions *exclusions;
    enum nns_telling telling;
    struct nns_link_events *link_events; /* NULL: not used */
    struct nns_mounts *mounts;           /* NULL without discovery */
    enum nns_mounts_way mounts_way;
    struct nns_discover *discover;
    struct nns_link_feed *link_feed; /* NULL without link_events */
    struct nns_owner *owner;
    struct nns_sync_context sync;
    struct nns_pool *pool;
    struct nns_dispatch dispatch;
    struct nns_feed *feed;
    struct nns_requests *requests;
    int signals_watched;
    bool served; /* all came up: filters may have been attached */
    bool stopping, stop_ordered, failed;
};

/* ---- ending ---- */

static void close_handles(struct daemon *daemon)
{
    if (daemon->requests)
        nns_requests_close(daemon->requests);
    nns_completions_close(&daemon->completions);
    uv_close((uv_handle_t *)&daemon->last_rounds, NULL);
    while (daemon->signals_watched)
        uv_close((uv_handle_t *)&daemon->signals[--daemon->signals_watched], NULL);
}

/* Who asked before the end is told that it is the end: the loop polls without waiting, once for those who
 * have connected and once for what they sent. */
static void on_last_round(uv_idle_t *idle)
{
    struct daemon *daemon = idle->data;

    if (daemon->rounds_left-- == 0)
        close_handles(daemon);
}

static void end_at_once(int number)
{
    _exit(128 + number);
}

/* Everything in flight has settled: the workers end, then the owner detaches, purges and ends. */
static void stop_threads(struct daemon *daemon)
{
    struct nns_order *order;

    if (!daemon->stopping || daemon->stop_ordered || daemon->dispatch.outstanding)
        return;
    order = nns_order_new(NNS_ORDER_STOP, NULL);
    if (!order) {
        nns_error("out of memory while stopping: filters stay; run 'netnsync detach --all'");
        _exit(1);
    }
    daemon->stop_ordered = true;
    /* This thread may have to wait for a worker now, and a second signal still ends at once. */
    for (int i = 0; i < daemon->signals_watched; i++)
        signal(daemon->signals[i].signum, end_at_once);
    /* Before the owner: a worker may be opening what it found by itself. */
    nns_pool_rest(daemon->pool);
    nns_mailbox_post_now(nns_owner_mailbox(daemon->owner), &order->letter);
    /* While the owner detaches: this thread and the workers were the only ones to use these. */
    nns_trace_stop(daemon->trace);
    nns_pool_stop(daemon->pool);
}

static void stop(struct daemon *daemon)
{
    daemon->stopping = true;
    nns_completions_hurry(&daemon->completions);
    nns_feed_close(daemon->feed);
    daemon->feed = NULL;
    nns_discover_close(daemon->discover);
    daemon->discover = NULL;
    nns_link_feed_close(daemon->link_feed);
    daemon->link_feed = NULL;
    /* From here on nothing new is begun, whatever clients go on asking: only what is under way goes on. */
    if (daemon->requests)
        nns_requests_stop(daemon->requests);
    stop_threads(daemon);
}

static void on_signal(uv_signal_t *handle, int number)
{
    if (((struct daemon *)handle->data)->stopping) {
        nns_warning("second signal: ending at once");
        _exit(128 + number);
    }
    nns_info("stopping");
    stop(handle->data);
}

/* ---- what comes back from the other threads ---- */

static void take_batches(struct daemon *daemon, struct nns_batch *batch)
{
    while (batch) {
        struct nns_batch *next = batch->next;

        if (!batch->found)
            nns_dispatch_settled(&daemon->dispatch);
        if (batch->job)
            nns_requests_batch(daemon->requests, batch);
        else
            free(batch);
        batch = next;
    }
}

/* The last order comes with those it set free, who are still to be answered. */
static void take_orders(struct daemon *daemon, struct nns_order *order)
{
    bool stopped = false;

    while (order) {
        struct nns_order *next = order->next;

        if (order->kind == NNS_ORDER_STOP) {
            if (order->error)
                nns_error("not all filters could be removed: run 'netnsync detach --all'");
            daemon->failed = daemon->failed || order->error;
            nns_order_free(order);
            stopped = true;
        } else {
            nns_requests_order(daemon->requests, order);
        }
        order = next;
    }
    if (stopped)
        uv_idle_start(&daemon->last_rounds, on_last_round);
}

static void on_completions(uv_async_t *async)
{
    struct daemon *daemon = async->data;
    struct nns_completed taken = nns_completions_take(&daemon->completions);

    take_batches(daemon, taken.batches);
    take_orders(daemon, taken.orders);
    if (daemon->requests)
        nns_requests_news(daemon->requests, taken.news, taken.news_sequence);
    if (taken.room)
        nns_dispatch_room(&daemon->dispatch);
    if (daemon->feed && nns_dispatch_clear(&daemon->dispatch))
        nns_feed_resume(daemon->feed);
    if (taken.room)
        nns_link_feed_resume(daemon->link_feed);
    stop_threads(daemon);
}

/* ---- starting ---- */

static unsigned worker_count(const struct nns_params *params)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (params->workers_count)
        return params->workers_count;
    return cpus < 1 ? 1 : cpus > WORKERS_AUTO_MAX ? WORKERS_AUTO_MAX : (unsigned)cpus;
}

/* Whoever started us may have left us few: what workers have opened lies in the owner's mailbox for a moment.
 */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Each pinned namespace holds an fd: as many as the process may have, less what everything else can need, is
 * all the cache can use. */
static size_t cache_capacity(const struct nns_params *params, enum nns_handle_way way)
{
    /* The mailbox twice: it fills again while the owner works off what it took. */
    const rlim_t spare = OTHER_FDS + params->control_clients + 2 * NNS_OWNER_MAILBOX +
                         (rlim_t)WORKER_FDS * worker_count(params);
    struct rlimit limit;
    size_t usable;

    if (nns_weak(way))
        return params->cache_capacity;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return params->cache_capacity;
    usable = limit.rlim_cur > 2 * spare ? limit.rlim_cur - spare : limit.rlim_cur / 2;
    if (usable >= params->cache_capacity)
        return params->cache_capacity;
    nns_warning("cache.capacity %u needs more descriptors than this process may open (%llu): using %zu",
                params->cache_capacity, (unsigned long long)limit.rlim_cur, usable);
    return usable;
}

static struct nns_capabilities capabilities(const struct daemon *daemon)
{
    const struct nns_parts parts = {
        .params = daemon->params,
        .netns = daemon->abilities,
        .trace = daemon->trace_abilities,
        .way = daemon->way,
        .telling = daemon->telling,
        .resolver = daemon->resolver != NULL,
        .lists = nns_resolver_lists(daemon->resolver),
        .mounts = daemon->mounts != NULL,
        .mounts_way = daemon->mounts_way,
        .slots = nns_meter_slots(daemon->meter) != 0,
    };

    return nns_capabilities_of(&parts);
}

static int start_threads(struct daemon *daemon)
{
    const struct nns_owner_context context = {
        .params = daemon->params,
        .abilities = &daemon->abilities,
        .way = daemon->way,
        .cache = daemon->cache,
        .claims = daemon->claims,
        .completions = &daemon->completions,
        .meter = daemon->meter,
        .resolver = daemon->resolver,
        .trace = daemon->trace,
        .exclusions = daemon->exclusions,
        .telling = daemon->telling,
        .link_events = daemon->link_events,
        .capabilities = capabilities(daemon),
        .trim = nns_memory_trim,
        .weigh = nns_memory_weigh,
    };
    int rc = nns_owner_new(&context, &daemon->owner);

    if (rc)
        return rc;
    daemon->sync = (struct nns_sync_context){
        .params = daemon->params,
        .cache = daemon->cache,
        .claims = daemon->claims,
        .owner = nns_owner_mailbox(daemon->owner),
        .completions = &daemon->completions,
        .way = daemon->way,
        .resolver = daemon->resolver,
        .trace = daemon->trace,
        .mounts = daemon->mounts,
        .exclusions = daemon->exclusions,
        .walk = daemon->trace_abilities.walk,
    };
    rc = nns_pool_start(&daemon->sync, worker_count(daemon->params), daemon->params->workers_queue,
                        &daemon->pool);
    if (rc)
        return rc;
    nns_dispatch_init(&daemon->dispatch, daemon->pool);
    return nns_owner_start(daemon->owner, daemon->pool);
}

/* The best that is to be had of what tells of devices. */
static void choose_telling(struct daemon *daemon)
{
    int rc = -ECANCELED;

    if (daemon->trace_abilities.devices) {
        daemon->telling = NNS_TOLD_BY_TRACEPOINTS;
        return;
    }
    if (daemon->params->events_nsid_max)
        rc = nns_link_feed_prepare(&daemon->link_events);
    daemon->telling = rc ? NNS_TOLD_BY_LISTINGS : NNS_TOLD_BY_RTNETLINK;
    nns_info("no tracepoint tells of devices: %s",
             rc ? "they are listed every events.interval" : "rtnetlink does");
    if (rc && rc != -ECANCELED)
        nns_info("rtnetlink does not either: %s", strerror(-rc));
}

/* What tells of namespaces and devices; without it there are the queue, and audits. */
static int open_watches(struct daemon *daemon)
{
    const struct nns_params *params = daemon->params;
    bool discover = params->discover_enabled;
    int rc = 0;

    if (params->network_enabled)
        rc = nns_trace_open(params->cache_capacity + NNS_EVICTED_MAX, DEVICES_TOLD * params->cache_capacity,
                            discover, &daemon->trace, &daemon->trace_abilities);
    if (rc) {
        nns_error("cannot watch devices: %s", strerror(-rc));
        return rc;
    }
    if (!params->network_enabled)
        return 0;
    choose_telling(daemon);
    if (!discover)
        return 0;
    rc = nns_mounts_open(&daemon->mounts, &daemon->mounts_way);
    if (rc)
        nns_warning("cannot watch mounts: %s: namespaces that no process is in are found by audits",
                    strerror(-rc));
    return 0;
}

/* The best that this host and the operator let us have. 0 or -EOPNOTSUPP. */
static int choose_way(const struct nns_params *params, const struct nns_netns_abilities *abilities,
                      enum nns_handle_way *way)
{
    if (params->handle_mode == NNS_HANDLE_MODE_MEMBER && !abilities->members) {
        nns_error("handle.mode = member: the namespaces of other processes cannot be opened or told apart");
        return -EOPNOTSUPP;
    }
    if (params->handle_mode == NNS_HANDLE_MODE_PINNED)
        *way = NNS_HANDLES_PINNED;
    else if (params->handle_mode == NNS_HANDLE_MODE_AUTO && abilities->open_by_id)
        *way = NNS_HANDLES_BY_ID;
    else
        *way = abilities->members ? NNS_HANDLES_BY_MEMBER : NNS_HANDLES_PINNED;
    if (*way == NNS_HANDLES_PINNED)
        nns_info("each namespace is held open, until no process and no mount is left");
    return 0;
}

struct programs {
    struct daemon *daemon;
    int rc;
    char error[512];
};

/* What is attached, and what resolves pids and lists devices. */
static void open_programs(void *of)
{
    struct programs *programs = of;
    struct daemon *daemon = programs->daemon;
    const struct nns_params *params = daemon->params;

    programs->rc = nns_meter_open(params, nns_instance_pins(daemon->instance), &daemon->meter,
                                  programs->error, sizeof(programs->error));
    if (!programs->rc && nns_weak(daemon->way) && nns_resolver_open(worker_count(params), &daemon->resolver))
        nns_info("pids are resolved one by one, and devices listed over rtnetlink: this kernel has no BPF "
                 "program for that");
}

/* Loading BPF programs is most of what a start takes before anything is attached: half of them here, the
 * other half in a thread beside. */
static int load_programs(struct daemon *daemon)
{
    struct programs programs = {.daemon = daemon};
    uv_thread_t beside;
    bool alone = uv_thread_create(&beside, open_programs, &programs) != 0;
    int rc;

    if (alone)
        open_programs(&programs);
    rc = open_watches(daemon);
    if (!alone)
        uv_thread_join(&beside);
    if (!programs.rc)
        return rc;
    nns_error("%s", programs.error);
    return programs.rc;
}

/* The parts that can fail for a reason of the operator's say so in a sentence. */
static int open_parts(struct daemon *daemon)
{
    char error[512];
    int rc = nns_proc_open();

    raise_limit();
    if (rc) {
        nns_error("cannot use /proc: %s", rc == -EXDEV ? "it shows another pid namespace" : strerror(-rc));
        return rc;
    }
    rc = nns_netns_probe(&daemon->abilities);
    if (rc) {
        nns_error("cannot look at network namespaces: %s", strerror(-rc));
        return rc;
    }
    rc = choose_way(daemon->params, &daemon->abilities, &daemon->way);
    if (rc)
        return rc;
    rc = nns_instance_open(daemon->params->bpffs_path, daemon->params->instance, &daemon->instance, error,
                           sizeof(error));
    if (rc) {
        nns_error("%s", error);
        return rc;
    }
    nns_instance_warn(daemon->instance, !daemon->params->program_object[0]);
    rc = load_programs(daemon);
    if (rc)
        return rc;
    daemon->cache = nns_cache_new(cache_capacity(daemon->params, daemon->way));
    daemon->claims = nns_claims_new();
    rc = nns_exclusions_new(daemon->params, &daemon->exclusions);
    if (!rc && daemon->cache && daemon->claims)
        return 0;
    nns_error("out of memory");
    return -ENOMEM;
}

static int open_feeds(struct daemon *daemon)
{
    const struct nns_params *params = daemon->params;
    char error[512];
    int rc = nns_requests_open(&daemon->loop, params, &daemon->dispatch, nns_owner_mailbox(daemon->owner),
                               &daemon->requests);

    if (rc) {
        nns_error("cannot listen on %s: %s", params->control_path,
                  rc == -EADDRINUSE ? "a daemon answers there already" : strerror(-rc));
        return rc;
    }
    rc = nns_feed_open(&daemon->loop, params, &daemon->dispatch, &daemon->feed, error, sizeof(error));
    if (rc) {
        nns_error("%s", error);
        return rc;
    }
    rc = nns_discover_open(&daemon->loop, daemon->mounts, daemon->mounts_way,
                           params->network_enabled && params->discover_enabled, daemon->pool,
                           &daemon->discover);
    if (!rc)
        rc = nns_link_feed_open(&daemon->loop, daemon->link_events, nns_owner_mailbox(daemon->owner),
                                &daemon->link_feed);
    if (rc)
        nns_error("cannot watch: %s", strerror(-rc));
    return rc;
}

static int watch_signals(struct daemon *daemon)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT};
    int rc = 0;

    /* The control socket's clients leave while they are answered. For the whole process, and only here. */
    signal(SIGPIPE, SIG_IGN);
    while (daemon->signals_watched < SIGNALS && !rc) {
        uv_signal_t *handle = &daemon->signals[daemon->signals_watched];

        rc = uv_signal_init(&daemon->loop, handle);
        if (rc)
            break;
        handle->data = daemon;
        rc = uv_signal_start(handle, on_signal, numbers[daemon->signals_watched++]);
    }
    if (rc)
        nns_error("cannot watch signals: %s", strerror(-rc));
    return rc;
}

/* ---- what is pinned ---- */

static void discard_pins(struct daemon *daemon)
{
    bool found;
    int rc = nns_instance_discard(daemon->instance, &found);

    if (rc)
        nns_warning("counts stay in %s: %s", daemon->params->bpffs_path, strerrordesc_np(-rc));
}

/* Only now: a start that fails leaves what a former daemon pinned. The operator's programs count elsewhere,
 * and take the place of those that counted there. */
static void take_over_pins(struct daemon *daemon)
{
    if (!daemon->params->program_object[0])
        nns_meter_pin(daemon->meter, nns_instance_pins(daemon->instance));
    else if (daemon->params->network_enabled)
        discard_pins(daemon);
}

/* What is pinned is for whoever comes next, where there are filters that count on; what could not be looked
 * at is not ours to take away (I9). */
NNS_OWNER_ONLY static bool leaves_pins(const struct daemon *daemon)
{
    if (!daemon->served || daemon->params->program_object[0])
        return true;
    if (nns_meter_pinned(daemon->meter) == NNS_METER_UNPINNED)
        return true;
    return nns_owner_leaves_filters(daemon->owner);
}

NNS_OWNER_ONLY static void free_parts(struct daemon *daemon)
{
    if (!leaves_pins(daemon))
        discard_pins(daemon);
    else if (daemon->served && !daemon->params->keep_attached &&
             nns_meter_pinned(daemon->meter) != NNS_METER_UNPINNED)
        nns_info("counts stay: there may be filters of this instance that go on");
    nns_owner_free(daemon->owner);
    nns_pool_free(daemon->pool);
    nns_requests_free(daemon->requests);
    nns_claims_free(daemon->claims);
    nns_exclusions_free(daemon->exclusions);
    nns_cache_free(daemon->cache);
    nns_meter_close(daemon->meter);
    nns_resolver_close(daemon->resolver);
    nns_trace_close(daemon->trace);
    nns_link_events_close(daemon->link_events);
    nns_mounts_close(daemon->mounts);
    nns_instance_close(daemon->instance);
}

/* The threads and what they work with; these end in an orderly way once they run. */
static int start_machinery(struct daemon *daemon)
{
    int rc = open_parts(daemon);

    if (rc)
        return rc;
    rc = nns_completions_init(&daemon->completions, &daemon->loop, on_completions, daemon);
    if (!rc)
        rc = start_threads(daemon);
    if (rc)
        nns_error("cannot start: %s", strerror(-rc));
    return rc;
}

static void run(struct daemon *daemon)
{
    int rc = watch_signals(daemon);

    uv_idle_init(&daemon->loop, &daemon->last_rounds);
    daemon->last_rounds.data = daemon;
    daemon->rounds_left = LAST_ROUNDS;
    if (!rc)
        rc = open_feeds(daemon);
    daemon->served = !rc;
    if (!rc)
        take_over_pins(daemon);
    if (rc)
        stop(daemon);
    else
        nns_info("instance %s: reading %s, answering on %s; %s", daemon->params->instance,
                 daemon->params->queue_name, daemon->params->control_path,
                 daemon->params->discover_enabled ? "looking for namespaces"
                                                  : "namespaces come from the queue and from clients only");
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    uv_loop_close(&daemon->loop);
    daemon->failed = daemon->failed || rc;
}

/* libuv aborts where it gets no pipe for its signals: see before whether there is one. */
static int may_open_pipes(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

int nns_daemon_run(const struct nns_params *params)
{
    struct daemon *daemon = nns_calloc_lines(sizeof(*daemon));
    int rc = daemon ? may_open_pipes() : -ENOMEM;
    bool failed;

    if (!rc)
        rc = uv_loop_init(&daemon->loop);
    if (rc) {
        nns_error("cannot start: %s", strerror(-rc));
        free(daemon);
        return 1;
    }
    daemon->params = params;
    /* Before the threads run nothing is attached: what was opened goes with the process. */
    if (start_machinery(daemon)) {
        nns_instance_close(daemon->instance);
        _exit(1);
    }
    nns_memory_trim();
    run(daemon);
    failed = daemon->failed;
    nns_role_assert_owner(); /* the owner thread has ended its work: its role is ours, it is joined next */
    free_parts(daemon);
    nns_completions_deinit(&daemon->completions);
    free(daemon);
    if (!failed)
        nns_info("stopped");
    return failed;
}

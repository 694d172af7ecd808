/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/counters.h"
#include "io/netns.h"
#include "io/proc.h"
#include "workers/letters.h"
#include "workers/settle.h"

/* One worker's view while it works on a batch. */
struct sync {
    const struct nns_sync_context *context;
    struct nns_epoch_reader *reader;
    uint32_t pid_max;                    /* as the host has it now: operators raise it */
    const struct nns_resolved *resolved; /* the batch's, in its order; NULL: not yet */
    const char *path;                    /* what is looked at instead of the request's pid, or NULL */
};

static void settle(const struct sync *sync, struct nns_request request, struct nns_answer answer)
{
    nns_settle(sync->context->completions, request, &answer);
}

static uint32_t pid_of(struct nns_request request)
{
    return request.batch->results[request.at].pid;
}

/* By what a namespace is found and claimed: an inum means something only while a pinned handle holds it (I5).
 */
static uint64_t key_of(const struct sync *sync, struct nns_netns_id id)
{
    return nns_weak(sync->context->way) ? id.cookie : id.inum;
}

static struct nns_namespace *find(const struct sync *sync, struct nns_netns_id id)
{
    struct nns_cache *cache = sync->context->cache;

    return nns_weak(sync->context->way) ? nns_cache_find(cache, id.cookie)
                                        : nns_cache_find_inum(cache, id.inum);
}

/* It is known, but to be opened all the same: the owner has lost its way there. The other rungs are spared
 * the look. */
static bool is_astray(const struct sync *sync, const struct nns_namespace *ns)
{
    return sync->context->way == NNS_HANDLES_BY_MEMBER && nns_is_astray(ns);
}

/* An excluded one is nobody's to open, save one that the owner has lost its way to: there are filters of ours
 * in it that are to be taken off. */
static bool is_excluded(const struct sync *sync, struct nns_netns_id id)
{
    const struct nns_namespace *ns;
    bool excluded = nns_exclusions_have(sync->context->exclusions, id.cookie);

    if (!excluded)
        return false;
    nns_epoch_enter(nns_cache_epoch(sync->context->cache), sync->reader);
    ns = find(sync, id);
    excluded = !ns || !is_astray(sync, ns);
    nns_epoch_leave(sync->reader);
    return excluded;
}

/* Is there nothing to do for a namespace that nobody asked for? Without discovery an unknown one is none of
 * our affairs. */
static bool may_pass(const struct sync *sync, struct nns_netns_id id)
{
    struct nns_namespace *ns;
    bool pass;

    nns_epoch_enter(nns_cache_epoch(sync->context->cache), sync->reader);
    ns = find(sync, id);
    pass = ns ? !is_astray(sync, ns) : !sync->context->params->discover_enabled;
    nns_epoch_leave(sync->reader);
    return pass;
}

/* The hit: an answer without asking anybody. One that is astray is no hit, but has been asked for, which says
 * that it lives. */
static bool look_up(const struct sync *sync, struct nns_netns_id id, struct nns_answer *answer)
{
    struct nns_cache *cache = sync->context->cache;
    struct nns_namespace *ns;
    bool hit = false;

    nns_epoch_enter(nns_cache_epoch(cache), sync->reader);
    ns = find(sync, id);
    if (ns) {
        nns_namespace_ask(ns);
        hit = !is_astray(sync, ns);
    }
    if (hit) {
        *answer = (struct nns_answer){
            .outcome = NNS_OUTCOME_KNOWN, .cookie = nns_namespace_cookie(ns), .inum = id.inum};
    }
    nns_epoch_leave(sync->reader);
    return hit;
}

/* End a claim that came to nothing new: the same answer for everybody who joined it. */
static void end_claim(const struct sync *sync, uint64_t key, const struct nns_answer *answer)
{
    struct nns_request_list waiting;

    nns_claims_end(sync->context->claims, key, &waiting);
    nns_settle_all(sync->context->completions, &waiting, answer);
}

/* Where handles are pinned the inum is key enough, and the cookie asked for only of what is to be saved. */
static int identify(const struct sync *sync, int fd, struct nns_netns_id *id)
{
    return nns_weak(sync->context->way) ? nns_netns_identify_fully(fd, id) : nns_netns_identify(fd, id);
}

/* Open a process's namespace and read its identity from the fd. 0 or -errno. */
static int open_namespace(const struct sync *sync, uint32_t pid, int *fd, struct nns_netns_id *id)
{
    enum nns_netns_way way;
    int opened = nns_netns_open_pid(pid, &way);
    int rc;

    if (opened < 0)
        return opened;
    nns_count(way == NNS_NETNS_BY_PIDFD ? NNS_COUNT_RESOLVE_PIDFD : NNS_COUNT_RESOLVE_PROC, 1);
    rc = identify(sync, opened, id);
    if (rc)
        close(opened);
    else
        *fd = opened;
    return rc;
}

/* Only a path has to be kept: it is copied. 0 or -ENOMEM. */
static int make_place(const struct sync *sync, struct nns_request request, struct nns_place *place)
{
    *place = (struct nns_place){.pid = pid_of(request)};
    if (!sync->path)
        return 0;
    place->path = strdup(sync->path);
    return place->path ? 0 : -ENOMEM;
}

static struct nns_opened *make_letter(const struct sync *sync, struct nns_request request)
{
    struct nns_opened *opened = calloc(1, sizeof(*opened));

    if (opened && make_place(sync, request, &opened->place)) {
        free(opened);
        return NULL;
    }
    return opened;
}

/* From an open fd to the owner. 0, with the fd given away, or -errno with the fd still the caller's. */
static int post_opened(const struct sync *sync, struct nns_request request, int fd, struct nns_netns_id id)
{
    const uint64_t key = key_of(sync, id);
    int rc = id.cookie ? 0 : nns_netns_cookie(fd, &id.cookie);
    struct nns_opened *opened;

    if (rc)
        return rc;
    opened = make_letter(sync, request);
    if (!opened)
        return -ENOMEM;
    opened->letter.kind = NNS_LETTER_OPENED;
    opened->request = request;
    opened->claim = key;
    opened->id = id;
    opened->fd = fd;
    nns_mailbox_post(sync->context->owner, &opened->letter);
    return 0;
}

/* Under its claim: give an open namespace to the owner, or tell everybody who waits why not. */
static void hand_over(const struct sync *sync, struct nns_request request, int fd, struct nns_netns_id id)
{
    int rc = post_opened(sync, request, fd, id);
    struct nns_answer answer;

    if (!rc)
        return;
    close(fd);
    answer = nns_answer_for_error(rc);
    settle(sync, request, answer);
    end_claim(sync, key_of(sync, id), &answer);
}

/* Claim an unknown namespace. True when this thread now holds the claim and the namespace is still unknown:
 * its last claim may have ended just before ours. False when the request is settled or left with somebody
 * else's claim. */
static bool claim(const struct sync *sync, struct nns_request request, struct nns_netns_id id)
{
    struct nns_answer answer = {.outcome = NNS_OUTCOME_EXCLUDED, .cookie = id.cookie, .inum = id.inum};
    int rc;

    if (is_excluded(sync, id)) {
        settle(sync, request, answer);
        return false;
    }
    rc = nns_claims_take(sync->context->claims, key_of(sync, id), request);
    if (rc == NNS_CLAIM_JOINED) {
        nns_count(NNS_COUNT_CLAIMS_JOINED, 1);
        return false;
    }
    if (rc < 0) {
        settle(sync, request, nns_answer_for_error(rc));
        return false;
    }
    if (!look_up(sync, id, &answer))
        return true;
    settle(sync, request, answer);
    end_claim(sync, key_of(sync, id), &answer);
    return false;
}

/* A namespace that was opened before it was looked up. */
static void serve_opened(const struct sync *sync, struct nns_request request, int fd, struct nns_netns_id id)
{
    struct nns_answer answer;

    if (look_up(sync, id, &answer)) {
        settle(sync, request, answer);
        close(fd);
    } else if (claim(sync, request, id)) {
        hand_over(sync, request, fd, id);
    } else {
        close(fd);
    }
}

/* Does a failed opening concern the one process rather than its namespace? */
static bool own_failure(int error)
{
    return error == -ESRCH || error == -EACCES || error == -EPERM;
}

/*
 * Open the namespace this thread has claimed. When the request's process is gone or has moved, that is its
 * own affair: the claim passes to the next request that waits on it, until one succeeds or none is left. One
 * that has moved is served where it is now.
 */
static void open_claimed(const struct sync *sync, struct nns_request request, struct nns_netns_id wanted)
{
    const uint64_t key = key_of(sync, wanted);

    while (true) {
        struct nns_netns_id id;
        int fd, rc = open_namespace(sync, pid_of(request), &fd, &id);

        if (!rc && key_of(sync, id) == key) {
            hand_over(sync, request, fd, id);
            return;
        }
        if (!rc) {
            nns_count(NNS_COUNT_RESOLVE_MOVED, 1);
            serve_opened(sync, request, fd, id);
        } else {
            settle(sync, request, nns_answer_for_error(rc));
        }
        if (rc && !own_failure(rc)) {
            struct nns_answer answer = nns_answer_for_error(rc);

            end_claim(sync, key, &answer);
            return;
        }
        if (!nns_claims_pass(sync->context->claims, key, &request))
            return;
        nns_count(NNS_COUNT_CLAIMS_PASSED, 1);
    }
}

/* Where its process is has been told without opening it. */
static void sync_located(const struct sync *sync, struct nns_request request, struct nns_netns_id id)
{
    struct nns_answer answer;

    if (look_up(sync, id, &answer))
        settle(sync, request, answer);
    else if (claim(sync, request, id))
        open_claimed(sync, request, id);
}

static void sync_by_link(const struct sync *sync, struct nns_request request)
{
    struct nns_netns_id id = {0};
    int rc = nns_proc_netns(pid_of(request), &id.inum);

    if (rc)
        settle(sync, request, nns_answer_for_error(rc));
    else
        sync_located(sync, request, id);
}

/* Only the open namespace tells its cookie. */
static void sync_by_opening(const struct sync *sync, struct nns_request request)
{
    struct nns_netns_id id;
    int fd, rc = open_namespace(sync, pid_of(request), &fd, &id);

    if (rc)
        settle(sync, request, nns_answer_for_error(rc));
    else
        serve_opened(sync, request, fd, id);
}

/* A task without namespaces is a zombie. */
static void sync_resolved(const struct sync *sync, struct nns_request request)
{
    const struct nns_resolved *resolved = &sync->resolved[request.at];

    if (resolved->cookie)
        sync_located(sync, request,
                     (struct nns_netns_id){.cookie = resolved->cookie, .inum = resolved->inum});
    else
        settle(sync, request, nns_answer_for_error(-ESRCH));
}

static void sync_request(const struct sync *sync, struct nns_request request)
{
    uint32_t pid = pid_of(request);

    if (!sync->context->params->network_enabled)
        settle(sync, request, (struct nns_answer){.outcome = NNS_OUTCOME_DISABLED});
    else if (pid == 0 || pid > sync->pid_max)
        settle(sync, request, (struct nns_answer){.outcome = NNS_OUTCOME_REFUSED});
    else if (sync->resolved)
        sync_resolved(sync, request);
    else if (nns_weak(sync->context->way))
        sync_by_opening(sync, request);
    else
        sync_by_link(sync, request);
}

_Static_assert(NNS_BATCH_MAX <= NNS_RESOLVE_MAX, "a batch is resolved by one call");

static const struct nns_resolved *resolve(const struct nns_sync_worker *worker, const struct nns_batch *batch)
{
    struct nns_resolver *resolver = worker->context->resolver;
    const struct nns_resolved *resolved;
    uint32_t *pids;

    if (!resolver)
        return NULL;
    pids = nns_resolver_pids(resolver, worker->number);
    for (uint32_t i = 0; pids && i < batch->count; i++)
        pids[i] = batch->results[i].pid;
    resolved = nns_resolve(resolver, worker->number, batch->count);
    nns_count(resolved ? NNS_COUNT_RESOLVE_BATCHES : NNS_COUNT_RESOLVE_REFUSED, 1);
    return resolved;
}

void nns_sync_batch(const struct nns_sync_worker *worker, struct nns_batch *batch)
{
    const struct sync sync = {.context = worker->context,
                              .reader = worker->reader,
                              .pid_max = nns_proc_pid_max(),
                              .resolved = resolve(worker, batch)};
    uint32_t count = batch->count;

    /* The batch may be settled by others, and gone, as soon as its last request has been handed on. */
    for (uint32_t i = 0; i < count; i++)
        sync_request(&sync, (struct nns_request){.batch = batch, .at = i});
}

/* For what nobody asked for by a pid: a batch of one, whose answer nobody waits for. */
static int make_request(struct nns_request *request)
{
    struct nns_batch *batch = nns_batch_new(1);

    if (!batch)
        return -ENOMEM;
    batch->found = true;
    nns_batch_add(batch, 0);
    *request = (struct nns_request){.batch = batch, .at = 0};
    return 0;
}

static int serve_unasked(const struct sync *sync, int fd, struct nns_netns_id id)
{
    struct nns_request request;
    int rc;

    if (may_pass(sync, id) || is_excluded(sync, id)) {
        close(fd);
        return 0;
    }
    rc = make_request(&request);
    if (rc)
        close(fd);
    else
        serve_opened(sync, request, fd, id);
    return rc;
}

void nns_sync_saw(const struct nns_sync_worker *worker, uint64_t cookie)
{
    const struct nns_sync_context *context = worker->context;
    struct nns_namespace *ns;

    if (context->way != NNS_HANDLES_BY_MEMBER)
        return;
    nns_epoch_enter(nns_cache_epoch(context->cache), worker->reader);
    ns = nns_cache_find(context->cache, cookie);
    if (ns)
        nns_namespace_ask(ns);
    nns_epoch_leave(worker->reader);
}

int nns_sync_id(const struct nns_sync_worker *worker, struct nns_netns_id id)
{
    const struct sync sync = {.context = worker->context, .reader = worker->reader};
    int fd;

    if (may_pass(&sync, id) || is_excluded(&sync, id))
        return 0;
    fd = nns_netns_open_id(id);
    return fd < 0 ? fd : serve_unasked(&sync, fd, id);
}

int nns_sync_path(const struct nns_sync_worker *worker, const char *path, uint32_t inum)
{
    const struct sync sync = {.context = worker->context, .reader = worker->reader, .path = path};
    struct nns_netns_id id;
    int fd = nns_netns_open_meant(path, inum);
    int rc = fd < 0 ? fd : identify(&sync, fd, &id);

    if (fd >= 0 && !rc)
        return serve_unasked(&sync, fd, id);
    if (fd >= 0)
        close(fd);
    return rc;
}

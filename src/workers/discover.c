/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/discover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/counters.h"
#include "core/log.h"
#include "workers/letters.h"
#include "workers/rest.h"

struct nns_discover {
    uv_poll_t mounts_poll;
    struct nns_rest mounts_rest;
    uv_idle_t first_turns; /* until the first look at everything */
    int turns_left;
    struct nns_mounts *mounts; /* borrowed, or NULL */
    enum nns_mounts_way mounts_way;
    struct nns_pool *pool;
    unsigned open; /* handles not closed yet */
};

static struct nns_log_limit mounts_limit;

/* ---- mounts ---- */

static void retry_mounts(uv_timer_t *timer);

static void hold_off_mounts(struct nns_discover *discover, int error)
{
    nns_count(NNS_COUNT_DISCOVER_FAILED, 1);
    nns_log_limited(&mounts_limit, NNS_LOG_WARNING, "cannot see which mounts come and go: %s",
                    strerrordesc_np(-error));
    /* An error keeps fanotify's descriptor readable. mountinfo has no word of a change that would stay, and
     * to poll anew loses one. */
    if (discover->mounts_way == NNS_MOUNTS_FANOTIFY)
        uv_poll_stop(&discover->mounts_poll);
    nns_rest_begin(&discover->mounts_rest, retry_mounts);
}

static void look_at_mounts(struct nns_discover *discover, int status)
{
    int changed = status < 0 ? status : nns_mounts_changed(discover->mounts);

    if (nns_mounts_has_new(discover->mounts))
        nns_pool_want(discover->pool, NNS_CHORE_MOUNTS);
    if (changed < 0)
        hold_off_mounts(discover, changed);
    else
        nns_rest_forget(&discover->mounts_rest);
}

/* What changes during a rest is seen at its end. */
static void on_mounts(uv_poll_t *poll, int status, int happened)
{
    struct nns_discover *discover = poll->data;

    if (!nns_rest_lasts(&discover->mounts_rest))
        look_at_mounts(discover, status);
}

/* mountinfo is readable always. */
static int poll_mounts(struct nns_discover *discover)
{
    int events = discover->mounts_way == NNS_MOUNTS_FANOTIFY ? UV_READABLE : UV_PRIORITIZED;

    return uv_poll_start(&discover->mounts_poll, events, on_mounts);
}

static void retry_mounts(uv_timer_t *timer)
{
    struct nns_discover *discover = timer->data;

    look_at_mounts(discover, discover->mounts_way == NNS_MOUNTS_FANOTIFY ? poll_mounts(discover) : 0);
}

/* The first look comes after all watches watch: libuv begins to poll in its first turn, and where mounts are
 * polled in /proc that takes away the word of what changed before. */
static void on_first_turns(uv_idle_t *idle)
{
    struct nns_discover *discover = idle->data;

    if (discover->turns_left--)
        return;
    uv_idle_stop(idle);
    nns_pool_want(discover->pool, NNS_CHORE_SCAN);
}

/* ---- opening and closing ---- */

static void on_closed(uv_handle_t *handle)
{
    struct nns_discover *discover = handle->data;

    if (--discover->open == 0)
        free(discover);
}

void nns_discover_close(struct nns_discover *discover)
{
    if (!discover)
        return;
    if (!discover->open) {
        free(discover);
        return;
    }
    if (discover->mounts) {
        uv_close((uv_handle_t *)&discover->mounts_poll, on_closed);
        uv_close((uv_handle_t *)&discover->mounts_rest.timer, on_closed);
    }
    if (discover->first_turns.data)
        uv_close((uv_handle_t *)&discover->first_turns, on_closed);
}

static int watch_mounts(struct nns_discover *discover, uv_loop_t *loop, struct nns_mounts *mounts,
                        enum nns_mounts_way way)
{
    int rc = uv_poll_init(loop, &discover->mounts_poll, nns_mounts_fd(mounts));

    if (rc)
        return rc;
    nns_rest_init(&discover->mounts_rest, loop, discover);
    discover->mounts_poll.data = discover;
    discover->open += 2;
    discover->mounts = mounts;
    discover->mounts_way = way;
    return poll_mounts(discover);
}

static int look_after_first_turn(struct nns_discover *discover, uv_loop_t *loop)
{
    int rc = uv_idle_init(loop, &discover->first_turns);

    if (rc)
        return rc;
    discover->first_turns.data = discover;
    discover->turns_left = 1;
    discover->open++;
    return uv_idle_start(&discover->first_turns, on_first_turns);
}

int nns_discover_open(uv_loop_t *loop, struct nns_mounts *mounts, enum nns_mounts_way way, bool look,
                      struct nns_pool *pool, struct nns_discover **out)
{
    struct nns_discover *discover = calloc(1, sizeof(*discover));
    int rc;

    if (!discover)
        return -ENOMEM;
    discover->pool = pool;
    rc = mounts ? watch_mounts(discover, loop, mounts, way) : 0;
    if (!rc && look)
        rc = look_after_first_turn(discover, loop);
    if (rc)
        nns_discover_close(discover);
    else
        *out = discover;
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/asker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "io/netns.h"

/* An answer that took longer than QUICK_MS is not waited for again before RESTS times as long has passed. */
enum { STACK = 1 << 18, QUICK_MS = 10, RESTS = 10 };

enum state { IDLE, ASKED, ANSWERED, ENDED };

struct nns_asker {
    uv_mutex_t lock; /* of all below; never held while a file system is asked */
    uv_cond_t changed;
    enum state state;
    int answer; /* with ANSWERED: as nns_netns_led_to */
    uint32_t inum;
    uint64_t rest_until; /* by uv_hrtime; the owner's */
    uv_thread_t thread;
    char path[];
};

static void destroy(struct nns_asker *asker)
{
    uv_cond_destroy(&asker->changed);
    uv_mutex_destroy(&asker->lock);
    free(asker);
}

/* Locked, and locked again after. */
static void ask(struct nns_asker *asker)
{
    uint32_t inum = 0;
    int answer;

    uv_mutex_unlock(&asker->lock);
    answer = nns_netns_led_to(asker->path, &inum);
    uv_mutex_lock(&asker->lock);
    if (asker->state == ENDED)
        return;
    asker->state = ANSWERED;
    asker->answer = answer;
    asker->inum = inum;
    uv_cond_broadcast(&asker->changed);
}

static void run(void *argument)
{
    struct nns_asker *asker = argument;

    uv_mutex_lock(&asker->lock);
    while (asker->state != ENDED) {
        if (asker->state == ASKED)
            ask(asker);
        else
            uv_cond_wait(&asker->changed, &asker->lock);
    }
    uv_mutex_unlock(&asker->lock);
    destroy(asker);
}

struct nns_asker *nns_asker_new(const char *path)
{
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK};
    struct nns_asker *asker = calloc(1, sizeof(*asker) + strlen(path) + 1);

    if (!asker)
        return NULL;
    strcpy(asker->path, path);
    if (uv_mutex_init(&asker->lock)) {
        free(asker);
        return NULL;
    }
    if (uv_cond_init(&asker->changed)) {
        uv_mutex_destroy(&asker->lock);
        free(asker);
        return NULL;
    }
    if (uv_thread_create_ex(&asker->thread, &options, run, asker)) {
        destroy(asker);
        return NULL;
    }
    pthread_detach(asker->thread);
    return asker;
}

/* Locked. */
static void await(struct nns_asker *asker, unsigned patience_ms)
{
    const uint64_t since = uv_hrtime(), deadline = since + patience_ms * UINT64_C(1000000);
    uint64_t now = since;

    for (; asker->state == ASKED && now < deadline; now = uv_hrtime())
        uv_cond_timedwait(&asker->changed, &asker->lock, deadline - now);
    if (now - since > QUICK_MS * UINT64_C(1000000))
        asker->rest_until = now + RESTS * (now - since);
}

int nns_asker_ask(struct nns_asker *asker, uint32_t *inum, unsigned patience_ms)
{
    int answer = -EAGAIN;

    if (uv_hrtime() < asker->rest_until)
        return answer;
    uv_mutex_lock(&asker->lock);
    /* An answer that came too late is old by now. */
    if (asker->state != ASKED) {
        asker->state = ASKED;
        uv_cond_broadcast(&asker->changed);
        await(asker, patience_ms);
    }
    if (asker->state == ANSWERED) {
        answer = asker->answer;
        *inum = asker->inum;
        asker->state = IDLE;
    }
    uv_mutex_unlock(&asker->lock);
    return answer;
}

void nns_asker_free(struct nns_asker *asker)
{
    if (!asker)
        return;
    uv_mutex_lock(&asker->lock);
    asker->state = ENDED;
    uv_cond_broadcast(&asker->changed);
    uv_mutex_unlock(&asker->lock);
}

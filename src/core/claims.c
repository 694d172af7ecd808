/* SPDX-License-Identifier: Apache-2.0 */
#include "core/claims.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Claims that stand at a time are about as many as workers and namespaces on their way to the owner: chains
 * stay short. */
enum { BUCKETS = 256, JOINED_FIRST = 8 };

struct claim {
    struct claim *next; /* in its bucket */
    uint64_t key;
    struct nns_request *joined;
    size_t count, capacity;
};

struct nns_claims {
    pthread_mutex_t lock;
    size_t count;                   /* under lock */
    struct claim *buckets[BUCKETS]; /* under lock, with all that hangs on them */
};

/* Memory is asked for and given back outside the lock (an allocation may be a system call, I2): taking a
 * claim tries with the spare memory at hand, and comes back with more when that was not enough. */
struct spare {
    struct claim *claim;
    struct nns_request *joined;
    size_t capacity;
    size_t wanted; /* capacity missed by the last attempt; 0: a claim was missed */
};

struct nns_claims *nns_claims_new(void)
{
    struct nns_claims *claims = calloc(1, sizeof(*claims));

    if (claims && pthread_mutex_init(&claims->lock, NULL) != 0) {
        free(claims);
        return NULL;
    }
    return claims;
}

void nns_claims_free(struct nns_claims *claims)
{
    if (!claims)
        return;
    assert(claims->count == 0);
    pthread_mutex_destroy(&claims->lock);
    free(claims);
}

/* Cookies and inums are handed out in order: their low bits spread them best. Returns the link that points to
 * the claim, or the end of its bucket. */
static struct claim **find(struct nns_claims *claims, uint64_t key)
{
    struct claim **link = &claims->buckets[key % BUCKETS];

    while (*link && (*link)->key != key)
        link = &(*link)->next;
    return link;
}

static struct claim *unlink_claim(struct nns_claims *claims, struct claim **link)
{
    struct claim *claim = *link;

    *link = claim->next;
    claims->count--;
    return claim;
}

static int win(struct nns_claims *claims, struct claim **link, uint64_t key, struct spare *spare)
{
    if (!spare->claim) {
        spare->wanted = 0;
        return -EAGAIN;
    }
    *spare->claim = (struct claim){.key = key};
    *link = spare->claim;
    spare->claim = NULL;
    claims->count++;
    return NNS_CLAIM_WON;
}

static int join(struct claim *claim, struct nns_request request, struct spare *spare)
{
    if (claim->count == claim->capacity) {
        struct nns_request *old = claim->joined;

        if (spare->capacity <= claim->count) {
            spare->wanted = claim->capacity ? claim->capacity * 2 : JOINED_FIRST;
            return -EAGAIN;
        }
        if (old)
            memcpy(spare->joined, old, claim->count * sizeof(*old));
        claim->joined = spare->joined;
        claim->capacity = spare->capacity;
        spare->joined = old;
        spare->capacity = 0;
    }
    claim->joined[claim->count++] = request;
    return NNS_CLAIM_JOINED;
}

/* What the last attempt missed. */
static int provide(struct spare *spare)
{
    if (!spare->wanted) {
        spare->claim = malloc(sizeof(*spare->claim));
        return spare->claim ? 0 : -ENOMEM;
    }
    free(spare->joined);
    spare->joined = malloc(spare->wanted * sizeof(*spare->joined));
    spare->capacity = spare->joined ? spare->wanted : 0;
    return spare->joined ? 0 : -ENOMEM;
}

int nns_claims_take(struct nns_claims *claims, uint64_t key, struct nns_request request)
{
    struct spare spare = {0};
    int answer;

    do {
        struct claim **link;

        pthread_mutex_lock(&claims->lock);
        link = find(claims, key);
        answer = *link ? join(*link, request, &spare) : win(claims, link, key, &spare);
        pthread_mutex_unlock(&claims->lock);
    } while (answer == -EAGAIN && (answer = provide(&spare)) == 0);

    free(spare.claim);
    free(spare.joined);
    return answer;
}

void nns_claims_end(struct nns_claims *claims, uint64_t key, struct nns_request_list *waiting)
{
    struct claim *claim;

    pthread_mutex_lock(&claims->lock);
    claim = unlink_claim(claims, find(claims, key));
    pthread_mutex_unlock(&claims->lock);

    *waiting = (struct nns_request_list){.items = claim->joined, .count = claim->count};
    free(claim);
}

bool nns_claims_pass(struct nns_claims *claims, uint64_t key, struct nns_request *next)
{
    struct claim **link, *ended = NULL;

    pthread_mutex_lock(&claims->lock);
    link = find(claims, key);
    if ((*link)->count)
        *next =
            (*link)->joined[--(*link)->count]; /* the youngest request's process most likely still lives */
    else
        ended = unlink_claim(claims, link);
    pthread_mutex_unlock(&claims->lock);

    if (!ended)
        return true;
    free(ended->joined);
    free(ended);
    return false;
}

void nns_request_list_free(struct nns_request_list *list)
{
    free(list->items);
    *list = (struct nns_request_list){0};
}

size_t nns_claims_count(struct nns_claims *claims)
{
    size_t count;

    pthread_mutex_lock(&claims->lock);
    count = claims->count;
    pthread_mutex_unlock(&claims->lock);
    return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_REST_H
#define NNS_WORKERS_REST_H

#include <stdbool.h>
#include <uv.h>

/*
 * The pauses of what reads a descriptor, after failures that would come again at once: each in a row is twice
 * as long, up to the longest of core/backoff.h (I10). Nothing is given up: what is not read is not heard of,
 * and no news could begin it anew. Loop thread only.
 */
struct nns_rest {
    uv_timer_t timer; /* whoever has it closes it; its data is theirs */
    unsigned failures;
};

void nns_rest_init(struct nns_rest *rest, uv_loop_t *loop, void *data);

/* One more failure: `after` is called when its pause is over. */
void nns_rest_begin(struct nns_rest *rest, uv_timer_cb after);

bool nns_rest_lasts(const struct nns_rest *rest);

/* It went well: the next failure is the first again. */
void nns_rest_forget(struct nns_rest *rest);

#endif

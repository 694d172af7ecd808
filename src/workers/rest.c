/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/rest.h"

#include "core/backoff.h"

void nns_rest_init(struct nns_rest *rest, uv_loop_t *loop, void *data)
{
    uv_timer_init(loop, &rest->timer);
    rest->timer.data = data;
    rest->failures = 0;
}

void nns_rest_begin(struct nns_rest *rest, uv_timer_cb after)
{
    if (rest->failures < NNS_TRIES_MAX - 1)
        rest->failures++;
    uv_timer_start(&rest->timer, after, nns_backoff_ms(rest->failures), 0);
}

bool nns_rest_lasts(const struct nns_rest *rest)
{
    return uv_is_active((const uv_handle_t *)&rest->timer);
}

void nns_rest_forget(struct nns_rest *rest)
{
    rest->failures = 0;
}

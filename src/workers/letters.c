/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/letters.h"

#include <stdlib.h>

struct nns_order *nns_order_new(enum nns_order_kind kind, void *job)
{
    struct nns_order *order = calloc(1, sizeof(*order));

    if (!order)
        return NULL;
    order->letter.kind = NNS_LETTER_ORDER;
    order->kind = kind;
    order->job = job;
    if (kind == NNS_ORDER_LIST || kind == NNS_ORDER_GET)
        order->rows = calloc(NNS_ORDER_ROWS, sizeof(*order->rows));
    else if (kind == NNS_ORDER_STATUS)
        order->status = calloc(1, sizeof(*order->status));
    else
        return order;
    if (!order->rows && !order->status) {
        free(order);
        return NULL;
    }
    return order;
}

void nns_order_free(struct nns_order *order)
{
    if (!order)
        return;
    if (order->rows)
        nns_namespace_rows_deinit(order->rows, order->row_count);
    free(order->rows);
    free(order->cookies);
    free(order->status);
    free(order);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoch with the deferred free taken out: retiring frees at once. Linked before the core's library it
 * takes the place of the real one; torture_cache must fail with it.
 */
#define nns_epoch_retire nns_epoch_retire_deferred
#include "core/epoch.c"
#undef nns_epoch_retire

void nns_epoch_retire(struct nns_epoch *epoch, struct nns_retired *object,
                      void (*release)(struct nns_retired *)) NNS_OWNER_ONLY;

void nns_epoch_retire(struct nns_epoch *epoch, struct nns_retired *object,
                      void (*release)(struct nns_retired *))
{
    release(object);
}

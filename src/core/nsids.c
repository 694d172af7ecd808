/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nsids.h"

#include <errno.h>
#include <stdlib.h>

int nns_nsids_init(struct nns_nsids *nsids, uint32_t capacity)
{
    uint64_t *cookies = calloc(capacity ? capacity : 1, sizeof(*cookies));

    if (!cookies)
        return -ENOMEM;
    *nsids = (struct nns_nsids){.cookies = cookies, .capacity = capacity};
    return 0;
}

void nns_nsids_deinit(struct nns_nsids *nsids)
{
    free(nsids->cookies);
    *nsids = (struct nns_nsids){NULL, 0, 0};
}

static bool has_place(const struct nns_nsids *nsids, int32_t nsid)
{
    return nsid >= 0 && (uint32_t)nsid < nsids->capacity;
}

int nns_nsids_put(struct nns_nsids *nsids, int32_t nsid, uint64_t cookie, uint64_t *former)
{
    uint64_t before;

    if (!has_place(nsids, nsid))
        return -ERANGE;
    before = nsids->cookies[nsid];
    nsids->cookies[nsid] = cookie;
    nsids->count += !before;
    *former = before != cookie ? before : 0;
    return 0;
}

uint64_t nns_nsids_drop(struct nns_nsids *nsids, int32_t nsid)
{
    uint64_t cookie = nns_nsids_cookie(nsids, nsid);

    if (cookie) {
        nsids->cookies[nsid] = 0;
        nsids->count--;
    }
    return cookie;
}

uint64_t nns_nsids_cookie(const struct nns_nsids *nsids, int32_t nsid)
{
    return has_place(nsids, nsid) ? nsids->cookies[nsid] : 0;
}

int32_t nns_nsids_find(const struct nns_nsids *nsids, uint64_t cookie)
{
    uint32_t left = nsids->count;

    for (uint32_t i = 0; left; i++) {
        if (nsids->cookies[i] == cookie)
            return (int32_t)i;
        left -= nsids->cookies[i] != 0;
    }
    return NNS_NSID_NONE;
}

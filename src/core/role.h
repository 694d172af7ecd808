/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_ROLE_H
#define NNS_CORE_ROLE_H

/*
 * "Owner thread only" as a compile error (I1).
 *
 * Functions that change the cache, device queues or attachments carry NNS_OWNER_ONLY. The owner thread's
 * entry calls nns_role_assert_owner() once; under clang's -Wthread-safety any other caller is then an error.
 * Under gcc, and through function pointers, nothing is checked. Tests that play the owner call
 * nns_role_assert_owner() too.
 */
#if defined(__clang__)
#define NNS_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define NNS_THREAD_ATTRIBUTE(x)
#endif

struct NNS_THREAD_ATTRIBUTE(capability("role")) nns_role {
    char unused;
};

extern struct nns_role nns_owner_role;

#define NNS_OWNER_ONLY NNS_THREAD_ATTRIBUTE(requires_capability(nns_owner_role))

static inline void nns_role_assert_owner(void) NNS_THREAD_ATTRIBUTE(assert_capability(nns_owner_role))
{
}

#endif

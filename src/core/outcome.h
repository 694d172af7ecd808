/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_OUTCOME_H
#define NNS_CORE_OUTCOME_H

#include <stdint.h>

/* What became of one sync request. Expected answers of a busy host are outcomes; only ERROR carries an errno.
 */
enum nns_outcome {
    NNS_OUTCOME_NONE,     /* not decided yet */
    NNS_OUTCOME_NEW,      /* the namespace was not known; it is now */
    NNS_OUTCOME_KNOWN,    /* the namespace was known already */
    NNS_OUTCOME_GONE,     /* no such process any more, or a zombie */
    NNS_OUTCOME_DENIED,   /* the kernel does not let us look */
    NNS_OUTCOME_DISABLED, /* network.enabled is false */
    NNS_OUTCOME_EXCLUDED, /* exclude.namespaces names it */
    NNS_OUTCOME_REFUSED,  /* not a pid this host can have */
    NNS_OUTCOME_ERROR,    /* anything else; see nns_result.error */
    NNS_OUTCOME_COUNT
};

/* One pid's answer. cookie and inum are 0 where the outcome does not know them. error is a positive errno or
 * 0. */
struct nns_result {
    uint64_t cookie;
    uint32_t inum;
    uint32_t pid;
    uint16_t error;
    uint8_t outcome; /* enum nns_outcome */
};

/* The name operators see ("new", "gone", …). Never NULL. */
const char *nns_outcome_name(enum nns_outcome outcome);

#endif

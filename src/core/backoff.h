/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_BACKOFF_H
#define NNS_CORE_BACKOFF_H

#include <stdint.h>

/*
 * Every retry is bounded and backed off (I10): 50 ms after the first failure, doubling to at most 30 s,
 * NNS_TRIES_MAX attempts in all, 81 s. After that only news or a new request start again; audits try once.
 */
#define NNS_TRIES_MAX 12

/* Milliseconds to wait after `tries` failures in a row (at least 1), or 0 when no further try is due. */
uint64_t nns_backoff_ms(unsigned tries);

#endif

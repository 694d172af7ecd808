/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

enum { FIRST_MS = 50, LONGEST_MS = 30000 };

uint64_t nns_backoff_ms(unsigned tries)
{
    uint64_t wait = FIRST_MS;

    if (tries == 0 || tries >= NNS_TRIES_MAX)
        return 0;
    while (--tries && wait < LONGEST_MS)
        wait *= 2;
    return wait < LONGEST_MS ? wait : LONGEST_MS;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_TESTS_FAIL_ALLOC_H
#define NNS_TESTS_FAIL_ALLOC_H

/*
 * Makes allocations of the code under test fail. Works in programs linked with the --wrap options that
 * tests/unit/CMakeLists.txt gives to those it lists. One thread only.
 */

/* Let `successes` more allocations succeed, then fail all until fail_alloc_stop. */
void fail_alloc_after(unsigned successes);

/* Back to normal. Returns how many allocations were refused. */
unsigned fail_alloc_stop(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_TESTS_UNIT_LOOP_HOST_H
#define NNS_TESTS_UNIT_LOOP_HOST_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <time.h>
#include <uv.h>

/* A loop that the test turns itself, in its one thread, until what it waits for has come. */
#define LOOP_HOST_DEADLINE_MS 10000

static uv_loop_t loop;
static uv_timer_t loop_ticker; /* no turn takes long, whatever else does not happen */

/* The sanitizer's look at exit comes too late to fail a test. */
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

static inline uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t deadline = now_ms() + LOOP_HOST_DEADLINE_MS;                                                \
        while (!(condition)) {                                                                               \
            cr_assert_lt(now_ms(), deadline, "waited in vain for %s", #condition);                           \
            uv_run(&loop, UV_RUN_ONCE);                                                                      \
        }                                                                                                    \
    } while (0)

static inline void loop_host_tick(uv_timer_t *timer)
{
}

static inline void loop_host_open(void)
{
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(uv_timer_init(&loop, &loop_ticker), 0);
    cr_assert_eq(uv_timer_start(&loop_ticker, loop_host_tick, 1, 1), 0);
}

/* Turns until all that was closed is gone. */
static inline void loop_host_close(void)
{
    uv_close((uv_handle_t *)&loop_ticker, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&loop), 0, "a handle was left open");
}

static inline void loop_host_expect_no_leak(void)
{
    if (__lsan_do_recoverable_leak_check)
        cr_expect_eq(__lsan_do_recoverable_leak_check(), 0, "memory leaked");
}

/* The end is a part of the test: what fails in a fixture does not fail it. */
#define LOOP_TEST(suite, name, end)                                                                          \
    static void name(void);                                                                                  \
    Test(suite, name)                                                                                        \
    {                                                                                                        \
        name();                                                                                              \
        end();                                                                                               \
    }                                                                                                        \
    static void name(void)

#endif

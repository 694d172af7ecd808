/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever waits for a file system's answer, which the test gives in its place. */
#include <criterion/criterion.h>

#include <errno.h>
#include <time.h>
#include <uv.h>

#include "workers/asker.h"

enum { INUM = 4711, SLOW_MS = 50, PATIENCE_MS = 20000 };

static _Atomic unsigned asked, delay_ms;

int __wrap_nns_netns_led_to(const char *path, uint32_t *inum);

int __wrap_nns_netns_led_to(const char *path, uint32_t *inum)
{
    cr_assert_str_eq(path, "/some/where");
    asked++;
    nanosleep(&(struct timespec){.tv_nsec = delay_ms * 1000000L}, NULL);
    *inum = INUM;
    return 0;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* What a busy machine makes slow is none of the file system's doing, and not judged. */
Test(asker, quick_answers_are_waited_for_each_time)
{
    struct nns_asker *asker = nns_asker_new("/some/where");
    unsigned judged = 0;
    bool quick = false;

    nns_role_assert_owner();
    for (int i = 0; i < 200; i++) {
        uint64_t since = now_ms();
        uint32_t inum = 0;
        int answer = nns_asker_ask(asker, &inum, PATIENCE_MS);

        if (quick) {
            cr_assert_eq(answer, 0);
            cr_assert_eq(inum, INUM);
            judged++;
        }
        quick = answer == 0 && now_ms() - since < 5;
    }
    cr_assert_gt(judged, 0);
    nns_asker_free(asker);
}

Test(asker, slow_answers_are_waited_for_a_tenth_of_the_time)
{
    struct nns_asker *asker = nns_asker_new("/some/where");
    uint64_t since = now_ms(), deadline;
    uint32_t inum = 0;
    int answer;

    nns_role_assert_owner();
    delay_ms = SLOW_MS;
    cr_assert_eq(nns_asker_ask(asker, &inum, PATIENCE_MS), 0);
    cr_assert_eq(inum, INUM);
    deadline = now_ms() + PATIENCE_MS;
    while ((answer = nns_asker_ask(asker, &inum, PATIENCE_MS)) == -EAGAIN)
        cr_assert_lt(now_ms(), deadline, "nobody asks again");
    cr_assert_eq(answer, 0);
    cr_assert_eq(asked, 2);
    cr_assert_geq(now_ms() - since, 10 * SLOW_MS, "it was waited for again too soon");
    nns_asker_free(asker);
}

Test(asker, who_does_not_answer_is_not_waited_for_twice)
{
    struct nns_asker *asker = nns_asker_new("/some/where");
    uint32_t inum = 0;

    nns_role_assert_owner();
    delay_ms = 900;
    cr_assert_eq(nns_asker_ask(asker, &inum, 1), -EAGAIN);
    cr_assert_eq(nns_asker_ask(asker, &inum, PATIENCE_MS), -EAGAIN);
    cr_assert_leq(asked, 1);
    nns_asker_free(asker);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_DYING_TASK_H
#define NNS_CORE_DYING_TASK_H

#include <errno.h>

/*
 * The value of `call`, a system call that follows a link of a task in /proc (PID/root, PID/ns/net, …).
 *
 * A task that is reaped between the kernel's look-up of the path and its look at the task answers EACCES,
 * which reads like a refusal. The second time the path itself is gone, so that only a true refusal stays one:
 * `call` is made again, once, after EACCES.
 */
#define NNS_ASK_TASK(call)                                                                                   \
    ({                                                                                                       \
        __auto_type answer_ = (call);                                                                        \
        if (answer_ < 0 && errno == EACCES)                                                                  \
            answer_ = (call);                                                                                \
        answer_;                                                                                             \
    })

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "io/queue.h"

/*
 * A real netnsyncd, the one beside the bench's own binary, as a child on the private host; fed through its
 * message queue, asked over its control socket. Its log is shown when something fails.
 *
 * All return 0 or -errno, told on stderr. A daemon that does not answer for a minute ends the bench.
 */
struct bench_daemon {
    const char *name; /* of its instance; its queue, socket and log are named after it */
    pid_t pid;        /* 0: not running */
    FILE *control;
    struct nns_queue queue;
    uint64_t busy_since; /* when it was last given something to do: started, or sent pids */
};

/* Two that run at the same time have two names. */
#define BENCH_DAEMON_NAMED(its_name)                                                                         \
    ((struct bench_daemon){.name = (its_name), .pid = 0, .control = NULL, .queue = NNS_QUEUE_NULL})
#define BENCH_DAEMON_NULL BENCH_DAEMON_NAMED("bench")

/* Run this one from now on: another build's, or a script that ends in one. */
void bench_daemon_choose(const char *path);

/* It keeps to the tasks of its own pid namespace, as ours does: we are told so. Otherwise a chosen one that
 * discovers is not started (-EPERM) where namespaces outside of the private host can be opened. */
void bench_daemon_vouch(void);

/* Start it with parameters, "NAME=VALUE" up to a NULL, and wait until it answers. Stop it in any case. */
int bench_daemon_start_with(struct bench_daemon *daemon, const char *const settings[]);

/* Its two parts: start it, and wait until it answers. In between it is not disturbed. */
int bench_daemon_launch(struct bench_daemon *daemon, const char *const settings[]);
int bench_daemon_greet(struct bench_daemon *daemon);

/* One that looks for nothing by itself, forgets nothing and pins nothing. */
int bench_daemon_start(struct bench_daemon *daemon, unsigned workers);

/* The same with all workers, and it finds namespaces by itself, save the one with this inum (0: none). */
int bench_daemon_start_discovering(struct bench_daemon *daemon, uint32_t excluded);
void bench_daemon_stop(struct bench_daemon *daemon);

/* Stop it with SIGTERM and measure how long it takes to be gone. -EREMOTEIO when it does not exit with 0. */
int bench_daemon_end(struct bench_daemon *daemon, uint64_t *nanoseconds);

/* End the connection, which would be timed out when nothing is asked; the next question makes another. */
void bench_daemon_hang_up(struct bench_daemon *daemon);

/* Send pids, so many a message. */
int bench_daemon_feed(struct bench_daemon *daemon, const uint32_t *pids, size_t count, size_t a_message);

/* One of its counters, as `status` shows it now. */
int bench_daemon_counter(struct bench_daemon *daemon, const char *name, uint64_t *value);

/* Show its log and what it has counted: something that was waited for did not come. */
void bench_daemon_complain(struct bench_daemon *daemon);

/* Wait until a counter, which was at `from` when pids were last sent, has reached a value. The daemon answers
 * `status` in the order things reach its owner thread, so that a busy one answers late and is not asked
 * often. Each answer looks at all that it knows, and keeps a CPU busy: what can be timed otherwise should be.
 */
int bench_daemon_await(struct bench_daemon *daemon, const char *name, uint64_t from, uint64_t value);

/* Make it forget an open namespace. */
int bench_daemon_forget(struct bench_daemon *daemon, int netns);

/* CPU time of all its threads so far, in nanoseconds. */
int bench_daemon_cpu(const struct bench_daemon *daemon, uint64_t *nanoseconds);

/* Wait until it has used next to no CPU time for a while, without asking it anything. */
int bench_daemon_rest(const struct bench_daemon *daemon);

/* How often its threads have given up a CPU so far: to wait, or because another thread was to run. */
struct bench_switches {
    unsigned threads;
    uint64_t voluntary, involuntary;
};

int bench_daemon_switches(const struct bench_daemon *daemon, struct bench_switches *switches);

/* Resident memory in bytes. */
int bench_daemon_rss(const struct bench_daemon *daemon, uint64_t *bytes);

/* How many descriptors it has open. */
int bench_daemon_fds(const struct bench_daemon *daemon, unsigned *count);

#endif

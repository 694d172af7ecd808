/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_TRACE_H
#define NNS_IO_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What the kernel tells of namespaces and their devices by BPF tracepoints (src/bpf/trace.bpf.c), and its own
 * walk over all tasks. The only user of libbpf for them.
 *
 * Tracepoints are the whole host's. What is reported of devices may therefore be of namespaces that are none
 * of ours; tasks are reported only when they are visible in the daemon's own pid namespace, with their pid
 * there. Events say where to look, never what is true: they may be late, doubled, or lost (nns_trace_lost).
 *
 * The kernel side holds two tables, so that what is no news costs nobody a wake-up: namespaces that are known
 * (their tasks are not reported), and devices that are covered (reported when they lose their clsact, not
 * when they come up).
 */
struct nns_trace;

enum nns_trace_kind {
    NNS_TRACE_DEVICE_UP,   /* a device that is not covered got its first qdisc: it came up */
    NNS_TRACE_DEVICE_BARE, /* a covered device lost its clsact: by hand, by a move, with its namespace */
    NNS_TRACE_DEAD,        /* a covered loopback device went: its namespace is dead for certain */
    NNS_TRACE_TASK         /* a task forked, executed or ended in a namespace that is not known */
};

/*
 * The pid leads to the namespace: it is that of the task's process, but the thread's own where only the
 * thread is in that namespace. Of a namespace that stays unknown a few tasks a second are reported, each
 * once.
 */
struct nns_trace_event {
    uint64_t cookie;
    uint32_t inum;
    uint32_t number; /* the device's ifindex; a pid in the daemon's pid namespace */
    uint8_t kind;    /* enum nns_trace_kind */
};

/* Which of its parts this kernel lets us have. */
struct nns_trace_abilities {
    bool devices; /* the qdisc tracepoints */
    bool tasks;   /* fork, exec, exit */
    bool walk;    /* the task iterator */
};

typedef void nns_trace_taker(void *context, const struct nns_trace_event *event);

/*
 * Load and attach what can be had: 0 also when that is nothing, as *abilities tells. -ENOMEM. `namespaces`
 * and `devices` bound the two tables. Tasks of a namespace that finds no room there are reported more often
 * than needed; a device that finds none is reported when it comes up, but never when it loses its clsact.
 * discover: false leaves tasks and walk out.
 */
int nns_trace_open(uint32_t namespaces, uint32_t devices, bool discover, struct nns_trace **out,
                   struct nns_trace_abilities *abilities);
void nns_trace_close(struct nns_trace *trace); /* NULL is fine */

/* The first part of closing, by whoever walks: nothing more is told. Others may still read what was, and use
 * the tables, meanwhile. */
void nns_trace_stop(struct nns_trace *trace);

/* Readable when there are events; -1 when no tracepoint could be attached. */
int nns_trace_fd(const struct nns_trace *trace);

/* Hand over the events that are there, but not more than `most`: what is left keeps the descriptor readable.
 * One thread. How many, or -errno. */
int nns_trace_read(struct nns_trace *trace, int most, nns_trace_taker *take, void *context);

/* Events that found no room in the buffer so far. Any thread. */
uint64_t nns_trace_lost(const struct nns_trace *trace);

#define NNS_TRACE_ALL_DEVICES 0

/*
 * The tables. One thread (the owner). A NULL trace knows nothing. Forgetting what is not there is fine. 0 or
 * -errno (-ENOSPC: full).
 *
 * NNS_TRACE_ALL_DEVICES in the place of an ifindex: nothing that comes up in this namespace is reported.
 *
 * Cover a device before its clsact is made or looked at, and uncover it if that fails: a clsact that goes
 * before the device is covered is not reported. A device that is reported bare is no longer covered.
 */
int nns_trace_know(struct nns_trace *trace, uint64_t cookie);
int nns_trace_forget(struct nns_trace *trace, uint64_t cookie);
int nns_trace_cover(struct nns_trace *trace, uint64_t cookie, uint32_t ifindex);
int nns_trace_uncover(struct nns_trace *trace, uint64_t cookie, uint32_t ifindex);

/* Has it been covered, and not been reported bare since? False when that is not known. */
bool nns_trace_covers(const struct nns_trace *trace, uint64_t cookie, uint32_t ifindex);

/*
 * Walk over all tasks that are visible in the daemon's pid namespace, threads included, and report each
 * namespace they are in once, with one task in it (kind NNS_TRACE_TASK); with `all` also those that are
 * known, as does the first walk after a forgetting that failed. Beyond `namespaces` of them, some come more
 * than once. Any thread, one at a time; milliseconds. 0, or -errno when not all was seen.
 */
int nns_trace_walk(struct nns_trace *trace, bool all, nns_trace_taker *take, void *context);

#endif

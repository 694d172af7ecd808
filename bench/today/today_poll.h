/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TODAY_POLL_H
#define TODAY_POLL_H

/*
 * Finding new namespaces by looking again and again: at the beginning, and then whenever the period is over,
 * walk /proc, read the namespace link of every process, go into each namespace, list its devices and attach
 * both programs with libbpf's calls to those that are not attached yet. What does not work, as a namespace
 * may have ended or is just being furnished, is tried again the next time. Agents that nobody tells of
 * containers.
 *
 * Neither home nor the caller's own process is looked at. `looked` is an eventfd that is written to when the
 * first walk has ended. Runs until `stop` can be read; 0 or -errno.
 */
int today_poll(int stop, int looked, unsigned period_ms, int home, const int programs[2]);

#endif

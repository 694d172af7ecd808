/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TODAY_POLL_H
#define TODAY_POLL_H

/*
 * Finding new namespaces by looking again and again: at the beginning, and then whenever the period is over,
 * walk /proc, read the namespace link of every process, go into those that the last walk did not see, list
 * the devices and attach both programs to each with libbpf's calls. What does not work is left for the next
 * namespace's sake, as it may have ended. Agents that nobody tells of containers.
 *
 * Home is not looked at. Runs until `stop` can be read; 0 or -errno.
 */
int today_poll(int stop, unsigned period_ms, int home, const int programs[2]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include "report.h"

/*
 * One line on stderr that overwrites itself: what is under way, a bar, how much of it is done and how long
 * the rest will take at the pace so far. It fits the terminal, whatever its width; where stderr is no
 * terminal (report->quiet) there is none.
 */
void bench_progress(const struct bench_report *report, const char *scenario, const char *what, unsigned done,
                    unsigned all);

/* That piece of work is over: the line goes. */
void bench_progress_end(const struct bench_report *report);

#endif

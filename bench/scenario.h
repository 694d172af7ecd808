/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SCENARIO_H
#define BENCH_SCENARIO_H

#include "pairs.h"
#include "report.h"

/* The scenarios. Each makes what it needs on the private host, measures, adds its rows and clears away. 0 or
 * -errno, told on stderr. */
int bench_attach(const struct bench_options *options, struct bench_report *report);
int bench_miss(const struct bench_options *options, struct bench_report *report);
int bench_miss_many(const struct bench_options *options, struct bench_report *report);
int bench_latency(const struct bench_options *options, struct bench_report *report);
int bench_hit(const struct bench_options *options, struct bench_report *report);
int bench_resolve(const struct bench_options *options, struct bench_report *report);
int bench_close(const struct bench_options *options, struct bench_report *report);
int bench_startup(const struct bench_options *options, struct bench_report *report);
int bench_idle(const struct bench_options *options, struct bench_report *report);
int bench_memory(const struct bench_options *options, struct bench_report *report);
int bench_packet(const struct bench_options *options, struct bench_report *report);
int bench_churn(const struct bench_options *options, struct bench_report *report);

/* Its parts. */
int bench_churn_containers(const struct bench_options *options, struct bench_report *report);
int bench_churn_others(const struct bench_options *options, struct bench_report *report);
int bench_churn_trace(const struct bench_options *options, struct bench_report *report);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"
int bench_churn_trace(const struct bench_options *options, struct bench_report *report)
{
    return 0;
}

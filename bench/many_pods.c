/* SPDX-License-Identifier: Apache-2.0 */
#include "many_pods.h"

#include <errno.h>
#include <stdio.h>

#include "progress.h"

/* What a pod takes of the kernel's memory with its devices. */
#define POD_KB 400u

#define MAKE_AT_ONCE 250u /* between two words on how far it is */

/* Of the host's memory, in kB; 0: unknown. */
static unsigned long available_kb(void)
{
    unsigned long kilobytes = 0;
    char line[128];
    FILE *in = fopen("/proc/meminfo", "r");

    while (in && fgets(line, sizeof(line), in))
        if (sscanf(line, "MemAvailable: %lu kB", &kilobytes) == 1)
            break;
    if (in)
        fclose(in);
    return kilobytes;
}

int bench_many_pods_allow(const char *scenario, size_t count)
{
    if (available_kb() / 2 > count * POD_KB)
        return 0;
    return bench_error(-ENOMEM, "%s: %zu namespaces would take more than half of the free memory", scenario,
                       count);
}

int bench_many_pods_grow(struct bench_pods *pods, size_t count, const char *scenario,
                         const struct bench_report *report)
{
    const size_t first = pods->count;
    int result = 0;

    while (pods->count < count && result == 0) {
        size_t more = count - pods->count > MAKE_AT_ONCE ? pods->count + MAKE_AT_ONCE : count;

        bench_progress(report, scenario, "making namespaces", (unsigned)(pods->count - first),
                       (unsigned)(count - first));
        result = bench_pods_grow(pods, more);
    }
    bench_progress_end(report);
    return result;
}

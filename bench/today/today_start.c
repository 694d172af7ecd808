/* SPDX-License-Identifier: Apache-2.0 */
#include "today.h"

#include <errno.h>
#include <stdlib.h>

#include "today_namespaces.h"

static int is_excluded(unsigned long inum, const unsigned long *excluded, size_t excluded_count)
{
    for (size_t i = 0; i < excluded_count; i++)
        if (excluded[i] == inum)
            return 1;
    return 0;
}

int today_start(const unsigned long *excluded, size_t excluded_count, int home, const int programs[2])
{
    struct today_namespace *list = NULL;
    size_t count = 0;
    int result = today_namespaces_list(&list, &count);

    for (size_t i = 0; i < count && result == 0; i++)
        if (!is_excluded(list[i].inum, excluded, excluded_count))
            result = today_miss(&list[i].pid, 1, home, programs);
    free(list);
    return result;
}

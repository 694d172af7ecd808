/* SPDX-License-Identifier: Apache-2.0 */
#include "core/report.h"

#include <stdlib.h>

void nns_namespace_rows_deinit(struct nns_namespace_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(rows[i].devices);
        rows[i].devices = NULL;
        rows[i].device_count = 0;
    }
}

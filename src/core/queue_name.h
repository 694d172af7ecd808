/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_QUEUE_NAME_H
#define NNS_CORE_QUEUE_NAME_H

#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* What every front end must check alike: mq_open(3) answers bad names with three different errors, and a
 * second '/' with one that reads like a missing right. */
#define NNS_QUEUE_NAME_DEFAULT "/netnsync"
#define NNS_QUEUE_NAME_RULE    "'/' and then 1 to 254 characters without another '/'"

static inline bool nns_queue_name_valid(const char *name)
{
    size_t length = strlen(name);

    return name[0] == '/' && length > 1 && length <= NAME_MAX && !strchr(name + 1, '/') &&
           strcmp(name, "/.") != 0 && strcmp(name, "/..") != 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_INSTANCE_NAME_H
#define NNS_CORE_INSTANCE_NAME_H

#include <stdbool.h>
#include <string.h>

/* An instance's name is part of its filters' names, which the kernel bounds and a ':' divides: whoever makes
 * or takes away filters must know the same names. */
#define NNS_INSTANCE_DEFAULT "default"
#define NNS_INSTANCE_MAX     32
#define NNS_INSTANCE_RULE    "1 to 32 letters, digits, '_' and '-'"

static inline bool nns_instance_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t length = strlen(name);

    return length > 0 && length <= NNS_INSTANCE_MAX && strspn(name, allowed) == length;
}

#endif

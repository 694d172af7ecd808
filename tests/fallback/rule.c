/* SPDX-License-Identifier: Apache-2.0 */
#include "rule.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int rule_parse_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;

    errno = 0;
    unsigned long number = strtoul(text, &end, 0);
    if (*text < '0' || *text > '9' || *end || errno || number > max)
        return -EINVAL;
    *out = number;
    return 0;
}

int rule_parse_errno(const char *name, int *out)
{
    for (int error = 1; error < 200; error++) {
        const char *known = strerrorname_np(error);
        if (known && strcmp(known, name) == 0) {
            *out = error;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_syscall(const char *name, int *out)
{
    unsigned long number;

    if (rule_parse_number(name, INT_MAX, &number) == 0) {
        *out = (int)number;
        return 0;
    }
    int known = seccomp_syscall_resolve_name(name);
    if (known == __NR_SCMP_ERROR || known < 0)
        return -EINVAL;
    *out = known;
    return 0;
}

char *rule_cut(char *text, char separator)
{
    char *at = strchr(text, separator);

    if (at)
        *at++ = '\0';
    return at;
}

static int parse_condition(const char *value, const char *index, struct rule_place *place)
{
    unsigned long number = 1;

    if (index && (!value || rule_parse_number(index, 5, &number) < 0))
        return -EINVAL;
    place->index = (unsigned int)number;
    if (!value)
        return 0;
    if (rule_parse_number(value, UINT32_MAX, &number) < 0)
        return -EINVAL;
    place->has_value = true;
    place->value = number;
    return 0;
}

int rule_parse_place(char *text, struct rule_place *out)
{
    struct rule_place place = {0};
    char *value = rule_cut(text, ':');
    char *index = rule_cut(text, '@');

    if (parse_syscall(text, &place.syscall) < 0 || parse_condition(value, index, &place) < 0)
        return -EINVAL;
    *out = place;
    return 0;
}

int rule_add(scmp_filter_ctx filter, const struct rule_place *place, uint32_t action)
{
    /* The kernel reads 32 bits of these arguments; what a caller leaves above them is noise. */
    struct scmp_arg_cmp condition = SCMP_CMP64(place->index, SCMP_CMP_MASKED_EQ, UINT32_MAX, place->value);
    return seccomp_rule_add_array(filter, action, place->syscall, place->has_value ? 1 : 0, &condition);
}

char **rule_command(char **argv)
{
    for (char **at = argv + 1; *at; at++)
        if (strcmp(*at, "--") == 0)
            return at + 1;
    return NULL;
}

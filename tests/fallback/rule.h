/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_FALLBACK_RULE_H
#define NNS_FALLBACK_RULE_H

#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What deny and fault have in common: the place of a rule, SYSCALL[@INDEX][:VALUE]. SYSCALL is a name or a
 * number (for those libseccomp does not know yet), VALUE what the argument INDEX (counted from 0; 1 when left
 * out: ioctl's request, setns' type) must be in its low 32 bits.
 */
struct rule_place {
    int syscall;
    bool has_value;
    unsigned int index;
    uint64_t value;
};

/* All of these return 0, or -EINVAL with *out as it was, and may cut TEXT to pieces. */
int rule_parse_place(char *text, struct rule_place *out);
int rule_parse_errno(const char *name, int *out);
int rule_parse_number(const char *text, unsigned long max, unsigned long *out);

/* Cuts TEXT at its first SEPARATOR and returns what follows; NULL when there is none. */
char *rule_cut(char *text, char separator);

/* Adds the place to a filter. 0 or -errno. */
int rule_add(scmp_filter_ctx filter, const struct rule_place *place, uint32_t action);

/* The first argument after "--"; NULL when there is none. */
char **rule_command(char **argv);

#endif

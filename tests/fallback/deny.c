/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny RULE... -- COMMAND [ARGUMENT...]: runs COMMAND with some system calls failing, to force the paths
 * that a new kernel would never take.
 *
 * RULE is SYSCALL[@INDEX][:VALUE]=ERRNO. SYSCALL is a name or a number (for those libseccomp does not know
 * yet), VALUE what the argument INDEX (counted from 0; 1 when left out: ioctl's request, setns' type) must be
 * in its low 32 bits for the rule to apply. Threads and children inherit the rules and cannot drop them.
 * Exit status: COMMAND's, else 125 for a bad rule or a refused filter, 127 when COMMAND cannot be run.
 */
#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_REFUSED    125
#define STATUS_NO_COMMAND 127

struct rule {
    int syscall;
    int error;
    bool has_value;
    unsigned int index;
    uint64_t value;
};

static int parse_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;

    errno = 0;
    unsigned long number = strtoul(text, &end, 0);
    if (*text < '0' || *text > '9' || *end || errno || number > max)
        return -EINVAL;
    *out = number;
    return 0;
}

static int parse_errno(const char *name, int *out)
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

    if (parse_number(name, INT_MAX, &number) == 0) {
        *out = (int)number;
        return 0;
    }
    int known = seccomp_syscall_resolve_name(name);
    if (known == __NR_SCMP_ERROR || known < 0)
        return -EINVAL;
    *out = known;
    return 0;
}

/* Cuts TEXT at its first SEPARATOR; NULL when there is none. */
static char *cut(char *text, char separator)
{
    char *at = strchr(text, separator);

    if (at)
        *at++ = '\0';
    return at;
}

static int parse_condition(char *value, char *index, struct rule *rule)
{
    unsigned long number = 1;

    if (index && (!value || parse_number(index, 5, &number) < 0))
        return -EINVAL;
    rule->index = (unsigned int)number;
    if (!value)
        return 0;
    if (parse_number(value, UINT32_MAX, &number) < 0)
        return -EINVAL;
    rule->has_value = true;
    rule->value = number;
    return 0;
}

static int parse_rule(char *text, struct rule *rule)
{
    char *error = cut(text, '=');
    char *value = cut(text, ':');
    char *index = cut(text, '@');

    if (!error || parse_errno(error, &rule->error) < 0 || parse_syscall(text, &rule->syscall) < 0)
        return -EINVAL;
    return parse_condition(value, index, rule);
}

static int add_rule(scmp_filter_ctx filter, char *text)
{
    struct rule rule = {0};
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    int r = parse_rule(copy, &rule);
    free(copy);
    if (r < 0)
        return r;
    /* The kernel reads 32 bits of these arguments; what a caller leaves above them is noise. */
    struct scmp_arg_cmp condition = SCMP_CMP64(rule.index, SCMP_CMP_MASKED_EQ, UINT32_MAX, rule.value);
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)rule.error), rule.syscall,
                                  rule.has_value ? 1 : 0, &condition);
}

static int load_rules(scmp_filter_ctx filter, char **rules, char **end)
{
    /* no_new_privs would change more than what was asked for, and root needs none to load a filter. */
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    for (; r == 0 && rules < end; rules++) {
        r = add_rule(filter, *rules);
        if (r < 0)
            fprintf(stderr, "deny: rule '%s': %s\n", *rules, strerror(-r));
    }
    if (r < 0)
        return r;
    r = seccomp_load(filter);
    if (r < 0)
        fprintf(stderr, "deny: the kernel refused the filter: %s\n", strerror(-r));
    return r;
}

static char **find_command(char **argv)
{
    for (char **at = argv + 1; *at; at++)
        if (strcmp(*at, "--") == 0)
            return at + 1;
    return NULL;
}

int main(int argc, char **argv)
{
    char **command = find_command(argv);
    if (argc < 4 || !command || !*command || command == argv + 2) {
        fprintf(stderr, "usage: deny SYSCALL[@INDEX][:VALUE]=ERRNO... -- COMMAND [ARGUMENT...]\n");
        return STATUS_REFUSED;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter) {
        fprintf(stderr, "deny: out of memory\n");
        return STATUS_REFUSED;
    }
    int r = load_rules(filter, argv + 1, command - 1);
    seccomp_release(filter);
    if (r < 0)
        return STATUS_REFUSED;
    execvp(*command, command);
    fprintf(stderr, "deny: %s: %s\n", *command, strerror(errno));
    return STATUS_NO_COMMAND;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny RULE... -- COMMAND [ARGUMENT...]: runs COMMAND with some system calls failing, to force the paths
 * that a new kernel would never take. Its sibling fault has calls fail now and then, and counts.
 *
 * RULE is SYSCALL[@INDEX][:VALUE]=ERRNO; rule.h says what each means. Threads and children inherit the rules
 * and cannot drop them.
 * Exit status: COMMAND's, else 125 for a bad rule or a refused filter, 127 when COMMAND cannot be run.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rule.h"

#define STATUS_REFUSED    125
#define STATUS_NO_COMMAND 127

static int parse_rule(char *text, struct rule_place *place, int *error)
{
    char *name = rule_cut(text, '=');

    if (!name || rule_parse_errno(name, error) < 0)
        return -EINVAL;
    return rule_parse_place(text, place);
}

static int add_rule(scmp_filter_ctx filter, const char *text)
{
    struct rule_place place;
    int error;
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    int r = parse_rule(copy, &place, &error);
    free(copy);
    return r < 0 ? r : rule_add(filter, &place, SCMP_ACT_ERRNO((uint32_t)error));
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

int main(int argc, char **argv)
{
    char **command = rule_command(argv);
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

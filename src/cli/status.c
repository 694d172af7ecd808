/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "core/counters.h"

/* In two columns. argp would begin the rest of a line that is too long at its left edge. */
static void print_counter(FILE *out, const char *name, const char *text)
{
    enum { NAME_WIDTH = 27, WIDTH = 77 };
    size_t column = (size_t)fprintf(out, "  %-*s", NAME_WIDTH, name);

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column + 1 + length > WIDTH)
            column = (size_t)fprintf(out, "\n  %-*s", NAME_WIDTH, "") - 1;
        column += (size_t)fprintf(out, " %.*s", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* --help ends with the table of counters. argp frees the text. */
static char *add_counters(int key, const char *text, void *input)
{
    char *help = NULL;
    size_t size = 0;
    FILE *stream;

    if (key != ARGP_KEY_HELP_POST_DOC || !(stream = open_memstream(&help, &size)))
        return (char *)text;
    fprintf(stream, "%s\n\nCounters, since the daemon began:\n\n", text);
    for (unsigned i = 0; i < NNS_COUNTER_TOTAL; i++)
        print_counter(stream, nns_counter_name((enum nns_counter)i), nns_counter_text((enum nns_counter)i));
    return fclose(stream) ? NULL : help;
}

static const struct argp argp = {
    .parser = nns_cli_parse_nothing,
    .doc = "Show what the daemon can do on this host, how much of it it covers, and its counters.\v"
           "Counters that are zero are left out of the table; --json has all of them.",
    .children = nns_cli_children,
    .help_filter = add_counters,
};

int nns_cli_status(struct nns_cli *cli, int argc, char **argv)
{
    struct nns_control_request request = {.command = NNS_COMMAND_STATUS};

    nns_cli_parse(&argp, argc, argv, &(struct nns_cli_target){.cli = cli});
    return nns_cli_ask(cli, &request, NNS_SHAPE_STATUS, "status");
}

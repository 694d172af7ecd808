/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/sweep.h"
#include "core/instance_name.h"
#include "io/instance.h"

enum { KEY_ALL = 'a', KEY_INSTANCE = 'i', KEY_QDISCS = 256, KEY_BPFFS };

struct arguments {
    struct nns_cli *cli;
    const char *instance; /* NULL where not given */
    const char *bpffs;
    bool all, with_qdiscs;
};

static const struct argp_option options[] = {
    {"all", KEY_ALL, NULL, 0, "In all namespaces; must be given", 0},
    {"instance", KEY_INSTANCE, "NAME", 0, "Whose filters (default " NNS_INSTANCE_DEFAULT ")", 0},
    {"bpffs", KEY_BPFFS, "PATH", 0, "The daemon's bpffs.path (default " NNS_BPFFS_DEFAULT ")", 0},
    {"qdiscs", KEY_QDISCS, NULL, 0, "Also the clsact qdiscs they were in, with all else in them", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case KEY_ALL:
        arguments->all = true;
        return 0;
    case KEY_QDISCS:
        arguments->with_qdiscs = true;
        return 0;
    case KEY_INSTANCE:
        if (!nns_instance_valid(argument))
            argp_error(state, "\"%s\" is no instance: it must be " NNS_INSTANCE_RULE, argument);
        arguments->instance = argument;
        return 0;
    case KEY_BPFFS:
        arguments->bpffs = argument;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->all)
            argp_error(state, "say --all: filters are detached in all namespaces");
        return 0;
    default:
        return nns_cli_parse_nothing(key, argument, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "--all",
    .doc =
        "Remove all filters of an instance, from every device of every namespace.\v"
        "A daemon that answers does it itself and knows of it; with discover.enabled it attaches again where "
        "processes fork, exec or exit. Where none answers, the namespaces of all processes and mounts are "
        "looked through from here, which needs the rights of the daemon, and is refused where there is one "
        "all the same. Only "
        "filters that bear the instance's name are removed, and qdiscs stay. With --qdiscs the clsact of "
        "each device that such a filter was on is deleted too: filters of others in it go along, and are "
        "told one by one. Other devices' qdiscs, and those of kind ingress, are not touched. Counts that a "
        "dead daemon pinned are removed with its filters.",
    .children = nns_cli_children,
};

/* Nothing to be told where the qdiscs stay: then *qdiscs has no rows. False without memory. */
static bool make_qdiscs(const struct arguments *arguments, const char *instance, struct nns_qdiscs *qdiscs)
{
    *qdiscs = (struct nns_qdiscs){.instance = instance};
    if (arguments->with_qdiscs && arguments->cli->json)
        qdiscs->rows = json_array();
    return qdiscs->rows || !arguments->with_qdiscs || !arguments->cli->json;
}

/* The last line, or the document. Takes the object's and the rows' references. */
static void report(const struct arguments *arguments, struct nns_qdiscs *qdiscs, json_t *detached,
                   const char *sentence)
{
    char more[96] = "";

    if (qdiscs->rows)
        json_object_set_new(detached, "qdiscs", qdiscs->rows);
    if (arguments->with_qdiscs)
        snprintf(more, sizeof(more), "; %zu qdiscs and in them %zu filters of others", qdiscs->removed,
                 qdiscs->filters);
    nns_writer_report(arguments->cli->json, json_pack("{s:o}", "detached", detached), "%s%s", sentence, more);
}

/* What counts the filters left behind. */
static int discard_counts(const struct arguments *arguments, const char *instance, struct nns_instance *held,
                          bool *found)
{
    int result = nns_instance_discard(held, found);

    if (result)
        nns_cli_complain("the counts of instance %s in %s stay: %s", instance, arguments->bpffs,
                         strerror(-result));
    return result;
}

/* Under the instance's locks: no daemon has it, and none starts meanwhile. */
static int sweep_held(const struct arguments *arguments, const char *instance, struct nns_instance *held)
{
    bool counts = false;
    struct nns_qdiscs qdiscs;
    struct nns_sweep sweep;
    char sentence[192];
    int result;

    if (!make_qdiscs(arguments, instance, &qdiscs))
        return nns_cli_no_memory();
    result = nns_sweep_all(instance, arguments->with_qdiscs ? &qdiscs : NULL, &sweep);
    if (discard_counts(arguments, instance, held, &counts))
        result = NNS_EXIT_FAILED;
    snprintf(sentence, sizeof(sentence),
             "removed %zu filters of instance %s from %zu namespaces, of %zu looked at%s", sweep.filters,
             instance, sweep.namespaces, sweep.looked_at, counts ? ", and its counts" : "");
    report(arguments, &qdiscs,
           json_pack("{s:s, s:b, s:I, s:I, s:I, s:I}", "by", "sweep", "counts", (int)counts, "filters",
                     (json_int_t)sweep.filters, "namespaces", (json_int_t)sweep.namespaces, "looked_at",
                     (json_int_t)sweep.looked_at, "failed", (json_int_t)sweep.failed),
           sentence);
    return result || sweep.failed || qdiscs.failed ? NNS_EXIT_FAILED : NNS_EXIT_DONE;
}

static int sweep(const struct arguments *arguments, const char *instance)
{
    struct nns_instance *held;
    char error[512];
    int status, result = nns_instance_open(arguments->bpffs, instance, &held, error, sizeof(error));

    if (result == -EADDRINUSE)
        nns_cli_complain(
            "instance %s has a daemon, with another socket, or is being detached already: nothing "
            "was touched",
            instance);
    else if (result)
        nns_cli_complain("%s", error);
    if (result)
        return NNS_EXIT_FAILED;
    nns_instance_warn(held, false);
    status = sweep_held(arguments, instance, held);
    nns_instance_close(held);
    return status;
}

/* What the daemon let go of. */
static int sweep_qdiscs(const struct arguments *arguments, const char *instance, struct nns_targets *targets)
{
    struct nns_qdiscs qdiscs;
    struct nns_sweep sweep;
    size_t met;
    char sentence[192];
    int result;

    if (!make_qdiscs(arguments, instance, &qdiscs))
        return nns_cli_no_memory();
    result = nns_sweep_qdiscs(targets, &qdiscs, &sweep, &met);
    snprintf(sentence, sizeof(sentence),
             "the daemon of instance %s removed its filters, from %zu devices of which %zu were met again",
             instance, targets->count, met);
    report(arguments, &qdiscs,
           json_pack("{s:s, s:I, s:I, s:I, s:I}", "by", "daemon", "devices", (json_int_t)targets->count,
                     "met", (json_int_t)met, "looked_at", (json_int_t)sweep.looked_at, "failed",
                     (json_int_t)sweep.failed),
           sentence);
    return result || sweep.failed || qdiscs.failed ? NNS_EXIT_FAILED : NNS_EXIT_DONE;
}

static void ignore(void *context, const char *member, const json_t *value)
{
}

static void take_target(void *context, const char *member, const json_t *value)
{
    if (!strcmp(member, "namespace"))
        nns_targets_add(context, value);
}

/* Where its filters are can be asked only before it removes them. */
static enum nns_ask ask_targets(struct nns_client *client, struct nns_targets *targets, char *error,
                                size_t size)
{
    struct nns_control_request request = {.command = NNS_COMMAND_LIST};
    enum nns_ask result =
        nns_client_ask(client, &request, &(struct nns_taker){take_target, targets}, error, size);

    nns_targets_sort(targets);
    if (result == NNS_ASK_DONE && targets->failed) {
        snprintf(error, size, "%s", strerror(ENOMEM));
        result = NNS_ASK_FAILED;
    }
    return result;
}

static int daemon_detached(const struct arguments *arguments, const char *instance,
                           struct nns_targets *targets)
{
    if (arguments->with_qdiscs)
        return sweep_qdiscs(arguments, instance, targets);
    nns_writer_report(arguments->cli->json, json_pack("{s:{s:s}}", "detached", "by", "daemon"),
                      "the daemon of instance %s removed its filters", instance);
    return NNS_EXIT_DONE;
}

static int daemon_of_another(const struct arguments *arguments, const char *instance, const char *theirs)
{
    if (arguments->instance)
        return sweep(arguments, instance);
    nns_cli_complain("the daemon at %s is of instance %s; say whose filters with --instance",
                     arguments->cli->socket, theirs);
    return NNS_EXIT_FAILED;
}

/* theirs[NNS_INSTANCE_MAX + 1] */
static void take_instance(void *theirs, const char *member, const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "instance"));

    if (!strcmp(member, "status") && name && nns_instance_valid(name))
        strcpy(theirs, name);
}

/* Whose it is decides what we do, so it is asked for by itself: a refusal is a sentence for people. One that
 * does not tell is left to judge the request. */
static enum nns_ask ask_instance(struct nns_client *client, char *theirs, char *error, size_t size)
{
    struct nns_control_request request = {.command = NNS_COMMAND_STATUS};

    return nns_client_ask(client, &request, &(struct nns_taker){take_instance, theirs}, error, size);
}

static enum nns_ask ask_to_detach(const struct arguments *arguments, const char *instance,
                                  struct nns_client *client, struct nns_targets *targets, char *error,
                                  size_t size)
{
    struct nns_control_request request = {.command = NNS_COMMAND_DETACH, .instance = (char *)instance};
    enum nns_ask result = NNS_ASK_DONE;

    if (arguments->with_qdiscs)
        result = ask_targets(client, targets, error, size);
    if (result == NNS_ASK_DONE)
        result = nns_client_ask(client, &request, &(struct nns_taker){ignore, NULL}, error, size);
    return result;
}

static int ask_daemon(const struct arguments *arguments, const char *instance, struct nns_client *client)
{
    struct nns_targets targets = {0};
    char theirs[NNS_INSTANCE_MAX + 1] = "", error[512];
    enum nns_ask result = ask_instance(client, theirs, error, sizeof(error));
    bool other = *theirs && strcmp(theirs, instance) != 0;
    int status = NNS_EXIT_FAILED;

    if (result == NNS_ASK_DONE && !other)
        result = ask_to_detach(arguments, instance, client, &targets, error, sizeof(error));
    nns_client_close(client);
    if (result != NNS_ASK_DONE)
        nns_cli_complain("%s", error);
    else if (other)
        status = daemon_of_another(arguments, instance, theirs);
    else
        status = daemon_detached(arguments, instance, &targets);
    nns_targets_deinit(&targets);
    return status;
}

int nns_cli_detach(struct nns_cli *cli, int argc, char **argv)
{
    struct arguments arguments = {.cli = cli, .bpffs = NNS_BPFFS_DEFAULT};
    struct nns_client client;
    const char *instance;
    int result;

    nns_cli_parse(&argp, argc, argv, &arguments);
    instance = arguments.instance ? arguments.instance : NNS_INSTANCE_DEFAULT;
    result = nns_client_open(&client, cli->socket);
    if (!result)
        return ask_daemon(&arguments, instance, &client);
    if (result == -ENOENT || result == -ECONNREFUSED)
        return sweep(&arguments, instance);
    nns_cli_complain("cannot reach the daemon at %s: %s", cli->socket, strerror(-result));
    return NNS_EXIT_FAILED;
}

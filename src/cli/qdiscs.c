/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/qdiscs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "core/protocol_json.h"
#include "io/tc.h"

/* One qdisc on its way. */
struct removal {
    struct nns_qdiscs *qdiscs;
    uint64_t cookie;
    const struct nns_link *link;
    json_t *filters; /* NULL: lines are printed */
};

static void print_place(const struct removal *removal)
{
    printf("namespace %" PRIu64 ", device ", removal->cookie);
    nns_text_print(stdout, removal->link->name);
    fputs(": removed ", stdout);
}

static void print_filter(const struct removal *removal, const struct nns_tc_taken *taken)
{
    print_place(removal);
    printf("along with its qdisc: %s filter, priority %u, ", nns_hook_name(taken->hook), taken->priority);
    if (taken->chain)
        printf("chain %" PRIu32 ", ", taken->chain);
    nns_text_print(stdout, taken->kind);
    if (taken->name[0]) {
        fputs(" \"", stdout);
        nns_text_print(stdout, taken->name);
        fputc('"', stdout);
    }
    if (taken->program_id) {
        printf(", program %" PRIu32 " ", taken->program_id);
        nns_text_print(stdout, taken->program);
    }
    puts(taken->shared ? ", of a shared block" : "");
}

static json_t *filter_row(const struct nns_tc_taken *taken)
{
    return json_pack("{s:s, s:i, s:I, s:o, s:o*, s:I, s:o, s:b}", "hook", nns_hook_name(taken->hook),
                     "priority", (int)taken->priority, "chain", (json_int_t)taken->chain, "kind",
                     nns_json_text(taken->kind, SIZE_MAX), "name",
                     taken->name[0] ? nns_json_text(taken->name, SIZE_MAX) : NULL, "program_id",
                     (json_int_t)taken->program_id, "program", nns_json_text(taken->program, SIZE_MAX),
                     "shared_block", taken->shared);
}

static void untold(const struct removal *removal)
{
    removal->qdiscs->failed++;
    nns_cli_no_memory();
}

static void take(void *context, const struct nns_tc_taken *taken)
{
    struct removal *removal = context;

    removal->qdiscs->filters++;
    if (!removal->filters)
        print_filter(removal, taken);
    else if (json_array_append_new(removal->filters, filter_row(taken)))
        untold(removal);
}

static void report(const struct removal *removal, uint32_t inum)
{
    struct nns_qdiscs *qdiscs = removal->qdiscs;

    qdiscs->removed++;
    if (!qdiscs->rows) {
        print_place(removal);
        puts("its qdisc clsact");
    } else if (json_array_append_new(qdiscs->rows,
                                     json_pack("{s:I, s:I, s:I, s:o, s:s, s:O}", "cookie",
                                               (json_int_t)removal->cookie, "inum", (json_int_t)inum,
                                               "ifindex", (json_int_t)removal->link->ifindex, "name",
                                               nns_json_text(removal->link->name, SIZE_MAX), "kind", "clsact",
                                               "filters", removal->filters))) {
        untold(removal);
    }
}

static void complain(const struct removal *removal, const char *why)
{
    removal->qdiscs->failed++;
    nns_cli_complain("namespace %" PRIu64 ", device %s: its qdisc stays: %s", removal->cookie,
                     removal->link->name, why);
}

void nns_qdiscs_delete(struct nns_qdiscs *qdiscs, int socket, uint64_t cookie, uint32_t inum,
                       const struct nns_link *link)
{
    struct removal removal = {.qdiscs = qdiscs, .cookie = cookie, .link = link};
    struct nns_tc_witness witness = {take, &removal};
    enum nns_tc_clsact outcome;
    int result = 0;

    if (qdiscs->rows) {
        removal.filters = json_array();
        result = removal.filters ? 0 : -ENOMEM;
    }
    if (!result)
        result = nns_tc_delete_clsact(socket, qdiscs->instance, link->ifindex, &witness, &outcome);
    if (result)
        complain(&removal, strerror(-result));
    else if (outcome == NNS_TC_CLSACT_IN_USE)
        complain(&removal, "the instance has filters in it");
    else if (outcome == NNS_TC_CLSACT_DELETED)
        report(&removal, inum);
    json_decref(removal.filters);
}

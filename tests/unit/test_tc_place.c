/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/tc_place.h"

static const uint8_t tag[8] = {0x7c, 0x85, 0xc7, 0x75, 0x81, 0x17, 0x8c, 0xdb};

Test(tc_place, names_are_read_as_written)
{
    char name[NNS_TC_NAME_SIZE];
    nns_tc_name(name, "default", "nns_meter_in", tag);
    cr_assert_str_eq(name, "netnsync:default:nns_meter_in:7c85c77581178cdb");
    struct nns_tc_name_parts parts;
    cr_assert(nns_tc_name_parse(name, "default", &parts));
    cr_assert_str_eq(parts.program, "nns_meter_in");
    cr_assert_arr_eq(parts.tag, tag, sizeof(tag));
    nns_tc_name(name, "01234567890123456789012345678901", "012345678901234", tag);
    cr_assert_eq(strlen(name), 9 + 32 + 1 + 15 + 1 + 16);
    cr_assert(nns_tc_name_parse(name, "01234567890123456789012345678901", &parts));
}

Test(tc_place, other_names_are_not_ours)
{
    static const char *const others[] = {
        "",
        "netnsync",
        "netnsync:a",
        "netnsync:a:",
        "netnsync:a:p",
        "netnsync:a:p:",
        "netnsync:a:p:7c85c77581178cd",
        "netnsync:a:p:7c85c77581178cdb0",
        "netnsync:a:p:7c85c77581178cdB",
        "netnsync:a:p:7c85c77581178cdx",
        "netnsync:ab:p:7c85c77581178cdb",
        "netnsync:a:b:p:7c85c77581178cdb",
        "netnsync::p:7c85c77581178cdb",
        "netnsync:a:0123456789012345:7c85c77581178cdb",
        "xnetnsync:a:p:7c85c77581178cdb",
        "meter.o:[classifier]",
    };
    struct nns_tc_name_parts parts = {.program = "untouched"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_assert_not(nns_tc_name_parse(others[i], "a", &parts), "%s", others[i]);
    cr_assert_not(nns_tc_name_parse(NULL, "a", &parts));
    cr_assert_str_eq(parts.program, "untouched");
    cr_assert(nns_tc_name_parse("netnsync:a:p:7c85c77581178cdb", "a", &parts));
    cr_assert(nns_tc_name_parse("netnsync:a:b:p:7c85c77581178cdb", "a:b", &parts));
}

static void expect(const struct nns_tc_view *view, uint16_t fresh, enum nns_tc_step step, unsigned priority,
                   bool yielded)
{
    struct nns_tc_place place = nns_tc_choose(view, 10, 5, 0, fresh);
    cr_assert_eq(place.step, step, "step %u priority %u", place.step, place.priority);
    cr_assert_eq(place.priority, priority, "step %u priority %u", place.step, place.priority);
    cr_assert_eq(place.yielded, yielded);
}

Test(tc_place, takes_the_first_free_priority)
{
    struct nns_tc_view view = {0};
    expect(&view, 0, NNS_TC_ADD, 10, false);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, 9, 1, 0);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, 26, 1, 0);
    expect(&view, 0, NNS_TC_ADD, 10, false);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_HEAD, 10, 0, 0);
    expect(&view, 0, NNS_TC_ADD, 11, true);
    for (uint16_t priority = 11; priority < 25; priority++)
        nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, priority, 1, 0);
    expect(&view, 0, NNS_TC_ADD, 25, true);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, 25, 1, 0);
    expect(&view, 0, NNS_TC_REFUSE, 0, true);
}

Test(tc_place, priorities_end_at_65535)
{
    struct nns_tc_view view = {0};
    nns_tc_view_add(&view, 65534, NNS_TC_SEEN_FOREIGN, 65534, 1, 0);
    struct nns_tc_place place = nns_tc_choose(&view, 65534, 5, 0, 0);
    cr_assert_eq(place.priority, 65535);
    nns_tc_view_add(&view, 65534, NNS_TC_SEEN_FOREIGN, 65535, 1, 0);
    place = nns_tc_choose(&view, 65534, 5, 0, 0);
    cr_assert_eq(place.step, NNS_TC_REFUSE);
}

Test(tc_place, keeps_or_replaces_what_is_ours)
{
    struct nns_tc_view view = {0};
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_HEAD, 12, 0, 0);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 12, 4, 0);
    expect(&view, 0, NNS_TC_REPLACE, 12, false);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_HEAD, 13, 0, 0);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 13, 5, 0);
    expect(&view, 0, NNS_TC_KEEP, 13, false);
    expect(&view, 13, NNS_TC_KEEP, 13, false);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, 13, 1, 0);
    expect(&view, 0, NNS_TC_KEEP, 13, false);
    expect(&view, 13, NNS_TC_REPLACE, 12, false);
}

Test(tc_place, keeps_only_what_counts_in_the_same_slot)
{
    struct nns_tc_view view = {0};
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 12, 5, 7);
    expect(&view, 0, NNS_TC_REPLACE, 12, false);
    cr_assert_eq(nns_tc_choose(&view, 10, 5, 7, 0).step, NNS_TC_KEEP);
    cr_assert_eq(nns_tc_choose(&view, 10, 5, 9, 0).step, NNS_TC_REPLACE);
    cr_assert_eq(nns_tc_choose(&view, 10, 4, 7, 0).step, NNS_TC_REPLACE);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 13, 4, 0);
    expect(&view, 0, NNS_TC_REPLACE, 12, false);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 14, 5, 0);
    expect(&view, 0, NNS_TC_KEEP, 14, false);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 15, 5, 65536 + 7);
    cr_assert_eq(nns_tc_choose(&view, 10, 5, 7, 0).priority, 12);
}

Test(tc_place, a_place_taken_unseen_is_yielded)
{
    struct nns_tc_view view = {0};
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_HEAD, 10, 0, 0);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 10, 5, 0);
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, 10, 1, 0);
    expect(&view, 10, NNS_TC_ADD, 11, true);
    expect(&view, 0, NNS_TC_KEEP, 10, true);
    for (uint16_t priority = 11; priority < 26; priority++)
        nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, priority, 1, 0);
    expect(&view, 10, NNS_TC_REFUSE, 0, true);
}

Test(tc_place, outside_the_range_only_for_want_of_better)
{
    struct nns_tc_view view = {0};
    nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, 3, 5, 0);
    expect(&view, 0, NNS_TC_ADD, 10, false);
    for (uint16_t priority = 10; priority < 26; priority++)
        nns_tc_view_add(&view, 10, NNS_TC_SEEN_FOREIGN, priority, 1, 0);
    expect(&view, 0, NNS_TC_KEEP, 3, true);
}

Test(tc_place, more_of_ours_than_can_be_told)
{
    struct nns_tc_view view = {0};
    for (uint16_t priority = 10; priority < 26; priority++)
        nns_tc_view_add(&view, 10, NNS_TC_SEEN_OURS, priority, 4, 0);
    cr_assert_eq(view.count, NNS_TC_OURS_MAX);
    expect(&view, 0, NNS_TC_REPLACE, 10, false);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/mountinfo.h"

static uint32_t inum_in(const char *text, const char *type)
{
    return nns_namespace_inum(text, strlen(text), type);
}

Test(mountinfo, the_inum_of_a_namespace)
{
    cr_expect_eq(inum_in("net:[4026531840]", "net"), 4026531840U);
    cr_expect_eq(inum_in("net:[4294967295]", "net"), UINT32_MAX);
    cr_expect_eq(inum_in("mnt:[1]", "mnt"), 1);
    cr_expect_eq(inum_in("pid_for_children:[7]", "pid_for_children"), 7);
}

Test(mountinfo, what_is_no_inum)
{
    static const char *const texts[] = {
        "",         "net",      "net:",      "net:[",    "net:[]",
        "net:[5",   "net:[5]]", "net:[5x]",  "net:[-5]", "net:[ 5]",
        "nets:[5]", "NET:[5]",  "mnt:[5]",   "/net:[5]", "net:[4294967296]",
        "net:(5]",  "net.[5]",  "net:[0x5]", "net:[0]",  "net:[18446744073709551621]"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect_eq(inum_in(texts[i], "net"), 0, "'%s'", texts[i]);
}

/* As a readlink leaves it: what stands behind it is not of it. */
Test(mountinfo, the_text_ends_where_it_is_said_to)
{
    cr_expect_eq(nns_namespace_inum("net:[57]9", 8, "net"), 57);
    cr_expect_eq(nns_namespace_inum("net:[57]", 7, "net"), 0);
    cr_expect_eq(nns_namespace_inum("net:[57]", 3, "net"), 0);
}

static bool parse(const char *text, struct nns_namespace_mount *mount)
{
    static char line[512];

    snprintf(line, sizeof(line), "%s", text);
    return nns_mountinfo_parse(line, mount);
}

static void expect_mount(const char *line, uint32_t id, uint32_t inum, const char *path)
{
    struct nns_namespace_mount mount = {NULL, 0, 0};

    cr_assert(parse(line, &mount), "'%s'", line);
    cr_expect_eq(mount.id, id);
    cr_expect_eq(mount.inum, inum);
    cr_expect_str_eq(mount.path, path);
}

Test(mountinfo, mounts_of_network_namespaces)
{
    expect_mount("66 65 0:4 net:[4026532247] /run/netns/a rw shared:2 - nsfs nsfs rw", 66, 4026532247U,
                 "/run/netns/a");
    expect_mount("4294967295 1 0:4 net:[1] / ro,nosuid - nsfs x rw", UINT32_MAX, 1, "/");
    expect_mount("7 1 0:4 net:[1] /a rw shared:2 master:3 propagate_from:4 unbindable - nsfs nsfs rw", 7, 1,
                 "/a");
}

Test(mountinfo, escapes_in_the_path)
{
    expect_mount("7 1 0:4 net:[1] /a\\040b\\011c\\012d\\134e rw - nsfs nsfs rw", 7, 1, "/a b\tc\nd\\e");
    expect_mount("7 1 0:4 net:[1] /\\134040 rw - nsfs nsfs rw", 7, 1, "/\\040");
    expect_mount("7 1 0:4 net:[1] /\\377\\400\\08\\04 rw - nsfs nsfs rw", 7, 1, "/\377\\400\\08\\04");
    expect_mount("7 1 0:4 net:[1] /\\ rw - nsfs nsfs rw", 7, 1, "/\\");
}

Test(mountinfo, all_other_lines)
{
    static const char *const lines[] = {
        "",
        "7",
        "7 1 0:4 net:[1] /a",
        "7 1 0:4 mnt:[4026532247] /run/a rw - nsfs nsfs rw",
        "7 1 0:4 / /run/a rw - nsfs nsfs rw",
        "7 1 0:4 net:[1] /run/a rw shared:2 - tmpfs nsfs rw",
        "7 1 0:4 net:[1] /run/a rw shared:2 - nsfsx nsfs rw",
        "7 1 0:4 /net:[1] /run/a rw - nsfs nsfs rw",
        "7 1 0:25 / /net:[1] rw - tmpfs tmpfs rw",
    };
    struct nns_namespace_mount mount = {"untouched", 1, 2};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_expect(!parse(lines[i], &mount), "'%s'", lines[i]);
    cr_expect(mount.id == 1 && mount.inum == 2 && strcmp(mount.path, "untouched") == 0);
}

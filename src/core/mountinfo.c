/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mountinfo.h"

#include <stdlib.h>
#include <string.h>

uint32_t nns_namespace_inum(const char *text, size_t length, const char *type)
{
    size_t skip = strlen(type);
    uint64_t inum = 0;

    if (length < skip + 4 || memcmp(text, type, skip) != 0 || text[skip] != ':' || text[skip + 1] != '[')
        return 0;
    for (skip += 2; skip < length && text[skip] >= '0' && text[skip] <= '9'; skip++) {
        inum = inum * 10 + (uint64_t)(text[skip] - '0');
        if (inum > UINT32_MAX)
            return 0;
    }
    return skip + 1 == length && text[skip] == ']' ? (uint32_t)inum : 0;
}

/* The kernel writes white space and backslashes as \ooo. In place. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; to++) {
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' &&
            text[3] >= '0' && text[3] <= '7') {
            *to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *to = *text++;
        }
    }
    *to = '\0';
}

/* id, parent, device, root, mount point, options, tags…, "-", type, source, options. */
bool nns_mountinfo_parse(char *line, struct nns_namespace_mount *mount)
{
    char *fields[5], *rest = line;
    uint32_t inum;

    for (int i = 0; i < 5; i++) {
        fields[i] = strsep(&rest, " ");
        if (!rest)
            return false;
    }
    inum = nns_namespace_inum(fields[3], strlen(fields[3]), "net");
    if (!inum || !strstr(rest, " - nsfs "))
        return false;
    unescape(fields[4]);
    *mount = (struct nns_namespace_mount){fields[4], (uint32_t)strtoul(fields[0], NULL, 10), inum};
    return true;
}

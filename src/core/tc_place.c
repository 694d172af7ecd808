/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tc_place.h"

#include <stdio.h>
#include <string.h>

void nns_tc_name(char out[static NNS_TC_NAME_SIZE], const char *instance, const char *program,
                 const uint8_t tag[static 8])
{
    snprintf(out, NNS_TC_NAME_SIZE, "netnsync:%.32s:%.15s:%02x%02x%02x%02x%02x%02x%02x%02x", instance,
             program, tag[0], tag[1], tag[2], tag[3], tag[4], tag[5], tag[6], tag[7]);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly 16 lower-case digits and the end. */
static bool parse_tag(const char *text, uint8_t tag[static 8])
{
    if (strlen(text) != 16)
        return false;
    for (int i = 0; i < 8; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        tag[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static const char *skip(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text && strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* No program name has a colon, so the instance "a" never reads a name of the instance "a:b". */
bool nns_tc_name_parse(const char *name, const char *instance, struct nns_tc_name_parts *parts)
{
    const char *program = skip(skip(skip(name, "netnsync:"), instance), ":");
    const char *colon = program ? strchr(program, ':') : NULL;
    if (!colon || (size_t)(colon - program) >= sizeof(parts->program))
        return false;
    struct nns_tc_name_parts found = {0};
    if (!parse_tag(colon + 1, found.tag))
        return false;
    memcpy(found.program, program, (size_t)(colon - program));
    *parts = found;
    return true;
}

/* The bit of a priority we may take, 0 for another. */
static uint16_t bit_of(uint16_t first, uint16_t priority)
{
    if (priority < first || priority - first >= NNS_TC_PRIORITIES)
        return 0;
    return (uint16_t)(1u << (priority - first));
}

void nns_tc_view_add(struct nns_tc_view *view, uint16_t first, enum nns_tc_seen seen, uint16_t priority,
                     uint32_t program_id, uint32_t classid)
{
    uint16_t bit = bit_of(first, priority);
    view->heads |= bit;
    if (seen == NNS_TC_SEEN_FOREIGN)
        view->foreign |= bit;
    if (seen != NNS_TC_SEEN_OURS)
        return;
    view->own |= bit;
    if (view->count < NNS_TC_OURS_MAX)
        view->ours[view->count++] =
            (struct nns_tc_mine){.priority = priority, .program_id = program_id, .classid = classid};
}

/* Somebody else's: also a priority that shows nothing but its head. */
static uint16_t held(const struct nns_tc_view *view)
{
    return view->foreign | (view->heads & (uint16_t)~view->own);
}

/* How close a filter is to what is wanted: the program that counts somewhere else is not yet it. */
enum likeness { OTHER_PROGRAM, OTHER_CLASSID, SAME };

static enum likeness compare(const struct nns_tc_mine *mine, uint32_t program_id, uint32_t classid)
{
    if (mine->program_id != program_id)
        return OTHER_PROGRAM;
    return mine->classid == classid ? SAME : OTHER_CLASSID;
}

static const struct nns_tc_mine *find_ours(const struct nns_tc_view *view, uint16_t first,
                                           uint32_t program_id, uint32_t classid, uint16_t fresh)
{
    const struct nns_tc_mine *best = NULL;
    for (int i = 0; i < view->count; i++) {
        const struct nns_tc_mine *mine = &view->ours[i];
        uint16_t bit = bit_of(first, mine->priority);
        if (!bit || (mine->priority == fresh && (held(view) & bit)))
            continue;
        if (!best || compare(mine, program_id, classid) > compare(best, program_id, classid))
            best = mine;
    }
    return best;
}

/* A priority nobody holds, 0 when there is none. */
static uint16_t find_free(const struct nns_tc_view *view, uint16_t first)
{
    for (unsigned i = 0; i < NNS_TC_PRIORITIES && first + i <= UINT16_MAX; i++) {
        if (!(held(view) & 1u << i))
            return (uint16_t)(first + i);
    }
    return 0;
}

struct nns_tc_place nns_tc_choose(const struct nns_tc_view *view, uint16_t first, uint32_t program_id,
                                  uint32_t classid, uint16_t fresh)
{
    struct nns_tc_place place = {.step = NNS_TC_REFUSE, .yielded = held(view) & 1};
    const struct nns_tc_mine *mine = find_ours(view, first, program_id, classid, fresh);
    uint16_t open = find_free(view, first);
    /* Outside the range is better than nowhere. */
    if (!mine && !open && view->count && view->ours[0].priority != fresh)
        mine = &view->ours[0];
    if (mine) {
        place.step = compare(mine, program_id, classid) == SAME ? NNS_TC_KEEP : NNS_TC_REPLACE;
        place.priority = mine->priority;
        place.program_id = mine->program_id;
    } else if (open) {
        place.step = NNS_TC_ADD;
        place.priority = open;
    }
    return place;
}

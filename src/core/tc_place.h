/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_TC_PLACE_H
#define NNS_CORE_TC_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where our filter goes on a hook, decided from what a dump of its filters showed. Pure: no system calls, any
 * thread.
 *
 * A priority that carries any filter but ours is left to its holder. Ours is moved only if this very attach
 * put it next to somebody's, which a listing out of date can cause: one that stood there before keeps its
 * place, whoever came to share it.
 */
#define NNS_TC_PRIORITIES 16 /* tried from the wanted one upwards */
#define NNS_TC_OURS_MAX                                                                                      \
    4 /* filters of ours told apart on one hook; there is one unless something went wrong */
#define NNS_TC_NAME_SIZE 80

/* "netnsync:<instance>:<program name>:<program tag>". */
void nns_tc_name(char out[static NNS_TC_NAME_SIZE], const char *instance, const char *program,
                 const uint8_t tag[static 8]);

/* A filter's name taken apart. */
struct nns_tc_name_parts {
    char program[16];
    uint8_t tag[8];
};

/* True when the name is one an instance of exactly that name gives. */
bool nns_tc_name_parse(const char *name, const char *instance, struct nns_tc_name_parts *parts);

/* One of our filters. */
struct nns_tc_mine {
    uint16_t priority;
    uint32_t program_id;
    uint32_t classid; /* the slot it counts in */
};

/* A hook's filters in chain 0. Zero-initialised is a hook without any. */
struct nns_tc_view {
    uint16_t heads;   /* bit i: something stands at priority first + i */
    uint16_t foreign; /* bit i: a filter that is not ours does */
    uint16_t own;     /* bit i: one of ours does */
    uint8_t count;
    struct nns_tc_mine ours[NNS_TC_OURS_MAX];
};

enum nns_tc_seen { NNS_TC_SEEN_HEAD, NNS_TC_SEEN_FOREIGN, NNS_TC_SEEN_OURS };

/* Add what a dump shows; `first` is the first priority we may take. The head of a priority (a filter message
 * with handle 0) says that it is in use, the filters after it by whom. */
void nns_tc_view_add(struct nns_tc_view *view, uint16_t first, enum nns_tc_seen seen, uint16_t priority,
                     uint32_t program_id, uint32_t classid);

enum nns_tc_step {
    NNS_TC_KEEP,    /* the program is there, with its classid */
    NNS_TC_REPLACE, /* another program of ours is, or this one with another classid */
    NNS_TC_ADD,
    NNS_TC_REFUSE, /* all priorities are held by others */
};

struct nns_tc_place {
    enum nns_tc_step step;
    uint16_t priority;
    uint32_t program_id; /* what stands there: KEEP and REPLACE */
    bool yielded;        /* somebody else holds the first priority */
};

/* The place for a program with a classid. `fresh` is the priority this attach took without looking, 0 when it
 * took none. */
struct nns_tc_place nns_tc_choose(const struct nns_tc_view *view, uint16_t first, uint32_t program_id,
                                  uint32_t classid, uint16_t fresh);

#endif

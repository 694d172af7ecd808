/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_WORKERS_EXCLUDE_H
#define NNS_WORKERS_EXCLUDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/params.h"
#include "core/role.h"
#include "io/netns.h"

/*
 * What the operator does not want touched.
 *
 * A namespace is named by an inum or a path, and known by its cookie once it was met: a number means the
 * first one that is met under it, for good, and none that is given the number after its death (I5). A path
 * means whatever it leads to at the moment: it may come to exist, to lead elsewhere, or to lead nowhere,
 * later.
 */
struct nns_exclusions;

/* Of exclude.namespaces; params outlive it. 0 or -ENOMEM. */
int nns_exclusions_new(const struct nns_params *params, struct nns_exclusions **out);
void nns_exclusions_free(struct nns_exclusions *exclusions); /* NULL is fine */

typedef void nns_exclusions_taker(void *context, uint64_t cookie);

/* Who is told of each that was met for the first time, or that one path fewer leads to:
 * nns_exclusions_have says what it is by now. On the owner thread. */
void nns_exclusions_tell(struct nns_exclusions *exclusions, nns_exclusions_taker *take, void *context);

/* Is this namespace, which is open (I5), an excluded one? Both members of id are known. Like the next one it
 * looks where each path leads, and is called at home: of some, as /proc/thread-self/ns/net, that depends on
 * where the thread is. */
bool nns_exclusions_meet(struct nns_exclusions *exclusions, struct nns_netns_id id) NNS_OWNER_ONLY;

/* From time to time: look whether paths still lead to whom they led to; who is excluded by none any more is
 * news again. True when that is so of any. */
bool nns_exclusions_review(struct nns_exclusions *exclusions) NNS_OWNER_ONLY;

/* The same question as the first, by what the last look at the paths showed: nothing is looked at, so it may
 * be asked inside. Of one that was known before that look, and was entered since: then it lived at the time
 * of the look, with its inum to itself (I5). */
bool nns_exclusions_meet_again(struct nns_exclusions *exclusions, struct nns_netns_id id) NNS_OWNER_ONLY;

/* Is there a path that leads to one? */
bool nns_exclusions_lead(const struct nns_exclusions *exclusions) NNS_OWNER_ONLY;

/* Has it been met as an excluded one? Any thread; a few comparisons. False for cookie 0. */
bool nns_exclusions_have(const struct nns_exclusions *exclusions, uint64_t cookie);

/* Does a glob of exclude.devices match? Any thread. */
bool nns_excludes_device(const struct nns_params *params, const char *name);

#endif

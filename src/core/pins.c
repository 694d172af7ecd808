/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pins.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/instance_name.h"

static const char *const names[NNS_PINS] = {[NNS_PIN_COUNTS] = "slots", [NNS_PIN_HOLDERS] = "holders"};

_Static_assert(NNS_PIN_PATH_SIZE > NNS_BPFFS_PATH_MAX + NNS_INSTANCE_MAX + sizeof("//holders"),
               "no place has room enough");

int nns_pins_name(struct nns_pins *pins, const char *bpffs, const char *instance)
{
    if (strlen(bpffs) > NNS_BPFFS_PATH_MAX)
        return -ENAMETOOLONG;
    snprintf(pins->parent, sizeof(pins->parent), "%s", bpffs);
    snprintf(pins->directory, sizeof(pins->directory), "%s/%.*s", bpffs, NNS_INSTANCE_MAX, instance);
    for (int pin = 0; pin < NNS_PINS; pin++)
        snprintf(pins->paths[pin], sizeof(pins->paths[pin]), "%s/%.*s/%s", bpffs, NNS_INSTANCE_MAX, instance,
                 names[pin]);
    return 0;
}

void nns_lock_name(char out[static PATH_MAX], const char *instance)
{
    snprintf(out, PATH_MAX, NNS_RUN_DIRECTORY "/%.*s.lock", NNS_INSTANCE_MAX, instance);
}

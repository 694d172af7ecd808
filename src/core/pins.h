/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_PINS_H
#define NNS_CORE_PINS_H

#include <limits.h>
#include <stddef.h>

/*
 * Where on the host an instance leaves what its next daemon, or whoever clears up after it, is to find: maps
 * in a directory of the instance's own on a bpffs, and a lock.
 *
 * DIRECTORY/INSTANCE/slots and DIRECTORY/INSTANCE/holders; DIRECTORY is the parameter bpffs.path.
 */
#define NNS_BPFFS_DEFAULT  "/sys/fs/bpf/netnsync"
#define NNS_BPFFS_PATH_MAX 1023
#define NNS_RUN_DIRECTORY  "/run/netnsync"

enum nns_pin {
    NNS_PIN_COUNTS,  /* the meter's counts, by slot */
    NNS_PIN_HOLDERS, /* who holds which slot */
    NNS_PINS
};

#define NNS_PIN_PATH_SIZE (NNS_BPFFS_PATH_MAX + 1 + 64)

struct nns_pins {
    char parent[NNS_PIN_PATH_SIZE];
    char directory[NNS_PIN_PATH_SIZE];
    char paths[NNS_PINS][NNS_PIN_PATH_SIZE];
};

/* The places of an instance with a valid name. 0, or -ENAMETOOLONG for a bpffs path above the maximum. */
int nns_pins_name(struct nns_pins *pins, const char *bpffs, const char *instance);

/* The file whose lock says that an instance has a daemon. */
void nns_lock_name(char out[static PATH_MAX], const char *instance);

#endif

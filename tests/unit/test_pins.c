/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pins.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/instance_name.h"

Test(pins, are_in_a_directory_of_the_instance)
{
    char lock[PATH_MAX];
    struct nns_pins pins;

    cr_assert_eq(nns_pins_name(&pins, NNS_BPFFS_DEFAULT, "blue-1"), 0);
    cr_expect_str_eq(pins.parent, "/sys/fs/bpf/netnsync");
    cr_expect_str_eq(pins.directory, "/sys/fs/bpf/netnsync/blue-1");
    cr_expect_str_eq(pins.paths[NNS_PIN_COUNTS], "/sys/fs/bpf/netnsync/blue-1/slots");
    cr_expect_str_eq(pins.paths[NNS_PIN_HOLDERS], "/sys/fs/bpf/netnsync/blue-1/holders");
    nns_lock_name(lock, "blue-1");
    cr_expect_str_eq(lock, "/run/netnsync/blue-1.lock");
}

/* A name that was cut would be another's. */
Test(pins, the_longest_names_are_whole)
{
    char path[NNS_BPFFS_PATH_MAX + 2], name[NNS_INSTANCE_MAX + 1], tail[64];
    struct nns_pins pins;

    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[NNS_BPFFS_PATH_MAX + 1] = '\0';
    memset(name, 'n', NNS_INSTANCE_MAX);
    name[NNS_INSTANCE_MAX] = '\0';
    cr_assert(nns_instance_valid(name));
    cr_assert_eq(nns_pins_name(&pins, path, name), -ENAMETOOLONG);
    path[NNS_BPFFS_PATH_MAX] = '\0';
    cr_assert_eq(nns_pins_name(&pins, path, name), 0);
    snprintf(tail, sizeof(tail), "/%s/holders", name);
    cr_expect_eq(strlen(pins.paths[NNS_PIN_HOLDERS]), strlen(path) + strlen(tail));
    cr_expect_str_eq(pins.paths[NNS_PIN_HOLDERS] + strlen(path), tail);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <sys/stat.h>

#include "workers/exclude.h"

static struct nns_params params;

static void set_up(void)
{
    cr_assert_eq(nns_params_init(&params), 0);
}

static void tear_down(void)
{
    nns_params_deinit(&params);
}

TestSuite(exclude, .init = set_up, .fini = tear_down);

static void exclude(const char *items)
{
    char setting[256], error[128];

    snprintf(setting, sizeof(setting), "exclude.namespaces=%s", items);
    cr_assert_eq(nns_params_set(&params, setting, error, sizeof(error)), 0, "%s", error);
}

static uint32_t inum_of(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0, "%s: %s", path, strerror(errno));
    return (uint32_t)status.st_ino;
}

Test(exclude, a_namespace_is_named_by_its_inum_or_a_path_to_it)
{
    uint32_t own = inum_of("/proc/self/ns/net");
    char number[16];

    snprintf(number, sizeof(number), "%u", own);
    exclude("1,/nonexistent");
    cr_expect(!nns_excludes_namespace(&params, own));
    exclude(number);
    cr_expect(nns_excludes_namespace(&params, own));
    cr_expect(!nns_excludes_namespace(&params, own + 1));
    exclude("/nonexistent,/proc/self/ns/net");
    cr_expect(nns_excludes_namespace(&params, own));
    cr_expect(!nns_excludes_namespace(&params, own + 1));
}

Test(exclude, a_path_outside_the_kernels_namespaces_names_none)
{
    exclude("/proc/self/exe,/dev/null,/");
    cr_expect(!nns_excludes_namespace(&params, inum_of("/proc/self/exe")));
    cr_expect(!nns_excludes_namespace(&params, inum_of("/dev/null")));
    cr_expect(!nns_excludes_namespace(&params, inum_of("/")));
}

Test(exclude, devices_are_named_by_globs)
{
    char error[128];

    cr_assert_eq(nns_params_set(&params, "exclude.devices=lo,veth*", error, sizeof(error)), 0, "%s", error);
    cr_expect(nns_excludes_device(&params, "lo"));
    cr_expect(nns_excludes_device(&params, "veth12"));
    cr_expect(!nns_excludes_device(&params, "lo0"));
    cr_expect(!nns_excludes_device(&params, "eth0"));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "core/counters.h"
#include "workers/exclude.h"

static struct nns_params params;
static struct nns_exclusions *exclusions;

static void set_up(void)
{
    struct nns_netns_abilities abilities;

    nns_role_assert_owner();
    cr_assert_eq(nns_params_init(&params), 0);
    cr_assert_eq(nns_netns_probe(&abilities), 0);
}

static void tear_down(void)
{
    nns_exclusions_free(exclusions);
    exclusions = NULL;
    nns_params_deinit(&params);
}

TestSuite(exclude, .init = set_up, .fini = tear_down);

static void exclude(const char *items)
{
    char setting[256], error[128];

    nns_exclusions_free(exclusions);
    exclusions = NULL;
    snprintf(setting, sizeof(setting), "exclude.namespaces=%s", items);
    cr_assert_eq(nns_params_set(&params, setting, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(nns_exclusions_new(&params, &exclusions), 0);
}

static bool meets(uint64_t cookie, uint32_t inum)
{
    bool met;

    nns_role_assert_owner();
    met = nns_exclusions_meet(exclusions, (struct nns_netns_id){.cookie = cookie, .inum = inum});
    cr_expect_eq(nns_exclusions_have(exclusions, cookie), met);
    return met;
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
    cr_expect(!meets(7, own));
    exclude(number);
    cr_expect(meets(7, own));
    cr_expect(!meets(8, own + 1));
    exclude("/nonexistent,/proc/self/ns/net");
    cr_expect(meets(7, own));
    cr_expect(!meets(8, own + 1));
}

Test(exclude, a_number_means_the_first_that_is_met_under_it_for_good)
{
    exclude("4711");
    cr_expect(meets(7, 4711));
    cr_expect(!meets(8, 4711));
    cr_expect(meets(7, 4711));
}

Test(exclude, a_path_means_what_it_leads_to_now)
{
    char path[] = "/tmp/nns-exclude-XXXXXX", setting[64];
    uint32_t own = inum_of("/proc/self/ns/net");

    cr_assert(mkdtemp(path));
    snprintf(setting, sizeof(setting), "%s/ns", path);
    exclude(setting);
    cr_expect(!meets(7, own));
    cr_assert_eq(symlink("/proc/self/ns/net", setting), 0);
    cr_expect(meets(7, own));
    cr_expect(meets(8, own));
    cr_expect(!nns_exclusions_have(exclusions, 7));
    cr_assert_eq(unlink(setting), 0);
    cr_expect(!meets(8, own));
    cr_expect_eq(rmdir(path), 0);
}

/* Who was met is asked for by nobody: requests are told that it is excluded. */
Test(exclude, a_path_that_leads_there_no_more_excludes_nobody)
{
    char path[] = "/tmp/nns-exclude-XXXXXX", setting[128];
    uint32_t own = inum_of("/proc/self/ns/net");

    nns_role_assert_owner();
    cr_assert(mkdtemp(path));
    snprintf(setting, sizeof(setting), "%s/ns,4711", path);
    exclude(setting);
    snprintf(setting, sizeof(setting), "%s/ns", path);
    cr_expect_not(nns_exclusions_review(exclusions));
    cr_assert_eq(symlink("/proc/self/ns/net", setting), 0);
    cr_expect(meets(7, own));
    cr_expect(meets(9, 4711));
    cr_expect(nns_exclusions_lead(exclusions));
    cr_expect_not(nns_exclusions_review(exclusions));
    cr_expect(nns_exclusions_have(exclusions, 7));

    /* Where it leads cannot be seen (I9). */
    cr_assert_eq(unlink(setting), 0);
    cr_assert_eq(symlink(setting, setting), 0);
    cr_expect_not(nns_exclusions_review(exclusions));
    cr_expect(meets(7, own));

    cr_assert_eq(unlink(setting), 0);
    cr_expect(nns_exclusions_review(exclusions));
    cr_expect_not(nns_exclusions_have(exclusions, 7));
    cr_expect_not(nns_exclusions_lead(exclusions));
    cr_expect(nns_exclusions_have(exclusions, 9), "a number means the same for good");
    cr_expect_not(nns_exclusions_review(exclusions));
    cr_expect_eq(rmdir(path), 0);
}

static void make_mounts_private(void)
{
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt");
}

/* An overlay keeps in the kernel's cache what was asked for alone, and nobody has asked for that. */
Test(exclude, a_path_that_is_not_cached_is_asked_for)
{
    uint32_t own = inum_of("/proc/self/ns/net"), inum;

    nns_role_assert_owner();
    make_mounts_private();
    host_run("mkdir /mnt/lower /mnt/none /mnt/over && ln -s /proc/self/ns/net /mnt/lower/ns && "
             "mount -t overlay -o lowerdir=/mnt/lower:/mnt/none overlay /mnt/over");
    cr_assert_eq(nns_netns_led_to_now("/mnt/over/ns", &inum), -EAGAIN);
    exclude("/mnt/over/ns");
    cr_expect(meets(7, own));
    exclude("/mnt/over/none");
    cr_expect_not(meets(7, own));
    cr_expect_eq(nns_counter_read(NNS_COUNT_EXCLUDE_UNKNOWN), 0);
}

/* Nobody serves this one until it ends. */
static int mount_deaf(void)
{
    char options[96];
    int server = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (server < 0)
        cr_skip_test("no file system can be served here");
    make_mounts_private();
    host_run("mkdir /mnt/deaf");
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
    cr_assert_eq(mount("fuse", "/mnt/deaf", "fuse", 0, options), 0);
    return server;
}

/* It is waited for once, and for a moment only. */
Test(exclude, a_file_system_that_does_not_answer_keeps_nobody_waiting, .timeout = 20)
{
    enum { MEETINGS = 1000 };
    uint32_t own = inum_of("/proc/self/ns/net");
    int server = mount_deaf();

    nns_role_assert_owner();
    exclude("/mnt/deaf/ns,/mnt/deaf/another,/proc/self/ns/net,4711");
    for (unsigned i = 0; i < MEETINGS; i++)
        cr_assert_not(meets(7, own + 1));
    cr_expect_eq(nns_counter_read(NNS_COUNT_EXCLUDE_UNKNOWN), 2 * MEETINGS);
    cr_expect(meets(8, own), "the others are known");
    cr_expect(meets(9, 4711));
    close(server);
}

Test(exclude, once_it_answers_the_path_means_what_it_leads_to, .timeout = 20)
{
    uint32_t own = inum_of("/proc/self/ns/net");
    int server = mount_deaf();

    nns_role_assert_owner();
    exclude("/mnt/deaf/ns");
    cr_expect_not(meets(7, own));
    close(server);
    host_run("umount /mnt/deaf && touch /mnt/deaf/ns && mount --bind /proc/self/ns/net /mnt/deaf/ns");
    cr_expect(meets(7, inum_of("/mnt/deaf/ns")));
}

Test(exclude, a_path_outside_the_kernels_namespaces_names_none)
{
    exclude("/proc/self/exe,/dev/null,/");
    cr_expect(!meets(7, inum_of("/proc/self/exe")));
    cr_expect(!meets(7, inum_of("/dev/null")));
    cr_expect(!meets(7, inum_of("/")));
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

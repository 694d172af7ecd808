/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "bpf/meter.h"
#include "io/instance.h"
#include "io/meter.h"

/*
 * What outlives a daemon: an instance's lock, directory and maps, each on a /run and a bpffs that are this
 * test's own. A daemon's end is an instance that is closed; the next one begins with opening it.
 */
#define DIRECTORY "/sys/fs/bpf/netnsync/default"

enum { SLOT = 4711 };

static struct {
    struct nns_params params;
    struct nns_instance *instance;
    struct nns_meter *meter;
    char error[512];
} here;

static void mount_at(const char *kind, const char *place)
{
    cr_assert_eq(mount(kind, place, kind, 0, NULL), 0, "mount %s: %s", place, strerror(errno));
}

static void set_up(void)
{
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    mount_at("tmpfs", "/run");
    mount_at("bpf", "/sys/fs/bpf");
    cr_assert_eq(nns_params_init(&here.params), 0);
}

static bool discard(void)
{
    bool found;

    cr_assert_eq(nns_instance_discard(here.instance, &found), 0);
    return found;
}

/* The daemon ends. */
static void end(bool unpin)
{
    if (here.instance && unpin)
        discard();
    nns_meter_close(here.meter);
    here.meter = NULL;
    nns_instance_close(here.instance);
    here.instance = NULL;
}

static void tear_down(void)
{
    end(true);
    nns_params_deinit(&here.params);
}

TestSuite(meter, .init = set_up, .fini = tear_down);

static void set(const char *assignment)
{
    cr_assert_eq(nns_params_set(&here.params, assignment, here.error, sizeof(here.error)), 0, "%s",
                 here.error);
}

static int take_instance(void)
{
    here.error[0] = '\0';
    return nns_instance_open(here.params.bpffs_path, here.params.instance, &here.instance, here.error,
                             sizeof(here.error));
}

/* It starts, but does not serve yet. */
static void load(void)
{
    cr_assert_eq(take_instance(), 0, "%s", here.error);
    cr_assert_eq(nns_meter_open(&here.params, nns_instance_pins(here.instance), &here.meter, here.error,
                                sizeof(here.error)),
                 0, "%s", here.error);
}

static enum nns_meter_pinned begin(void)
{
    load();
    nns_meter_pin(here.meter, nns_instance_pins(here.instance));
    return nns_meter_pinned(here.meter);
}

static int open_pin(const char *path)
{
    union bpf_attr attr = {.pathname = (uintptr_t)path};

    return (int)host_bpf(BPF_OBJ_GET, &attr);
}

static void pin(int fd, const char *path)
{
    union bpf_attr attr = {.pathname = (uintptr_t)path, .bpf_fd = (uint32_t)fd};

    cr_assert_eq(host_bpf(BPF_OBJ_PIN, &attr), 0, "pin %s: %s", path, strerror(errno));
}

static int make_map(uint32_t type, uint32_t value, uint32_t entries, uint32_t flags)
{
    union bpf_attr attr = {
        .map_type = type, .key_size = 4, .value_size = value, .max_entries = entries, .map_flags = flags};
    int fd = (int)host_bpf(BPF_MAP_CREATE, &attr);

    cr_assert_geq(fd, 0, "BPF_MAP_CREATE: %s", strerror(errno));
    return fd;
}

/* As filters do that go on without a daemon: one packet of 100 bytes a CPU, on egress. */
static void count_packets(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    struct nns_meter_slot values[1024] = {0};
    uint32_t key = SLOT;
    int fd = open_pin(DIRECTORY "/slots");
    union bpf_attr attr = {
        .map_fd = (uint32_t)fd, .key = (uintptr_t)&key, .value = (uintptr_t)values, .flags = BPF_ANY};

    cr_assert_geq(fd, 0);
    for (long cpu = 0; cpu < cpus; cpu++)
        values[cpu].egress = (struct nns_meter_count){.packets = 1, .bytes = 100};
    cr_assert_eq(host_bpf(BPF_MAP_UPDATE_ELEM, &attr), 0, "%s", strerror(errno));
    close(fd);
}

static uint64_t counted(void)
{
    struct nns_traffic traffic[NNS_HOOKS];

    cr_assert_eq(nns_meter_read(here.meter, SLOT, traffic), 0);
    return traffic[NNS_EGRESS].bytes;
}

/* A daemon counts for a device, and is killed. */
static void leave_counts(void)
{
    cr_assert_eq(begin(), NNS_METER_PINNED);
    nns_meter_holders(here.meter)[SLOT] = (struct nns_slot_holder){.cookie = 70, .ifindex = 3};
    count_packets();
    cr_assert_gt(counted(), 0);
    end(false);
}

static void expect_nothing_counted(void)
{
    cr_expect_eq(counted(), 0);
    for (uint32_t slot = 1; slot <= nns_meter_slots(here.meter); slot++)
        cr_assert_eq(nns_meter_holders(here.meter)[slot].cookie, 0, "slot %u", slot);
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status.st_mode & 07777;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- counting ---- */

/* A test run's filter has no classid: it counts in slot 0. */
static void run(enum nns_hook hook, uint32_t segments)
{
    char packet[200] = {0};
    struct __sk_buff context = {.gso_segs = segments, .gso_size = segments ? 100 : 0};
    union bpf_attr attr = {.test = {.prog_fd = (uint32_t)nns_meter_program(here.meter, hook)->fd,
                                    .data_in = (uintptr_t)packet,
                                    .data_size_in = sizeof(packet),
                                    .ctx_in = (uintptr_t)&context,
                                    .ctx_size_in = sizeof(context)}};

    cr_assert_eq(host_bpf(BPF_PROG_TEST_RUN, &attr), 0, "%s", strerror(errno));
    cr_expect_eq((int)attr.test.retval, -1, "the chain goes on");
}

Test(meter, a_segmented_packet_counts_as_those_it_stands_for)
{
    static const uint32_t segments[] = {0, 1, 2, 45, 65535};
    struct nns_traffic before[NNS_HOOKS], after[NNS_HOOKS];

    begin();
    for (int hook = 0; hook < NNS_HOOKS; hook++)
        for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
            uint32_t stands_for = segments[i] ? segments[i] : 1;

            cr_assert_eq(nns_meter_read(here.meter, 0, before), 0);
            run(hook, segments[i]);
            cr_assert_eq(nns_meter_read(here.meter, 0, after), 0);
            cr_expect_eq(after[hook].packets - before[hook].packets, stands_for, "%u", segments[i]);
            cr_expect_eq(after[hook].bytes - before[hook].bytes, 200);
            cr_expect_eq(after[!hook].packets, before[!hook].packets);
        }
}

/* ---- maps ---- */

Test(meter, counts_and_holders_outlive_the_daemon)
{
    uint32_t id;

    leave_counts();
    cr_expect_eq(mode_of("/sys/fs/bpf/netnsync"), 0700);
    cr_expect_eq(mode_of(DIRECTORY), 0700);
    cr_expect_eq(mode_of("/run/netnsync/default.lock"), 0600);
    cr_assert_eq(begin(), NNS_METER_INHERITED);
    cr_expect_gt(counted(), 0);
    cr_expect_eq(nns_meter_holders(here.meter)[SLOT].cookie, 70);
    cr_expect_eq(nns_meter_holders(here.meter)[SLOT].ifindex, 3);
    id = nns_meter_counts_id(here.meter);
    end(false);
    begin();
    cr_expect_eq(nns_meter_counts_id(here.meter), id, "the very map that the filters count in");
}

Test(meter, an_orderly_end_leaves_nothing)
{
    leave_counts();
    cr_assert_eq(begin(), NNS_METER_INHERITED);
    end(true);
    cr_expect(!exists(DIRECTORY));
    cr_assert_eq(begin(), NNS_METER_PINNED);
    expect_nothing_counted();
}

Test(meter, another_number_of_slots_begins_at_nothing)
{
    leave_counts();
    set("meter.memory=1M");
    cr_assert_eq(begin(), NNS_METER_PINNED);
    expect_nothing_counted();
    end(false);
    cr_assert_eq(begin(), NNS_METER_INHERITED, "the new ones took the place of the old ones");
}

static ino_t inode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status.st_ino;
}

/* Whatever it would do to them. */
Test(meter, a_start_that_fails_leaves_what_it_found)
{
    static const char *const settings[] = {"meter.memory=64M", "meter.memory=1M"};
    ino_t inodes[2];

    load();
    end(false);
    cr_expect(!exists(DIRECTORY), "and nothing of its own");
    leave_counts();
    inodes[0] = inode_of(DIRECTORY "/slots");
    inodes[1] = inode_of(DIRECTORY "/holders");
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        set(settings[i]);
        load();
        end(false);
        cr_expect_eq(inode_of(DIRECTORY "/slots"), inodes[0], "%s", settings[i]);
        cr_expect_eq(inode_of(DIRECTORY "/holders"), inodes[1], "%s", settings[i]);
    }
    set("meter.memory=64M");
    cr_assert_eq(begin(), NNS_METER_INHERITED);
    cr_expect_gt(counted(), 0);
}

/* What an earlier or later version of the daemon might leave. */
Test(meter, another_layout_begins_at_nothing)
{
    static const struct {
        const char *path;
        uint32_t type, value, more, flags;
    } cases[] = {
        {DIRECTORY "/slots", BPF_MAP_TYPE_ARRAY, sizeof(struct nns_meter_slot), 0, 0},
        {DIRECTORY "/slots", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct nns_meter_slot) + 8, 0, 0},
        {DIRECTORY "/slots", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct nns_meter_slot), 1, 0},
        {DIRECTORY "/slots", BPF_MAP_TYPE_PERCPU_HASH, sizeof(struct nns_meter_slot), 0, BPF_F_NO_PREALLOC},
        {DIRECTORY "/slots", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct nns_meter_slot), 0, BPF_F_RDONLY_PROG},
        {DIRECTORY "/holders", BPF_MAP_TYPE_ARRAY, sizeof(struct nns_meter_holder), 0, 0},
        {DIRECTORY "/holders", BPF_MAP_TYPE_ARRAY, 24, 0, BPF_F_MMAPABLE},
        {DIRECTORY "/holders", BPF_MAP_TYPE_ARRAY, sizeof(struct nns_meter_holder), 1, BPF_F_MMAPABLE},
    };
    uint32_t entries;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        leave_counts();
        cr_assert_eq(begin(), NNS_METER_INHERITED);
        entries = nns_meter_slots(here.meter) + 1;
        end(false);
        cr_assert_eq(unlink(cases[i].path), 0);
        pin(make_map(cases[i].type, cases[i].value, entries + cases[i].more, cases[i].flags), cases[i].path);
        cr_assert_eq(begin(), NNS_METER_PINNED, "case %zu", i);
        expect_nothing_counted();
        end(false);
        cr_assert_eq(begin(), NNS_METER_INHERITED, "case %zu: replaced", i);
        end(true);
    }
}

/* Members that changed places, or meaning, leave every size as it was. */
Test(meter, another_version_of_the_layout_begins_at_nothing)
{
    static const uint64_t others[] = {0, NNS_METER_LAYOUT + 1};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        leave_counts();
        cr_assert_eq(begin(), NNS_METER_INHERITED);
        cr_assert_eq(nns_meter_holders(here.meter)[0].cookie, NNS_METER_LAYOUT);
        nns_meter_holders(here.meter)[0].cookie = others[i];
        end(false);
        cr_assert_eq(begin(), NNS_METER_PINNED, "case %zu", i);
        expect_nothing_counted();
        end(false);
        cr_assert_eq(begin(), NNS_METER_INHERITED, "case %zu: replaced", i);
        end(true);
    }
}

/* Counts alone are nobody's: a daemon was killed while it pinned or unpinned. */
Test(meter, one_map_without_the_other_begins_at_nothing)
{
    static const char *const lost[] = {DIRECTORY "/slots", DIRECTORY "/holders"};

    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
        leave_counts();
        cr_assert_eq(unlink(lost[i]), 0);
        cr_assert_eq(begin(), NNS_METER_PINNED, "without %s", lost[i]);
        expect_nothing_counted();
        end(true);
    }
}

Test(meter, a_program_in_the_place_of_a_map_is_replaced)
{
    leave_counts();
    cr_assert_eq(unlink(DIRECTORY "/slots"), 0);
    pin(host_program("foreign", -1), DIRECTORY "/slots");
    cr_assert_eq(begin(), NNS_METER_PINNED);
    expect_nothing_counted();
}

/* ---- nowhere to pin ---- */

static void expect_unpinned(void)
{
    cr_assert_eq(begin(), NNS_METER_UNPINNED);
    cr_expect_null(nns_instance_pins(here.instance));
    cr_expect_null(nns_meter_holders(here.meter));
    cr_expect_gt(nns_meter_slots(here.meter), 0);
    cr_expect_eq(counted(), 0);
    end(false);
}

Test(meter, without_a_bpffs_it_counts_unpinned_and_makes_nothing)
{
    mount_at("tmpfs", "/sys/fs/bpf");
    expect_unpinned();
    cr_expect(!exists("/sys/fs/bpf/netnsync"));
    set("bpffs.path=/run/no/such/place");
    expect_unpinned();
    set("bpffs.path=");
    expect_unpinned();
    cr_assert_eq(umount("/sys/fs/bpf"), 0);
    expect_unpinned();
    cr_expect(!exists("/sys/fs/bpf/netnsync"));
}

Test(meter, a_bpffs_that_may_not_be_written)
{
    cr_assert_eq(mount(NULL, "/sys/fs/bpf", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    expect_unpinned();
    cr_assert_eq(mount(NULL, "/sys/fs/bpf", NULL, MS_REMOUNT, NULL), 0);
    cr_assert_eq(begin(), NNS_METER_PINNED);
    end(true);
}

/* The directory is there, but no pin can be. */
Test(meter, pins_that_are_refused)
{
    cr_assert_eq(take_instance(), 0);
    cr_assert_not_null(nns_instance_pins(here.instance));
    cr_assert_eq(mount(NULL, "/sys/fs/bpf", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    cr_assert_eq(nns_meter_open(&here.params, nns_instance_pins(here.instance), &here.meter, here.error,
                                sizeof(here.error)),
                 0, "%s", here.error);
    nns_meter_pin(here.meter, nns_instance_pins(here.instance));
    cr_expect_eq(nns_meter_pinned(here.meter), NNS_METER_UNPINNED);
    cr_expect(!exists(DIRECTORY "/slots") && !exists(DIRECTORY "/holders"));
    expect_nothing_counted();
}

Test(meter, a_directory_that_others_can_change_is_not_used)
{
    leave_counts();
    cr_assert_eq(chown(DIRECTORY, 4711, 0), 0);
    expect_unpinned();
    cr_assert_eq(chown(DIRECTORY, 0, 0), 0);
    cr_assert_eq(chmod(DIRECTORY, 0750), 0);
    expect_unpinned();
    cr_assert_eq(chmod(DIRECTORY, 0700), 0);
    cr_assert_eq(chmod("/sys/fs/bpf/netnsync", 0777), 0);
    expect_unpinned();
    cr_assert_eq(chmod("/sys/fs/bpf/netnsync", 0700), 0);
    cr_assert_eq(begin(), NNS_METER_INHERITED);
}

Test(meter, an_instance_that_is_taken_loses_nothing)
{
    leave_counts();
    cr_assert_eq(take_instance(), 0);
    cr_expect(exists(DIRECTORY "/slots") && exists(DIRECTORY "/holders"));
    end(false);
    cr_assert_eq(begin(), NNS_METER_INHERITED);
}

/* ---- one daemon an instance ---- */

static void expect_refused(const char *says)
{
    struct nns_instance *second = NULL;
    char error[512] = "";

    cr_expect_eq(
        nns_instance_open(here.params.bpffs_path, here.params.instance, &second, error, sizeof(error)),
        -EADDRINUSE);
    cr_expect_null(second);
    cr_expect(strstr(error, says), "%s", error);
}

Test(meter, an_instance_has_one_daemon)
{
    cr_assert_eq(take_instance(), 0);
    expect_refused("/run/netnsync/default.lock");
    set("bpffs.path=");
    expect_refused("/run/netnsync/default.lock");
    end(false);
    cr_assert_eq(take_instance(), 0, "%s", here.error);
}

Test(meter, instances_are_not_in_each_others_way)
{
    struct nns_instance *first;

    cr_assert_eq(take_instance(), 0);
    first = here.instance;
    set("instance=other");
    cr_assert_eq(begin(), NNS_METER_PINNED);
    cr_expect(exists("/sys/fs/bpf/netnsync/other/slots"));
    nns_instance_close(first);
    cr_expect(!exists(DIRECTORY));
    cr_expect(exists("/sys/fs/bpf/netnsync/other/slots"));
}

/* As in two containers: the maps are all that they share. */
Test(meter, a_run_of_its_own_does_not_hide_the_first_daemon)
{
    cr_assert_eq(take_instance(), 0);
    mount_at("tmpfs", "/run");
    expect_refused("its directory in /sys/fs/bpf/netnsync");
    cr_expect(exists(DIRECTORY));
}

Test(meter, one_of_the_two_locks_will_do_and_none_will_not)
{
    struct nns_instance *first;

    cr_assert_eq(mount(NULL, "/run", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    cr_assert_eq(take_instance(), 0, "%s", here.error);
    expect_refused("its directory in /sys/fs/bpf/netnsync");
    first = here.instance;
    here.instance = NULL;
    nns_instance_close(first);
    set("bpffs.path=");
    cr_assert_eq(take_instance(), -EROFS);
    cr_expect(strstr(here.error, "cannot make sure"), "%s", here.error);
}

/* ---- clearing up after a daemon ---- */

Test(meter, discarding_takes_what_a_dead_daemon_left)
{
    leave_counts();
    set("instance=other");
    cr_assert_eq(take_instance(), 0);
    cr_expect(!discard());
    end(false);
    cr_expect(exists(DIRECTORY "/slots"));
    set("instance=default");
    cr_assert_eq(take_instance(), 0);
    cr_expect(discard());
    cr_expect(!exists(DIRECTORY "/slots") && !exists(DIRECTORY "/holders"));
    cr_expect(!discard());
    end(false);
    cr_expect(!exists(DIRECTORY));
}

Test(meter, discarding_touches_nothing_that_is_on_no_bpffs)
{
    mount_at("tmpfs", "/sys/fs/bpf");
    host_run("mkdir -p -m 700 " DIRECTORY " && touch " DIRECTORY "/slots");
    cr_assert_eq(take_instance(), 0);
    cr_expect(!discard());
    end(false);
    cr_expect(exists(DIRECTORY "/slots"));
}

/* As refused permissions do: something may be pinned there. */
Test(meter, discarding_what_could_not_be_taken_fails)
{
    bool found = true;

    leave_counts();
    cr_assert_eq(chmod(DIRECTORY, 0750), 0);
    cr_assert_eq(take_instance(), 0);
    cr_expect_eq(nns_instance_discard(here.instance, &found), -EPERM);
    cr_expect(!found && exists(DIRECTORY "/slots"));
    end(false);
}

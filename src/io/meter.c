/* SPDX-License-Identifier: Apache-2.0 */
#include "io/meter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/meter.h"
#include "core/log.h"
#include "meter.skel.h"

enum { SLOTS_MAX = 65535 };

_Static_assert(sizeof(struct nns_slot_holder) == sizeof(struct nns_meter_holder) &&
                   offsetof(struct nns_slot_holder, cookie) == offsetof(struct nns_meter_holder, cookie) &&
                   offsetof(struct nns_slot_holder, ifindex) == offsetof(struct nns_meter_holder, ifindex),
               "the map holds what the owner writes");

_Static_assert(NNS_METER_LAYOUT == 1 && offsetof(struct nns_meter_slot, ingress.packets) == 0 &&
                   offsetof(struct nns_meter_slot, ingress.bytes) == 8 &&
                   offsetof(struct nns_meter_slot, egress.packets) == 16 &&
                   offsetof(struct nns_meter_slot, egress.bytes) == 24 &&
                   offsetof(struct nns_meter_holder, cookie) == 0 &&
                   offsetof(struct nns_meter_holder, ifindex) == 8,
               "another layout has another number");

struct nns_meter {
    struct meter_bpf *skeleton; /* the built-in meter, or NULL */
    struct bpf_object *object;  /* the operator's programs, or NULL */
    struct nns_program programs[NNS_HOOKS];
    int counts_fd; /* borrowed from the skeleton; -1 without it */
    uint32_t counts_id;
    struct nns_slot_holder *holders; /* the map of them, mapped; or NULL */
    enum nns_meter_pinned pinned;
    bool may_pin; /* in the place of what is there */
    uint32_t slots;
    int cpus;
};

static int forward_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
    char text[512];
    int length = vsnprintf(text, sizeof(text), format, arguments);

    if (length > 0 && (size_t)length < sizeof(text) && text[length - 1] == '\n')
        text[length - 1] = '\0';
    nns_log(level == LIBBPF_WARN ? NNS_LOG_WARNING : NNS_LOG_DEBUG, "libbpf: %s", text);
    return length;
}

static int describe(struct bpf_program *source, struct nns_program *program)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);
    int fd = bpf_program__fd(source);
    int rc = bpf_obj_get_info_by_fd(fd, &info, &size);

    if (rc < 0)
        return -errno;
    program->fd = fd;
    program->id = info.id;
    memcpy(program->tag, info.tag, sizeof(program->tag));
    snprintf(program->name, sizeof(program->name), "%s", info.name);
    return 0;
}

static uint32_t slots_within(uint64_t memory, int cpus)
{
    uint64_t entries = memory / (sizeof(struct nns_meter_slot) * (uint64_t)cpus);

    /* One entry more than slots: slot 0 is shared by the devices that got none. */
    if (entries < 2)
        return 1;
    return entries - 1 < SLOTS_MAX ? (uint32_t)(entries - 1) : SLOTS_MAX;
}

/* ---- pinned maps ---- */

static size_t holders_bytes(const struct nns_meter *meter)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (meter->slots + 1) * sizeof(struct nns_slot_holder);

    return (bytes + page - 1) / page * page;
}

/* NULL when the kernel refuses. */
static struct nns_slot_holder *map_holders(const struct nns_meter *meter, int fd)
{
    void *holders = mmap(NULL, holders_bytes(meter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return holders == MAP_FAILED ? NULL : holders;
}

static void unmap_holders(struct nns_meter *meter)
{
    if (meter->holders)
        munmap(meter->holders, holders_bytes(meter));
    meter->holders = NULL;
}

/* The kernel had no room for us, or no wish: that says nothing of what is pinned. */
static bool is_refusal(int error)
{
    return error == -EPERM || error == -EACCES || error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
           error == -EAGAIN || error == -EINTR || error == -EBUSY;
}

/* A map of the very shape of the one that would be made. A descriptor or -errno; -ESTALE for another shape.
 */
static int open_pinned(const char *path, const struct bpf_map *like)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info);
    int fd = bpf_obj_get(path), rc;

    if (fd < 0)
        return -errno;
    rc = bpf_obj_get_info_by_fd(fd, &info, &size) ? -errno : 0;
    if (!rc && info.type == bpf_map__type(like) && info.key_size == bpf_map__key_size(like) &&
        info.value_size == bpf_map__value_size(like) && info.max_entries == bpf_map__max_entries(like) &&
        info.map_flags == bpf_map__map_flags(like))
        return fd;
    close(fd);
    return is_refusal(rc) ? rc : -ESTALE;
}

/* 0, -ESTALE when what is there was written by a daemon that wrote it otherwise, or -errno. */
static int map_inherited(struct nns_meter *meter, int fd)
{
    meter->holders = map_holders(meter, fd);
    if (!meter->holders)
        return -errno;
    return meter->holders[0].cookie == NNS_METER_LAYOUT ? 0 : -ESTALE;
}

/* Take over what a former daemon counted. 0, -errno for the first of the two that is of no use. */
static int inherit(struct nns_meter *meter, const struct nns_pins *pins)
{
    struct bpf_map *counts = meter->skeleton->maps.nns_slots, *holders = meter->skeleton->maps.nns_holders;
    int counts_fd = open_pinned(pins->paths[NNS_PIN_COUNTS], counts);
    int holders_fd = open_pinned(pins->paths[NNS_PIN_HOLDERS], holders);
    int rc = counts_fd < 0 ? counts_fd : holders_fd < 0 ? holders_fd : 0;

    if (!rc)
        rc = map_inherited(meter, holders_fd);
    /* Old records beside new counts would do no harm, the other way round they would. */
    if (!rc)
        rc = bpf_map__reuse_fd(holders, holders_fd);
    if (!rc)
        rc = bpf_map__reuse_fd(counts, counts_fd);
    if (rc)
        unmap_holders(meter);
    if (counts_fd >= 0)
        close(counts_fd);
    if (holders_fd >= 0)
        close(holders_fd);
    return rc;
}

static void unpin(const struct nns_pins *pins)
{
    for (int pin = NNS_PINS; pin-- > 0;)
        unlink(pins->paths[pin]);
}

/* The records last, and removed first: counts that stand alone are not used again, as nobody could say whose
 * they are. */
static int pin(struct nns_meter *meter, const struct nns_pins *pins)
{
    const int fds[NNS_PINS] = {[NNS_PIN_COUNTS] = bpf_map__fd(meter->skeleton->maps.nns_slots),
                               [NNS_PIN_HOLDERS] = bpf_map__fd(meter->skeleton->maps.nns_holders)};
    int rc = 0;

    unpin(pins);
    for (int pin = 0; pin < NNS_PINS && !rc; pin++)
        rc = bpf_obj_pin(fds[pin], pins->paths[pin]) ? -errno : 0;
    if (rc)
        unpin(pins);
    return rc;
}

/* True when pins may be made in the place of what is there: not of what could not be looked at (I9). */
static bool look_for_pinned(struct nns_meter *meter, const struct nns_pins *pins)
{
    int rc = inherit(meter, pins);

    if (!rc) {
        meter->pinned = NNS_METER_INHERITED;
        nns_info("counts go on: %s", pins->directory);
    } else if (is_refusal(rc)) {
        nns_warning("counts begin at nothing and will not outlive this daemon: cannot look at %s: %s",
                    pins->directory, strerror(-rc));
    } else if (rc != -ENOENT || access(pins->paths[NNS_PIN_COUNTS], F_OK) == 0) {
        nns_warning("counts begin at nothing: what is pinned in %s %s", pins->directory,
                    rc == -ESTALE ? "has another layout" : "cannot be used");
    }
    return rc && !is_refusal(rc);
}

/* Records that are kept from the beginning can be pinned at any time. */
static void prepare_to_pin(struct nns_meter *meter)
{
    meter->holders = map_holders(meter, bpf_map__fd(meter->skeleton->maps.nns_holders));
    meter->may_pin = meter->holders;
    if (meter->may_pin)
        meter->holders[0].cookie = NNS_METER_LAYOUT;
    else
        nns_warning("counts will not outlive this daemon: cannot map who they are of: %s", strerror(errno));
}

void nns_meter_pin(struct nns_meter *meter, const struct nns_pins *pins)
{
    int rc;

    if (!pins || !meter->may_pin)
        return;
    rc = pin(meter, pins);
    if (rc)
        nns_warning("counts will not outlive this daemon: cannot pin them in %s: %s", pins->directory,
                    strerror(-rc));
    else
        meter->pinned = NNS_METER_PINNED;
}

/* ---- loading ---- */

static int describe_counts(struct nns_meter *meter)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info);

    meter->counts_fd = bpf_map__fd(meter->skeleton->maps.nns_slots);
    if (bpf_obj_get_info_by_fd(meter->counts_fd, &info, &size))
        return -errno;
    meter->counts_id = info.id;
    return 0;
}

static int set_sizes(struct nns_meter *meter)
{
    int rc = bpf_map__set_max_entries(meter->skeleton->maps.nns_slots, meter->slots + 1);

    return rc ? rc : bpf_map__set_max_entries(meter->skeleton->maps.nns_holders, meter->slots + 1);
}

static int load_built_in(struct nns_meter *meter, const struct nns_params *params,
                         const struct nns_pins *pins, char *error, size_t size)
{
    bool may_pin = false;
    int rc;

    meter->skeleton = meter_bpf__open();
    if (!meter->skeleton) {
        rc = -errno;
        snprintf(error, size, "cannot open the built-in meter: %s", strerror(-rc));
        return rc;
    }
    meter->slots = slots_within(params->meter_memory, meter->cpus);
    rc = set_sizes(meter);
    if (!rc && pins)
        may_pin = look_for_pinned(meter, pins);
    else if (!rc)
        rc = bpf_map__set_autocreate(meter->skeleton->maps.nns_holders, false);
    if (!rc)
        rc = meter_bpf__load(meter->skeleton);
    if (!rc)
        rc = describe(meter->skeleton->progs.nns_meter_in, &meter->programs[NNS_INGRESS]);
    if (!rc)
        rc = describe(meter->skeleton->progs.nns_meter_out, &meter->programs[NNS_EGRESS]);
    if (!rc)
        rc = describe_counts(meter);
    if (rc) {
        snprintf(error, size, "cannot load the built-in meter: %s", strerror(-rc));
        return rc;
    }
    if (may_pin)
        prepare_to_pin(meter);
    return 0;
}

/* Load only what was asked for: the operator's object may hold programs of other kinds. */
static int select_programs(struct bpf_object *object, const char *const names[NNS_HOOKS],
                           struct bpf_program *chosen[NNS_HOOKS], const char **missing)
{
    struct bpf_program *program;

    bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
    for (int hook = 0; hook < NNS_HOOKS; hook++) {
        chosen[hook] = bpf_object__find_program_by_name(object, names[hook]);
        if (!chosen[hook]) {
            *missing = names[hook];
            return -ENOENT;
        }
        bpf_program__set_autoload(chosen[hook], true);
        bpf_program__set_type(chosen[hook], BPF_PROG_TYPE_SCHED_CLS);
    }
    return 0;
}

static int load_operators(struct nns_meter *meter, const struct nns_params *params, char *error, size_t size)
{
    const char *const names[NNS_HOOKS] = {params->program_ingress, params->program_egress};
    struct bpf_program *chosen[NNS_HOOKS];
    const char *missing = NULL;
    int rc;

    meter->object = bpf_object__open_file(params->program_object, NULL);
    if (!meter->object) {
        rc = -errno;
        snprintf(error, size, "cannot open program.object '%s': %s", params->program_object, strerror(-rc));
        return rc;
    }
    rc = select_programs(meter->object, names, chosen, &missing);
    if (rc) {
        snprintf(error, size, "program.object '%s' has no program named '%s'", params->program_object,
                 missing);
        return rc;
    }
    rc = bpf_object__load(meter->object);
    for (int hook = 0; hook < NNS_HOOKS && !rc; hook++)
        rc = describe(chosen[hook], &meter->programs[hook]);
    if (rc)
        snprintf(error, size, "cannot load program.object '%s': %s", params->program_object, strerror(-rc));
    return rc;
}

int nns_meter_open(const struct nns_params *params, const struct nns_pins *pins, struct nns_meter **out,
                   char *error, size_t size)
{
    struct nns_meter *meter = calloc(1, sizeof(*meter));
    int rc;

    if (!meter) {
        snprintf(error, size, "cannot load programs: out of memory");
        return -ENOMEM;
    }
    meter->counts_fd = -1;
    meter->cpus = libbpf_num_possible_cpus();
    libbpf_set_print(forward_libbpf);
    if (meter->cpus < 1) {
        snprintf(error, size, "cannot count the possible CPUs: %s", strerror(-meter->cpus));
        rc = meter->cpus ? meter->cpus : -EINVAL;
    } else if (params->program_object[0]) {
        rc = load_operators(meter, params, error, size);
    } else {
        rc = load_built_in(meter, params, pins, error, size);
    }
    if (rc) {
        nns_meter_close(meter);
        return rc;
    }
    *out = meter;
    return 0;
}

void nns_meter_close(struct nns_meter *meter)
{
    if (!meter)
        return;
    unmap_holders(meter);
    meter_bpf__destroy(meter->skeleton);
    bpf_object__close(meter->object);
    free(meter);
}

const struct nns_program *nns_meter_program(const struct nns_meter *meter, enum nns_hook hook)
{
    return &meter->programs[hook];
}

enum nns_meter_pinned nns_meter_pinned(const struct nns_meter *meter)
{
    return meter->pinned;
}

struct nns_slot_holder *nns_meter_holders(const struct nns_meter *meter)
{
    return meter->holders;
}

uint32_t nns_meter_counts_id(const struct nns_meter *meter)
{
    return meter->counts_id;
}

uint32_t nns_meter_slots(const struct nns_meter *meter)
{
    return meter->slots;
}

uint64_t nns_meter_bytes(const struct nns_meter *meter)
{
    if (!meter->slots)
        return 0;
    return (uint64_t)(meter->slots + 1) * sizeof(struct nns_meter_slot) * (uint64_t)meter->cpus;
}

/* Room for one slot's values on all CPUs, on the stack of whoever asks; hosts beyond this many CPUs use the
 * heap. */
enum { CPUS_ON_STACK = 64 };

int nns_meter_read(const struct nns_meter *meter, uint16_t slot, struct nns_traffic traffic[NNS_HOOKS])
{
    struct nns_meter_slot few[CPUS_ON_STACK], *values = few;
    struct nns_traffic sum[NNS_HOOKS] = {0};
    uint32_t key = slot;
    int rc;

    if (meter->counts_fd < 0)
        return -ENOENT;
    if (meter->cpus > CPUS_ON_STACK && !(values = calloc((size_t)meter->cpus, sizeof(*values))))
        return -ENOMEM;
    rc = bpf_map_lookup_elem(meter->counts_fd, &key, values);
    for (int cpu = 0; cpu < meter->cpus && !rc; cpu++) {
        sum[NNS_INGRESS].packets += values[cpu].ingress.packets;
        sum[NNS_INGRESS].bytes += values[cpu].ingress.bytes;
        sum[NNS_EGRESS].packets += values[cpu].egress.packets;
        sum[NNS_EGRESS].bytes += values[cpu].egress.bytes;
    }
    if (!rc)
        memcpy(traffic, sum, sizeof(sum));
    if (values != few)
        free(values);
    return rc;
}

int nns_meter_clear(struct nns_meter *meter, uint16_t slot)
{
    struct nns_meter_slot few[CPUS_ON_STACK] = {0}, *values = few;
    uint32_t key = slot;
    int rc;

    if (meter->counts_fd < 0)
        return -ENOENT;
    if (meter->cpus > CPUS_ON_STACK && !(values = calloc((size_t)meter->cpus, sizeof(*values))))
        return -ENOMEM;
    rc = bpf_map_update_elem(meter->counts_fd, &key, values, BPF_ANY);
    if (values != few)
        free(values);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/params.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/epoch.h"
#include "core/log.h"

#define FILE_PATH "/proc/self/fd/100" /* where load() puts a file that leaves nothing behind */

static struct nns_params params;
static char error[512];

static void set_up(void)
{
    cr_assert_eq(nns_params_init(&params), 0);
}

static void tear_down(void)
{
    nns_params_deinit(&params);
}

TestSuite(params, .init = set_up, .fini = tear_down);

static int set(const char *assignment)
{
    strcpy(error, "(no error)");
    return nns_params_set(&params, assignment, error, sizeof(error));
}

static void print_current(FILE *out)
{
    nns_params_dump(&params, out);
}

/* What a function prints, to be freed. */
static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cr_assert_not_null(out);
    print(out);
    fclose(out);
    return text;
}

/* Load a file of these bytes; *errors is to be freed. */
static int load(const char *bytes, size_t length, char **errors)
{
    size_t size = 0;
    FILE *out = open_memstream(errors, &size);
    int fd = memfd_create("params", 0), result;

    cr_assert(out && fd >= 0);
    cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
    cr_assert_eq(dup2(fd, 100), 100);
    close(fd);
    result = nns_params_load(&params, FILE_PATH, out);
    fclose(out);
    return result;
}

static void expect_load(const char *text, int result, const char *wanted)
{
    char *errors;
    int got = load(text, strlen(text), &errors);

    cr_expect_eq(got, result, "%d for: %s", got, text);
    cr_expect_str_eq(errors, wanted);
    free(errors);
}

static void expect_refused(const char *assignment, int result, const char *wanted)
{
    char *before = printed(print_current), *after;
    int got = set(assignment);

    after = printed(print_current);
    cr_expect_eq(got, result, "%d for: %s", got, assignment);
    cr_expect(strstr(error, wanted), "%s: %s", assignment, error);
    cr_expect_str_eq(before, after, "%s changed something", assignment);
    free(before);
    free(after);
}

Test(params, defaults)
{
    cr_expect_str_eq(params.instance, "default");
    cr_expect(params.network_enabled);
    cr_expect_str_eq(params.queue_name, "/netnsync");
    cr_expect_eq(params.queue_depth, 10);
    cr_expect_eq(params.queue_msgsize, 8192);
    cr_expect_str_eq(params.control_path, "/run/netnsync/control.sock");
    cr_expect_eq(params.control_timeout_ms, 5000);
    cr_expect_eq(params.cache_capacity, 65536);
    cr_expect_eq(params.lonely_timeout_ms, 30000);
    cr_expect(params.discover_enabled);
    cr_expect_eq(params.exclude_devices.count, 0);
    cr_expect_eq(params.attach_mode, NNS_ATTACH_AUTO);
    cr_expect_eq(params.attach_priority, 10);
    cr_expect_str_eq(params.program_object, "");
    cr_expect_eq(params.meter_memory, 64u << 20);
    cr_expect(!params.keep_attached);
    cr_expect_eq(params.log_level, NNS_LOG_INFO);
    cr_expect_eq(nns_params_check(&params, error, sizeof(error)), 0);
}

Test(params, every_kind_is_set)
{
    cr_expect_eq(set("network.enabled=false"), 0);
    cr_expect(!params.network_enabled);
    cr_expect_eq(set(" queue.depth\t=  7 "), 0);
    cr_expect_eq(params.queue_depth, 7);
    cr_expect_eq(set("instance=a-B_9"), 0);
    cr_expect_str_eq(params.instance, "a-B_9");
    cr_expect_eq(set("attach.mode=clsact"), 0);
    cr_expect_eq(params.attach_mode, NNS_ATTACH_CLSACT);
    cr_expect_eq(set("log.level=debug"), 0);
    cr_expect_eq(params.log_level, NNS_LOG_DEBUG);
}

Test(params, durations_and_bytes_have_units)
{
    static const struct {
        const char *value;
        uint32_t milliseconds;
    } durations[] = {{"10ms", 10}, {"500ms", 500}, {"30s", 30000}, {"2m", 120000}, {"24h", 86400000}};

    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        char assignment[64];

        snprintf(assignment, sizeof(assignment), "lonely.timeout=%s", durations[i].value);
        cr_expect_eq(set(assignment), 0, "%s", error);
        cr_expect_eq(params.lonely_timeout_ms, durations[i].milliseconds, "%s", assignment);
    }
    cr_expect_eq(set("meter.memory=1048576"), 0);
    cr_expect_eq(params.meter_memory, 1048576);
    cr_expect_eq(set("meter.memory=2048K"), 0);
    cr_expect_eq(params.meter_memory, 2097152);
    cr_expect_eq(set("meter.memory=2G"), 0);
    cr_expect_eq(params.meter_memory, 2147483648);
}

Test(params, lists_are_trimmed_and_replaced)
{
    cr_expect_eq(set("exclude.devices= veth* ,lo,eth[0-9]"), 0);
    cr_assert_eq(params.exclude_devices.count, 3);
    cr_expect_str_eq(params.exclude_devices.items[0], "veth*");
    cr_expect_str_eq(params.exclude_devices.items[1], "lo");
    cr_expect_str_eq(params.exclude_devices.items[2], "eth[0-9]");
    cr_expect_eq(set("exclude.devices=one"), 0);
    cr_expect_eq(params.exclude_devices.count, 1);
    cr_expect_eq(set("exclude.devices="), 0);
    cr_expect_eq(params.exclude_devices.count, 0);
    cr_expect_eq(set("exclude.namespaces=4026531840, /run/netns/a b"), 0);
    cr_expect_eq(params.exclude_namespaces.count, 2);
}

Test(params, bad_values_are_refused_and_change_nothing)
{
    cr_assert_eq(set("exclude.devices=kept"), 0);
    expect_refused("queue.depth=0", -EINVAL, "queue.depth cannot be \"0\": it must be 1 to 65536 messages");
    expect_refused("queue.depth=65537", -EINVAL, "1 to 65536");
    expect_refused("queue.depth=18446744073709551617", -EINVAL, "1 to 65536");
    expect_refused("queue.depth=", -EINVAL, "1 to 65536");
    expect_refused("queue.depth=+5", -EINVAL, "1 to 65536");
    expect_refused("queue.depth=-5", -EINVAL, "1 to 65536");
    expect_refused("queue.depth=5x", -EINVAL, "1 to 65536");
    expect_refused("queue.depth=0x10", -EINVAL, "1 to 65536");
    expect_refused("lonely.timeout=30", -EINVAL, "with a unit: ms, s, m or h");
    expect_refused("lonely.timeout=30 s", -EINVAL, "with a unit");
    expect_refused("lonely.timeout=9ms", -EINVAL, "10ms to 24h");
    expect_refused("lonely.timeout=1193047h", -EINVAL, "10ms to 24h"); /* 32 bits would wrap to 00:09:12 */
    expect_refused("meter.memory=64MB", -EINVAL, "1M to 2G");
    expect_refused("meter.memory=17179869184G", -EINVAL, "1M to 2G"); /* 64 bits would wrap to 0 */
    expect_refused("network.enabled=yes", -EINVAL, "true or false");
    expect_refused("instance=", -EINVAL, "1 to 32");
    expect_refused("instance=a b", -EINVAL, "1 to 32");
    expect_refused("instance=123456789012345678901234567890123", -EINVAL, "1 to 32");
    expect_refused("queue.name=netnsync", -EINVAL, "'/'");
    expect_refused("queue.name=/a/b", -EINVAL, "'/'");
    expect_refused("queue.name=/", -EINVAL, "'/'");
    expect_refused("control.path=relative", -EINVAL, "absolute");
    expect_refused("attach.mode=tcx", -EINVAL, "tcx is not available in this version");
    expect_refused("attach.mode=xdp", -EINVAL, "it must be auto or clsact");
    expect_refused("attach.priority=65521", -EINVAL, "1 to 65520");
    expect_refused("exclude.devices=a,,b", -EINVAL, "exclude.devices cannot hold \"\"");
    expect_refused("exclude.devices=a,", -EINVAL, "cannot hold \"\"");
    expect_refused("exclude.devices=a,b/c,d", -EINVAL, "cannot hold \"b/c\"");
    expect_refused("exclude.namespaces=0", -EINVAL, "cannot hold \"0\"");
    expect_refused("exclude.namespaces=1,4294967296", -EINVAL, "cannot hold \"4294967296\"");
    expect_refused("exclude.namespaces=12x", -EINVAL, "absolute paths");
    expect_refused("program.ingress=a.b", -EINVAL, "letters");
    expect_refused("program.object=/a #b", -EINVAL, "comment");
    expect_refused("program.object=/a\nb", -EINVAL, "control characters");
    expect_refused("queue.dept=1", -ENOENT, "there is no parameter \"queue.dept\"");
    expect_refused("=1", -ENOENT, "there is no parameter \"\"");
    expect_refused("queue.depth", -EINVAL, "NAME=VALUE");
    expect_refused("", -EINVAL, "NAME=VALUE");
}

Test(params, a_long_bad_value_does_not_push_the_rule_out)
{
    char assignment[4200] = "instance=";

    memset(assignment + strlen(assignment), 'x', 4096);
    expect_refused(assignment, -EINVAL, "it must be 1 to 32");
}

Test(params, a_file_is_read)
{
    expect_load("# a comment\n\n   \nqueue.depth = 3 # and another\r\n\texclude.devices=a,b\nlog.level=error",
                0, "");
    cr_expect_eq(params.queue_depth, 3);
    cr_expect_eq(params.exclude_devices.count, 2);
    cr_expect_eq(params.log_level, NNS_LOG_ERROR);
    expect_load("program.object = /x#y\n", 0, "");
    cr_expect_str_eq(params.program_object, "/x#y");
    expect_load("", 0, "");
}

Test(params, every_bad_line_is_reported)
{
    expect_load("queue.depth = 0\n"
                "# fine\n"
                "junk\n"
                "nonsense = 1\n"
                "queue.msgsize = 100\n"
                "[section]\n"
                "keep_attached = perhaps\n",
                -EINVAL,
                FILE_PATH
                ":1: queue.depth cannot be \"0\": it must be 1 to 65536 messages\n" FILE_PATH
                ":3: NAME=VALUE is wanted, but there is no '='\n" FILE_PATH
                ":4: there is no parameter \"nonsense\"\n" FILE_PATH
                ":6: there are no sections here: write the whole name, as in queue.depth = 10\n" FILE_PATH
                ":7: keep_attached cannot be \"perhaps\": it must be true or false\n");
    cr_expect_eq(params.queue_msgsize, 100);
}

Test(params, long_lines_are_one_line)
{
    static char text[300000];
    char *at = text + sprintf(text, "exclude.namespaces = ");

    for (int i = 0; i < 10000; i++)
        at += sprintf(at, "%s/run/netns/name-%d", i ? ", " : "", i);
    strcpy(at, "\nqueue.depth = 77777\n");
    expect_load(text, -EINVAL,
                FILE_PATH ":2: queue.depth cannot be \"77777\": it must be 1 to 65536 messages\n");
    cr_assert_eq(params.exclude_namespaces.count, 10000);
    cr_expect_str_eq(params.exclude_namespaces.items[9999], "/run/netns/name-9999");
}

Test(params, a_nul_in_a_file_is_refused)
{
    static const char bytes[] = "queue.depth = 5\0 # hidden\nqueue.depth = 6\n";
    char *errors;

    cr_expect_eq(load(bytes, sizeof(bytes) - 1, &errors), -EINVAL);
    cr_expect_str_eq(errors, FILE_PATH ":1: a line cannot hold NUL characters\n");
    cr_expect_eq(params.queue_depth, 6);
    free(errors);
}

static int load_at(const char *path, char **errors)
{
    size_t size = 0;
    FILE *out = open_memstream(errors, &size);
    int result = nns_params_load(&params, path, out);

    fclose(out);
    return result;
}

Test(params, unreadable_files_are_reported)
{
    char *errors;

    cr_expect_eq(load_at("/nonexistent/x", &errors), -ENOENT);
    cr_expect_str_eq(errors, "/nonexistent/x: cannot be opened: No such file or directory\n");
    free(errors);
    cr_expect_eq(load_at("/", &errors), -EISDIR);
    cr_expect_str_eq(errors, "/: cannot be read: Is a directory\n");
    free(errors);
}

Test(params, a_dump_reads_back)
{
    static const char *const changes[] = {
        "instance=other",          "network.enabled=false",     "queue.name=/a b",
        "queue.depth=1",           "lonely.timeout=90061ms",    "control.timeout=90s",
        "exclude.devices=a,b*,c?", "exclude.namespaces=1,/x y", "attach.mode=clsact",
        "program.object=/a#b",     "program.ingress=in",        "program.egress=out",
        "meter.memory=1048577",    "keep_attached=true",        "log.level=warning",
    };
    char *dumped, *again;

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        cr_assert_eq(set(changes[i]), 0, "%s", error);
    dumped = printed(print_current);
    nns_params_deinit(&params);
    cr_assert_eq(nns_params_init(&params), 0);
    expect_load(dumped, 0, "");
    again = printed(print_current);
    cr_expect_str_eq(dumped, again);
    cr_expect(strstr(again, "lonely.timeout = 90061ms\n"));
    cr_expect(strstr(again, "control.timeout = 90s\n"));
    cr_expect(strstr(again, "meter.memory = 1048577\n"));
    free(dumped);
    free(again);
}

Test(params, the_description_is_a_file_of_defaults)
{
    char *defaults = printed(print_current), *described = printed(nns_params_describe), *loaded;

    cr_assert_eq(set("queue.depth=9"), 0);
    cr_assert_eq(set("exclude.devices=x"), 0);
    expect_load(described, 0, "");
    loaded = printed(print_current);
    cr_expect_str_eq(defaults, loaded);
    free(defaults);
    free(described);
    free(loaded);
}

Test(params, programs_come_together)
{
    cr_assert_eq(set("program.ingress=in"), 0);
    cr_expect_eq(nns_params_check(&params, error, sizeof(error)), -EINVAL);
    cr_expect(strstr(error, "program.ingress needs program.object"), "%s", error);
    cr_assert_eq(set("program.object=/x"), 0);
    cr_expect_eq(nns_params_check(&params, error, sizeof(error)), -EINVAL);
    cr_expect(strstr(error, "program.egress is not set"), "%s", error);
    cr_assert_eq(set("program.egress=out"), 0);
    cr_expect_eq(nns_params_check(&params, error, sizeof(error)), 0);
    cr_assert_eq(set("program.ingress="), 0);
    cr_expect_eq(nns_params_check(&params, error, sizeof(error)), -EINVAL);
}

/* ---- the manual ---- */

/* A troff text as plain words: no escapes, one space between words. To be freed. */
static char *plain_manual(void)
{
    char path[4096], *text, *to;
    const char *from;
    bool space = true;
    size_t length;
    FILE *file;

    snprintf(path, sizeof(path), "%.*s/../../docs/netnsyncd.8", (int)(strrchr(__FILE__, '/') - __FILE__),
             __FILE__);
    file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    text = calloc(1, 1 << 20);
    cr_assert_not_null(text);
    length = fread(text, 1, (1 << 20) - 1, file);
    cr_assert(length > 0);
    fclose(file);
    for (from = to = text; *from; from++) {
        if (*from == '\\') {
            from += from[1] == 'f' ? 2 : 0; /* a font; else an escaped dash, quote or backslash */
            continue;
        }
        if (*from == ' ' || *from == '\n') {
            if (!space)
                *to++ = ' ';
            space = true;
            continue;
        }
        space = false;
        *to++ = *from;
    }
    *to = '\0';
    return text;
}

/* ".B NAME = DEFAULT TEXT .br Allowed: BOUNDS" for each parameter, out of the description. */
Test(params, the_manual_says_the_same)
{
    char *manual = plain_manual(), *described = printed(nns_params_describe), *rest = described, *line;
    char comments[1024] = "", wanted[2048];

    while ((line = strsep(&rest, "\n"))) {
        if (line[0] == '#') {
            strcat(comments, strncmp(line, "# Allowed:", 10) == 0 ? " .br" : "");
            strcat(comments, line + 1);
            continue;
        }
        if (!*line)
            continue;
        line[strlen(line) - (line[strlen(line) - 1] == ' ')] = '\0';
        snprintf(wanted, sizeof(wanted), ".B %s%s ", line, comments);
        cr_expect(strstr(manual, wanted), "docs/netnsyncd.8 lacks: %s", wanted);
        comments[0] = '\0';
    }
    free(manual);
    free(described);
}

/* Each worker is a reader of the cache, and those are numbered. */
Test(params, there_are_no_more_workers_than_readers)
{
    char assignment[64];

    snprintf(assignment, sizeof(assignment), "workers.count=%d", NNS_EPOCH_READERS_MAX);
    cr_expect_eq(set(assignment), 0);
    snprintf(assignment, sizeof(assignment), "workers.count=%d", NNS_EPOCH_READERS_MAX + 1);
    cr_expect_eq(set(assignment), -EINVAL);
    cr_expect_eq(params.workers_count, NNS_EPOCH_READERS_MAX);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/params.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/epoch.h"
#include "core/instance_name.h"
#include "core/log.h"
#include "core/pins.h"
#include "core/protocol.h"
#include "core/queue_name.h"

/*
 * The configuration file is read here and not with a library: libinih, which Debian builds for lines of 200
 * bytes, takes the rest of a longer one (a list of namespaces) for a line of its own, counts lines wrongly
 * from there on, and tells the number of the first bad line only.
 */

enum kind { BOOL, NUMBER, DURATION, BYTES, TEXT, LIST, CHOICE };

struct param {
    const char *name;
    enum kind kind;
    size_t offset; /* into struct nns_params: bool, uint32_t, char * or struct nns_list */
    const char *standard;
    uint32_t least, most;            /* of what is a uint32_t; DURATION in milliseconds */
    const char *unit;                /* of a NUMBER, or NULL */
    const char *const *choices;      /* of a CHOICE, by value, then NULL */
    const char *later;               /* a choice that another version may have, or NULL */
    bool (*valid)(const char *text); /* a TEXT or a LIST's item */
    const char *rule;                /* what valid wants, in words */
    const char *text;
};

/* ---- what texts may be ---- */

static bool holds_only(const char *text, const char *others)
{
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr(others, *text))
            return false;
    return true;
}

static bool valid_socket(const char *text)
{
    struct sockaddr_un address;

    return text[0] == '/' && strlen(text) < sizeof(address.sun_path);
}

static bool valid_file(const char *text)
{
    return strlen(text) < PATH_MAX;
}

static bool valid_bpffs(const char *text)
{
    return !*text || (text[0] == '/' && strlen(text) <= NNS_BPFFS_PATH_MAX);
}

static bool valid_program(const char *text)
{
    return strlen(text) < 128 && holds_only(text, "_");
}

static bool valid_glob(const char *text)
{
    for (; *text; text++)
        if (*text == '/' || isspace((unsigned char)*text))
            return false;
    return true;
}

static bool valid_namespace(const char *text)
{
    uint64_t inum = 0;

    if (text[0] == '/')
        return true;
    for (; isdigit((unsigned char)*text) && inum <= UINT32_MAX; text++)
        inum = inum * 10 + (uint64_t)(*text - '0');
    return *text == '\0' && inum > 0 && inum <= UINT32_MAX;
}

/* ---- the table ---- */

static const char *const attach_modes[] = {
    [NNS_ATTACH_AUTO] = "auto", [NNS_ATTACH_CLSACT] = "clsact", [NNS_ATTACH_CLSACT + 1] = NULL};
static const char *const handle_modes[] = {[NNS_HANDLE_MODE_AUTO] = "auto",
                                           [NNS_HANDLE_MODE_MEMBER] = "member",
                                           [NNS_HANDLE_MODE_PINNED] = "pinned",
                                           [NNS_HANDLE_MODE_PINNED + 1] = NULL};
static const char *const log_levels[] = {[NNS_LOG_ERROR] = "error",
                                         [NNS_LOG_WARNING] = "warning",
                                         [NNS_LOG_INFO] = "info",
                                         [NNS_LOG_DEBUG] = "debug",
                                         [NNS_LOG_DEBUG + 1] = NULL};

#define AT(field)                .offset = offsetof(struct nns_params, field)
#define IS_BOOL                  .kind = BOOL
#define IS_NUMBER(low, high, of) .kind = NUMBER, .least = (low), .most = (high), .unit = (of)
#define IS_DURATION(low, high)   .kind = DURATION, .least = (low), .most = (high)
#define IS_BYTES(low, high)      .kind = BYTES, .least = (low), .most = (high)
#define IS_TEXT(checker, words)  .kind = TEXT, .valid = (checker), .rule = (words)
#define IS_LIST(checker, words)  .kind = LIST, .valid = (checker), .rule = (words)
#define IS_CHOICE(names)         .kind = CHOICE, .choices = (names)

enum { SECOND = 1000, HOUR = 3600 * SECOND, MEBI = 1 << 20 };

static const struct param table[] = {
    {"instance", AT(instance), IS_TEXT(nns_instance_valid, NNS_INSTANCE_RULE),
     .standard = NNS_INSTANCE_DEFAULT,
     .text = "this daemon's name, part of its filters' names: two daemons on a host need two names"},
    {"network.enabled", AT(network_enabled), IS_BOOL, .standard = "true",
     .text = "false: look at nothing, and answer every request with \"disabled\""},
    {"queue.name", AT(queue_name), IS_TEXT(nns_queue_name_valid, NNS_QUEUE_NAME_RULE),
     .standard = NNS_QUEUE_NAME_DEFAULT,
     .text = "the POSIX message queue on which pids arrive; made if absent, and never removed"},
    {"queue.depth", AT(queue_depth), IS_NUMBER(1, 65536, "messages"), .standard = "10",
     .text =
         "how many messages the queue holds, when it is made; above fs.mqueue.msg_max the kernel refuses"},
    {"queue.msgsize", AT(queue_msgsize), IS_NUMBER(16, 16 * MEBI, "bytes"), .standard = "8192",
     .text = "the longest message, when the queue is made; above fs.mqueue.msgsize_max the kernel refuses"},
    {"control.path", AT(control_path), IS_TEXT(valid_socket, "an absolute path of at most 107 bytes"),
     .standard = NNS_CONTROL_PATH_DEFAULT, .text = "the socket on which netnsync(1) asks"},
    {"control.clients", AT(control_clients), IS_NUMBER(1, 4096, "connections"), .standard = "64",
     .text = "how many clients may be connected at a time; more are refused"},
    {"control.timeout", AT(control_timeout_ms), IS_DURATION(10, HOUR), .standard = "5s",
     .text = "how long a client may stall in the middle of a request or an answer"},
    {"workers.count", AT(workers_count), IS_NUMBER(0, NNS_EPOCH_READERS_MAX, "threads"), .standard = "0",
     .text = "threads that resolve pids and open namespaces; 0: one a CPU, at most 4"},
    {"workers.queue", AT(workers_queue), IS_NUMBER(1, 65536, "batches"), .standard = "64",
     .text = "batches of pids that may wait for a thread; when it is full, the queue is not read"},
    {"cache.capacity", AT(cache_capacity), IS_NUMBER(1, 4 * MEBI, "namespaces"), .standard = "65536",
     .text =
         "how many namespaces are kept; beyond it one that is named evicts another, and one that is found "
         "is left uncovered"},
    {"handle.mode", AT(handle_mode), IS_CHOICE(handle_modes), .standard = "auto",
     .text = "how the daemon gets into a namespace again. member: by a process in it or a mount of it; "
             "pinned: by holding each open, which keeps it alive; auto: by its identity alone, else as "
             "member, else as pinned"},
    {"lonely.timeout", AT(lonely_timeout_ms), IS_DURATION(10, 24 * HOUR), .standard = "30s",
     .text = "how long a namespace is kept that no process and no mount holds, where the kernel does not "
             "tell which are dead"},
    {"audit.interval", AT(audit_interval_ms), IS_DURATION(10, 24 * HOUR), .standard = "60s",
     .text = "how often every namespace is checked for what no event told, in four parts"},
    {"events.nsid_max", AT(events_nsid_max), IS_NUMBER(0, 8192, "namespaces"), .standard = "1000",
     .text = "of how many namespaces rtnetlink tells where no tracepoint does; each slows every change of a "
             "device on the host a little; 0: of none"},
    {"events.interval", AT(events_interval_ms), IS_DURATION(10, 24 * HOUR), .standard = "5s",
     .text = "how often the devices are listed of namespaces that neither tells of; at most one namespace a "
             "millisecond"},
    {"devices.queue", AT(devices_queue), IS_NUMBER(1, MEBI, "devices"), .standard = "4096",
     .text = "devices of a namespace that may wait for attachment; beyond it they are listed anew"},
    {"discover.enabled", AT(discover_enabled), IS_BOOL, .standard = "true",
     .text = "find namespaces without being told, by what tasks and mounts do; false: only what the queue or "
             "a client names is looked at"},
    {"exclude.devices", AT(exclude_devices), IS_LIST(valid_glob, "globs without '/' and white space"),
     .standard = "", .text = "globs over the names of devices to leave alone"},
    {"exclude.namespaces", AT(exclude_namespaces),
     IS_LIST(valid_namespace, "numbers from 1 to 4294967295 or absolute paths"), .standard = "",
     .text = "inode numbers or paths of namespaces to leave alone; a number means the first namespace met "
             "under it, a path whatever it leads to"},
    {"attach.mode", AT(attach_mode), IS_CHOICE(attach_modes), .later = "tcx", .standard = "auto",
     .text = "how programs are attached; auto: the best way this host has"},
    {"attach.priority", AT(attach_priority), IS_NUMBER(1, 65520, NULL), .standard = "10",
     .text = "the filter priority tried first; where another's filter holds it, the 15 after it are tried"},
    {"program.object", AT(program_object), IS_TEXT(valid_file, "a path of at most 4095 bytes, or nothing"),
     .standard = "", .text = "a BPF object file with the programs to attach; empty: the built-in meter"},
    {"program.ingress", AT(program_ingress), IS_TEXT(valid_program, "at most 127 letters, digits and '_'"),
     .standard = "", .text = "the program in program.object for packets that a device receives"},
    {"program.egress", AT(program_egress), IS_TEXT(valid_program, "at most 127 letters, digits and '_'"),
     .standard = "", .text = "the program in program.object for packets that a device sends"},
    {"meter.memory", AT(meter_memory), IS_BYTES(MEBI, 2048u * MEBI), .standard = "64M",
     .text =
         "what the built-in meter's counts may take over all CPUs; devices beyond it are counted together"},
    {"bpffs.path", AT(bpffs_path), IS_TEXT(valid_bpffs, "an absolute path of at most 1023 bytes, or nothing"),
     .standard = NNS_BPFFS_DEFAULT,
     .text = "a directory on a mounted bpffs, where the built-in meter's counts outlive a daemon that is "
             "killed or "
             "leaves its filters; made if its parent is there; empty: they never do"},
    {"keep_attached", AT(keep_attached), IS_BOOL, .standard = "false",
     .text = "leave the filters in place at exit"},
    {"log.level", AT(log_level), IS_CHOICE(log_levels), .standard = "info",
     .text = "the least grave messages to log"},
};

enum { COUNT = sizeof(table) / sizeof(table[0]) };

static const struct param *find(const char *name, size_t length)
{
    for (int i = 0; i < COUNT; i++)
        if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0)
            return &table[i];
    return NULL;
}

static void *field(struct nns_params *params, const struct param *param)
{
    return (char *)params + param->offset;
}

static const void *field_const(const struct nns_params *params, const struct param *param)
{
    return (const char *)params + param->offset;
}

/* ---- numbers and their units ---- */

/* The longest unit first, so that a value is printed with the longest that divides it. */
static const struct unit {
    const char *name;
    uint32_t size;
} durations[] = {{"h", HOUR}, {"m", 60 * SECOND}, {"s", SECOND}, {"ms", 1}, {NULL, 0}},
  sizes[] = {{"G", 1u << 30}, {"M", MEBI}, {"K", 1024}, {"", 1}, {NULL, 0}}, plain[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum kind kind)
{
    return kind == DURATION ? durations : kind == BYTES ? sizes : plain;
}

/* Digits and a unit's name, nothing else. Saturates: what is too large is out of bounds, not malformed. */
static bool parse_number(const char *value, const struct unit *units, uint64_t *number)
{
    uint64_t count = 0;

    if (!isdigit((unsigned char)*value))
        return false;
    for (; isdigit((unsigned char)*value); value++)
        if (count <= UINT32_MAX)
            count = count * 10 + (uint64_t)(*value - '0');
    if (count > UINT32_MAX)
        count = (uint64_t)UINT32_MAX + 1; /* still fits when multiplied by a unit */
    for (; units->name; units++) {
        if (strcmp(value, units->name) == 0) {
            *number = count * units->size;
            return true;
        }
    }
    return false;
}

static void print_number(char *to, size_t size, uint32_t value, const struct unit *units)
{
    while (units->size > 1 && (value == 0 || value % units->size))
        units++;
    snprintf(to, size, "%u%s", value / units->size, units->name);
}

/* "1 to 65536 messages", "true or false", …: what a parameter may be. */
static void print_allowed(const struct param *param, char *to, size_t size)
{
    char least[16], most[16];
    size_t used = 0;

    print_number(least, sizeof(least), param->least, units_of(param->kind));
    print_number(most, sizeof(most), param->most, units_of(param->kind));
    switch (param->kind) {
    case BOOL:
        snprintf(to, size, "true or false");
        break;
    case NUMBER:
        snprintf(to, size, "%s to %s%s%s", least, most, param->unit ? " " : "",
                 param->unit ? param->unit : "");
        break;
    case DURATION:
        snprintf(to, size, "%s to %s, with a unit: ms, s, m or h", least, most);
        break;
    case BYTES:
        snprintf(to, size, "%s to %s bytes, with K, M or G", least, most);
        break;
    case CHOICE:
        for (const char *const *choice = param->choices; *choice && used < size; choice++)
            used += (size_t)snprintf(to + used, size - used, "%s%s",
                                     choice == param->choices ? ""
                                     : choice[1]              ? ", "
                                                              : " or ",
                                     *choice);
        break;
    case LIST:
        snprintf(to, size, "%s, separated by commas", param->rule);
        break;
    case TEXT:
        snprintf(to, size, "%s", param->rule);
        break;
    }
}

/* ---- setting ---- */

enum { ALLOWED_ROOM = 160 };

/* What of a value is wrong: all of it, or one item of a list. */
struct piece {
    const char *text;
    size_t length;
};

static int refuse(const struct param *param, const struct piece *wrong, char *error, size_t size)
{
    enum { SHOWN = 100 };
    bool later = param->later && strcmp(wrong->text, param->later) == 0, cut = wrong->length > SHOWN;
    char allowed[ALLOWED_ROOM];

    print_allowed(param, allowed, sizeof(allowed));
    snprintf(error, size, "%s cannot %s \"%.*s%s\": %s%sit must be %s", param->name,
             param->kind == LIST ? "hold" : "be", cut ? SHOWN : (int)wrong->length, wrong->text,
             cut ? "..." : "", later ? param->later : "", later ? " is not available in this version; " : "",
             allowed);
    return -EINVAL;
}

static int no_memory(char *error, size_t size)
{
    snprintf(error, size, "%s", strerror(ENOMEM));
    return -ENOMEM;
}

/* The text without the white space around it, as start and length. */
static size_t trim(const char **text, size_t length)
{
    while (length && isspace((unsigned char)**text)) {
        (*text)++;
        length--;
    }
    while (length && isspace((unsigned char)(*text)[length - 1]))
        length--;
    return length;
}

static void list_deinit(struct nns_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct nns_list){NULL, 0};
}

static int list_add(struct nns_list *list, const char *item, size_t length)
{
    char **items = reallocarray(list->items, list->count + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    list->items = items;
    items[list->count] = strndup(item, length);
    if (!items[list->count])
        return -ENOMEM;
    list->count++;
    return 0;
}

/* 0; -EINVAL when an item is not valid, which *wrong then is; -ENOMEM. The list may hold the items before it.
 */
static int list_parse(struct nns_list *list, const char *value, bool (*valid)(const char *item),
                      struct piece *wrong)
{
    for (const char *item = value; *value; item = value + 1) {
        struct piece piece;

        value = strchrnul(item, ',');
        piece.length = trim(&item, (size_t)(value - item));
        piece.text = item;
        if (piece.length && list_add(list, piece.text, piece.length) < 0)
            return -ENOMEM;
        if (!piece.length || !valid(list->items[list->count - 1])) {
            *wrong = piece;
            return -EINVAL;
        }
    }
    return 0;
}

static int set_list(struct nns_list *list, const struct param *param, const char *value, struct piece *wrong)
{
    struct nns_list fresh = {NULL, 0};
    int result = list_parse(&fresh, value, param->valid, wrong);

    if (result < 0) {
        list_deinit(&fresh);
        return result;
    }
    list_deinit(list);
    *list = fresh;
    return 0;
}

static int set_text(char **text, const struct param *param, const char *value)
{
    char *copy;

    if (!param->valid(value))
        return -EINVAL;
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static int set_number(uint32_t *number, const struct param *param, const char *value)
{
    uint64_t parsed;

    if (!parse_number(value, units_of(param->kind), &parsed) || parsed < param->least || parsed > param->most)
        return -EINVAL;
    *number = (uint32_t)parsed;
    return 0;
}

static int set_choice(uint32_t *number, const struct param *param, const char *value)
{
    for (uint32_t i = 0; param->choices[i]; i++) {
        if (strcmp(value, param->choices[i]) == 0) {
            *number = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_bool(bool *flag, const char *value)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return -EINVAL;
    *flag = value[0] == 't';
    return 0;
}

/* 0; -EINVAL, with *wrong in value; -ENOMEM. */
static int set_field(struct nns_params *params, const struct param *param, const char *value,
                     struct piece *wrong)
{
    *wrong = (struct piece){value, strlen(value)};
    switch (param->kind) {
    case BOOL:
        return set_bool(field(params, param), value);
    case TEXT:
        return set_text(field(params, param), param, value);
    case LIST:
        return set_list(field(params, param), param, value, wrong);
    case CHOICE:
        return set_choice(field(params, param), param, value);
    default:
        return set_number(field(params, param), param, value);
    }
}

/* A comment starts with a '#' at the start or after white space, so that a '#' inside a value is none.
 * Returns where, or the text's end. */
static const char *find_comment(const char *text)
{
    const char *at = text;

    while (*at && !(*at == '#' && (at == text || isspace((unsigned char)at[-1]))))
        at++;
    return at;
}

static bool has_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)text[i]))
            return true;
    return false;
}

static int set_value(struct nns_params *params, const struct param *param, const char *value, char *error,
                     size_t size)
{
    struct piece wrong;
    int result;

    /* Else a value could be set that no file can hold, and nns_params_dump would lie. */
    if (*find_comment(value)) {
        snprintf(error, size,
                 "%s cannot be \"%.100s\": a '#' at the start or after white space starts a comment",
                 param->name, value);
        return -EINVAL;
    }
    result = set_field(params, param, value, &wrong);
    if (result == -ENOMEM)
        return no_memory(error, size);
    return result < 0 ? refuse(param, &wrong, error, size) : 0;
}

int nns_params_set(struct nns_params *params, const char *assignment, char *error, size_t size)
{
    const char *name = assignment, *equals = strchrnul(assignment, '='), *value = equals + 1;
    const struct param *param;
    size_t length, value_length;
    char *copy;
    int result;

    if (!*equals) {
        snprintf(error, size, "NAME=VALUE is wanted, but there is no '='");
        return -EINVAL;
    }
    length = trim(&name, (size_t)(equals - name));
    value_length = trim(&value, strlen(value));
    if (has_control(name, length) || has_control(value, value_length)) {
        snprintf(error, size, "neither a name nor a value can hold control characters");
        return -EINVAL;
    }
    param = find(name, length);
    if (!param) {
        snprintf(error, size, "there is no parameter \"%.*s\"", (int)(length < 64 ? length : 64), name);
        return -ENOENT;
    }
    copy = strndup(value, value_length);
    if (!copy)
        return no_memory(error, size);
    result = set_value(params, param, copy, error, size);
    free(copy);
    return result;
}

int nns_params_init(struct nns_params *params)
{
    memset(params, 0, sizeof(*params));
    for (int i = 0; i < COUNT; i++) {
        struct piece wrong;
        int result = set_field(params, &table[i], table[i].standard, &wrong);

        if (result < 0) {
            nns_params_deinit(params);
            return result;
        }
    }
    return 0;
}

void nns_params_deinit(struct nns_params *params)
{
    for (int i = 0; i < COUNT; i++) {
        if (table[i].kind == TEXT)
            free(*(char **)field(params, &table[i]));
        else if (table[i].kind == LIST)
            list_deinit(field(params, &table[i]));
    }
    memset(params, 0, sizeof(*params));
}

int nns_params_check(const struct nns_params *params, char *error, size_t size)
{
    bool object = params->program_object[0], ingress = params->program_ingress[0],
         egress = params->program_egress[0];

    if (object && (!ingress || !egress)) {
        snprintf(error, size, "program.object needs program.ingress and program.egress: %s is not set",
                 ingress ? "program.egress" : "program.ingress");
        return -EINVAL;
    }
    if (!object && (ingress || egress)) {
        snprintf(error, size, "%s needs program.object, the file it is in",
                 ingress ? "program.ingress" : "program.egress");
        return -EINVAL;
    }
    return 0;
}

/* ---- files ---- */

/* One line of a file, its end included. 0 or -errno with a sentence. */
static int load_line(struct nns_params *params, char *line, size_t length, char *error, size_t size)
{
    const char *start = line;

    if (strlen(line) != length) {
        snprintf(error, size, "a line cannot hold NUL characters");
        return -EINVAL;
    }
    *(char *)find_comment(line) = '\0';
    if (trim(&start, strlen(line)) == 0)
        return 0;
    if (start[0] == '[') {
        snprintf(error, size, "there are no sections here: write the whole name, as in queue.depth = 10");
        return -EINVAL;
    }
    return nns_params_set(params, start, error, size);
}

static int load_lines(struct nns_params *params, const char *path, FILE *file, FILE *errors)
{
    char *line = NULL, error[512];
    size_t room = 0;
    ssize_t length;
    int result = 0;

    for (unsigned number = 1; errno = 0, (length = getline(&line, &room, file)) >= 0; number++) {
        int bad = load_line(params, line, (size_t)length, error, sizeof(error));

        if (bad) {
            fprintf(errors, "%s:%u: %s\n", path, number, error);
            result = result == -ENOMEM || bad == -ENOMEM ? -ENOMEM : -EINVAL;
        }
    }
    /* A directory opens like a file, and fails here only. */
    if (!feof(file)) {
        result = errno ? -errno : -EIO;
        fprintf(errors, "%s: cannot be read: %s\n", path, strerror(-result));
    }
    free(line);
    return result;
}

int nns_params_load(struct nns_params *params, const char *path, FILE *errors)
{
    FILE *file = fopen(path, "re");
    int result;

    if (!file) {
        result = -errno;
        fprintf(errors, "%s: cannot be opened: %s\n", path, strerror(-result));
        return result;
    }
    result = load_lines(params, path, file, errors);
    fclose(file);
    return result;
}

/*
 * Words of a text as comment lines, after a label. Short enough for a terminal: argp breaks longer ones, and
 * --help would no longer print what a file may hold.
 */
static void print_comment(FILE *out, const char *label, const char *text)
{
    enum { WIDTH = 75 };
    size_t column = (size_t)fprintf(out, "# %s", label) - 2;

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column && column + 1 + length > WIDTH) {
            fputs("\n# ", out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : "", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

void nns_params_describe(FILE *out)
{
    char allowed[ALLOWED_ROOM];

    for (int i = 0; i < COUNT; i++) {
        print_allowed(&table[i], allowed, sizeof(allowed));
        print_comment(out, "", table[i].text);
        print_comment(out, "Allowed:", allowed);
        fprintf(out, "%s = %s\n%s", table[i].name, table[i].standard, i + 1 < COUNT ? "\n" : "");
    }
}

static void dump_value(const struct param *param, const void *value, FILE *out)
{
    const struct nns_list *list = value;
    char number[16];

    switch (param->kind) {
    case BOOL:
        fputs(*(const bool *)value ? "true" : "false", out);
        break;
    case TEXT:
        fputs(*(char *const *)value, out);
        break;
    case LIST:
        for (size_t i = 0; i < list->count; i++)
            fprintf(out, "%s%s", i ? ", " : "", list->items[i]);
        break;
    case CHOICE:
        fputs(param->choices[*(const uint32_t *)value], out);
        break;
    default:
        print_number(number, sizeof(number), *(const uint32_t *)value, units_of(param->kind));
        fputs(number, out);
    }
}

void nns_params_dump(const struct nns_params *params, FILE *out)
{
    for (int i = 0; i < COUNT; i++) {
        fprintf(out, "%s = ", table[i].name);
        dump_value(&table[i], field_const(params, &table[i]), out);
        fputc('\n', out);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/pid_message.h"
#include "core/protocol.h"
#include "pairs.h"
#include "private_host.h"
#include "report.h"

#define CONTROL_PATH  "/run/netnsync-%s.sock"
#define QUEUE_NAME    "/netnsync-%s"
#define LOG_PATH      "/run/netnsyncd-%s.log"
#define PLACE_MAX     64u /* of any of these */
#define ARGUMENTS_MAX 40u
#define EXCLUDE       "exclude.namespaces="
#define EXCLUDE_MAX   128u
#define START_SECONDS 30u
#define WAIT_SECONDS  30u
#define STUCK_SECONDS 60u

/* Microseconds between two looks at a counter. */
#define NAP_LEAST 100u
#define NAP_MOST  500u

/* At rest is who used so little of a CPU for so long. It may never be quite idle: what others on the machine
 * do is told to it, too. */
#define REST_US    150000
#define REST_SHARE 100u

/* The daemon that is run; empty: the one beside the bench. */
static char chosen[PATH_MAX];
static bool vouched_for;

static void nap(long microseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL);
}

static void show_log(const struct bench_daemon *daemon)
{
    char path[PLACE_MAX], line[512];
    FILE *log;

    snprintf(path, sizeof(path), LOG_PATH, daemon->name);
    log = fopen(path, "r");
    if (!log)
        return;
    while (fgets(line, sizeof(line), log))
        fprintf(stderr, "netnsyncd: %s", line);
    fclose(log);
}

/* As pid 1 we are spared signals that have no handler, and sending to a full queue waits for ever. */
static void on_alarm(int signal)
{
    static const char text[] = "netnsync-bench: netnsyncd did not answer for a minute\n";

    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(2);
    _exit(1);
}

static void watch_for_stuck(void)
{
    alarm(STUCK_SECONDS);
}

/* ---- starting and stopping ---- */

void bench_daemon_choose(const char *path)
{
    snprintf(chosen, sizeof(chosen), "%s", path);
}

void bench_daemon_vouch(void)
{
    vouched_for = true;
}

static int daemon_path(char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (length < 0)
        return -errno;
    self[length] = '\0';
    if (chosen[0])
        memcpy(path, chosen, PATH_MAX);
    else if (snprintf(path, PATH_MAX, "%s/netnsyncd", dirname(self)) >= PATH_MAX)
        return -ENAMETOOLONG;
    return access(path, X_OK) ? -errno : 0;
}

static _Noreturn void become_daemon(const char *log_path, char *const arguments[])
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (log >= 0 && dup2(log, STDERR_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0)
        execv(arguments[0], arguments);
    _exit(127);
}

/* Whether it looks for namespaces: it does unless it is told not to. */
static bool discovers(const char *const settings[])
{
    while (*settings && strcmp(*settings, "discover.enabled=false") != 0)
        settings++;
    return !*settings;
}

/*
 * Tracepoints tell of all the machine's namespaces, and where they can be opened by their identity a pid
 * namespace keeps nobody from doing so: only the daemon itself, which opens those of tasks in its own.
 * Another build may not, and attach to the machine's real devices.
 */
static int check_confined(void)
{
    if (!chosen[0] || vouched_for || !bench_outside_opens())
        return 0;
    return bench_error(
        -EPERM,
        "%s would look for namespaces, and those outside of the private host can be opened here: "
        "refusing to run, save with --confined",
        chosen);
}

/* What is excluded by these settings, and where the bench was started: once more than needed. */
static void exclude_outside(char exclude[EXCLUDE_MAX], const char *const settings[])
{
    const char *theirs = "";

    for (; *settings; settings++)
        if (strncmp(*settings, EXCLUDE, strlen(EXCLUDE)) == 0)
            theirs = *settings + strlen(EXCLUDE);
    snprintf(exclude, EXCLUDE_MAX, EXCLUDE "%s%s%" PRIu32, theirs, *theirs ? "," : "", bench_outside());
}

/* What the settings of a daemon's own places are, and where its log is. */
struct places {
    char instance[PLACE_MAX], queue[PLACE_MAX], control[PLACE_MAX], log[PLACE_MAX];
    char exclude[EXCLUDE_MAX]; /* empty: no such setting */
};

static void write_places(struct places *places, const char *name)
{
    snprintf(places->instance, PLACE_MAX, "instance=%s", name);
    snprintf(places->queue, PLACE_MAX, "queue.name=" QUEUE_NAME, name);
    snprintf(places->control, PLACE_MAX, "control.path=" CONTROL_PATH, name);
    snprintf(places->log, PLACE_MAX, LOG_PATH, name);
}

/* Those of every daemon first, so that a scenario's own win; last what no scenario may undo. */
static void write_arguments(char *arguments[ARGUMENTS_MAX], char *path, const struct places *places,
                            const char *const settings[])
{
    const char *const always[] = {places->instance, places->queue, places->control, "log.level=warning",
                                  NULL};
    const char *const last[] = {places->exclude[0] ? places->exclude : NULL, NULL};
    const char *const *const lists[] = {always, settings, last};
    size_t count = 0;

    arguments[count++] = path;
    for (size_t list = 0; list < 3; list++)
        for (const char *const *setting = lists[list]; *setting && count + 2 < ARGUMENTS_MAX; setting++) {
            arguments[count++] = "--set";
            arguments[count++] = (char *)*setting;
        }
    arguments[count] = NULL;
}

static int connect_control(struct bench_daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof(address.sun_path), CONTROL_PATH, daemon->name);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        int error = -errno;

        close(fd);
        return error;
    }
    daemon->control = fdopen(fd, "r");
    if (daemon->control)
        return 0;
    close(fd);
    return -ENOMEM;
}

void bench_daemon_hang_up(struct bench_daemon *daemon)
{
    if (daemon->control)
        fclose(daemon->control);
    daemon->control = NULL;
}

static int await_control(struct bench_daemon *daemon)
{
    uint64_t deadline = bench_now() + START_SECONDS * UINT64_C(1000000000);
    int result, status;

    while ((result = connect_control(daemon)) == -ENOENT || result == -ECONNREFUSED) {
        if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
            daemon->pid = 0;
            return -ECHILD;
        }
        if (bench_now() > deadline)
            return -ETIMEDOUT;
        nap(1000);
    }
    return result;
}

/* By vfork: copying the page tables of a bench that holds thousands of namespaces is no part of a start. */
int bench_daemon_launch(struct bench_daemon *daemon, const char *const settings[])
{
    char path[PATH_MAX], *arguments[ARGUMENTS_MAX];
    struct places places = {.exclude = ""};
    int result = daemon_path(path);
    pid_t pid;

    *daemon = BENCH_DAEMON_NAMED(daemon->name);
    if (result)
        return bench_error(result, "%s", chosen[0] ? chosen : "netnsyncd is not beside netnsync-bench");
    if (discovers(settings)) {
        result = check_confined();
        if (result)
            return result;
        exclude_outside(places.exclude, settings);
    }
    write_places(&places, daemon->name);
    write_arguments(arguments, path, &places, settings);
    daemon->busy_since = bench_now();
    pid = vfork();
    if (pid == 0)
        become_daemon(places.log, arguments);
    if (pid < 0)
        return bench_error(-errno, "vfork");
    daemon->pid = pid;
    return 0;
}

int bench_daemon_greet(struct bench_daemon *daemon)
{
    char queue[PLACE_MAX];
    uint64_t unused;
    int result;

    signal(SIGALRM, on_alarm);
    watch_for_stuck();
    result = await_control(daemon);
    snprintf(queue, sizeof(queue), QUEUE_NAME, daemon->name);
    if (result == 0)
        result = nns_queue_open_sender(queue, &daemon->queue);
    if (result) {
        show_log(daemon);
        return bench_error(result, "starting %s", chosen[0] ? chosen : "netnsyncd");
    }
    return bench_daemon_counter(daemon, "feed.messages", &unused);
}

int bench_daemon_start_with(struct bench_daemon *daemon, const char *const settings[])
{
    int result = bench_daemon_launch(daemon, settings);

    return result ? result : bench_daemon_greet(daemon);
}

int bench_daemon_start(struct bench_daemon *daemon, unsigned workers)
{
    char count[48];
    const char *const settings[] = {"discover.enabled=false", "lonely.timeout=24h", "bpffs.path=", count,
                                    NULL};

    snprintf(count, sizeof(count), "workers.count=%u", workers);
    return bench_daemon_start_with(daemon, settings);
}

int bench_daemon_start_discovering(struct bench_daemon *daemon, uint32_t excluded)
{
    char exclude[48] = "exclude.namespaces=";
    const char *const settings[] = {"lonely.timeout=24h", "bpffs.path=", exclude, NULL};

    if (excluded)
        snprintf(exclude, sizeof(exclude), "exclude.namespaces=%" PRIu32, excluded);
    return bench_daemon_start_with(daemon, settings);
}

static void let_go(struct bench_daemon *daemon)
{
    nns_queue_close(&daemon->queue);
    bench_daemon_hang_up(daemon);
}

void bench_daemon_stop(struct bench_daemon *daemon)
{
    watch_for_stuck();
    let_go(daemon);
    if (daemon->pid > 0) {
        kill(daemon->pid, SIGTERM);
        waitpid(daemon->pid, NULL, 0);
    }
    alarm(0);
    *daemon = BENCH_DAEMON_NAMED(daemon->name);
}

int bench_daemon_end(struct bench_daemon *daemon, uint64_t *nanoseconds)
{
    int status = 0;
    uint64_t since;
    pid_t ended;

    watch_for_stuck();
    let_go(daemon);
    since = bench_now();
    kill(daemon->pid, SIGTERM);
    ended = waitpid(daemon->pid, &status, 0);
    *nanoseconds = bench_now() - since;
    alarm(0);
    *daemon = BENCH_DAEMON_NAMED(daemon->name);
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    show_log(daemon);
    return bench_error(-EREMOTEIO, "netnsyncd ended with status %#x", (unsigned)status);
}

/* ---- asking ---- */

static int send_request(struct bench_daemon *daemon, const struct nns_control_request *request)
{
    char *line = nns_control_request_encode(request);
    ssize_t sent;

    if (!line)
        return -ENOMEM;
    sent = send(fileno(daemon->control), line, strlen(line), MSG_NOSIGNAL);
    free(line);
    return sent < 0 ? -errno : 0;
}

/* Take answer lines up to the last; *status is the one that holds a status. */
static int take_answer(struct bench_daemon *daemon, json_t **status)
{
    for (;;) {
        json_t *line = json_loadf(daemon->control, JSON_DISABLE_EOF_CHECK, NULL);
        json_t *done = json_object_get(line, "done");

        if (!line)
            return -EPROTO;
        if (done) {
            int result = json_is_true(done) ? 0 : -EREMOTEIO;

            json_decref(line);
            return result;
        }
        if (status && !*status && json_object_get(line, "status"))
            *status = json_incref(json_object_get(line, "status"));
        json_decref(line);
    }
}

static int ask(struct bench_daemon *daemon, const struct nns_control_request *request, json_t **status)
{
    int result;

    watch_for_stuck();
    result = daemon->control ? 0 : connect_control(daemon);
    if (result == 0)
        result = send_request(daemon, request);
    if (result == 0)
        result = take_answer(daemon, status);
    alarm(0);
    if (result) {
        show_log(daemon);
        bench_error(result, "asking netnsyncd");
    }
    return result;
}

/* All counters that are not 0, for whoever has to find out what went wrong. */
static void show_counters(struct bench_daemon *daemon)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    json_t *status = NULL, *counter;
    const char *name;

    request.command = NNS_COMMAND_STATUS;
    if (ask(daemon, &request, &status) == 0)
        json_object_foreach(json_object_get(status, "counters"), name,
                            counter) if (json_integer_value(counter))
            fprintf(stderr, "netnsyncd: %s %lld\n", name, (long long)json_integer_value(counter));
    json_decref(status);
}

void bench_daemon_complain(struct bench_daemon *daemon)
{
    show_log(daemon);
    if (daemon->pid > 0)
        show_counters(daemon);
}

int bench_daemon_counter(struct bench_daemon *daemon, const char *name, uint64_t *value)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    json_t *status = NULL, *counter;
    int result;

    request.command = NNS_COMMAND_STATUS;
    result = ask(daemon, &request, &status);
    counter = json_object_get(json_object_get(status, "counters"), name);
    if (result == 0 && !json_is_integer(counter))
        result = bench_error(-EPROTO, "status shows no counter %s", name);
    if (result == 0)
        *value = (uint64_t)json_integer_value(counter);
    json_decref(status);
    return result;
}

/* Answering takes time from the work that is waited for: sleep half of what the rest of it will take, at the
 * pace since it began. */
static void nap_for(const struct bench_daemon *daemon, uint64_t left, uint64_t done)
{
    uint64_t elapsed = (bench_now() - daemon->busy_since) / 1000;
    uint64_t microseconds = done ? elapsed * left / done / 2 : NAP_LEAST;

    if (microseconds < NAP_LEAST)
        microseconds = NAP_LEAST;
    nap((long)(microseconds < NAP_MOST ? microseconds : NAP_MOST));
}

int bench_daemon_await(struct bench_daemon *daemon, const char *name, uint64_t from, uint64_t value)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
    uint64_t now_at = from, before = from;
    int result;

    while ((result = bench_daemon_counter(daemon, name, &now_at)) == 0 && now_at < value) {
        if (now_at != before)
            deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
        before = now_at;
        if (bench_now() > deadline) {
            bench_daemon_complain(daemon);
            return bench_error(-ETIMEDOUT, "%s stays at %" PRIu64 " and should reach %" PRIu64, name, now_at,
                               value);
        }
        nap_for(daemon, value - now_at, now_at - from);
    }
    return result;
}

int bench_daemon_forget(struct bench_daemon *daemon, int netns)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    struct stat opened;
    char text[16];

    if (fstat(netns, &opened))
        return bench_error(-errno, "fstat");
    snprintf(text, sizeof(text), "%" PRIu32, (uint32_t)opened.st_ino);
    request.command = NNS_COMMAND_FLUSH;
    request.namespace = text;
    return ask(daemon, &request, NULL);
}

int bench_daemon_feed(struct bench_daemon *daemon, const uint32_t *pids, size_t count, size_t a_message)
{
    char message[8192];
    int result = 0;

    watch_for_stuck();
    daemon->busy_since = bench_now();
    for (size_t sent = 0; sent < count && result == 0; sent += a_message) {
        size_t now = count - sent < a_message ? count - sent : a_message;
        size_t length = nns_pid_message_encode(message, pids + sent, (uint16_t)now);

        result = nns_queue_send(&daemon->queue, message, length);
    }
    alarm(0);
    return result ? bench_error(result, "sending to the queue") : 0;
}

/* ---- its use of the machine ---- */

int bench_daemon_cpu(const struct bench_daemon *daemon, uint64_t *nanoseconds)
{
    struct timespec used;
    clockid_t clock;
    int error = clock_getcpuclockid(daemon->pid, &clock);

    if (error)
        return bench_error(-error, "the CPU clock of netnsyncd");
    if (clock_gettime(clock, &used))
        return bench_error(-errno, "the CPU clock of netnsyncd");
    *nanoseconds = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
    return 0;
}

int bench_daemon_rest(const struct bench_daemon *daemon)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000), before, used = UINT64_MAX;
    int result = bench_daemon_cpu(daemon, &before);

    while (result == 0 && used > REST_US * UINT64_C(1000) / REST_SHARE) {
        uint64_t now_at = before;

        if (bench_now() > deadline)
            return bench_error(-ETIMEDOUT, "netnsyncd does not come to rest");
        nap(REST_US);
        result = bench_daemon_cpu(daemon, &now_at);
        used = now_at - before;
        before = now_at;
    }
    return result;
}

/* The value of a line "NAME:\tNUMBER" of a file of /proc. */
static int read_number(const char *path, const char *name, uint64_t *value)
{
    char line[256];
    size_t length = strlen(name);
    int result = -ENODATA;
    FILE *in = fopen(path, "re");

    if (!in)
        return bench_error(-errno, "%s", path);
    while (result && fgets(line, sizeof(line), in))
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ":%" SCNu64, value) == 1)
            result = 0;
    fclose(in);
    return result ? bench_error(result, "%s", path) : 0;
}

int bench_daemon_rss(const struct bench_daemon *daemon, uint64_t *bytes)
{
    char path[64];
    uint64_t kilobytes;
    int result;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)daemon->pid);
    result = read_number(path, "Rss", &kilobytes);
    if (result == 0)
        *bytes = kilobytes * 1024;
    return result;
}

int bench_daemon_fds(const struct bench_daemon *daemon, unsigned *count)
{
    char path[64];
    struct dirent *entry;
    DIR *fds;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)daemon->pid);
    fds = opendir(path);
    if (!fds)
        return bench_error(-errno, "%s", path);
    *count = 0;
    while ((entry = readdir(fds)))
        *count += entry->d_name[0] != '.';
    closedir(fds);
    return 0;
}

static int add_thread(const char *directory, const char *thread, struct bench_switches *switches)
{
    char path[PATH_MAX];
    uint64_t voluntary = 0, involuntary = 0;
    int result;

    snprintf(path, sizeof(path), "%s/%s/status", directory, thread);
    result = read_number(path, "voluntary_ctxt_switches", &voluntary);
    if (result == 0)
        result = read_number(path, "nonvoluntary_ctxt_switches", &involuntary);
    switches->threads++;
    switches->voluntary += voluntary;
    switches->involuntary += involuntary;
    return result;
}

int bench_daemon_switches(const struct bench_daemon *daemon, struct bench_switches *switches)
{
    char path[64];
    struct dirent *entry;
    int result = 0;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)daemon->pid);
    tasks = opendir(path);
    if (!tasks)
        return bench_error(-errno, "%s", path);
    *switches = (struct bench_switches){0};
    while (result == 0 && (entry = readdir(tasks)))
        if (entry->d_name[0] != '.')
            result = add_thread(path, entry->d_name, switches);
    closedir(tasks);
    return result;
}

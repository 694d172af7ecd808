/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

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
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/pid_message.h"
#include "core/protocol.h"
#include "pairs.h"
#include "report.h"

#define CONTROL_PATH  "/run/netnsync-bench.sock"
#define QUEUE_NAME    "/netnsync-bench"
#define LOG_PATH      "/run/netnsyncd.log"
#define START_SECONDS 10u
#define WAIT_SECONDS  20u
#define STUCK_SECONDS 60u

/* Microseconds between two looks at a counter. */
#define NAP_LEAST 100u
#define NAP_MOST  500u

/* At rest is who used so little of a CPU for so long. It may never be quite idle: what others on the machine
 * do is told to it, too. */
#define REST_NS    150000000
#define REST_SHARE 100u

static void nap(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

static void show_log(void)
{
    char line[512];
    FILE *log = fopen(LOG_PATH, "r");

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

static int daemon_path(char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (length < 0)
        return -errno;
    self[length] = '\0';
    if (snprintf(path, PATH_MAX, "%s/netnsyncd", dirname(self)) >= PATH_MAX)
        return -ENAMETOOLONG;
    return access(path, X_OK) ? -errno : 0;
}

struct settings {
    unsigned workers;
    bool discover;
    uint32_t excluded; /* a namespace's inum, 0: none */
};

static _Noreturn void become_daemon(const char *path, const struct settings *settings)
{
    char count[48], excluded[48] = "exclude.namespaces=";
    const char *discover = settings->discover ? "discover.enabled=true" : "discover.enabled=false";
    int log = open(LOG_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    snprintf(count, sizeof(count), "workers.count=%u", settings->workers);
    if (settings->excluded)
        snprintf(excluded, sizeof(excluded), "exclude.namespaces=%" PRIu32, settings->excluded);
    if (log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0)
        _exit(127);
    execl(path, "netnsyncd", "--set", "instance=bench", "--set", "queue.name=" QUEUE_NAME, "--set",
          "control.path=" CONTROL_PATH, "--set", discover, "--set", excluded, "--set", "lonely.timeout=24h",
          "--set", "log.level=warning", "--set", "bpffs.path=", "--set", count, NULL);
    _exit(127);
}

static int connect_control(struct bench_daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = CONTROL_PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        int error = -errno;

        close(fd);
        return error;
    }
    daemon->control = fdopen(fd, "r");
    return daemon->control ? 0 : -ENOMEM;
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
        nap(1000000);
    }
    return result;
}

static int start(struct bench_daemon *daemon, const struct settings *settings)
{
    char path[PATH_MAX];
    uint64_t unused;
    int result = daemon_path(path);

    *daemon = BENCH_DAEMON_NULL;
    if (result)
        return bench_error(result, "netnsyncd is not beside netnsync-bench");
    signal(SIGALRM, on_alarm);
    watch_for_stuck();
    daemon->pid = fork();
    if (daemon->pid < 0)
        return bench_error(-errno, "fork");
    if (daemon->pid == 0)
        become_daemon(path, settings);
    result = await_control(daemon);
    if (result == 0)
        result = nns_queue_open_sender(QUEUE_NAME, &daemon->queue);
    if (result) {
        show_log();
        return bench_error(result, "starting %s", path);
    }
    return bench_daemon_counter(daemon, "feed.messages", &unused);
}

int bench_daemon_start(struct bench_daemon *daemon, unsigned workers)
{
    return start(daemon, &(struct settings){.workers = workers});
}

int bench_daemon_start_discovering(struct bench_daemon *daemon, uint32_t excluded)
{
    return start(daemon, &(struct settings){.discover = true, .excluded = excluded});
}

static void let_go(struct bench_daemon *daemon)
{
    nns_queue_close(&daemon->queue);
    if (daemon->control)
        fclose(daemon->control);
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
    *daemon = BENCH_DAEMON_NULL;
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
    *daemon = BENCH_DAEMON_NULL;
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    show_log();
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
    result = send_request(daemon, request);
    if (result == 0)
        result = take_answer(daemon, status);
    if (result) {
        show_log();
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
 * pace since it was sent. */
static void nap_for(const struct bench_daemon *daemon, uint64_t left, uint64_t done)
{
    uint64_t elapsed = (bench_now() - daemon->fed_at) / 1000;
    uint64_t microseconds = done ? elapsed * left / done / 2 : NAP_LEAST;

    if (microseconds < NAP_LEAST)
        microseconds = NAP_LEAST;
    nap((long)(microseconds < NAP_MOST ? microseconds : NAP_MOST) * 1000);
}

int bench_daemon_await(struct bench_daemon *daemon, const char *name, uint64_t from, uint64_t value)
{
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000);
    uint64_t now_at = from;
    int result;

    while ((result = bench_daemon_counter(daemon, name, &now_at)) == 0 && now_at < value) {
        if (bench_now() > deadline) {
            show_log();
            show_counters(daemon);
            return bench_error(-ETIMEDOUT, "%s stays at %" PRIu64 " and should reach %" PRIu64, name, now_at,
                               value);
        }
        nap_for(daemon, value - now_at, now_at - from);
    }
    return result;
}

int bench_daemon_flush(struct bench_daemon *daemon, uint32_t inum)
{
    struct nns_control_request request = NNS_CONTROL_REQUEST_NULL;
    char text[16];

    snprintf(text, sizeof(text), "%" PRIu32, inum);
    request.command = NNS_COMMAND_FLUSH;
    request.namespace = text;
    return ask(daemon, &request, NULL);
}

int bench_daemon_feed(struct bench_daemon *daemon, const uint32_t *pids, size_t count, size_t a_message)
{
    char message[8192];
    int result = 0;

    watch_for_stuck();
    daemon->fed_at = bench_now();
    for (size_t sent = 0; sent < count && result == 0; sent += a_message) {
        size_t now = count - sent < a_message ? count - sent : a_message;
        size_t length = nns_pid_message_encode(message, pids + sent, (uint16_t)now);

        result = nns_queue_send(&daemon->queue, message, length);
    }
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
    uint64_t deadline = bench_now() + WAIT_SECONDS * UINT64_C(1000000000), before, used = REST_NS;
    int result = bench_daemon_cpu(daemon, &before);

    while (result == 0 && used > REST_NS / REST_SHARE) {
        uint64_t now_at = before;

        if (bench_now() > deadline)
            return bench_error(-ETIMEDOUT, "netnsyncd does not come to rest");
        nap(REST_NS);
        result = bench_daemon_cpu(daemon, &now_at);
        used = now_at - before;
        before = now_at;
    }
    return result;
}

int bench_daemon_rss(const struct bench_daemon *daemon, uint64_t *bytes)
{
    char path[64], line[256];
    uint64_t kilobytes;
    int result = -ENODATA;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)daemon->pid);
    in = fopen(path, "r");
    if (!in)
        return bench_error(-errno, "%s", path);
    while (result && fgets(line, sizeof(line), in)) {
        if (sscanf(line, "Rss: %" SCNu64 " kB", &kilobytes) != 1)
            continue;
        *bytes = kilobytes * 1024;
        result = 0;
    }
    fclose(in);
    return result ? bench_error(result, "%s", path) : 0;
}

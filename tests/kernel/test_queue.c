/* SPDX-License-Identifier: Apache-2.0 */
#include "io/queue.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAME "/nns-test"

static char error[512];

/* An IPC namespace of its own: the queues go with the test, whatever becomes of it. */
static void set_up(void)
{
    cr_assert_eq(unshare(CLONE_NEWIPC), 0);
    umask(022);
}

TestSuite(queue, .init = set_up, .timeout = 60);

static int open_queue(uint32_t depth, uint32_t msgsize, struct nns_queue *queue)
{
    strcpy(error, "(no error)");
    return nns_queue_open(NAME, depth, msgsize, queue, error, sizeof(error));
}

static mode_t mode_of(int fd)
{
    struct stat status;

    cr_assert_eq(fstat(fd, &status), 0);
    return status.st_mode & 07777;
}

static void expect_attributes(const struct nns_queue *queue, long depth, long msgsize)
{
    struct mq_attr attributes;

    cr_assert_eq(mq_getattr(queue->fd, &attributes), 0);
    cr_expect_eq(attributes.mq_maxmsg, depth);
    cr_expect_eq(attributes.mq_msgsize, msgsize);
    cr_expect_eq(queue->depth, (size_t)depth);
    cr_expect_eq(queue->msgsize, (size_t)msgsize);
}

Test(queue, is_made_for_its_owner_alone_whatever_the_umask)
{
    static const mode_t masks[] = {0, 022, 0777};

    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        struct nns_queue queue = NNS_QUEUE_NULL;

        umask(masks[i]);
        cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
        cr_expect_eq(mode_of(queue.fd), 0600, "%o under umask %o", mode_of(queue.fd), masks[i]);
        cr_expect(fcntl(queue.fd, F_GETFD) & FD_CLOEXEC);
        cr_expect(fcntl(queue.fd, F_GETFL) & O_NONBLOCK);
        expect_attributes(&queue, 3, 64);
        nns_queue_close(&queue);
        cr_expect_eq(queue.fd, -1);
        nns_queue_close(&queue);
        cr_assert_eq(mq_unlink(NAME), 0);
    }
}

Test(queue, that_exists_is_used_as_it_is)
{
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 99};
    mqd_t made = mq_open(NAME, O_RDWR | O_CREAT, 0640, &attributes);
    struct nns_queue queue = NNS_QUEUE_NULL;

    cr_assert(made >= 0);
    cr_assert_eq(open_queue(5, 4096, &queue), 0, "%s", error);
    expect_attributes(&queue, 2, 99);
    cr_expect_eq(mode_of(queue.fd), 0640);
    /* Even sizes that could not be made do not matter then. */
    nns_queue_close(&queue);
    cr_assert_eq(open_queue(UINT32_MAX, UINT32_MAX, &queue), 0, "%s", error);
    nns_queue_close(&queue);
}

Test(queue, outlives_whoever_opened_it)
{
    struct nns_queue queue = NNS_QUEUE_NULL, sender = NNS_QUEUE_NULL;
    char buffer[64];

    cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
    nns_queue_close(&queue);
    cr_assert_eq(nns_queue_open_sender(NAME, &sender), 0);
    cr_assert_eq(nns_queue_send(&sender, "kept", 4), 0);
    nns_queue_close(&sender);
    cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
    cr_expect_eq(nns_queue_receive(&queue, buffer), 4);
    cr_expect_eq(memcmp(buffer, "kept", 4), 0);
    nns_queue_close(&queue);
}

static void read_limit(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file);
    cr_assert_not_null(fgets(text, (int)size, file));
    text[strcspn(text, "\n")] = '\0';
    fclose(file);
}

static void expect_over_limit(uint32_t depth, uint32_t msgsize)
{
    struct nns_queue queue = {.fd = 12345, .msgsize = 1, .depth = 2};
    char limit[32], wanted[96];

    cr_expect_eq(open_queue(depth, msgsize, &queue), -EINVAL);
    read_limit("/proc/sys/fs/mqueue/msg_max", limit, sizeof(limit));
    snprintf(wanted, sizeof(wanted), "fs.mqueue.msg_max = %s and", limit);
    cr_expect(strstr(error, wanted), "%s lacks: %s", error, wanted);
    read_limit("/proc/sys/fs/mqueue/msgsize_max", limit, sizeof(limit));
    snprintf(wanted, sizeof(wanted), "fs.mqueue.msgsize_max = %s", limit);
    cr_expect(strstr(error, wanted), "%s lacks: %s", error, wanted);
    cr_expect(queue.fd == 12345 && queue.msgsize == 1 && queue.depth == 2, "the queue was touched");
}

/* Run something as a user without any right, and return what it returned (0 to 255). */
static int as_nobody(int (*run)(void))
{
    pid_t child = fork();
    int status;

    cr_assert(child >= 0);
    if (child == 0)
        _exit(setgid(65534) == 0 && setuid(65534) == 0 ? run() : 255);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Above what even a privileged user may have, so that it does not matter what this machine's root is. */
Test(queue, sizes_above_the_limits_are_refused_with_the_limits)
{
    expect_over_limit(70000, 64);
    expect_over_limit(3, (16 << 20) + 1);
}

static int open_bytes_over_limit(void)
{
    struct nns_queue queue = NNS_QUEUE_NULL;

    if (setrlimit(RLIMIT_MSGQUEUE, &(struct rlimit){1000, 1000}) < 0)
        return 1;
    if (open_queue(10, 8192, &queue) != -EMFILE)
        return 2;
    return strstr(error, "RLIMIT_MSGQUEUE") ? 0 : 3;
}

Test(queue, a_users_limit_is_named)
{
    cr_expect_eq(as_nobody(open_bytes_over_limit), 0);
}

static int open_others(void)
{
    struct nns_queue queue = NNS_QUEUE_NULL;

    if (open_queue(3, 64, &queue) != -EACCES)
        return 1;
    return strstr(error, NAME) && strstr(error, "no right") ? 0 : 2;
}

Test(queue, of_somebody_else_is_refused)
{
    struct nns_queue queue = NNS_QUEUE_NULL;

    cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
    nns_queue_close(&queue);
    cr_expect_eq(as_nobody(open_others), 0);
}

Test(queue, bad_names_are_refused)
{
    static const char *const names[] = {"", "x", "/", "/a/b", "//", "/.", "/.."};
    struct nns_queue queue = NNS_QUEUE_NULL;
    char longest[300] = "/";

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_eq(nns_queue_open(names[i], 3, 64, &queue, error, sizeof(error)), -EINVAL);
        cr_expect(strstr(error, "is no name of a queue"), "%s", error);
        cr_expect_eq(nns_queue_open_sender(names[i], &queue), -EINVAL);
    }
    memset(longest + 1, 'x', 255);
    cr_expect_eq(nns_queue_open(longest, 3, 64, &queue, error, sizeof(error)), -EINVAL);
    longest[255] = '\0'; /* what our rule lets through the kernel must take */
    cr_expect_eq(nns_queue_open(longest, 3, 64, &queue, error, sizeof(error)), 0, "%s", error);
    nns_queue_close(&queue);
    cr_expect_eq(mq_unlink(longest), 0);
}

static bool readable(const struct nns_queue *queue)
{
    struct pollfd fd = {.fd = queue->fd, .events = POLLIN};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLIN);
}

Test(queue, polls_readable_exactly_while_it_holds_a_message)
{
    struct nns_queue queue = NNS_QUEUE_NULL, sender = NNS_QUEUE_NULL;
    char buffer[64];

    cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
    cr_assert_eq(nns_queue_open_sender(NAME, &sender), 0);
    cr_expect(!readable(&queue));
    cr_expect_eq(nns_queue_receive(&queue, buffer), -EAGAIN);
    cr_assert_eq(nns_queue_send(&sender, "one", 3), 0);
    cr_assert_eq(nns_queue_send(&sender, "", 0), 0);
    cr_expect(readable(&queue));
    cr_expect_eq(nns_queue_receive(&queue, buffer), 3);
    cr_expect(readable(&queue));
    cr_expect_eq(nns_queue_receive(&queue, buffer), 0); /* an empty message is one */
    cr_expect(!readable(&queue));
    cr_expect_eq(nns_queue_receive(&queue, buffer), -EAGAIN);
    nns_queue_close(&queue);
    nns_queue_close(&sender);
}

Test(queue, senders_learn_what_is_wrong)
{
    struct nns_queue queue = NNS_QUEUE_NULL, sender = {.fd = 12345};
    char message[65] = "";

    cr_expect_eq(nns_queue_open_sender(NAME, &sender), -ENOENT);
    cr_expect_eq(sender.fd, 12345);
    cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
    cr_assert_eq(nns_queue_open_sender(NAME, &sender), 0);
    expect_attributes(&sender, 3, 64);
    cr_expect_eq(nns_queue_send(&sender, message, 65), -EMSGSIZE);
    cr_expect_eq(nns_queue_send(&sender, message, 64), 0);
    cr_expect_eq(nns_queue_send(&queue, message, 1), -EBADF); /* ours is for reading */
    nns_queue_close(&queue);
    nns_queue_close(&sender);
}

struct burst {
    struct nns_queue sender;
    _Atomic int tid, sent;
    int failure;
};

enum { BURST = 10 };

static void *send_burst(void *argument)
{
    struct burst *burst = argument;

    burst->tid = gettid();
    for (unsigned char i = 0; i < BURST && !burst->failure; i++, burst->sent++)
        burst->failure = nns_queue_send(&burst->sender, &i, 1);
    return NULL;
}

/* Whether a thread of ours comes to sleep within ten seconds. */
static bool falls_asleep(const _Atomic int *tid)
{
    for (int tries = 0; tries < 10000; tries++) {
        char path[64], state = 0;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *tid);
        file = *tid ? fopen(path, "r") : NULL;
        if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (file)
            fclose(file);
        if (state == 'S')
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

/* Take the next message, which must come within ten seconds. */
static void expect_message(const struct nns_queue *queue, unsigned char wanted)
{
    struct pollfd fd = {.fd = queue->fd, .events = POLLIN};
    unsigned char buffer[64];

    cr_assert_eq(poll(&fd, 1, 10000), 1);
    cr_assert_eq(nns_queue_receive(queue, buffer), 1);
    cr_expect_eq(buffer[0], wanted, "%d is not %d", buffer[0], wanted);
}

Test(queue, a_full_queue_holds_its_senders_and_loses_nothing)
{
    struct nns_queue queue = NNS_QUEUE_NULL;
    struct burst burst = {.sender = NNS_QUEUE_NULL};
    pthread_t thread;

    cr_assert_eq(open_queue(3, 64, &queue), 0, "%s", error);
    cr_assert_eq(nns_queue_open_sender(NAME, &burst.sender), 0);
    cr_assert_eq(pthread_create(&thread, NULL, send_burst, &burst), 0);
    while (burst.sent < 3) /* the test's own time limit is the deadline */
        sched_yield();
    cr_expect(falls_asleep(&burst.tid), "the sender does not wait");
    cr_expect_eq(burst.sent, 3);
    for (unsigned char i = 0; i < BURST; i++)
        expect_message(&queue, i);
    pthread_join(thread, NULL);
    cr_expect_eq(burst.failure, 0);
    cr_expect_eq(burst.sent, BURST);
    cr_expect(!readable(&queue));
    nns_queue_close(&queue);
    nns_queue_close(&burst.sender);
}

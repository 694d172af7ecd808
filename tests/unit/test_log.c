/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int far, saved; /* standard error's other end, and what standard error was */

/* Standard error as a socket that keeps writes apart: one receive is one write(2). */
static void set_up(void)
{
    int ends[2];

    unsetenv("JOURNAL_STREAM");
    saved = dup(STDERR_FILENO);
    cr_assert(saved >= 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(dup2(ends[0], STDERR_FILENO), STDERR_FILENO);
    close(ends[0]);
    far = ends[1];
}

static void tear_down(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(far);
}

TestSuite(log, .init = set_up, .fini = tear_down);

/* The next write, or "" when there was none. */
static const char *next(void)
{
    static char line[8192];
    ssize_t length = recv(far, line, sizeof(line) - 1, MSG_DONTWAIT);

    line[length > 0 ? length : 0] = '\0';
    return line;
}

Test(log, a_line_is_one_write)
{
    nns_warning("the %s is %d", "answer", 42);
    cr_expect_str_eq(next(), "warning: the answer is 42\n");
    cr_expect_str_eq(next(), "");
    nns_error("%s", "");
    cr_expect_str_eq(next(), "error: \n");
}

Test(log, the_level_is_a_threshold)
{
    nns_debug("hidden");
    cr_expect_str_eq(next(), "");
    nns_info("shown");
    cr_expect_str_eq(next(), "info: shown\n");
    nns_log_set_level(NNS_LOG_DEBUG);
    nns_debug("shown");
    cr_expect_str_eq(next(), "debug: shown\n");
    nns_log_set_level(NNS_LOG_ERROR);
    nns_warning("hidden");
    cr_expect_str_eq(next(), "");
}

Test(log, errno_is_kept_and_usable)
{
    errno = ENOTTY;
    nns_error("%m");
    cr_expect_eq(errno, ENOTTY);
    cr_expect_str_eq(next(), "error: Inappropriate ioctl for device\n");
    dup2(saved, STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOTTY;
    nns_error("nobody hears this");
    cr_expect_eq(errno, ENOTTY);
}

Test(log, a_message_cannot_forge_a_line_or_drive_a_terminal)
{
    nns_info("%s", "a\nerror: forged\r\x1b[2J\x7f\x9b\xc3\xa9\\x0a");
    cr_expect_str_eq(next(), "info: a\\x0aerror: forged\\x0d\\x1b[2J\\x7f\\x9b\\xc3\\xa9\\x5cx0a\n");
}

Test(log, long_messages_are_cut)
{
    static char text[5000];
    const char *line;

    memset(text, 'x', sizeof(text) - 1);
    nns_info("%s", text);
    line = next();
    cr_expect(strlen(line) <= 1024 && strlen(line) > 1000, "%zu", strlen(line));
    cr_expect_str_eq(line + strlen(line) - 5, "x...\n");
    cr_expect_str_eq(next(), "");

    memset(text, '\n', sizeof(text) - 1);
    for (int offset = 0; offset < 4; offset++) { /* each place a cut can fall on in an escape */
        nns_info("%.*s%s", offset, "abcd", text);
        line = next();
        cr_expect(strlen(line) <= 1024 && strlen(line) > 1000, "%zu", strlen(line));
        cr_expect_str_eq(line + strlen(line) - 8, "\\x0a...\n");
    }
}

Test(log, the_longest_message_that_fits_is_whole)
{
    static char text[2000];
    size_t length = 1;

    /* Whatever the room is: a line either is whole or says that it was cut. */
    for (memset(text, 'x', sizeof(text) - 1); length < 1100; length++) {
        const char *line;

        nns_info("%.*s", (int)length, text);
        line = next();
        if (strlen(line) != length + strlen("info: \n"))
            cr_assert_str_eq(line + strlen(line) - 4, "...\n", "%zu", length);
    }
}

static void name_stream(int offset)
{
    char stream[64];
    struct stat status;

    cr_assert_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino + offset);
    setenv("JOURNAL_STREAM", stream, 1);
}

Test(log, the_journal_gets_priorities)
{
    name_stream(0);
    nns_log_set_level(NNS_LOG_DEBUG);
    nns_error("e");
    cr_expect_str_eq(next(), "<3>error: e\n");
    nns_warning("w");
    cr_expect_str_eq(next(), "<4>warning: w\n");
    nns_info("i");
    cr_expect_str_eq(next(), "<6>info: i\n");
    nns_debug("d");
    cr_expect_str_eq(next(), "<7>debug: d\n");
}

Test(log, a_redirected_error_stream_is_not_the_journal)
{
    name_stream(1);
    nns_error("e");
    cr_expect_str_eq(next(), "error: e\n");
}

/* Of so many attempts at once, how many lines come, and what they say was held back. */
static void expect_limit(int attempts)
{
    static struct nns_log_limit limit;
    unsigned lines = 0, held, told = 0;
    const char *line, *at;

    for (int i = 0; i < attempts; i++) {
        nns_log_limited(&limit, NNS_LOG_WARNING, "again");
        while (*(line = next())) {
            lines++;
            at = strchr(line, '(');
            if (at && sscanf(at, "(%u more like it held back)", &held) == 1)
                told += held;
        }
    }
    cr_expect(lines >= NNS_LOG_BURST && lines < (unsigned)attempts, "%u", lines);
    cr_expect_eq(lines + told + limit.held, (unsigned)attempts);
}

Test(log, repeated_messages_are_limited)
{
    expect_limit(100);
}

Test(log, what_was_held_back_is_told)
{
    static struct nns_log_limit limit = {.held = 7};

    nns_log_limited(&limit, NNS_LOG_INFO, "now");
    cr_expect_str_eq(next(), "info: now (7 more like it held back)\n");
    nns_log_limited(&limit, NNS_LOG_INFO, "now");
    cr_expect_str_eq(next(), "info: now\n");
    nns_log_limited(&limit, NNS_LOG_DEBUG, "below the level");
    cr_expect_eq(limit.held, 0);
}

Test(log, a_cut_message_still_tells_what_was_held_back)
{
    static struct nns_log_limit limit = {.held = UINT32_MAX};
    static char text[2000];
    const char *line;

    memset(text, 'x', sizeof(text) - 1);
    nns_log_limited(&limit, NNS_LOG_INFO, "%s", text);
    line = next();
    cr_expect(strlen(line) <= 1024, "%zu", strlen(line));
    cr_expect(strstr(line, "xxx... (4294967295 more like it held back)\n"), "%s", line);
}

enum { THREADS = 4, ATTEMPTS = 1000000 };

static struct nns_log_limit shared;
static pthread_barrier_t start;

static void *log_many(void *unused)
{
    pthread_barrier_wait(&start);
    for (int i = 0; i < ATTEMPTS; i++)
        nns_log_limited(&shared, NNS_LOG_ERROR, "from a thread");
    return NULL;
}

static void *count_lines(void *total)
{
    char line[2048];
    ssize_t length;

    while ((length = recv(far, line, sizeof(line) - 1, 0)) > 1) {
        unsigned held = 0;

        line[length] = '\0';
        sscanf(line, "error: from a thread (%u more", &held);
        *(unsigned long *)total += 1 + held;
    }
    return NULL;
}

/* Every attempt is either written or told as held back, whichever thread made it. */
Test(log, the_limit_loses_no_count_among_threads)
{
    pthread_t threads[THREADS], reader;
    unsigned long total = 0;

    pthread_barrier_init(&start, NULL, THREADS);
    cr_assert_eq(pthread_create(&reader, NULL, count_lines, &total), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(write(STDERR_FILENO, "", 1), 1); /* the end, for the reader */
    pthread_join(reader, NULL);
    cr_expect_eq(total + shared.held, THREADS * ATTEMPTS);
}

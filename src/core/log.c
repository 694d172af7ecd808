/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Room for a line. Below PIPE_BUF, so that a write of one is never mixed with another's. */
enum { LINE_MAX_BYTES = 1024 };

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t length;
};

static const struct {
    char journal;
    const char *name;
} levels[] = {
    [NNS_LOG_ERROR] = {'3', "error"},
    [NNS_LOG_WARNING] = {'4', "warning"},
    [NNS_LOG_INFO] = {'6', "info"},
    [NNS_LOG_DEBUG] = {'7', "debug"},
};

static _Atomic int threshold = NNS_LOG_INFO;

void nns_log_set_level(enum nns_log_level level)
{
    threshold = level;
}

/* The journal names its stream by device and inode, so that a service's child whose standard error was
 * redirected is not taken for one that writes to the journal. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat status;

    return stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

static bool to_journal(void)
{
    static _Atomic int known; /* 0: not looked yet, 1: no, 2: yes. Two threads that both look agree. */
    int answer = known;

    if (!answer)
        known = answer = is_journal() ? 2 : 1;
    return answer == 2;
}

static void put(struct line *line, const char *text)
{
    size_t length = strlen(text);

    memcpy(line->bytes + line->length, text, length);
    line->length += length;
}

/*
 * Logged text holds what others sent us: a control byte could forge a line or drive the terminal it is read
 * on, and so can bytes above 127 on a terminal that is not UTF-8. The backslash is escaped as well so that an
 * escape cannot be forged either. Text beyond `room` is cut, never inside an escape.
 */
static void put_escaped(struct line *line, const char *text, size_t room)
{
    static const char cut[] = "...";
    size_t end = line->length + room - (sizeof(cut) - 1);
    char escape[5];

    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = byte >= 0x20 && byte < 0x7f && byte != '\\';

        if (line->length + (plain ? 1 : 4) > end) {
            put(line, cut);
            return;
        }
        if (plain) {
            line->bytes[line->length++] = (char)byte;
            continue;
        }
        snprintf(escape, sizeof(escape), "\\x%02x", byte);
        put(line, escape);
    }
}

static void emit(enum nns_log_level level, uint32_t held, const char *format, va_list arguments)
{
    char text[LINE_MAX_BYTES], suffix[48] = "";
    struct line line = {.length = 0};
    int saved = errno;

    if (to_journal())
        put(&line, (char[]){'<', levels[level].journal, '>', '\0'});
    put(&line, levels[level].name);
    put(&line, ": ");
    if (held)
        snprintf(suffix, sizeof(suffix), " (%" PRIu32 " more like it held back)", held);
    errno = saved; /* for %m */
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        text[0] = '\0';
    put_escaped(&line, text, sizeof(line.bytes) - line.length - strlen(suffix) - 1);
    put(&line, suffix);
    put(&line, "\n");
    /* Nobody is left to tell that the log cannot be written. */
    while (write(STDERR_FILENO, line.bytes, line.length) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void nns_log(enum nns_log_level level, const char *format, ...)
{
    va_list arguments;

    if ((int)level > threshold)
        return;
    va_start(arguments, format);
    emit(level, 0, format, arguments);
    va_end(arguments);
}

/* Second and lines are one word, so that no thread sees the one without the other and the bound is exact. */
static bool let_through(struct nns_log_limit *limit)
{
    uint64_t seen = limit->window, wanted;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    do {
        uint64_t second = seen >> 8, lines = seen & 0xff;

        /* A thread that was late with its clock counts in the window that others opened meanwhile. */
        if ((uint64_t)now.tv_sec + 1 > second) {
            second = (uint64_t)now.tv_sec + 1;
            lines = 0;
        }
        if (lines >= NNS_LOG_BURST)
            return false;
        wanted = second << 8 | (lines + 1);
    } while (!atomic_compare_exchange_weak(&limit->window, &seen, wanted));
    return true;
}

void nns_log_limited(struct nns_log_limit *limit, enum nns_log_level level, const char *format, ...)
{
    va_list arguments;

    if ((int)level > threshold)
        return;
    if (!let_through(limit)) {
        atomic_fetch_add(&limit->held, 1);
        return;
    }
    va_start(arguments, format);
    emit(level, atomic_exchange(&limit->held, 0), format, arguments);
    va_end(arguments);
}

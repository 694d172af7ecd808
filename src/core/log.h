/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_LOG_H
#define NNS_CORE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The log: one line a message on standard error, "<level>: text" with the sd-daemon priority prefix when
 * standard error is the journal. Any thread; a line is one write(2). errno is kept. Works before anything is
 * configured.
 *
 * A line is at most 1 KiB. What is no printable ASCII, and the backslash, is escaped as \xNN: what is logged
 * may come from anybody.
 *
 * Messages that bad input or a busy host could repeat go through nns_log_limited, with a static limit of
 * their own: at most NNS_LOG_BURST a second; the next one let through says how many were held back.
 */
enum nns_log_level { NNS_LOG_ERROR, NNS_LOG_WARNING, NNS_LOG_INFO, NNS_LOG_DEBUG };

#define NNS_LOG_BURST 5

/* Starts as all zeroes. */
struct nns_log_limit {
    _Atomic uint64_t
        window;            /* the monotonic clock's second, and in the low byte the lines let through in it */
    _Atomic uint32_t held; /* held back since the last one let through */
};

void nns_log_set_level(enum nns_log_level level);

void nns_log(enum nns_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void nns_log_limited(struct nns_log_limit *limit, enum nns_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define nns_error(...)   nns_log(NNS_LOG_ERROR, __VA_ARGS__)
#define nns_warning(...) nns_log(NNS_LOG_WARNING, __VA_ARGS__)
#define nns_info(...)    nns_log(NNS_LOG_INFO, __VA_ARGS__)
#define nns_debug(...)   nns_log(NNS_LOG_DEBUG, __VA_ARGS__)

#endif

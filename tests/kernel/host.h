/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_TESTS_KERNEL_HOST_H
#define NNS_TESTS_KERNEL_HOST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What the kernel tests do to their host: every test makes a network namespace of its own, which goes with
 * the test's process, and asks the usual tools what is true in it.
 */
static inline void host_new(void)
{
    cr_assert_eq(unshare(CLONE_NEWNET), 0, "unshare: %s", strerror(errno));
}

__attribute__((format(printf, 1, 2))) static inline void host_run(const char *format, ...)
{
    char command[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* Answers belong to the test's process; a suite that is to end without any left frees them in its fini. */
struct host_answer {
    struct host_answer *next;
    char text[];
};
static struct host_answer *host_answers;

static inline void host_free(void)
{
    for (struct host_answer *answer; (answer = host_answers); free(answer))
        host_answers = answer->next;
}

/* What a command prints; freed by host_free. */
__attribute__((format(printf, 1, 2))) static inline char *host_ask(const char *format, ...)
{
    char command[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    size_t length = 0, room = 1 << 20;
    struct host_answer *answer = malloc(sizeof(*answer) + room);
    cr_assert_not_null(answer);
    answer->next = host_answers;
    host_answers = answer;
    char *text = answer->text;
    for (size_t n; (n = fread(text + length, 1, room - length - 1, pipe)) > 0;)
        length += n;
    text[length] = '\0';
    cr_assert_eq(pclose(pipe), 0, "%s", command);
    return text;
}

static inline unsigned host_count(const char *text, const char *part)
{
    unsigned count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

static inline long host_bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* Load a classifier. */
static inline int host_load(const char *name, const struct bpf_insn *code, size_t count)
{
    union bpf_attr attr = {0};
    attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attr.insns = (uintptr_t)code;
    attr.insn_cnt = (uint32_t)count;
    attr.license = (uintptr_t) "GPL";
    snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
    int fd = (int)host_bpf(BPF_PROG_LOAD, &attr);
    cr_assert_geq(fd, 0, "BPF_PROG_LOAD: %s", strerror(errno));
    return fd;
}

/* Load "return value". Programs with equal values have equal tags. */
static inline int host_program(const char *name, int value)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = value},
        {.code = BPF_JMP | BPF_EXIT},
    };
    return host_load(name, code, sizeof(code) / sizeof(code[0]));
}

static inline struct bpf_prog_info host_program_info(int fd)
{
    struct bpf_prog_info info = {0};
    union bpf_attr attr = {0};
    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info_len = sizeof(info);
    attr.info.info = (uintptr_t)&info;
    cr_assert_eq(host_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr), 0);
    return info;
}

static inline unsigned host_open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_PARAMS_H
#define NNS_CORE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The daemon's parameters: one table (params.c) gives each its name, type, bounds, unit, default and text,
 * and serves
 * --set, the configuration file, --help, --check-config and the manual.
 *
 * Set up once by main before any thread starts, read-only after.
 */
struct nns_list {
    char **items;
    size_t count;
};

enum nns_attach_mode { NNS_ATTACH_AUTO, NNS_ATTACH_CLSACT };

/* How namespaces are entered again; AUTO: the best way this host has. */
enum nns_handle_mode { NNS_HANDLE_MODE_AUTO, NNS_HANDLE_MODE_MEMBER, NNS_HANDLE_MODE_PINNED };

struct nns_params {
    char *instance;         /* core/instance_name.h; part of our filters' names */
    bool network_enabled;   /* false: every request is answered "disabled" */
    char *queue_name;       /* "/name" of a POSIX message queue */
    uint32_t queue_depth;   /* messages; used when the queue is made */
    uint32_t queue_msgsize; /* bytes; used when the queue is made */
    char *control_path;
    uint32_t control_clients;    /* connections at a time */
    uint32_t control_timeout_ms; /* how long a client may stall */
    uint32_t workers_count;      /* 0: one a CPU, at most 4 */
    uint32_t workers_queue;      /* batches waiting for a worker */
    uint32_t cache_capacity;     /* namespaces */
    uint32_t handle_mode;        /* enum nns_handle_mode */
    uint32_t lonely_timeout_ms;
    uint32_t audit_interval_ms;
    uint32_t events_nsid_max; /* namespaces; 0: rtnetlink is not used */
    uint32_t events_interval_ms;
    uint32_t devices_queue; /* devices waiting per namespace */
    bool discover_enabled;
    struct nns_list exclude_devices;    /* globs over device names */
    struct nns_list exclude_namespaces; /* inums or paths */
    uint32_t attach_mode;               /* enum nns_attach_mode */
    uint32_t attach_priority;
    char *program_object;  /* "": the built-in meter */
    char *program_ingress; /* program names in that object */
    char *program_egress;
    char *bpffs_path;      /* "": nothing is pinned */
    uint32_t meter_memory; /* bytes the meter's counts may take over all CPUs */
    bool keep_attached;
    uint32_t log_level; /* enum nns_log_level */
};

/* All defaults. 0 or -ENOMEM. */
int nns_params_init(struct nns_params *params);
void nns_params_deinit(struct nns_params *params);

/*
 * Set one parameter from "NAME=VALUE". On error nothing changes and a sentence for the operator, naming the
 * parameter, the value and what is allowed, is left in error[size]. 0; -EINVAL; -ENOENT for an unknown name;
 * -ENOMEM.
 */
int nns_params_set(struct nns_params *params, const char *assignment, char *error, size_t size);

/*
 * Read a file of `name = value` lines; a '#' at a line's start or after white space starts a comment. Every
 * bad line is reported as "FILE:LINE: sentence" on errors, not only the first. 0; -EINVAL when any line was
 * bad; -errno when the file cannot be read (reported too).
 */
int nns_params_load(struct nns_params *params, const char *path, FILE *errors);

/* What no single parameter can see (program.ingress without program.object, …). 0 or -EINVAL with a sentence.
 */
int nns_params_check(const struct nns_params *params, char *error, size_t size);

/* The table, for --help: each parameter's text and what it may be as comments, then `name = default`, so that
 * the whole is a file that nns_params_load reads. */
void nns_params_describe(FILE *out);

/* All current values as `name = value` lines that nns_params_load reads back. */
void nns_params_dump(const struct nns_params *params, FILE *out);

#endif

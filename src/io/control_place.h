/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_CONTROL_PLACE_H
#define NNS_IO_CONTROL_PLACE_H

#include <sys/types.h>

/*
 * The control socket's place in the file system: a socket file, bound but not listened on yet, and beside it
 * PATH.lock (0600), which stays locked for as long as the place is taken and is never removed. A part of
 * io/control.c alone.
 */
struct nns_control_place {
    char *path;
    int fd;       /* of the socket */
    int lock;     /* held until nobody can connect any more */
    dev_t device; /* of the socket file: what tells ours from a successor's */
    ino_t inode;
};

#define NNS_CONTROL_PLACE_NULL ((struct nns_control_place){.path = NULL, .fd = -1, .lock = -1})

/* 0; -EADDRINUSE when a daemon is alive there; -EEXIST when something else is; -errno. As
 * nns_control_listen says. */
int nns_control_place_take(struct nns_control_place *place, const char *path);

/* Remove the socket file if it is still ours, and close both. Repeatable. */
void nns_control_place_leave(struct nns_control_place *place);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_IO_QUEUE_H
#define NNS_IO_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The POSIX message queue pids arrive on. The queue outlives the daemon: it is never unlinked here.
 *
 * An event source: it exposes a descriptor that polls readable, and a call that takes one message.
 */
struct nns_queue {
    int fd;         /* mqd_t; on Linux a pollable file descriptor. Owned; -1 when closed */
    size_t msgsize; /* of the queue as it is, which need not be what was asked for */
    size_t depth;
};

#define NNS_QUEUE_NULL ((struct nns_queue){.fd = -1})

/*
 * Open for reading, non-blocking; made with mode 0600 and these sizes if absent. Sizes above the system's
 * limits (fs.mqueue.msg_max, msgsize_max) are refused by the kernel with EINVAL: the sentence in error[size]
 * names the limits. 0 or -errno.
 */
int nns_queue_open(const char *name, uint32_t depth, uint32_t msgsize, struct nns_queue *queue, char *error,
                   size_t size);

/* Take one message into buffer, which has queue->msgsize bytes. Its length; -EAGAIN when there is none;
 * -errno. */
ssize_t nns_queue_receive(const struct nns_queue *queue, void *buffer);

/* Open an existing queue for sending, blocking: what `netnsync enqueue` and the bench do. 0 or -errno. */
int nns_queue_open_sender(const char *name, struct nns_queue *queue);

/* Send one message; waits while the queue is full. 0 or -errno. */
int nns_queue_send(const struct nns_queue *queue, const void *message, size_t length);

void nns_queue_close(struct nns_queue *queue);

#endif

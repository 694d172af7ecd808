/* SPDX-License-Identifier: Apache-2.0 */
#include "io/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/queue_name.h"

static int read_attributes(int fd, struct nns_queue *queue)
{
    struct mq_attr attributes;

    if (mq_getattr(fd, &attributes) < 0)
        return -errno;
    *queue = (struct nns_queue){
        .fd = fd, .msgsize = (size_t)attributes.mq_msgsize, .depth = (size_t)attributes.mq_maxmsg};
    return 0;
}

/* Returns the descriptor, or -errno. */
static int make(const char *name, uint32_t depth, uint32_t msgsize)
{
    struct mq_attr attributes = {.mq_maxmsg = depth, .mq_msgsize = msgsize};
    int fd = mq_open(name, O_RDONLY | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600, &attributes), error;

    if (fd < 0)
        return -errno;
    /* The umask, which belongs to the whole process, may have taken the owner's rights away. */
    if (fchmod(fd, 0600) < 0) {
        error = -errno;
        mq_close(fd);
        mq_unlink(name); /* ours alone yet: O_EXCL made it just now */
        return error;
    }
    return fd;
}

static int open_or_make(const char *name, uint32_t depth, uint32_t msgsize)
{
    /* Somebody may make or unlink the queue between the two calls, but not for ever. */
    for (int tries = 0; tries < 8; tries++) {
        int fd = mq_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd >= 0)
            return fd;
        if (errno != ENOENT)
            return -errno;
        fd = make(name, depth, msgsize);
        if (fd != -EEXIST)
            return fd;
    }
    return -EBUSY;
}

/* A limit's present value as text; "?" where it cannot be read. */
static void read_limit(const char *limit, char value[16])
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/sys/fs/mqueue/%s", limit);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%15[0-9]", value) != 1)
        strcpy(value, "?");
    if (file)
        fclose(file);
}

static void explain(const char *name, uint32_t depth, uint32_t msgsize, int error, char *text, size_t size)
{
    char first[16], second[16];

    switch (error) {
    case -EINVAL:
        read_limit("msg_max", first);
        read_limit("msgsize_max", second);
        snprintf(text, size,
                 "the queue %s cannot be made with %u messages of %u bytes: this host's limits are"
                 " fs.mqueue.msg_max = %s and fs.mqueue.msgsize_max = %s",
                 name, depth, msgsize, first, second);
        break;
    case -EMFILE:
        snprintf(text, size,
                 "the queue %s cannot be made with %u messages of %u bytes: its user's queues would take more"
                 " than RLIMIT_MSGQUEUE bytes, or too many files are open",
                 name, depth, msgsize);
        break;
    case -ENOSPC:
        read_limit("queues_max", first);
        snprintf(text, size,
                 "the queue %s cannot be made: there are fs.mqueue.queues_max = %s queues already", name,
                 first);
        break;
    case -EACCES:
        snprintf(text, size, "the queue %s exists and belongs to somebody else: no right to read it", name);
        break;
    default:
        snprintf(text, size, "the queue %s cannot be opened: %s", name, strerror(-error));
    }
}

int nns_queue_open(const char *name, uint32_t depth, uint32_t msgsize, struct nns_queue *queue, char *error,
                   size_t size)
{
    int fd, result;

    if (!nns_queue_name_valid(name)) {
        snprintf(error, size, "\"%s\" is no name of a queue: it must be %s", name, NNS_QUEUE_NAME_RULE);
        return -EINVAL;
    }
    fd = open_or_make(name, depth, msgsize);
    if (fd < 0) {
        explain(name, depth, msgsize, fd, error, size);
        return fd;
    }
    result = read_attributes(fd, queue);
    if (result < 0) {
        explain(name, depth, msgsize, result, error, size);
        mq_close(fd);
    }
    return result;
}

ssize_t nns_queue_receive(const struct nns_queue *queue, void *buffer)
{
    ssize_t length = mq_receive(queue->fd, buffer, queue->msgsize, NULL);

    return length < 0 ? -errno : length;
}

int nns_queue_open_sender(const char *name, struct nns_queue *queue)
{
    int fd, result;

    if (!nns_queue_name_valid(name))
        return -EINVAL;
    fd = mq_open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    result = read_attributes(fd, queue);
    if (result < 0)
        mq_close(fd);
    return result;
}

int nns_queue_send(const struct nns_queue *queue, const void *message, size_t length)
{
    return mq_send(queue->fd, message, length, 0) < 0 ? -errno : 0;
}

void nns_queue_close(struct nns_queue *queue)
{
    if (queue->fd >= 0)
        mq_close(queue->fd);
    *queue = NNS_QUEUE_NULL;
}

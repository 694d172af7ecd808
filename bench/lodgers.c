/* SPDX-License-Identifier: Apache-2.0 */
#include "lodgers.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

struct bench_lodgers {
    pthread_t *threads;
    size_t capacity, count;
    sem_t moved_in, leave;
    pid_t newest; /* or -errno; written before moved_in is posted, read after */
};

static void await(sem_t *semaphore)
{
    while (sem_wait(semaphore) && errno == EINTR)
        ;
}

static void *lodge(void *context)
{
    struct bench_lodgers *lodgers = context;

    lodgers->newest = unshare(CLONE_NEWNET) ? -errno : gettid();
    sem_post(&lodgers->moved_in);
    await(&lodgers->leave);
    return NULL;
}

struct bench_lodgers *bench_lodgers_new(size_t capacity)
{
    struct bench_lodgers *lodgers = calloc(1, sizeof(*lodgers));
    pthread_t *threads = calloc(capacity, sizeof(*threads));

    if (!lodgers || !threads) {
        free(lodgers);
        free(threads);
        return NULL;
    }
    lodgers->threads = threads;
    lodgers->capacity = capacity;
    sem_init(&lodgers->moved_in, 0, 0);
    sem_init(&lodgers->leave, 0, 0);
    return lodgers;
}

static int start(struct bench_lodgers *lodgers)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);

    if (error)
        return error;
    pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
    error = pthread_create(&lodgers->threads[lodgers->count], &attributes, lodge, lodgers);
    pthread_attr_destroy(&attributes);
    return error;
}

pid_t bench_lodgers_add(struct bench_lodgers *lodgers)
{
    int error = lodgers->count < lodgers->capacity ? start(lodgers) : ENOSPC;

    if (error) {
        errno = error;
        return -1;
    }
    lodgers->count++;
    await(&lodgers->moved_in);
    if (lodgers->newest > 0)
        return lodgers->newest;
    errno = -lodgers->newest;
    return -1;
}

void bench_lodgers_free(struct bench_lodgers *lodgers)
{
    for (size_t i = 0; i < lodgers->count; i++)
        sem_post(&lodgers->leave);
    for (size_t i = 0; i < lodgers->count; i++)
        pthread_join(lodgers->threads[i], NULL);
    sem_destroy(&lodgers->moved_in);
    sem_destroy(&lodgers->leave);
    free(lodgers->threads);
    free(lodgers);
}

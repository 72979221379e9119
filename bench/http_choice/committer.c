/* The group committing thread shared by all candidates; see committer.h. */
#include "committer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH_BYTES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t parked_some = PTHREAD_COND_INITIALIZER;
static struct parked *waiting;
static struct parked *durable;
static int file_fd;
static int event_fd;
static long hold_us;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *commit_forever(void *unused)
{
    static const char batch_bytes[BATCH_BYTES];
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (waiting == NULL) {
            pthread_cond_wait(&parked_some, &lock);
        }
        struct parked *batch = waiting;
        waiting = NULL;
        pthread_mutex_unlock(&lock);

        if (hold_us > 0) {
            usleep((useconds_t)hold_us);
        }
        if (pwrite(file_fd, batch_bytes, BATCH_BYTES, 0) != BATCH_BYTES) {
            fail("pwrite");
        }
        if (fdatasync(file_fd) != 0) {
            fail("fdatasync");
        }

        struct parked *last = batch;
        while (last->next != NULL) {
            last = last->next;
        }
        pthread_mutex_lock(&lock);
        last->next = durable;
        durable = batch;
        pthread_mutex_unlock(&lock);
        const uint64_t one = 1;
        if (write(event_fd, &one, sizeof(one)) != sizeof(one)) {
            fail("eventfd");
        }
    }
    return NULL;
}

int committer_start(const char *path)
{
    file_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_fd < 0) {
        fail(path);
    }
    event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event_fd < 0) {
        fail("eventfd");
    }
    const char *hold_ms = getenv("HOLD_MS");
    hold_us = hold_ms != NULL ? strtol(hold_ms, NULL, 10) * 1000 : 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, commit_forever, NULL) != 0) {
        fail("pthread_create");
    }
    pthread_detach(thread);
    return event_fd;
}

void committer_park(struct parked *request)
{
    pthread_mutex_lock(&lock);
    const int was_empty = waiting == NULL;
    request->next = waiting;
    waiting = request;
    pthread_mutex_unlock(&lock);
    if (was_empty) {
        pthread_cond_signal(&parked_some);
    }
}

struct parked *committer_take(void)
{
    uint64_t count = 0;
    if (read(event_fd, &count, sizeof(count)) != sizeof(count)) {
        return NULL;
    }
    pthread_mutex_lock(&lock);
    struct parked *batch = durable;
    durable = NULL;
    pthread_mutex_unlock(&lock);
    return batch;
}

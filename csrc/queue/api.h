/* api.h: what other C code includes to use the queue. stats.h, queue.h and items.h themselves have
 * no preprocessor lines. */
#ifndef BB_API_H
#define BB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "stats.h"
/* After it. */
#include "queue.h"
/* After that. */
#include "items.h"

/* The host whose lock a sleeping call releases; both NULL in a plain C program. `detach` returns
 * the token to pass to `attach`, never NULL. Set once, before the first queue. */
typedef struct {
    void *(*detach)(void);
    void (*attach)(void *token);
    bool parallel; /* attached threads run at the same time (free-threaded) */
    uint64_t (*event_id)(const void *event); /* for the flight recorder; with the mutex held */
} bb_host;
extern bb_host host;

/* Begin to count forks; false without memory. If it was not called, the first bb_queue_new calls
 * it, and then no other thread may create a queue at the same time. */
bool bb_watch_forks(void);

#endif

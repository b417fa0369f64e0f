/* api.h: what other C code includes to use the queue. queue.h itself has no preprocessor lines. */
#ifndef BB_API_H
#define BB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "queue.h"

/* The host whose lock a sleeping call gives up; both NULL in a plain C program. `detach`
 * returns what `attach` wants back, never NULL. Set once, before the first queue. */
typedef struct {
    void *(*detach)(void);
    void (*attach)(void *token);
    bool parallel; /* it is no lock: threads that hold it run at the same time (free-threaded) */
} bb_host;
extern bb_host host;

/* Count forks from now on; false without memory. The first queue does it otherwise, and then no
 * other thread may make one at the same time. */
bool bb_watch_forks(void);

#endif

/* staged.h: what a test can set up behind the queue's back.
 *
 * The unit tests compile the queue with a few names redirected (see the Makefile): its clock,
 * memory, mutexes and timed sleeps come from staged.c, which passes them on to the real ones unless
 * a test has arranged otherwise. The platform file is compiled as it is. */
#ifndef STAGED_H
#define STAGED_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"

/* From now on the queue's clock shows `ns` and stands still; 0 gives the real clock back. */
void staged_clock_set(uint64_t ns);
void staged_clock_advance(uint64_t ns);

/* What the processor's counter shows, and whether it is reliable: it is not, unless a test says so,
 * since it knows nothing of the staged clock. */
void staged_ticks_set(uint64_t ticks);
void staged_ticks_reliable(bool reliable);

/* How many ticks the counter moves on with each reading. */
void staged_ticks_step(uint64_t ticks);

/* How the queue's timed sleeps go. */
typedef enum {
    STAGED_REAL,
    STAGED_ENDLESS, /* only a signal ends them: a wake-up that is lost is not made up for by time */
    STAGED_JUMP     /* they end at once, and the staged clock jumps to their deadline */
} staged_sleep;
void staged_sleeps(staged_sleep how);

/* By how much a jump misses its deadline. */
void staged_oversleep(uint64_t ns);

/* What bb_run_delay says of every thread. */
void staged_run_delay_set(uint64_t ns);

/* Called in each jump, without the mutex; NULL: nothing is. */
extern void (*staged_in_sleep)(void);

/* Threads in a timed sleep of the queue. It changes under the queue's mutex. */
int staged_sleepers(void);

/* Let `n` more allocations succeed and the one after them fail, once; -1: none fails. */
void staged_memory_fail_after(int n);

/* Bytes that the queue asked for since the last call. */
size_t staged_memory_asked(void);

/* Mutexes of the queue that the calling thread holds now. */
int staged_mutexes_held(void);

/* Called before a thread waits for a mutex of the queue; NULL: nothing is. */
extern void (*staged_before_lock)(bb_mutex *mutex);

/* All is real again. */
void staged_reset(void);

#endif

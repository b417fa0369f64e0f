/* staged.h: the environment of the queue, under a test's control.
 *
 * The unit tests compile the queue with a few names redirected (see the Makefile): its clock,
 * memory, mutexes and timed sleeps come from staged.c, which calls the real ones unless a test has
 * changed that. The platform file is compiled as it is. */
#ifndef STAGED_H
#define STAGED_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"

/* Stop the queue's clock at `ns`; 0 restores the real clock. */
void staged_clock_set(uint64_t ns);
void staged_clock_advance(uint64_t ns);
uint64_t staged_clock(void); /* what it shows */

/* The value of the processor's counter, and whether it is reliable: by default it is not, since it
 * is independent of the staged clock. */
void staged_ticks_set(uint64_t ticks);
void staged_ticks_reliable(bool reliable);

/* By how many ticks each reading advances the counter. */
void staged_ticks_step(uint64_t ticks);

/* How the queue's timed sleeps end. */
typedef enum {
    STAGED_REAL,
    STAGED_ENDLESS, /* by a signal only: no timeout hides a lost wake-up */
    STAGED_JUMP     /* immediately, and the staged clock jumps to their deadline */
} staged_sleep;
void staged_sleeps(staged_sleep how);

/* By how much a jump overshoots its deadline. */
void staged_oversleep(uint64_t ns);

/* What bb_run_delay returns for every thread. */
void staged_run_delay_set(uint64_t ns);

/* Called in each jump, without the mutex; may be NULL. */
extern void (*staged_in_sleep)(void);

/* Threads in a timed sleep of the queue. It changes under the queue's mutex. */
int staged_sleepers(void);

/* Let `n` more allocations succeed and the one after them fail, once; -1: none fails. */
void staged_memory_fail_after(int n);

/* Bytes that the queue requested since the last call. */
size_t staged_memory_asked(void);

/* Mutexes of the queue that the calling thread holds now. */
int staged_mutexes_held(void);

/* Called before a thread waits for a mutex of the queue; may be NULL. */
extern void (*staged_before_lock)(bb_mutex *mutex);

/* Called in each pause of a thread that waits for a mutex; may be NULL. */
extern void (*staged_in_pause)(void);

/* Restore the real environment. */
void staged_reset(void);

#endif

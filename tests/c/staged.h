/* staged.h: what a test can set up behind the ring's back.
 *
 * The unit tests compile the ring with a few names redirected (see the Makefile): its clock, its
 * memory and its mutexes come from staged.c, which passes them on to the real ones unless a test
 * has arranged otherwise. The platform file is compiled as it is. */
#ifndef STAGED_H
#define STAGED_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"

/* From now on the ring's clock shows `ns` and stands still; 0 gives the real clock back. Only for
 * tests in which nobody sleeps: sleeping goes by the real clock. */
void staged_clock_set(uint64_t ns);
void staged_clock_advance(uint64_t ns);

/* Let `n` more allocations succeed and the one after them fail, once; -1: none fails. */
void staged_memory_fail_after(int n);

/* Called once, when the ring next asks for memory; NULL: nothing is. */
extern void (*staged_in_allocation)(void);

/* Bytes that the ring asked for since the last call. */
size_t staged_memory_asked(void);

/* Mutexes of the ring that the calling thread holds now. */
int staged_mutexes_held(void);

/* Called before a thread waits for a mutex of the ring; NULL: nothing is. */
extern void (*staged_before_lock)(bb_mutex *mutex);

#endif

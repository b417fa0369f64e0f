/* staged.c: the clock, memory, mutexes and sleeps that the queue gets in the unit tests. */
#include "staged.h"

#include <stdatomic.h>
#include <stdlib.h>

void *staged_calloc(size_t n, size_t size);
void *staged_realloc(void *old, size_t size);
void staged_mutex_lock(bb_mutex *mutex);
bool staged_mutex_trylock(bb_mutex *mutex);
void staged_mutex_unlock(bb_mutex *mutex);
void staged_cond_wait_until(bb_cond *cond, bb_mutex *mutex, uint64_t deadline);
uint64_t staged_run_delay(uint64_t native_thread);
uint64_t staged_ticks(void);
void staged_pause(void);
bool staged_ticks_are_reliable(void);

static _Atomic uint64_t shown;
static atomic_int successes = -1;
static _Atomic size_t asked;
static atomic_int sleeps, sleepers;
static _Atomic uint64_t oversleep;
static _Thread_local int held;
void (*staged_before_lock)(bb_mutex *mutex);
void (*staged_in_sleep)(void);
void (*staged_in_pause)(void);

void staged_clock_set(uint64_t ns) { shown = ns; }
void staged_clock_advance(uint64_t ns) { shown += ns; }

uint64_t staged_clock(void) {
    uint64_t ns = shown;
    return ns != 0 ? ns : bb_clock();
}

static _Atomic uint64_t ticks, tick_step;
static _Atomic bool reliable;

void staged_ticks_set(uint64_t to) { ticks = to; }
void staged_ticks_step(uint64_t by) { tick_step = by; }
void staged_ticks_reliable(bool are) { reliable = are; }
uint64_t staged_ticks(void) {
    uint64_t step = tick_step;
    return atomic_fetch_add(&ticks, step) + step;
}
bool staged_ticks_are_reliable(void) { return reliable; }

void staged_sleeps(staged_sleep how) { sleeps = (int)how; }
void staged_oversleep(uint64_t ns) { oversleep = ns; }
int staged_sleepers(void) { return sleepers; }

void staged_reset(void) {
    staged_clock_set(0);
    staged_ticks_reliable(false);
    staged_ticks_step(0);
    staged_sleeps(STAGED_REAL);
    staged_oversleep(0);
    staged_in_sleep = NULL;
    staged_in_pause = NULL;
    staged_run_delay_set(0);
    staged_memory_fail_after(-1);
}

void staged_memory_fail_after(int n) { successes = n; }
size_t staged_memory_asked(void) { return atomic_exchange(&asked, 0); }

static bool charge(size_t size) {
    asked += size;
    return successes >= 0 && successes-- == 0;
}

void *staged_calloc(size_t n, size_t size) { return charge(n * size) ? NULL : calloc(n, size); }
void *staged_realloc(void *old, size_t size) { return charge(size) ? NULL : realloc(old, size); }

int staged_mutexes_held(void) { return held; }

void staged_pause(void) {
    if (staged_in_pause != NULL) staged_in_pause();
}

void staged_mutex_lock(bb_mutex *mutex) {
    if (staged_before_lock != NULL) staged_before_lock(mutex);
    bb_mutex_lock(mutex);
    held++;
}

bool staged_mutex_trylock(bb_mutex *mutex) {
    bool locked = bb_mutex_trylock(mutex);
    held += locked;
    return locked;
}

void staged_mutex_unlock(bb_mutex *mutex) {
    held--;
    bb_mutex_unlock(mutex);
}

static _Atomic uint64_t run_delay;

void staged_run_delay_set(uint64_t ns) { run_delay = ns; }

uint64_t staged_run_delay(uint64_t native_thread) {
    (void)native_thread;
    return run_delay;
}

static void jump(bb_mutex *mutex, uint64_t deadline) {
    if (deadline > shown) shown = deadline;
    shown += oversleep;
    if (staged_in_sleep == NULL) return;
    staged_mutex_unlock(mutex);
    staged_in_sleep();
    staged_mutex_lock(mutex);
}

void staged_cond_wait_until(bb_cond *cond, bb_mutex *mutex, uint64_t deadline) {
    sleepers++;
    switch ((staged_sleep)sleeps) {
    case STAGED_REAL: bb_cond_wait_until(cond, mutex, deadline); break;
    case STAGED_ENDLESS: bb_cond_wait(cond, mutex); break;
    case STAGED_JUMP: jump(mutex, deadline); break;
    }
    sleepers--;
}

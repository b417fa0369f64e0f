/* platform.h: everything that the C code needs from an operating system and a compiler.
 *
 * Mutexes and condition variables in the usual sense, clocks, threads and forks. One source file
 * per system implements it: platform_linux.c, platform_macos.c, platform_windows.c.
 */
#ifndef BB_PLATFORM_H
#define BB_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef _MSC_VER
#include <intrin.h>
#define BB_THREAD_LOCAL __declspec(thread)
#else
#define BB_THREAD_LOCAL _Thread_local
#endif
#ifdef _WIN32
#include <windows.h>
typedef SRWLOCK bb_mutex;
typedef CONDITION_VARIABLE bb_cond;
#else
#include <pthread.h>
typedef pthread_mutex_t bb_mutex;
typedef pthread_cond_t bb_cond;
#endif

bool bb_mutex_init(bb_mutex *mutex);
void bb_mutex_destroy(bb_mutex *mutex);
void bb_mutex_lock(bb_mutex *mutex);
bool bb_mutex_trylock(bb_mutex *mutex);
void bb_mutex_unlock(bb_mutex *mutex);

bool bb_cond_init(bb_cond *cond);
void bb_cond_destroy(bb_cond *cond);
void bb_cond_signal(bb_cond *cond);
void bb_cond_broadcast(bb_cond *cond);
void bb_cond_wait(bb_cond *cond, bb_mutex *mutex);

/* Wait until bb_clock() reaches `deadline`; may return early, also spuriously. */
void bb_cond_wait_until(bb_cond *cond, bb_mutex *mutex, uint64_t deadline);

/* For what is rarely needed: out of the way of the code that calls it. */
#ifdef _MSC_VER
#define BB_COLD __declspec(noinline)
#else
#define BB_COLD __attribute__((noinline, cold))
#endif

/* The position of the highest bit of a value that is not 0. */
static inline int32_t bb_highest_bit(uint64_t value) {
#ifdef _MSC_VER
    unsigned long position;
    _BitScanReverse64(&position, value);
    return (int32_t)position;
#else
    return 63 - __builtin_clzll(value);
#endif
}

/* One turn of a loop that waits for another core: 10 to 100 cycles that leave it undisturbed. */
#ifdef BB_STAGED
void bb_pause(void);
#else
static inline void bb_pause(void) {
#ifdef _WIN32
    YieldProcessor();
#elif defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* `yield` returns immediately on most of these processors */
#endif
}
#endif

/* Nanoseconds of a monotonic clock. */
uint64_t bb_clock(void);

/* The processor's own counter, in a unit of its own; bb_clock where that is not read. */
#ifdef BB_STAGED
uint64_t bb_ticks(void);
#else
static inline uint64_t bb_ticks(void) {
#if defined(__x86_64__) && !defined(_MSC_VER)
    return __builtin_ia32_rdtsc();
#else
    return bb_clock();
#endif
}
#endif

/* Whether bb_ticks counts at a constant rate and agrees on all cores, because the system derives
 * bb_clock from it. */
bool bb_ticks_are_reliable(void);

/* Seconds since the epoch. */
double bb_wall_clock(void);

/* The value of Python's `threading.get_ident()` in the calling thread. */
uint64_t bb_thread_id(void);

/* The system's own number of the calling thread, for bb_run_delay. */
uint64_t bb_native_thread(void);

/* Nanoseconds for which a thread of this process has so far been ready to run but had no core; 0
 * where the system does not report it. Costs some 10 us. */
uint64_t bb_run_delay(uint64_t native_thread);

/* Register `action` to run in the child of every fork, also of one made by C code; false if memory
 * ran out. Where there is no fork, nothing is done. */
bool bb_at_fork_in_child(void (*action)(void));

/* A function that is already loaded in this process, by name; NULL if there is none, or the system
 * cannot look it up. */
typedef void (*bb_function)(void);
bb_function bb_loaded_function(const char *name);

/* Nanoseconds of CPU time that the calling thread has used; never 0. Costs a call into the kernel
 * on most systems: 0.2 to 0.5 us. On Windows it moves in steps of some 16 ms. */
uint64_t bb_thread_cpu(void);

/* The same, summed over all threads of the process. */
uint64_t bb_process_cpu(void);

#endif

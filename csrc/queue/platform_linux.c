/* platform_linux.c: Linux and the other systems with a monotonic clock for conditions. */
#define _GNU_SOURCE
#include "platform.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u

bool bb_mutex_init(bb_mutex *mutex) { return pthread_mutex_init(mutex, NULL) == 0; }
void bb_mutex_destroy(bb_mutex *mutex) { pthread_mutex_destroy(mutex); }
void bb_mutex_lock(bb_mutex *mutex) { pthread_mutex_lock(mutex); }
bool bb_mutex_trylock(bb_mutex *mutex) { return pthread_mutex_trylock(mutex) == 0; }
void bb_mutex_unlock(bb_mutex *mutex) { pthread_mutex_unlock(mutex); }

bool bb_cond_init(bb_cond *cond) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return false;
    bool ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(cond, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return ok;
}

void bb_cond_destroy(bb_cond *cond) { pthread_cond_destroy(cond); }
void bb_cond_signal(bb_cond *cond) { pthread_cond_signal(cond); }
void bb_cond_broadcast(bb_cond *cond) { pthread_cond_broadcast(cond); }
void bb_cond_wait(bb_cond *cond, bb_mutex *mutex) { pthread_cond_wait(cond, mutex); }

void bb_cond_wait_until(bb_cond *cond, bb_mutex *mutex, uint64_t deadline) {
    struct timespec at = {
        .tv_sec = (time_t)(deadline / NS_PER_S),
        .tv_nsec = (long)(deadline % NS_PER_S),
    };
    pthread_cond_timedwait(cond, mutex, &at);
}

static uint64_t reading(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The kernel uses the counter for its clock only if it runs at a constant rate, also while cores
 * sleep, and the counters of all cores agree. */
bool bb_ticks_are_reliable(void) {
#ifdef __x86_64__
    char name[8] = {0};
    int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                    O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t n = read(file, name, sizeof name - 1);
    close(file);
    return n == 4 && memcmp(name, "tsc\n", 4) == 0;
#else
    return false;
#endif
}

uint64_t bb_clock(void) { return reading(CLOCK_MONOTONIC); }
uint64_t bb_thread_cpu(void) { return reading(CLOCK_THREAD_CPUTIME_ID) + 1; }
uint64_t bb_process_cpu(void) { return reading(CLOCK_PROCESS_CPUTIME_ID) + 1; }
double bb_wall_clock(void) { return (double)reading(CLOCK_REALTIME) * 1e-9; }
uint64_t bb_thread_id(void) { return (uint64_t)pthread_self(); }
bb_function bb_loaded_function(const char *name) { return (bb_function)dlsym(RTLD_DEFAULT, name); }

bool bb_at_fork_in_child(void (*action)(void)) { return pthread_atfork(NULL, NULL, action) == 0; }

uint64_t bb_native_thread(void) {
#ifdef SYS_gettid
    return (uint64_t)syscall(SYS_gettid);
#else
    return 0;
#endif
}

/* The second number of schedstat; the file is missing where the kernel does not record it. */
uint64_t bb_run_delay(uint64_t native_thread) {
    char text[96];
    unsigned long long ran, waited;
    snprintf(text, sizeof text, "/proc/self/task/%llu/schedstat",
             (unsigned long long)native_thread);
    int file = open(text, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t n = read(file, text, sizeof text - 1);
    close(file);
    if (n <= 0) return 0;
    text[n] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

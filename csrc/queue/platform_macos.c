/* platform_macos.c: macOS has no clock attribute for conditions, but a relative wait. */
#include "platform.h"

#include <dlfcn.h>
#include <time.h>

#define NS_PER_S 1000000000u

bool bb_mutex_init(bb_mutex *mutex) { return pthread_mutex_init(mutex, NULL) == 0; }
void bb_mutex_destroy(bb_mutex *mutex) { pthread_mutex_destroy(mutex); }
void bb_mutex_lock(bb_mutex *mutex) { pthread_mutex_lock(mutex); }
bool bb_mutex_trylock(bb_mutex *mutex) { return pthread_mutex_trylock(mutex) == 0; }
void bb_mutex_unlock(bb_mutex *mutex) { pthread_mutex_unlock(mutex); }

bool bb_cond_init(bb_cond *cond) { return pthread_cond_init(cond, NULL) == 0; }
void bb_cond_destroy(bb_cond *cond) { pthread_cond_destroy(cond); }
void bb_cond_signal(bb_cond *cond) { pthread_cond_signal(cond); }
void bb_cond_broadcast(bb_cond *cond) { pthread_cond_broadcast(cond); }
void bb_cond_wait(bb_cond *cond, bb_mutex *mutex) { pthread_cond_wait(cond, mutex); }

void bb_cond_wait_until(bb_cond *cond, bb_mutex *mutex, uint64_t deadline) {
    uint64_t now = bb_clock();
    if (now >= deadline) return;
    struct timespec left = {
        .tv_sec = (time_t)((deadline - now) / NS_PER_S),
        .tv_nsec = (long)((deadline - now) % NS_PER_S),
    };
    pthread_cond_timedwait_relative_np(cond, mutex, &left);
}

bool bb_ticks_are_reliable(void) { return false; }

uint64_t bb_clock(void) { return clock_gettime_nsec_np(CLOCK_UPTIME_RAW); }

uint64_t bb_thread_cpu(void) { return clock_gettime_nsec_np(CLOCK_THREAD_CPUTIME_ID) + 1; }
uint64_t bb_process_cpu(void) { return clock_gettime_nsec_np(CLOCK_PROCESS_CPUTIME_ID) + 1; }
double bb_wall_clock(void) { return (double)clock_gettime_nsec_np(CLOCK_REALTIME) * 1e-9; }
uint64_t bb_thread_id(void) { return (uint64_t)(uintptr_t)pthread_self(); }
bb_function bb_loaded_function(const char *name) { return (bb_function)dlsym(RTLD_DEFAULT, name); }

bool bb_at_fork_in_child(void (*action)(void)) { return pthread_atfork(NULL, NULL, action) == 0; }

uint64_t bb_native_thread(void) { return 0; }

uint64_t bb_run_delay(uint64_t native_thread) {
    (void)native_thread; /* the system does not report it */
    return 0;
}

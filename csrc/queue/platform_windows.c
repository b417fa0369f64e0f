/* platform_windows.c: slim reader/writer locks, condition variables, performance counter. */
#include "platform.h"

bool bb_mutex_init(bb_mutex *mutex) {
    InitializeSRWLock(mutex);
    return true;
}
void bb_mutex_destroy(bb_mutex *mutex) { (void)mutex; } /* it owns nothing */
void bb_mutex_lock(bb_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
bool bb_mutex_trylock(bb_mutex *mutex) { return TryAcquireSRWLockExclusive(mutex) != 0; }
void bb_mutex_unlock(bb_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }

bool bb_cond_init(bb_cond *cond) {
    InitializeConditionVariable(cond);
    return true;
}
void bb_cond_destroy(bb_cond *cond) { (void)cond; }
void bb_cond_signal(bb_cond *cond) { WakeConditionVariable(cond); }
void bb_cond_broadcast(bb_cond *cond) { WakeAllConditionVariable(cond); }
void bb_cond_wait(bb_cond *cond, bb_mutex *mutex) {
    SleepConditionVariableSRW(cond, mutex, INFINITE, 0);
}

void bb_cond_wait_until(bb_cond *cond, bb_mutex *mutex, uint64_t deadline) {
    uint64_t now = bb_clock();
    if (now >= deadline) return;
    uint64_t ms = (deadline - now + 999999u) / 1000000u; /* rounded up: never a busy loop */
    SleepConditionVariableSRW(cond, mutex, ms < INFINITE ? (DWORD)ms : INFINITE - 1, 0);
}

bool bb_ticks_are_reliable(void) { return false; }

uint64_t bb_clock(void) {
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    uint64_t ticks = (uint64_t)count.QuadPart, per_s = (uint64_t)frequency.QuadPart;
    return ticks / per_s * 1000000000u + ticks % per_s * 1000000000u / per_s;
}

static uint64_t in_ns(FILETIME kernel, FILETIME user) { /* in units of 100 ns */
    uint64_t in_kernel = (uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime;
    uint64_t in_user = (uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime;
    return (in_kernel + in_user) * 100u + 1;
}

uint64_t bb_thread_cpu(void) {
    FILETIME created, ended, kernel, user;
    GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user);
    return in_ns(kernel, user);
}

uint64_t bb_process_cpu(void) {
    FILETIME created, ended, kernel, user;
    GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user);
    return in_ns(kernel, user);
}

double bb_wall_clock(void) {
    FILETIME now; /* in units of 100 ns since 1601 */
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (double)(ticks - 116444736000000000u) * 1e-7;
}

uint64_t bb_thread_id(void) { return GetCurrentThreadId(); }

bb_function bb_loaded_function(const char *name) {
    HMODULE python = GetModuleHandleW(L"python3.dll");
    return python != NULL ? (bb_function)(void (*)(void))GetProcAddress(python, name) : NULL;
}

bool bb_at_fork_in_child(void (*action)(void)) {
    (void)action; /* there is no fork */
    return true;
}

uint64_t bb_native_thread(void) { return 0; }

uint64_t bb_run_delay(uint64_t native_thread) {
    (void)native_thread; /* the system does not report it */
    return 0;
}

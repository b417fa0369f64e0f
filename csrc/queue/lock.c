/* lock.c: waiting for the mutex where attached threads run at the same time (a free-threaded host).
 *
 * The mutex is held for 50 to 100 ns, but a thread that sleeps for it has to be woken by a call
 * into the kernel, while the mutex stays free: four publishers and four workers on two cores
 * spent 3 us of CPU time on each event. So a thread first tries again, after pauses that double:
 * another core then uses the queue several times before this one takes the lines of its cache away.
 *
 * Guarantees
 * - A host that excludes its threads is never kept in a pause: where there is a GIL, the thread
 *   that has the mutex may need it.
 * - The host is kept for some 8,000 pauses at most, less than half a millisecond; a collection of
 *   garbage that stops all attached threads waits no longer for this one.
 *
 * What was tried, in million events per second, four publishers and four workers, CPython 3.13
 * without a GIL, two cores beside other work
 * - No pause: 0.5 to 0.6. Pauses of equal length: 1.0. Doubling up to 16: 1.0; 64: 1.4; 512: 1.9;
 *   2,048: 2.3; 8,192: 2.6.
 */
#include "lock.h"

#define TRIES 12
#define FIRST_PAUSES 4
#define MAX_PAUSES 2048

#ifndef NDEBUG
BB_THREAD_LOCAL const bb_queue *locked_queue;
#endif

bool lock_soon(bb_queue *q) {
    if (!host.parallel) return false;
    for (int tries = 0, pauses = FIRST_PAUSES; tries < TRIES; tries++) {
        for (int i = 0; i < pauses; i++) bb_pause();
        if (bb_mutex_trylock(&q->mutex)) return true;
        if (pauses < MAX_PAUSES) pauses *= 2;
    }
    return false;
}

/* lock.h: the queue's mutex and the host's lock. Every place that locks, unlocks or sleeps comes
 * through here.
 *
 * The lock rule. `bb_queue.mutex` guards every field of a queue, its slots, waiters, workers, and
 * the accounts of its recipients. Order: the host's lock (the GIL) first, then the mutex, never the
 * reverse: no thread re-attaches to the host while it holds the mutex, because the thread that
 * holds the GIL may be waiting for the mutex. Therefore queue_lock tries first and detaches before
 * it blocks, and queue_unlock releases the mutex before it re-attaches. Nothing calls into the host
 * in between.
 *
 * A thread holds the mutex of one queue at most. Builds with assertions know which, and check it in
 * every function that needs the mutex (ASSERT_LOCKED) and wherever the host is attached or
 * detached.
 */
#ifndef BB_LOCK_H
#define BB_LOCK_H

#include <assert.h>

#include "structs.h"

#ifndef NDEBUG
extern BB_THREAD_LOCAL const bb_queue *locked_queue; /* whose mutex the calling thread holds */
static inline void set_locked(const bb_queue *q) {
    assert(locked_queue == NULL && "a thread holds one mutex at most");
    locked_queue = q;
}
static inline void set_unlocked(const bb_queue *q) {
    assert(locked_queue == q && "this thread does not hold the mutex");
    locked_queue = NULL;
}
#define ASSERT_LOCKED(q) assert(locked_queue == (q) && "the caller must hold the mutex")
#define ASSERT_UNLOCKED() assert(locked_queue == NULL && "the caller must not hold the mutex")
#else
static inline void set_locked(const bb_queue *q) { (void)q; }
static inline void set_unlocked(const bb_queue *q) { (void)q; }
#define ASSERT_LOCKED(q) ((void)0)
#define ASSERT_UNLOCKED() ((void)0)
#endif

static inline void *host_detach(void) {
    ASSERT_UNLOCKED();
    return host.detach != NULL ? host.detach() : NULL;
}

static inline void host_attach(void *token) {
    ASSERT_UNLOCKED();
    if (token != NULL) host.attach(token);
}

/* Wait for the mutex with the host attached; only bb_running may, which says why. */
static inline void queue_lock_attached(bb_queue *q) {
    bb_mutex_lock(&q->mutex);
    set_locked(q);
}

/* Detach from the host and lock: for calls that are about to sleep. */
static inline void *queue_lock_detached(bb_queue *q) {
    void *token = host_detach();
    bb_mutex_lock(&q->mutex);
    set_locked(q);
    return token;
}

/* Lock without detaching if the mutex is released soon; false: not so, or the host has a lock. */
BB_COLD bool lock_soon(bb_queue *q);

/* Lock, detaching from the host only if that takes waiting. The token goes to queue_unlock. */
static inline void *queue_lock(bb_queue *q) {
    if (!bb_mutex_trylock(&q->mutex) && !lock_soon(q)) return queue_lock_detached(q);
    set_locked(q);
    return NULL;
}

/* Release the mutex and leave the host as it is. */
static inline void queue_release(bb_queue *q) {
    set_unlocked(q);
    bb_mutex_unlock(&q->mutex);
}

static inline void queue_unlock(bb_queue *q, void *token) {
    queue_release(q);
    host_attach(token);
}

/* Sleep on a condition with the mutex released; the host is detached already. */
static inline void queue_wait(bb_queue *q, bb_cond *cond) {
    assert(q->clock.set == 0 && "a thread that sleeps cannot set the clock");
    set_unlocked(q);
    bb_cond_wait(cond, &q->mutex);
    set_locked(q);
}

static inline void queue_wait_until(bb_queue *q, bb_cond *cond, uint64_t deadline) {
    assert(q->clock.set == 0 && "a thread that sleeps cannot set the clock");
    set_unlocked(q);
    bb_cond_wait_until(cond, &q->mutex, deadline);
    set_locked(q);
}

#endif

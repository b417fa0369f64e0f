/* internal.h: the functions that the C files of the queue share. Apart from the C tests, no other
 * file includes it. All of them need the mutex, and assert that the caller holds it, except where a
 * comment says otherwise. */
#ifndef BB_INTERNAL_H
#define BB_INTERNAL_H

#include "lock.h"

/* ---- levels.c: slots and levels ---------------------------------------------------------- */

/* What dequeue returns. */
typedef struct {
    bb_delivery delivery;
    uint64_t accepted;
    int32_t level; /* from 0 */
    int32_t type;
} dequeued;

bool grow_slots(bb_queue *q, int32_t count);
void enqueue(bb_queue *q, const bb_route *route, void *event, int32_t depth, uint64_t now);
dequeued dequeue(bb_queue *q, int32_t level);
int32_t next_level(const bb_queue *q, uint64_t now);
bb_delivery evict(bb_queue *q, bb_mode mode, int32_t level);
int32_t count_evictable(const bb_queue *q, bb_mode mode, int32_t level);

/* ---- waiters.c: publishers that wait, and wake-ups --------------------------------------- */
bool has_waiters_before(const bb_queue *q, int32_t level, bool handler);
bool finish_wait(bb_waiter *waiter);
void admit_waiters(bb_queue *q, uint64_t now);
void notify_admitted(bb_queue *q, uint64_t now);
void wake_waiters(bb_queue *q);
void wake_if_all_wait(bb_queue *q);
void wake_all(bb_queue *q);
void signal_if_idle(bb_queue *q);
void unlock_and_wake(bb_queue *q, void *token); /* the mutex is released afterwards */

/* ---- standstill.c ------------------------------------------------------------------------ */
bool all_workers_wait(const bb_queue *q);
bool apply_standstill_rule(bb_queue *q, const bb_waiter *waiter, uint64_t now, bool late);
uint64_t slice_for(const bb_queue *q, const bb_waiter *waiter);

/* ---- callers.c --------------------------------------------------------------------------- */
bb_caller *add_caller(bb_queue *q, const bb_route *route, void *event);
void free_callers(bb_queue *q); /* without the mutex, of a queue that no thread uses any more */

/* ---- counters.c -------------------------------------------------------------------------- */
void count_published(bb_queue *q, int32_t level, int32_t type, int32_t n);
void count_dropped(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bb_reason reason);
void count_processed(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bool failed);
void sample_depth(bb_queue *q, uint64_t now);

/* ---- histograms.c ------------------------------------------------------------------------ */
void record_duration(rolling_histogram *h, uint64_t ns);
void roll_histograms(bb_queue *q, uint64_t now);
void copy_durations(const rolling_histogram *h, bb_durations *all, bb_durations *recent);

/* ---- timers.c: only with monitoring ------------------------------------------------------ */
void record_processing(bb_queue *q, bb_recipient *r, uint64_t wall, uint64_t cpu);
uint64_t cpu_since(uint64_t cpu, uint64_t wall, uint64_t *now);
void count_arrivals(bb_queue *q, int32_t n, uint64_t now);

/* ---- forks ------------------------------------------------------------------------------- */
extern int64_t fork_count;

/* Whether a fork has left the queue behind. Without the mutex, which may be locked for ever. */
static inline bool is_gone(const bb_queue *q) { return q->fork_count != fork_count; }

/* ---- time -------------------------------------------------------------------------------- */

/* A reading of the queue's clock, without the mutex; time_of turns it into a time, with the mutex.
 * 0 if no time is wanted. */
static inline uint64_t read_if(const bb_queue *q, bool wanted) {
    return wanted ? fast_clock_read(&q->clock) : 0;
}
static inline uint64_t time_of(bb_queue *q, uint64_t reading) {
    ASSERT_LOCKED(q);
    return reading != 0 ? fast_clock_time(&q->clock, reading) : 0;
}

/* Both at once, with the mutex. */
static inline uint64_t time_if(bb_queue *q, bool wanted) { return time_of(q, read_if(q, wanted)); }

/* From one reading of the clock to another. A reading is taken before the thread waits for the
 * mutex, so `then` may be the later one: clamp to 0 instead of wrapping around. */
static inline uint64_t elapsed(uint64_t then, uint64_t now) { return now > then ? now - then : 0; }

/* The time `timeout_ns` from now; any value is valid, a negative one means now. */
static inline uint64_t deadline_after(int64_t timeout_ns) {
    return bb_clock() + (timeout_ns > 0 ? (uint64_t)timeout_ns : 0);
}

/* ---- free capacity ----------------------------------------------------------------------- */

static inline int32_t slot_limit(const bb_queue *q, bool handler) {
    return q->capacity + (handler ? q->reserve : 0);
}

/* An event with more deliveries than the limit is accepted when the queue is empty. */
static inline bool fits(const bb_queue *q, int32_t count, bool handler) {
    ASSERT_LOCKED(q);
    return count <= slot_limit(q, handler) - q->queued || q->queued == 0;
}

/* Make sure that an event of `count` deliveries finds slots once it fits. False without memory. */
static inline bool ensure_slots(bb_queue *q, int32_t count) {
    ASSERT_LOCKED(q);
    return count <= q->slot_count || grow_slots(q, count);
}

static inline bool is_open_to(const bb_queue *q, bb_origin origin) {
    ASSERT_LOCKED(q);
    return q->state == BB_OPEN || (origin == BB_INSIDE && q->state == BB_DRAINING);
}

/* ---- CPU time, see timers.c -------------------------------------------------------------- */

#define SHORT_NS 20000u
#define TRIAL 16 /* deliveries whose CPU time is read before it is known how long they take */

/* The thread's CPU time if the delivery's is worth measuring, else 0. `known`: a reading of this
 * moment that the caller has at hand, or 0. */
static inline uint64_t cpu_to_begin(const bb_recipient *r, uint64_t known) {
    const bb_timer *t = &r->timer;
    if (t->wall < SHORT_NS * t->deliveries && t->deliveries >= TRIAL) return 0;
    return known > 0 ? known : bb_thread_cpu();
}

#endif

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
    uint64_t sequence;
    int32_t level; /* from 0 */
    int32_t type;
    bool expired;
} dequeued;

bool grow_slots(bb_queue *q, int32_t count);
void enqueue(bb_queue *q, const bb_route *route, void *event, int32_t depth, uint64_t now);
int32_t enqueue_many(bb_queue *q, const bb_route *route, void *const *events, int32_t n,
                     int32_t depth, bool handler, uint64_t now);
dequeued dequeue(bb_queue *q, int32_t level, uint64_t now);
dequeued dequeue_oldest(bb_queue *q, int32_t level);
dequeued drop_parked(bb_queue *q, bb_parked *p);
int32_t starving_level(const bb_queue *q, uint64_t now);
int32_t highest_level(const bb_queue *q);
uint64_t first_sequence(const bb_queue *q);
bb_delivery evict(bb_queue *q, bb_mode mode, int32_t level, const void *by);
int32_t count_evictable(const bb_queue *q, bb_mode mode, int32_t level);

/* ---- lanes.c: grouped deliveries --------------------------------------------------------- */
void park(bb_queue *q, bb_parked *p);
void unpark(bb_queue *q, bb_parked *p);
void end_parked(bb_queue *q, bb_parked *p);
void unblock(bb_queue *q, bb_group *group);
void settle_ready(bb_queue *q);
void lane_begins(bb_queue *q, bb_lane *lane);
void lane_ends(bb_queue *q, bb_lane *lane);
bb_parked *next_of_batch(const bb_lane *lane);
void begin_filling(bb_queue *q, bb_lane *lane);
void end_filling(bb_queue *q, bb_lane *lane);
void delay(bb_queue *q, bb_parked *p);
void end_delay(bb_queue *q, bb_parked *p);

/* ---- workers.c ---------------------------------------------------------------------------- */
void begin_completing(bb_worker *worker, uint64_t first);

/* ---- calls.c: calls of grouped subscriptions --------------------------------------------- */
void begin_call(bb_queue *q, bb_parked *p);
uint64_t first_of_call(const open_delivery *open);
uint64_t finish_call(bb_queue *q, bb_worker *worker, uint64_t now);
void signal_barrier(bb_queue *q); /* lifecycle.c */

/* ---- waiters.c: publishers that wait, and wake-ups --------------------------------------- */
bool has_waiters_before(const bb_queue *q, int32_t level, bool handler);
void remove_waiter(bb_waiter *waiter);
bool finish_wait(bb_waiter *waiter);
void admit_waiters(bb_queue *q, uint64_t now);
void notify_admitted(bb_queue *q, uint64_t now);
void notify_next(bb_queue *q);
void wake_waiters(bb_queue *q);
void wake_if_all_wait(bb_queue *q);
void wake_all(bb_queue *q);
void signal_idle(bb_queue *q);
void signal_workers(bb_queue *q);
void unlock_and_signal(bb_queue *q, void *token);

/* ---- standstill.c ------------------------------------------------------------------------ */
bool all_workers_wait(const bb_queue *q);
bool apply_standstill_rule(bb_queue *q, const bb_waiter *waiter, uint64_t now, bool late);
uint64_t slice_for(const bb_queue *q, const bb_waiter *waiter);

/* ---- callers.c --------------------------------------------------------------------------- */
bb_caller *add_caller(bb_queue *q, const bb_route *route, void *event);
void free_callers(bb_queue *q); /* without the mutex, of a queue that no thread uses any more */

/* ---- recorder.c -------------------------------------------------------------------------- */
uint64_t id_of(const void *event);

/* ---- counters.c -------------------------------------------------------------------------- */
void count_published(bb_queue *q, int32_t level, int32_t type, int32_t n);
void count_dropped(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bb_reason reason);
void count_processed(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bool failed);
void count_retried(bb_queue *q, int32_t level, int32_t type, bb_recipient *r);
void count_untaken(bb_queue *q, int32_t level, int32_t type, bb_recipient *r);
void sample_depth(bb_queue *q, uint64_t now);

/* ---- histograms.c ------------------------------------------------------------------------ */
void record_duration(rolling_histogram *h, uint64_t ns);
void roll_histograms(bb_queue *q, uint64_t now);
void copy_durations(const rolling_histogram *h, bb_durations *all, bb_durations *recent);

/* ---- timers.c: only with monitoring ------------------------------------------------------ */
void record_processing(bb_queue *q, bb_recipient *r, uint64_t wall, uint64_t cpu);
void record_detached(bb_queue *q, bb_recipient *r, uint64_t wall);
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

/* The time to the nanosecond, with or without the mutex. */
static inline uint64_t clock_of(const bb_queue *q) { return fast_clock_exact(&q->clock); }

/* From one reading of the clock to another. A reading is taken before the thread waits for the
 * mutex, so `then` may be the later one: clamp to 0 instead of wrapping around. */
static inline uint64_t elapsed(uint64_t then, uint64_t now) { return now > then ? now - then : 0; }

/* The time `timeout_ns` from now; any value is valid, a negative one means now. */
static inline uint64_t deadline_after(const bb_queue *q, int64_t timeout_ns) {
    return clock_of(q) + (timeout_ns > 0 ? (uint64_t)timeout_ns : 0);
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

/* ---- the flight recorder ------------------------------------------------------------------ */

/* In line, and without a division: a delivery with its three notes takes 6 ns less. */
static inline void write_note(bb_queue *q, bb_noted what, uint64_t event, const bb_recipient *r,
                              int32_t type, int32_t level, uint64_t by, uint64_t now) {
    ASSERT_LOCKED(q);
    bb_note *to = &q->notes[q->next_note];
    if (++q->next_note == q->notes_size) q->next_note = 0;
    q->noted++;
    to->time = now != 0 ? now : time_if(q, true);
    to->event = event;
    to->by = by;
    to->recipient = (uint64_t)(uintptr_t)r;
    to->type = type;
    to->level = (int16_t)level;
    to->what = (int16_t)what;
}

/* Note a decision, if the recorder is on. `r`: NULL if it is about the whole event. `now`: 0 if no
 * time is at hand. */
static inline void note(bb_queue *q, bb_noted what, const void *event, const bb_recipient *r,
                        int32_t type, int32_t level, uint64_t now) {
    if (q->notes != NULL) write_note(q, what, id_of(event), r, type, level, 0, now);
}

/* ---- counting, with the mutex --------------------------------------------------------------- */

static inline void count_taken(bb_queue *q, int32_t level, int32_t type, bb_recipient *r) {
    ASSERT_LOCKED(q);
    q->running++;
    q->by_level[level].taken++;
    q->by_type[type].taken++;
    r->tally.taken++;
    q->congested = false;
    if (q->queued <= q->capacity / 2) q->streak = false;
}

/* ---- slots --------------------------------------------------------------------------------- */

/* Take the first slot of a level that has slots. */
static inline dequeued dequeue_slot(bb_queue *q, int32_t level) {
    level_list *list = &q->level[level];
    int32_t index = list->head;
    slot *s = &q->slots[index];
    dequeued taken = {
        .delivery = {s->event, s->recipient, NULL, s->depth},
        .accepted = s->accepted,
        .sequence = s->sequence,
        .level = level,
        .type = s->type,
    };
    list->head = s->next;
    if (list->head < 0) q->nonempty &= ~(1u << level);
    s->next = q->free_slot;
    q->free_slot = index;
    q->queued--;
    return taken;
}

/* ---- work -------------------------------------------------------------------------------- */

/* Sort out the lanes that may not be served, since their groups have reached their limits. Before
 * has_work and all_workers_wait, and before a worker is woken. */
static inline void settle_lanes(bb_queue *q) {
    ASSERT_LOCKED(q);
    if (q->ready_levels != 0) settle_ready(q);
}

/* The levels at which a delivery may be taken: those with slots, and those with lanes that are
 * ready. A lane whose group has reached its limit counts until settle_lanes has removed it. */
static inline uint32_t levels_with_work(const bb_queue *q) {
    ASSERT_LOCKED(q);
    return q->nonempty | q->ready_levels;
}

/* The level to serve next; there is work. */
static inline int32_t next_level(const bb_queue *q, uint64_t now) {
    uint32_t bits = levels_with_work(q);
    assert(q->queued > 0 && bits != 0);
    return q->starvation == 0 ? bb_highest_bit(bits) : starving_level(q, now);
}

static inline bool is_idle(const bb_queue *q) {
    return q->queued == 0 && q->running == 0 && q->completing == 0;
}

/* A delivery has ended: wake the threads for which that was the last to wait for. */
static inline void signal_if_idle(bb_queue *q) {
    ASSERT_LOCKED(q);
    assert(q->queued >= 0 && q->running >= 0);
    if (is_idle(q) || q->barrier_waiters > 0) signal_idle(q);
}

/* Unlock, and wake an idle worker if there is work and no wake-up is in flight. */
static inline void unlock_and_wake(bb_queue *q, void *token) {
    if (q->idle_workers > 0 || q->idle_reserved > 0) unlock_and_signal(q, token);
    else queue_unlock(q, token);
}

/* A delivery left the queue: give its slot to waiting publishers. */
static inline void admit_and_notify(bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    if (q->waiting > 0) {
        q->last_progress = q->timed ? now : clock_of(q);
        q->restarts = 0;
        admit_waiters(q, now);
    }
    if (q->unnotified.head != NULL) notify_admitted(q, q->timed ? now : clock_of(q));
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

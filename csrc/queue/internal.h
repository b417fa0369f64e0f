/* internal.h: what the C files of the queue share. Nobody else includes it, except the C tests.
 *
 * The lock rule. `bb_queue.mutex` guards every field of a queue, its slots, waiters, workers, and
 * the accounts of its recipients. Order: the host's lock (the GIL) first, then the mutex, never the
 * reverse: nobody re-attaches to the host while holding the mutex, because the holder of the GIL
 * may be waiting for the mutex. Therefore queue_lock tries first, and detaches before it waits;
 * queue_unlock gives the mutex up before it re-attaches. No call into the host happens in between.
 */
#ifndef BB_INTERNAL_H
#define BB_INTERNAL_H

#include <assert.h>

#include "api.h"
#include "fast_clock.h"

#define SCALES 3 /* of bb_arrivals.windows */

/* A queued delivery. Its level is that of the list it is in. */
typedef struct {
    void *event;
    bb_recipient *recipient;
    uint64_t sequence; /* order of acceptance over all levels */
    uint64_t accepted; /* bb_clock, 0 if nothing is timed */
    int32_t next;      /* slot behind this one in its level, or in the free list; -1: none */
    int16_t type;
    int16_t depth;
} slot;

/* First in, first out. */
typedef struct {
    int32_t head;
    int32_t tail;
} level_list;

/* A publisher in line, or one whose event was accepted there and that has not returned yet. On the
 * heap, because a thread that is killed at the end of the process must not leave a pointer to its
 * stack. */
struct bb_waiter {
    bb_waiter *next;
    bb_waiter *prev;
    struct wait_list *list; /* NULL: in none */
    bb_queue *q;
    const bb_route *route;
    void *event;
    int32_t depth;
    bb_origin origin;
    bool handler;     /* not BB_OUTSIDE */
    bool limited;     /* has a limit of its own: the standstill rule does not apply */
    bool admitted;    /* accepted by a worker */
    bool notified;    /* and told so */
    bool turned_away; /* the queue was closed to it */
    uint64_t since;
    bb_cond wake;
};

typedef struct wait_list {
    bb_waiter *head;
    bb_waiter *tail;
    int32_t count;
} wait_list;

/* A publisher that runs the handlers of its event itself. */
struct bb_caller {
    bb_caller *next;
    bb_caller *prev;
    bb_queue *q;
    void *event;
    bb_recipient **recipients;
    uint64_t thread;
    uint64_t number;
    uint64_t since; /* when its present delivery began, */
    uint64_t cpu;   /* and the thread's CPU time then; 0: not read */
    int32_t level;
    int32_t type;
    int32_t count;
    int32_t remaining;
};

/* A delivery that a worker has begun. */
typedef struct {
    void *event; /* NULL: let go of */
    bb_recipient *recipient;
    uint64_t began;
    uint64_t cpu; /* the thread's CPU time then; 0: not read, see timers.c */
    int32_t level;
    int32_t type;
    bool open;
    bool failed;
} open_delivery;

struct bb_worker {
    bb_queue *q;
    uint64_t thread;
    uint64_t native; /* the same for bb_run_delay */
    uint64_t busy;   /* ns */
    uint64_t since;  /* when it entered */
    uint64_t number; /* of deliveries begun */
    int32_t place;   /* in `workers` */
    open_delivery open;
};

/* Recent values, in two halves, and all older ones: see histograms.c. */
typedef struct {
    uint64_t count;
    uint64_t max;
    double sum;
    uint64_t bucket[BB_BUCKETS];
} histogram;

typedef struct {
    histogram current;
    histogram previous;
    histogram older;
} rolling_histogram;

struct bb_queue {
    bb_mutex mutex;
    bb_cond work;       /* workers sleep on it; signalled by whoever adds work while one sleeps */
    bb_cond idle;       /* bb_wait_idle sleeps on it; broadcast when nothing is queued or running,
                   * and bb_wait_shut: broadcast when the state changes */
    int64_t fork_count; /* of the process that made it */

    int32_t capacity; /* in deliveries, over all levels */
    int32_t reserve;
    int32_t levels;
    bool timed;       /* waits are measured: monitoring, or starvation */
    bool monitoring;  /* handling is measured, the depth is sampled */
    fast_clock clock; /* for what is timed */
    uint64_t starvation;
    uint64_t standstill;

    bb_state state;
    uint64_t deadline; /* of draining */
    int32_t queued;    /* deliveries */
    int32_t running;   /* deliveries */
    uint32_t nonempty; /* bit l: level l has slots */
    uint64_t sequence;
    int32_t free_slot;  /* slots that were used before; -1: none */
    int32_t fresh_slot; /* the first that never was */
    int32_t slot_count;
    level_list level[BB_LEVELS];
    slot *slots;

    /* Waking workers: one wake is in flight at a time, and the woken worker wakes the next if
     * there is more to do. Signalling at each push cost 15 us a push without it. */
    int32_t sleepers;
    bool waking;

    /* Publishers. `line` waits for room, [1]: handlers, by level; `admitted` was accepted by a
     * worker but has not returned yet. */
    wait_list line[2][BB_LEVELS];
    uint32_t lines[2]; /* bit l: line[.][l] is not empty */
    int32_t waiting;   /* publishers in all of these */
    wait_list unnotified;
    wait_list notified;
    uint64_t last_notified; /* when some of `unnotified` were notified */
    bb_caller *callers;

    /* The standstill rule, see waiters.c. */
    uint64_t moved;   /* when a worker last took while a publisher waited, or the wait restarted */
    int32_t restarts; /* since then, for which no worker was to blame */
    uint64_t delay;   /* run delay of the workers, read */
    uint64_t delay_read;  /* at that time */
    bool congested;       /* a wait ended by the rule, and no worker has taken since */
    bool streak;          /* something was dropped, and the queue has not been half empty since */
    int32_t idle_waiters; /* threads in bb_wait_idle */

    bb_tally by_level[BB_LEVELS];
    bb_tally *by_type;
    int32_t types;
    uint64_t dropped_by[BB_REASONS][BB_LEVELS];
    uint64_t unrouted;

    bb_worker **workers;
    int32_t present;  /* workers in their loops: workers[0 .. present - 1] */
    int32_t starting; /* threads that were asked for and have not entered */
    int32_t wanted;
    int32_t blocked; /* workers that wait in publish */

    uint64_t made;
    uint64_t last_sample;
    uint64_t samples;
    int32_t history[BB_HISTORY];
    double processing_average;
    uint64_t rolled; /* when the histograms last began a new half */
    rolling_histogram queue_wait;
    rolling_histogram processing;

    bb_timer timer; /* of all recipients */
    bb_arrivals arrivals;
    uint64_t window_began[SCALES];
    uint64_t in_window[SCALES];
    uint64_t process_cpu; /* at the first arrival */
};

/* ---- levels.c: slots and levels; the mutex is held ------------------------------------- */
bool ensure_slots(bb_queue *q, int32_t count);
void enqueue(bb_queue *q, const bb_route *route, void *event, int32_t depth, uint64_t now);
typedef struct {
    bb_delivery delivery;
    uint64_t accepted;
    int32_t level;
    int32_t type;
} dequeued;
dequeued dequeue(bb_queue *q, int32_t level);
int32_t next_level(const bb_queue *q, uint64_t now);
bb_delivery evict(bb_queue *q, bb_mode mode, int32_t level);
int32_t count_evictable(const bb_queue *q, bb_mode mode, int32_t level);

/* ---- waiters.c: the line of publishers, and who wakes whom; the mutex is held ----------- */
bool has_waiters_before(const bb_queue *q, int32_t level, bool handler);
bool finish_wait(bb_waiter *waiter);
void admit_waiters(bb_queue *q, uint64_t now);
void notify_admitted(bb_queue *q, uint64_t now);
void wake_everyone(bb_queue *q);
void unlock_and_wake(bb_queue *q, void *token);
void note_if_idle(bb_queue *q);
void note_if_all_wait(bb_queue *q);

void wake_line(bb_queue *q);

/* ---- standstill.c: the mutex is held ----------------------------------------------------- */
bool all_workers_wait(const bb_queue *q);
bool at_standstill(bb_queue *q, const bb_waiter *waiter, uint64_t now, bool late);
uint64_t slice_of(const bb_queue *q, const bb_waiter *waiter);

/* ---- callers.c: the mutex is held -------------------------------------------------------- */
bb_caller *add_caller(bb_queue *q, const bb_route *route, void *event);
void free_callers(bb_queue *q);

/* ---- counters.c: the mutex is held ------------------------------------------------------- */
void count_published(bb_queue *q, int32_t level, int32_t type, int32_t n);
void count_dropped(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bb_reason reason);
void count_processed(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bool failed);
void sample_depth(bb_queue *q, uint64_t now);

/* ---- histograms.c: the mutex is held ----------------------------------------------------- */
void record_duration(rolling_histogram *h, uint64_t ns);
void roll_histograms(bb_queue *q, uint64_t now);
void copy_durations(const rolling_histogram *h, bb_durations *all, bb_durations *recent);

/* ---- timers.c: the mutex is held, monitoring is on --------------------------------------- */
void record_processing(bb_queue *q, bb_recipient *r, uint64_t wall, uint64_t cpu);
uint64_t cpu_since(uint64_t cpu, uint64_t wall, uint64_t *now);
void count_arrivals(bb_queue *q, int32_t n, uint64_t now);

/* ---- the lock ---------------------------------------------------------------------------- */

static inline void *host_detach(void) { return host.detach != NULL ? host.detach() : NULL; }
static inline void host_attach(void *token) {
    if (token != NULL) host.attach(token);
}

extern int64_t fork_count;
static inline bool is_gone(const bb_queue *q) { return q->fork_count != fork_count; }

/* Lock; the result says whether the host was detached for it, and goes to queue_unlock. */
static inline void *queue_lock(bb_queue *q) {
    if (bb_mutex_trylock(&q->mutex)) return NULL;
    void *token = host_detach();
    bb_mutex_lock(&q->mutex);
    return token;
}

static inline void queue_unlock(bb_queue *q, void *token) {
    bb_mutex_unlock(&q->mutex);
    host_attach(token);
}

/* ---- time -------------------------------------------------------------------------------- */

/* A reading of the queue's clock, without the mutex; under it, time_of says which time it is. 0 if
 * no time is wanted. */
static inline uint64_t read_if(const bb_queue *q, bool wanted) {
    return wanted ? fast_clock_read(&q->clock) : 0;
}
static inline uint64_t time_of(bb_queue *q, uint64_t reading) {
    return reading != 0 ? fast_clock_time(&q->clock, reading) : 0;
}

/* Both at once, under the mutex. */
static inline uint64_t time_if(bb_queue *q, bool wanted) { return time_of(q, read_if(q, wanted)); }

/* From one reading of the clock to another. A reading is taken before the mutex is waited for, so
 * `then` may be the later one: then it is 0, and does not wrap around. */
static inline uint64_t elapsed(uint64_t then, uint64_t now) { return now > then ? now - then : 0; }

/* That long from now; any timeout will do, a negative one is over. */
static inline uint64_t deadline_after(int64_t timeout_ns) {
    return bb_clock() + (timeout_ns > 0 ? (uint64_t)timeout_ns : 0);
}

/* ---- room -------------------------------------------------------------------------------- */

static inline int32_t places(const bb_queue *q, bool handler) {
    return q->capacity + (handler ? q->reserve : 0);
}

/* An event with more deliveries than places is accepted when the queue is empty. */
static inline bool has_room(const bb_queue *q, int32_t count, bool handler) {
    return count <= places(q, handler) - q->queued || q->queued == 0;
}

static inline bool is_open_to(const bb_queue *q, bb_origin origin) {
    return q->state == BB_OPEN || (origin == BB_INSIDE && q->state == BB_DRAINING);
}

/* ---- timing, see timers.c ------------------------------------------------------------------ */

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

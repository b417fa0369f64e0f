/* internal.h: what the C files share. Nobody else includes it, except the C tests.
 *
 * The lock rule. `ring.mutex` guards every field of a ring, its slots, waiters and workers, and
 * the counters of its kinds. Order: the host's lock (the GIL) first, then ring.mutex, never the
 * reverse: nobody re-attaches to the host while holding the mutex, because the holder of the GIL
 * may be waiting for the mutex. Therefore ring_lock tries first, and detaches before it waits;
 * ring_unlock gives the mutex up before it re-attaches. No call into the host happens in between.
 */
#ifndef BB_INTERNAL_H
#define BB_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "ring.h"

#define SCALES 3    /* of bb_arrivals.windows */
#define BUCKETS 976 /* 16 to the octave, for all of 64 bits */

/* The host whose lock a sleeping call gives up; both NULL in a plain C programme. `detach`
 * returns what `attach` wants back, never NULL. Set once, before the first ring. */
typedef struct {
    void *(*detach)(void);
    void (*attach)(void *token);
} bb_host;
extern bb_host host;

typedef struct ring ring;

/* What handles point to, through the registry. Written before its handle is known to anyone,
 * then constant; only `ring` changes once more, to NULL. */
typedef struct route {
    ring *ring;
    struct route *next; /* of the same ring, or of the free ones */
    bb_meter **meters;  /* by place in the event; NULL: not metered */
    int64_t base;       /* the handle with serial 0 */
    int32_t kind;
    int32_t level; /* 0-based from here on inwards */
    int32_t count;
} route;

/* An event in the queue: `remaining` deliveries, the last of which is handle + count - 1. */
typedef struct {
    const route *route;
    int64_t handle;
    uint64_t sequence; /* order of acceptance over all levels */
    uint64_t accepted; /* bb_clock, 0 if nothing is timed */
    int32_t remaining;
    int32_t next; /* slot behind this one in its level, or in the free list; -1: none */
    int32_t prev; /* slot before this one in its level; -1: none */
} slot;

/* First in, first out. */
typedef struct {
    int32_t head;
    int32_t tail;
} level_queue;

/* A publisher in bb_wait, or between two calls of it, or one that runs the handlers itself. */
typedef struct waiter {
    struct waiter *next;
    const route *route;
    int64_t handle;
    bb_cond admitted;
    uint64_t since;    /* BB_RUN: when its present delivery began, */
    uint64_t cpu;      /* and the thread's CPU time then; 0: not read */
    int32_t remaining; /* BB_RUN: deliveries it has still to run */
    bool signalled;    /* let in, and told so */
} waiter;

/* A list with its end, because the line of waiters is served at the head and joined at the tail. */
typedef struct {
    waiter *head;
    waiter **tail;
} waiter_list;

/* Totals that are kept for a level, and again for a kind; the rest is derived:
 * queued = published - dropped - taken, running = taken - processed. */
typedef struct {
    uint64_t published;
    uint64_t taken;
    uint64_t processed;
    uint64_t failed;
    uint64_t dropped;
} tally;

typedef struct {
    uint64_t count;
    uint64_t max;
    uint64_t bucket[BUCKETS];
} histogram;

/* A delivery that a worker has begun. */
typedef struct {
    const route *route;
    int64_t handle;
    uint64_t began;
    bb_meter *meter;     /* NULL: none */
    uint64_t cpu;        /* the thread's CPU time then; 0: not read, see meters.c */
    uint64_t nested;     /* ns spent in deliveries inside this one, */
    uint64_t nested_cpu; /* and CPU time */
    bool failed;
} open_delivery;

typedef struct {
    uint64_t busy;  /* ns, of the outermost deliveries */
    uint64_t added; /* when it was registered */
    bool left;      /* its place can be given to another */
    int32_t depth;  /* open deliveries; more than one only while it helps */
    open_delivery open[BB_HELP];
} worker;

struct ring {
    bb_mutex mutex;
    bb_cond work; /* workers sleep on it; signalled by whoever adds work while one sleeps */
    bb_cond idle; /* bb_wait_idle sleeps on it; broadcast when nothing is queued or running,
                   * and bb_wait_shut: broadcast when the state changes */

    int32_t capacity; /* in deliveries, over all levels */
    int32_t levels;
    bool timed;      /* waits are measured: monitoring, or starvation */
    bool monitoring; /* handling is measured, the depth is sampled */
    uint64_t starvation;

    int32_t state;
    uint64_t deadline; /* of draining */
    int32_t queued;    /* deliveries */
    int32_t running;   /* deliveries */
    uint32_t nonempty; /* bit l: level l has slots */
    uint64_t sequence;
    int32_t free_slot;  /* slots that were used before; -1: none */
    int32_t fresh_slot; /* the first that never was */
    level_queue level[BB_LEVELS];
    slot *slots;

    /* Waking workers: one wake is in flight at a time, and the woken worker wakes the next if
     * there is more to do. Signalling at each push cost 15 us a push without it. */
    int32_t sleepers;
    bool waking;

    /* Publishers. `line` waits for room; `let_in` was accepted by a worker but has not returned
     * yet; `callers` run handlers themselves. */
    waiter_list line;
    waiter_list let_in;
    waiter_list callers;
    int32_t unsignalled;  /* of let_in */
    uint64_t last_told;   /* when some of let_in were signalled */
    bool congested;       /* a wait ended in vain, and no worker has made room since */
    bool streak;          /* something was dropped, and the queue has not been half empty since */
    int32_t idle_waiters; /* threads in bb_wait_idle */

    tally by_level[BB_LEVELS];
    tally *by_kind;
    int32_t kinds;
    uint64_t dropped_by[BB_REASONS][BB_LEVELS];
    uint64_t unrouted;

    worker **workers;
    int32_t worker_count; /* places in `workers` */
    int32_t present;      /* of these, workers that have not left */
    int32_t surplus;      /* of these, how many are to leave */

    uint64_t made;
    uint64_t last_sample;
    uint64_t samples;
    int32_t history[BB_HISTORY];
    double processing_average;
    histogram queue_wait;
    histogram processing;

    bb_meter *meters; /* BB_MAX_METERS of them, with monitoring */
    bb_arrivals arrivals;
    uint64_t window_began[SCALES];
    uint64_t in_window[SCALES];
    uint64_t process_cpu; /* at the first arrival */

    route *routes; /* the ring's own first, see bb_ring_new */
};

/* ---- registry.c: handles ------------------------------------------------------------- */
route *route_of(int64_t handle); /* NULL: gone */
ring *ring_of(int64_t handle);   /* NULL: gone */
worker *worker_of(ring *ring, int64_t handle);
route *route_new(ring *ring, int32_t kind, int32_t level, int32_t count);
void routes_free(route *first);
void routes_abandon(void);

/* ---- life.c; the mutex is held ------------------------------------------------------------ */
bool left_as_surplus(ring *ring, worker *worker);

/* ---- ring.c: slots and levels; the mutex is held --------------------------------------- */
bool open_to(const ring *ring, bool inside);
bool has_room(const ring *ring, int32_t count);
void enqueue(ring *ring, const route *route, int64_t handle, uint64_t now);
int64_t dequeue(ring *ring, int32_t level, bool newest, const route **route, uint64_t *accepted);
int32_t next_level(const ring *ring, uint64_t now);
int64_t evict(ring *ring, int32_t mode, int32_t level);
int32_t evictable(const ring *ring, int32_t mode, int32_t level);
bool holds(const ring *ring, const route *route, int64_t handle);

/* ---- waiting.c: the line of publishers; the mutex is held ------------------------------- */
waiter *waiter_find(const waiter_list *list, int64_t handle);
waiter *waiter_new(const route *route, int64_t handle);
void waiter_append(waiter_list *list, waiter *waiter);
void waiter_unlink(waiter_list *list, waiter *waiter);
void waiter_free(waiter *waiter);
void let_in(ring *ring, uint64_t now);
void tell_let_in(ring *ring, uint64_t now);
void wake_everyone(ring *ring);
void unlock_and_wake(ring *ring, void *token);
void note_if_idle(ring *ring);

/* ---- stats.c: the mutex is held ---------------------------------------------------------- */
void count_published(ring *ring, const route *route, int32_t n);
void count_dropped(ring *ring, const route *route, int32_t reason, int32_t n);
void count_taken(ring *ring, const route *route);
void count_processed(ring *ring, const route *route, bool failed);
void record_wait(ring *ring, uint64_t ns);
void record_processing(ring *ring, uint64_t ns);
void sample_depth(ring *ring, uint64_t now);

/* ---- meters.c: the mutex is held, monitoring is on ---------------------------------------- */
uint64_t cpu_since(uint64_t cpu, uint64_t wall, uint64_t *now);
void count_arrivals(ring *ring, int32_t n, uint64_t now);

/* ---- the lock ---------------------------------------------------------------------------- */

static inline void *host_detach(void) { return host.detach != NULL ? host.detach() : NULL; }
static inline void host_attach(void *token) {
    if (token != NULL) host.attach(token);
}

/* Lock; the result says whether the host was detached for it, and goes to ring_unlock. */
static inline void *ring_lock(ring *ring) {
    if (bb_mutex_trylock(&ring->mutex)) return NULL;
    void *token = host_detach();
    bb_mutex_lock(&ring->mutex);
    return token;
}

static inline void ring_unlock(ring *ring, void *token) {
    bb_mutex_unlock(&ring->mutex);
    host_attach(token);
}

/* ---- time -------------------------------------------------------------------------------- */

static inline uint64_t clock_if(bool wanted) { return wanted ? bb_clock() : 0; }

/* From one reading of the clock to another. A reading is taken before the mutex is waited for, so
 * `then` may be the later one: that is no time at all, not five centuries. */
static inline uint64_t elapsed(uint64_t then, uint64_t now) { return now > then ? now - then : 0; }

/* So long from now; any timeout will do, a negative one is over. */
static inline uint64_t deadline_after(int64_t timeout_ns) {
    return bb_clock() + (timeout_ns > 0 ? (uint64_t)timeout_ns : 0);
}

/* ---- metering, see meters.c --------------------------------------------------------------- */

#define SHORT_NS 20000u
#define TRIAL 16 /* deliveries whose CPU time is read before it is known how long they take */

/* The meter of a delivery; NULL: none. The place of a delivery in its event is found in its
 * serial, because a route's events take `count` serials each, from 0 on. */
static inline bb_meter *meter_of(const route *route, int64_t handle) {
    if (route->meters == NULL) return NULL;
    return route->meters[route->count > 1 ? (handle - route->base) % route->count : 0];
}

/* The thread's CPU time if the delivery's is worth measuring, else 0. `known`: a reading of this
 * moment that the caller has at hand, or 0. */
static inline uint64_t cpu_to_begin(const bb_meter *m, uint64_t known) {
    if (m == NULL || (m->wall < SHORT_NS * m->deliveries && m->deliveries >= TRIAL)) return 0;
    return known > 0 ? known : bb_thread_cpu();
}

static inline void meter(bb_meter *m, uint64_t wall, uint64_t cpu) {
    if (m == NULL) return;
    m->deliveries++;
    m->wall += wall;
    m->cpu += cpu;
    m->wall_squared += (double)wall * (double)wall;
    m->cpu_squared += (double)cpu * (double)cpu;
}

#endif

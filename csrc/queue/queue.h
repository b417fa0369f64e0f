/* queue.h: the contract between the queue and its callers.
 *
 * A bounded, prioritised queue of deliveries. A delivery is an event on its way to one recipient;
 * both are opaque pointers here, and no function follows the event's.
 *
 * This file is read twice, by the C compiler and, as it stands, by cffi. Therefore it has no
 * preprocessor lines, and whoever includes it includes <stdint.h> before it, once.
 *
 * References. The caller that hands a delivery in gives the queue one reference to its event and
 * one to its recipient; the caller that gets the delivery out gets both. The queue counts and
 * drops none, so no finalizer can run while its mutex is held. References are taken before
 * the call that offers an event, because a worker may be done with it before that call returns, and
 * are given back if it was not accepted.
 *
 * Threads. Every function may be called from any thread at any time, except where it says
 * otherwise. Calls are short and wait for nothing but the queue's mutex, except the four that may
 * sleep: bb_take, bb_waiter_wait, bb_wait_idle and bb_wait_shut. Those release the host's lock (the
 * GIL) while they sleep; the others release it only if the mutex is taken.
 *
 * Fork. In the child every queue of the parent is gone: its mutex may be held by a thread that the
 * child does not have. Every function notices that before it touches the mutex, and answers
 * BB_GONE, 0 or NULL. bb_fork_count changes in the child of every fork, also one made by C code.
 *
 * Cost. Everything is constant in the depth of the queue, in the number of waiting publishers and
 * in the number of events; what is linear in the deliveries of one event says so.
 */

enum {
    BB_LEVELS = 8,         /* most levels a queue can have */
    BB_HISTORY = 512,      /* samples of the depth that are kept */
    BB_MAX_TYPES = 1024,   /* event types that are counted apart */
    BB_MAX_WORKERS = 4096, /* of one queue at a time, those included that are about to leave */
    BB_BUCKETS = 976       /* of a histogram: 16 per octave, for all of 64 bits */
};

/* What a call on the publisher's side answers. */
typedef enum {
    BB_NO_MEMORY = -3, /* and nothing has changed */
    BB_GONE = -2,      /* a fork left the queue behind */
    BB_CLOSED = -1,    /* closing or closed; nothing was accepted, nothing is counted */
    BB_ACCEPTED = 0, /* all deliveries of the event are queued; 0, so that a test for it is short */
    BB_FULL = 1,     /* no room; nothing was accepted, nothing is counted yet */
    BB_WAITING = 2,  /* still in line */
    BB_REFUSED = 3,  /* no room; the event is counted as published and dropped */
    BB_EVICTED = 4,  /* accepted; queued deliveries were evicted for it */
    BB_RUN = 5       /* accepted as running: the caller runs the handlers (bb_caller_done) */
} bb_result;

/* What bb_offer does when there is no room. */
typedef enum {
    BB_EVICT_OLDEST = 1, /* evict the oldest deliveries at the event's level or below */
    BB_EVICT_LOWEST = 2, /* evict deliveries below the event's level, lowest level first */
    BB_REFUSE = 3,
    BB_CALLER_RUNS = 4
} bb_mode;

/* Why a delivery was not made: the first index of bb_stats.dropped_by. */
typedef enum {
    BB_WHY_EVICTED = 0,
    BB_WHY_REFUSED = 1,
    BB_WHY_SHUTDOWN = 2,
    BB_REASONS = 3
} bb_reason;

/* The state of a queue. It only ever moves to the right. */
typedef enum { BB_OPEN = 0, BB_DRAINING = 1, BB_SHUT = 2 } bb_state;

/* What a worker gets when it asks for a delivery. */
typedef enum { BB_NOTHING = -1, BB_LEAVE = 0, BB_TOOK = 1 } bb_took;

/* From where a publisher calls; a handler is ahead of publishers from outside. */
typedef enum {
    BB_OUTSIDE = 0,
    BB_HANDLER = 1, /* inside a handler of any queue: it may use the reserve */
    BB_INSIDE = 3   /* inside a handler of this queue: draining lets it pass, too */
} bb_origin;

typedef struct bb_queue bb_queue;
typedef struct bb_worker bb_worker;
typedef struct bb_waiter bb_waiter;
typedef struct bb_caller bb_caller;

/* How a queue is set up. */
typedef struct {
    int32_t capacity;   /* deliveries, 1 to 2^24 */
    int32_t reserve;    /* further places that only handlers can use, 0 to 2^24 */
    int32_t levels;     /* 1 to 8 */
    int32_t monitoring; /* 0: no clock is read for figures, and no time is kept */
    int64_t starvation; /* ns; > 0: a delivery that has waited longer is taken next */
    int64_t standstill; /* ns without a take after which a wait without a limit of its own ends */
} bb_settings;

/* Deliveries, counted. */
typedef struct {
    uint64_t published;
    uint64_t taken;
    uint64_t processed;
    uint64_t failed; /* part of processed */
    uint64_t dropped;
} bb_tally;

/* What finished deliveries took; ns. */
typedef struct {
    uint64_t deliveries;
    uint64_t wall;
    uint64_t cpu;        /* of the thread's own clock */
    double wall_squared; /* sums of squares, for the variance */
    double cpu_squared;
} bb_timer;

/* One for each subscription, zeroed by its owner before the first use and again after a fork;
 * it belongs to one queue, whose mutex guards it. */
typedef struct {
    bb_tally tally;
    bb_timer timer;
} bb_recipient;

/* What is constant about publishing events of one type at one level. It is read while the call that
 * it is passed to runs, or the publisher waits in line; after BB_RUN until the caller has ended. */
typedef struct {
    int32_t level; /* 1 to the queue's levels */
    int32_t type;  /* number of the event type, 0 to BB_MAX_TYPES - 1 */
    int32_t count; /* deliveries of one event, that is, recipients; may be 0 */
    bb_recipient **recipients;
} bb_route;

/* A delivery as it leaves the queue. `depth` is what was passed in with the event. */
typedef struct {
    void *event;
    bb_recipient *recipient;
    int32_t depth;
} bb_delivery;

/* The same as seen by the statistics.
 * At every moment published = processed + dropped + queued + running. */
typedef struct {
    uint64_t published;
    uint64_t processed;
    uint64_t failed;
    uint64_t dropped;
    uint64_t queued;
    uint64_t running;
} bb_counts;

/* A histogram of durations in nanoseconds: values below 16 have a bucket each, above that each
 * octave has 16. Quantiles are at most 3.2 % off; max is exact. */
typedef struct {
    uint64_t p50;
    uint64_t p95;
    uint64_t p99;
    uint64_t max;
    uint64_t count;
    double sum;
    uint64_t bucket[976];
} bb_durations;

/* One moment of a queue. */
typedef struct {
    bb_counts total; /* queued and running are counted where they are, not derived */
    bb_counts level[8];
    uint64_t dropped_by[3][8]; /* reason, level */
    uint64_t unrouted;         /* events that no subscription matched */
    double processing_average; /* ns; moving average, alpha 0.1, seeded by the first sample */
    bb_timer timer;            /* of all deliveries together */
    uint64_t age;              /* ns since the queue was made */
    uint64_t oldest;           /* ns that the oldest queued delivery has waited; 0 if not timed */
    int32_t state;
    int32_t workers; /* in their loops now */
    int32_t wanted;  /* as set by bb_resize */
    int32_t types;   /* seen so far */
    int32_t waiting; /* publishers in line */
    int32_t reserve_used;
    int32_t history_length;
    int32_t history[512]; /* queued deliveries, oldest sample first, at least 10 ms apart */
} bb_stats;

/* Histograms of the whole life of a queue, and of its last half minute to minute. */
typedef struct {
    bb_durations queue_wait; /* accepted to taken */
    bb_durations processing; /* taken to finished */
    bb_durations recent_queue_wait;
    bb_durations recent_processing;
} bb_histograms;

/* How long a worker has been there and how much of it in deliveries, in ns. */
typedef struct {
    uint64_t busy;
    uint64_t age;
} bb_worker_time;

/* A delivery that runs now. */
typedef struct {
    void *event; /* see bb_running */
    bb_recipient *recipient;
    uint64_t thread;
    uint64_t ns;     /* for how long; 0 if nothing is timed */
    uint64_t number; /* tells it from others of the same thread */
} bb_open_delivery;

/* Deliveries that arrived, counted in windows of one length, for the variance over the mean. */
typedef struct {
    uint64_t windows;
    double counted;
    double counted_squared;
} bb_windows;

/* How deliveries arrived in the queue, from the first to the last, in ns since the queue was made;
 * and the CPU time that the process used from the first until `cpu_read`. */
typedef struct {
    uint64_t deliveries;
    uint64_t first;
    uint64_t last;
    uint64_t process_cpu;
    uint64_t cpu_read;
    bb_windows windows[3]; /* of 10 ms, 100 ms and 1 s */
} bb_arrivals;

/* ---- life ---------------------------------------------------------------------------- */

/* Make a queue; NULL if memory ran out. */
bb_queue *bb_queue_new(const bb_settings *settings);

/* Free a queue. Preconditions: no thread is in a call with it, and none will be; what it still
 * holds is nobody's any more. Does nothing if the queue is gone. */
void bb_queue_free(bb_queue *q);

/* How many forks this process is away from the one that loaded the library. */
int64_t bb_fork_count(void);

/* Nanoseconds of a monotonic clock. */
uint64_t bb_clock(void);

/* ---- publishers ---------------------------------------------------------------------- */

/* Accept the event if there is room for all its deliveries and no publisher waits in line that
 * would be let in before it. A route without recipients is counted as unrouted.
 * ACCEPTED, FULL, CLOSED, GONE or NO_MEMORY (only an event with more deliveries than places). */
bb_result bb_push(bb_queue *q, const bb_route *route, void *event, int32_t depth, bb_origin origin);

/* bb_push each event, in order, up to the first that is not accepted.
 * Returns how many were; or CLOSED or GONE if the queue is. */
int32_t bb_push_many(bb_queue *q, const bb_route *const *routes, void *const *events, int32_t n,
                     int32_t depth, bb_origin origin);

/* Join the line of publishers, unless there is room. WAITING: `waiter` is the place in line, to be
 * passed to bb_waiter_wait and then to bb_waiter_leave or bb_offer, once. With `limited` 0 the
 * standstill rule applies to the wait: FULL at once if a wait has ended by it since a worker last
 * took. FULL also at once for a handler if all workers wait in publish. ACCEPTED, WAITING, FULL,
 * CLOSED, GONE or NO_MEMORY. */
bb_result bb_waiter_join(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                         bb_origin origin, int32_t limited, bb_waiter **waiter);

/* Sleep in line until bb_clock() reaches `until`. ACCEPTED: the worker that made room has accepted
 * the event. FULL: the standstill rule ended the wait. CLOSED. WAITING: it is time. */
bb_result bb_waiter_wait(bb_waiter *waiter, uint64_t until);

/* For how many ns no worker has taken, as far as this waiter can tell. */
uint64_t bb_waiter_quiet(bb_waiter *waiter);

/* Leave the line. 1: the event had been accepted; 0: the queue does not know it. */
int32_t bb_waiter_leave(bb_waiter *waiter);

/* Decide now: accept the event if there is room (or if it was accepted in line), otherwise do as
 * `mode` says, all in one step. `waiter`: its place in line, which it leaves, or NULL. `out` takes
 * the deliveries that were evicted, as many as the event has at most, or all that are queued if it
 * has more than there are places; `evicted` says how many. FULL: `room` of them would not do; call
 * again. `first`: 1 if something was dropped for the first time since the queue was last half
 * empty. `caller`: with RUN, what to pass to bb_caller_done. ACCEPTED, REFUSED, EVICTED, RUN, FULL,
 * CLOSED, GONE or NO_MEMORY. Linear in the event's deliveries. */
bb_result bb_offer(bb_queue *q, const bb_route *route, void *event, int32_t depth, bb_origin origin,
                   bb_mode mode, bb_waiter *waiter, bb_delivery *out, int32_t room,
                   int32_t *evicted, int32_t *first, bb_caller **caller);

/* After BB_RUN, in this thread: the next of the event's deliveries was handled. `failed`: 1 if it
 * raised. The last call frees the caller. */
void bb_caller_done(bb_caller *caller, int32_t failed);

/* After BB_RUN: the remaining deliveries are not made and are counted as refused. Frees the caller.
 */
void bb_caller_abort(bb_caller *caller);

/* A worker of this queue begins or ends to wait in line, of this queue or another. */
void bb_worker_waits(bb_worker *worker, int32_t waits);

/* ---- workers ------------------------------------------------------------------------- */

/* Have `n` workers from now on, 1 to 4096. Returns how many threads the caller must start, each of
 * which calls bb_worker_enter, or bb_worker_failed if it cannot. Surplus workers leave: the next to
 * ask for work, or that sleep, are answered 0 by bb_take, so no delivery is interrupted.
 * CLOSED if the queue is shut; GONE. */
int32_t bb_resize(bb_queue *q, int32_t n);

/* The number of workers set last; 0 if the queue is gone. */
int32_t bb_wanted(bb_queue *q);

/* Begin to work, in the thread that does; NULL if the thread is not needed any more, or no memory.
 */
bb_worker *bb_worker_enter(bb_queue *q, uint64_t thread);

/* A thread that bb_resize asked for could not be started. */
void bb_worker_failed(bb_queue *q);

/* Finish the worker's open delivery, if any, and take the next: the most urgent level's oldest.
 * Sleeps while there is none. LEAVE: the queue is shut or gone, or has too many workers: the worker
 * must end, and is no longer valid. Only in the worker's thread. */
bb_took bb_take(bb_worker *worker, bb_delivery *out);

/* The same without sleeping. NOTHING: nothing is queued; the open delivery is finished all the
 * same. */
bb_took bb_try_take(bb_worker *worker, bb_delivery *out);

/* The worker's open delivery has failed. Only in the worker's thread. */
void bb_failed(bb_worker *worker);

/* The worker is about to drop its references to the open delivery: hide it from bb_running. */
void bb_let_go(bb_worker *worker);

/* Fill in up to `n` deliveries that run now; returns how many. `hold` (or NULL) is called for each,
 * with the mutex held, to take references: what is shown cannot be let go of meanwhile. The caller
 * holds the host's lock, which is not released. */
int32_t bb_running(bb_queue *q, bb_open_delivery *out, int32_t n,
                   void (*hold)(const bb_open_delivery *));

/* ---- stopping and looking ------------------------------------------------------------ */

/* Refuse new events from now on. With `drain` the queue is worked off, by `deadline_ns` from now
 * at the latest (negative: no limit), and handlers may still publish (BB_INSIDE); the queue shuts
 * when nothing is queued or running. Without, it shuts at once. Wakes every thread that sleeps. */
void bb_close(bb_queue *q, int32_t drain, int64_t deadline_ns);

/* Of a shut queue, take up to `n` queued deliveries out, counted as dropped by shutdown.
 * Returns how many. 0 also if the queue is not shut. */
int32_t bb_discard(bb_queue *q, bb_delivery *out, int32_t n);

/* Sleep until nothing is queued or running, at most `timeout_ns`. 1: so it is (or GONE). */
int32_t bb_wait_idle(bb_queue *q, int64_t timeout_ns);

/* Sleep until the queue is shut, at most `timeout_ns`. 1: so it is (or GONE). */
int32_t bb_wait_shut(bb_queue *q, int64_t timeout_ns);

/* Deliveries queued now; a hint only, others are at work. */
int32_t bb_depth(bb_queue *q);

/* Deliveries accepted or refused, and deliveries that ended, so far. */
uint64_t bb_published(bb_queue *q);
uint64_t bb_ended(bb_queue *q);

/* OPEN, DRAINING or SHUT; SHUT also if the queue is gone. */
bb_state bb_get_state(bb_queue *q);

/* Fill in `out`, `types[t]` for t < n_types, `recipients[r]` with the counts of `which[r]` for
 * r < n_recipients, `workers[w]` for w < n_workers, and `histograms` unless it is NULL, all of one
 * moment. 0, or GONE. Costs a copy of about 30 KB. */
int32_t bb_snapshot(bb_queue *q, bb_stats *out, bb_counts *types, int32_t n_types,
                    bb_recipient *const *which, bb_counts *recipients, int32_t n_recipients,
                    bb_worker_time *workers, int32_t n_workers, bb_histograms *histograms);

/* Fill in `arrivals`, and `timers[r]` with those of `which[r]` for r < n, of one moment; all 0
 * without monitoring. 0, or GONE. */
int32_t bb_load(bb_queue *q, bb_arrivals *arrivals, bb_recipient *const *which, bb_timer *timers,
                int32_t n);

/* ring.h: the contract between the ring and everyone who calls it.
 *
 * A bounded, prioritised queue of deliveries. It knows no events and no handlers, only numbers;
 * the caller keeps the objects, in a table indexed by the numbers it handed in.
 *
 * This file is read twice, by the C compiler and, as it stands, by cffi. Therefore it has no
 * preprocessor lines, and whoever includes it includes <stdint.h> before it, once.
 *
 * Handles. A call passes one integer, because a cffi call with one argument costs half of one
 * with two. A handle is 63 bits: a route in the upper 17, a serial number in the lower 46.
 * A route is registered once and says all that is constant: the ring, the event type ("kind"),
 * the level, and how many deliveries one event makes ("count"). Publishing an event takes
 * `count` consecutive serials that were never used before on its route; its handle is the first.
 * 46 bits last for two years at a million events a second on one route.
 *
 * Because the caller draws the handle before it calls, and because acceptance is one call, an
 * exception that strikes the caller anywhere leaves a handle that can be asked about
 * (bb_withdraw), never a slot that nobody knows of.
 *
 * Threads. Every function may be called from any thread at any time, except where it says
 * otherwise. Calls are short and wait for nothing but the ring's mutex, except the four that
 * may sleep: bb_take, bb_wait, bb_wait_idle and bb_wait_shut. Those release the host's lock (the GIL) while
 * they sleep; the others release it only if the mutex is taken.
 *
 * Cost. Everything is constant in the depth of the queue and in the number of events, except
 * bb_withdraw, which searches, and which only an interrupted caller needs.
 */

enum {
    BB_LEVELS = 8,         /* most levels a ring can have */
    BB_HELP = 32,          /* deliveries that one worker may have open inside each other */
    BB_BREADTH = 8,        /* of these, how many are taken oldest first; below, newest first */
    BB_OVERDRAFT = 1024,   /* deliveries that BB_OVERDRAW accepts beyond the capacity */
    BB_HISTORY = 512,      /* samples of the depth that are kept */
    BB_SERIAL_BITS = 46,   /* of a handle, from the right */
    BB_MAX_KINDS = 1024,   /* event types that are counted apart */
    BB_MAX_METERS = 1024,  /* subscriptions that are metered apart */
    BB_MAX_WORKERS = 4096  /* of one ring at a time, those included that are about to leave */
};

/* What a call on the publisher's side answers. */
enum {
    BB_NO_MEMORY = -3, /* and nothing has changed */
    BB_GONE = -2,    /* no such ring in this process: freed, or left behind by a fork */
    BB_CLOSED = -1,  /* closing or closed; nothing was accepted, nothing is counted */
    BB_ACCEPTED = 0, /* all deliveries of the event are queued; 0, so that a test for it is short */
    BB_FULL = 1,     /* no room; nothing was accepted, nothing is counted yet */
    BB_REFUSED = 2,  /* no room; the event is counted as published and dropped */
    BB_EVICTED = 3,  /* accepted, and others gave way: their handles are in `out` */
    BB_WAITING = 5,  /* still in line */
    BB_RUN = 4,      /* accepted as running: the caller runs the handlers (bb_caller_done) */
    BB_FIRST = 16    /* added to REFUSED and EVICTED: the first loss of a streak */
};

/* What bb_offer does when there is no room. */
enum {
    BB_TRY = 0,
    BB_EVICT_OLDEST = 1, /* the oldest deliveries at the event's level or below */
    BB_EVICT_LOWEST = 2, /* deliveries below the event's level, lowest level first */
    BB_REFUSE = 3,
    BB_CALLER_RUNS = 4,
    BB_OVERDRAW = 5, /* accept beyond the capacity, up to BB_OVERDRAFT; else refuse */
    BB_INSIDE = 16 /* added: the caller is a handler of this ring, draining lets it pass */
};

/* Why a delivery was not made: the first index of bb_stats.dropped_by. */
enum { BB_WHY_EVICTED = 0, BB_WHY_REFUSED = 1, BB_WHY_SHUTDOWN = 2, BB_REASONS = 3 };

/* The state of a ring. It only ever moves to the right. */
enum { BB_OPEN = 0, BB_DRAINING = 1, BB_SHUT = 2 };

/* Deliveries, counted. At every moment published = processed + dropped + queued + running. */
typedef struct {
    uint64_t published;
    uint64_t processed;
    uint64_t failed; /* part of processed */
    uint64_t dropped;
    uint64_t queued;
    uint64_t running;
} bb_counts;

/* Quantiles of a log-bucketed histogram in nanoseconds, at most 3.2 % off; max is exact. */
typedef struct {
    uint64_t p50;
    uint64_t p95;
    uint64_t p99;
    uint64_t max;
} bb_quantiles;

/* One moment of a ring. */
typedef struct {
    bb_counts total; /* queued and running are counted where they are, not derived */
    bb_counts level[8];
    uint64_t dropped_by[3][8]; /* reason, level */
    uint64_t unrouted;         /* events that no subscription matched */
    double processing_average; /* ns; moving average, alpha 0.1, seeded by the first sample */
    bb_quantiles queue_wait;   /* accepted to taken */
    bb_quantiles processing;   /* taken to finished */
    uint64_t age;              /* ns since the ring was made */
    int32_t state;
    int32_t workers; /* registered now */
    int32_t kinds;   /* registered so far */
    int32_t history_length;
    int32_t history[512]; /* queued deliveries, oldest sample first, at least 10 ms apart */
} bb_stats;

/* How long a worker has been there and how much of it in deliveries, in ns. */
typedef struct {
    uint64_t busy;
    uint64_t age;
} bb_worker_time;

/* What the deliveries of one meter took, finished ones, what ran nested in them excluded; ns. */
typedef struct {
    uint64_t deliveries;
    uint64_t wall;
    uint64_t cpu;        /* of the thread's own clock */
    double wall_squared; /* sums of squares, for the variance */
    double cpu_squared;
} bb_meter;

/* Deliveries that arrived, counted in windows of one length, for the variance over the mean. */
typedef struct {
    uint64_t windows;
    double counted;
    double counted_squared;
} bb_windows;

/* How deliveries arrived in the queue, from the first to the last, in ns since the ring was made;
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

/* Make a ring for `capacity` deliveries (1..2^24) over `levels` levels (1..8). With `monitoring`
 * off no clock is read and no time is kept. `starvation_ns` > 0: a delivery that has waited
 * longer is taken next, whatever its level. Returns the ring's handle, 0 if memory ran out. */
int64_t bb_ring_new(int32_t capacity, int32_t levels, int32_t monitoring, int64_t starvation_ns);

/* Free a ring. Precondition, not checked: no thread is in a call with one of its handles, and
 * none will be. */
void bb_ring_free(int64_t ring);

/* In the child of a fork, before any other call: forget every ring without touching its lock.
 * Calls with old handles answer BB_GONE or 0. Their memory stays allocated. */
void bb_abandon_all(void);

/* Register a route; the same arguments make a new one each time. `kind` is 0..1023, `level`
 * 1..levels, `count` at least 1. Returns the handle with serial 0; 0 if routes (131,071 in a
 * process) or memory ran out, or the ring is gone. */
int64_t bb_route(int64_t ring, int32_t kind, int32_t level, int32_t count);

/* Say which meters the deliveries of a route's events go to: `meters` has one number from 0 to
 * 1023 for each of its `count`. Once for a route, before its first event; a route without is not
 * metered. Without monitoring nothing is. 0; GONE; NO_MEMORY, also if it is metered already. */
int32_t bb_meter_route(int64_t route, const int32_t *meters);

/* ---- publishers ---------------------------------------------------------------------- */

/* Accept the event if there is room for all its deliveries and nobody waits in line for it.
 * ACCEPTED, FULL, CLOSED or GONE. */
int32_t bb_push(int64_t handle);

/* bb_push each of `handles`, all of one ring, in order, up to the first that is not accepted.
 * Returns how many were, -1 (CLOSED) or -2 (GONE) if the ring is. */
int32_t bb_push_many(const int64_t *handles, int32_t n);

/* Stand in line for room, at most `timeout_ns`, without the host's lock. The line is first come,
 * first served, and the worker that makes room lets the event in on its own, so a waiting
 * publisher need not be awake to be accepted. WAITING leaves the event in line: call again to go
 * on, or bb_offer or bb_withdraw to end it. With `always` 0, an event that is not in line yet is
 * FULL at once if a wait has ended in vain since a worker last made room; FULL also without memory.
 * ACCEPTED, WAITING, FULL, CLOSED or GONE. */
int32_t bb_wait(int64_t handle, int64_t timeout_ns, int32_t always);

/* Decide now: accept the event if there is room (or if it was let in meanwhile), otherwise do as
 * `mode` says, all in one step. `out` takes the handles of evicted deliveries, at most `count` of
 * the route, then a 0: it has room for count + 1. Any result but those of bb_wait's line. */
int32_t bb_offer(int64_t handle, int32_t mode, int64_t *out);

/* After an exception: make sure that the ring does not hold the event, unless it was accepted.
 * 0: it was accepted and is queued or running. 1: the ring does not know it (never offered,
 * taken out of the line now, or finished). 2: the caller was running it (BB_RUN); what it had not
 * finished is counted as refused now. */
int32_t bb_withdraw(int64_t handle);

/* Count events that no subscription matched. */
void bb_unrouted(int64_t ring, int32_t n);

/* After BB_RUN: one of the event's deliveries was handled. `failed`: 1 if it raised. */
void bb_caller_done(int64_t handle, int32_t failed);

/* ---- workers ------------------------------------------------------------------------- */

/* Register a worker. Its handle is for one thread at a time. 0 if there are too many. */
int64_t bb_worker_add(int64_t ring);

/* Have `n` workers from now on, 1 to 4096. If that is more than there are, so many are registered,
 * with their handles in `added` (room for n), and their number is returned: the caller starts
 * their threads. If it is fewer, 0 is returned, and the surplus leaves: the next workers to ask
 * for work, or that sleep, are answered 0 by bb_take, so no delivery is interrupted.
 * CLOSED if the ring is shut; GONE; NO_MEMORY. */
int32_t bb_resize(int64_t ring, int32_t n, int64_t *added);

/* Take back the registration of a worker whose thread was never started. */
void bb_worker_gone(int64_t worker);

/* Finish the worker's open delivery, if any, and take the next: the most urgent level's oldest.
 * Sleeps while there is none. 0: the ring is shut, or has too many workers: the worker must end,
 * and its handle may be given to another. */
int64_t bb_take(int64_t worker);

/* For a handler that publishes into a full ring, where waiting could wait for itself: take a
 * delivery inside the open one, and accept the event into the room that this leaves, in one step
 * and ahead of the line. out[0]: the delivery to run, then to finish with bb_done; 0: none was
 * needed, or there is none, or BB_HELP are open. ACCEPTED, FULL (call again), CLOSED or GONE.
 *
 * The first BB_BREADTH open deliveries were taken oldest first, as always. Further ones are taken
 * newest first: where handlers publish what makes handlers publish, the oldest are the roots of
 * the tree and the newest its leaves, and only leaves bring the nesting to an end. */
int32_t bb_help(int64_t worker, int64_t handle, int64_t *out);

/* Finish the worker's innermost open delivery and take nothing. */
void bb_done(int64_t worker);

/* Note that the worker's innermost open delivery failed. */
void bb_failed(int64_t worker);

/* The worker's innermost open delivery; 0: none. For who looks on, and for the worker itself when
 * it had no memory for what bb_take returned. */
int64_t bb_opened(int64_t worker);

/* For how many ns the worker has had this delivery open; 0 if it has not, or nothing is timed. */
int64_t bb_open_for(int64_t worker, int64_t handle);

/* ---- stopping and looking ------------------------------------------------------------ */

/* Refuse new events from now on. With `drain` the queue is worked off, by `deadline_ns` from now
 * at the latest (negative: no limit), and handlers may still publish (BB_INSIDE); the ring shuts
 * when nothing is queued or running. Without, it shuts at once. Wakes everyone who sleeps. */
void bb_close(int64_t ring, int32_t drain, int64_t deadline_ns);

/* Of a shut ring, take up to `n` queued deliveries out, counted as dropped by shutdown.
 * Returns how many. 0 also if the ring is not shut. */
int32_t bb_discard(int64_t ring, int64_t *out, int32_t n);

/* Sleep until nothing is queued or running, at most `timeout_ns`. 1: so it is (or GONE). */
int32_t bb_wait_idle(int64_t ring, int64_t timeout_ns);

/* Sleep until the ring is shut, at most `timeout_ns`. 1: so it is (or GONE). */
int32_t bb_wait_shut(int64_t ring, int64_t timeout_ns);

/* Deliveries queued now; a hint only, others are at work. */
int32_t bb_depth(int64_t ring);

/* OPEN, DRAINING or SHUT; SHUT also if the ring is gone. */
int32_t bb_state(int64_t ring);

/* Fill in `out`, and `kinds[k]` for k < n_kinds and `workers[w]` for w < n_workers, all of one
 * moment. 0, or GONE. Costs a copy of about 20 KB. */
int32_t bb_snapshot(int64_t ring, bb_stats *out, bb_counts *kinds, int32_t n_kinds,
                    bb_worker_time *workers, int32_t n_workers);

/* Fill in `arrivals`, and `meters[m]` for m < n_meters, at most 1024, of one moment; all 0
 * without monitoring. 0, or GONE. */
int32_t bb_load(int64_t ring, bb_arrivals *arrivals, bb_meter *meters, int32_t n_meters);

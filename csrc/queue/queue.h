/* queue.h: the contract between the queue and its callers.
 *
 * A bounded, prioritised queue of deliveries. A delivery is an event on its way to one recipient;
 * both are opaque pointers here, and no function dereferences the event's.
 *
 * This file is read twice, by the C compiler and, as it stands, by cffi, after stats.h, which has
 * the records of what is measured, and before items.h, which has the calls of a queue without
 * workers. Therefore they have no preprocessor lines; include api.h instead. A parameter or result
 * that is only true or false is an int32_t of 1 or 0; the calls that return a count or an error
 * return the count, which is not negative, or a negative bb_result.
 *
 * References. The caller that hands a delivery in gives the queue one reference to its event and
 * one to its recipient; the caller that gets the delivery out gets both. The queue counts and drops
 * none, so no finalizer can run while its mutex is held. References are taken before the call that
 * offers an event, because a worker may finish with it before that call returns, and are given back
 * if it was not accepted.
 *
 * Threads. Every function may be called from any thread at any time, except where it says
 * otherwise. Calls are short and wait only for the queue's mutex, except those that may sleep:
 * bb_take, bb_waiter_wait and bb_wait_*. Those release the host's lock (the GIL)
 * while they sleep; the others release it only if the mutex is taken.
 *
 * Fork. In the child every queue of the parent is gone: its mutex may be held by a thread that the
 * child does not have. Every function detects that before it touches the mutex, and returns
 * BB_GONE, 0 or NULL. bb_fork_count changes in the child of every fork, also one made by C code.
 *
 * Cost. Every call is constant in the depth of the queue, in the number of waiting publishers and
 * in the number of events, and linear in the deliveries of the event that it is given.
 */

enum {
    BB_LEVELS = 8,        /* max levels of a queue */
    BB_MAX_TYPES = 1024,  /* event types that are counted separately */
    BB_MAX_WORKERS = 4096 /* of one queue at a time, including those about to leave */
};

/* Result of a publisher's call. */
typedef enum {
    BB_NO_MEMORY = -3, /* and nothing has changed */
    BB_GONE = -2,      /* the queue belongs to the parent of a fork */
    BB_CLOSED = -1,    /* closing or closed; nothing was accepted, nothing is counted */
    BB_ACCEPTED = 0,   /* all deliveries of the event are queued; 0, as that is cheapest to test */
    BB_FULL = 1,       /* too few free slots; nothing was accepted, nothing is counted yet */
    BB_WAITING = 2,    /* not decided yet */
    BB_REFUSED = 3,    /* too few free slots; the event is counted as published and dropped */
    BB_EVICTED = 4,    /* accepted; queued deliveries were evicted for it */
    BB_RUN = 5         /* accepted as running: the caller runs the handlers (bb_caller_done) */
} bb_result;

/* What bb_offer does when there are too few free slots. */
typedef enum {
    BB_EVICT_OLDEST = 1, /* evict the oldest deliveries at the event's level or below */
    BB_EVICT_LOWEST = 2, /* evict deliveries below the event's level, lowest level first */
    BB_REFUSE = 3,
    BB_CALLER_RUNS = 4
} bb_mode;

/* Why a delivery was dropped: the first index of bb_stats.dropped_by. */
typedef enum {
    BB_WHY_EVICTED = 0,
    BB_WHY_REFUSED = 1,
    BB_WHY_SHUTDOWN = 2,
    BB_WHY_EXPIRED = 3,
    BB_REASONS = 4
} bb_reason;

/* The state of a queue; it only ever increases. */
typedef enum { BB_OPEN = 0, BB_DRAINING = 1, BB_SHUT = 2 } bb_state;

/* Result of taking. */
typedef enum {
    BB_NOTHING = -1,
    BB_LEAVE = 0,
    BB_TOOK = 1,
    BB_EXPIRED = 2 /* a delivery was dropped, because it had not begun in time; to be reported */
} bb_took;

/* Where a publisher calls from; handlers are admitted before publishers from outside. */
typedef enum {
    BB_OUTSIDE = 0,
    BB_HANDLER = 1, /* inside a handler of any queue: it may use the reserve */
    BB_INSIDE = 3   /* inside a handler of this queue: also accepted while the queue drains */
} bb_origin;

/* `limited` of bb_waiter_join. */
enum {
    BB_BY_RULE = 0, /* the standstill rule ends the wait */
    BB_LIMITED = 1,
    BB_UNATTENDED = 2 /* no thread sleeps for it: bb_waiter_state says how far it is */
};

typedef struct bb_queue bb_queue;
typedef struct bb_worker bb_worker;
typedef struct bb_waiter bb_waiter;
typedef struct bb_caller bb_caller;
typedef struct bb_parked bb_parked;

/* What the flight recorder notes. */
typedef enum {
    BB_NOTED_ACCEPTED = 0,
    BB_NOTED_WAITED = 1, /* its publisher waits for free slots */
    BB_NOTED_BEGAN = 2,
    BB_NOTED_HANDLED = 3,
    BB_NOTED_FAILED = 4,
    BB_NOTED_RETRIED = 5, /* it failed and is queued again */
    BB_NOTED_EVICTED = 6, /* by the event `by` */
    BB_NOTED_REFUSED = 7,
    BB_NOTED_EXPIRED = 8,
    BB_NOTED_DISCARDED = 9 /* by the end of the queue */
} bb_noted;

/* A decision about an event, or one of its deliveries. */
typedef struct {
    uint64_t time;      /* of bb_now */
    uint64_t event;     /* what bb_host.event_id says of it */
    uint64_t by;        /* the same of the event that it was evicted for */
    uint64_t recipient; /* its address; 0: the decision is about the whole event */
    int32_t type;
    int16_t level; /* from 0 */
    int16_t what;  /* bb_noted */
} bb_note;

/* The settings of a queue. */
typedef struct {
    int32_t capacity;   /* deliveries, 1 to 2^24 */
    int32_t reserve;    /* further slots that only handlers can use, 0 to 2^24 */
    int32_t levels;     /* 1 to 8 */
    int32_t monitoring; /* 0: no clock is read for statistics */
    int64_t starvation; /* ns; > 0: a delivery that has waited longer is taken next */
    int32_t reserved;   /* workers that take only the highest level */
    int32_t notes;      /* that the flight recorder keeps, 0: none */
    int64_t standstill; /* ns without a take that end a wait without a limit of its own */
    int32_t grows;      /* 1: slots are allocated as they are needed; for items only, of type 0 */
    int64_t clock;      /* ns; > 0: the queue's time, which stands still, see bb_set_clock */
} bb_settings;

/* What is constant about publishing events of one type at one level. It must stay valid during the
 * call that it is passed to and as long as the waiter or caller that the call returned. */
typedef struct {
    int32_t level; /* 1 to the queue's levels */
    int32_t type;  /* number of the event type, 0 to BB_MAX_TYPES - 1 */
    int32_t count; /* deliveries of one event, that is, recipients; may be 0 */
    bb_recipient **recipients;
    int32_t tapped; /* 1: without recipients the event is not unrouted, its publisher hands it on */
} bb_route;

/* A delivery as it leaves the queue. `depth` is what was passed in with the event. */
typedef struct {
    void *event;
    bb_recipient *recipient;
    bb_parked *parked; /* see ticket.h; NULL: the subscription is not grouped */
    int32_t depth;
} bb_delivery;

/* A delivery that is running. */
typedef struct {
    void *event; /* see bb_running */
    bb_recipient *recipient;
    uint64_t thread; /* 0: none, it is detached */
    uint64_t ns;     /* for how long; 0 if nothing is timed */
    uint64_t number; /* distinguishes its call from others of the same thread */
    int32_t index;   /* in its call: those of a batch come one after the other, from 0 */
} bb_open_delivery;

/* ---- life ---------------------------------------------------------------------------- */

/* Create a queue; NULL if memory ran out. */
bb_queue *bb_queue_new(const bb_settings *settings);

/* Free a queue. Preconditions: no thread is in a call with it, and none will be; the references
 * that it still holds are abandoned. Does nothing if the queue is gone. */
void bb_queue_free(bb_queue *q);

/* The number of forks between the process that loaded the library and this one. */
int64_t bb_fork_count(void);

/* Nanoseconds of a monotonic clock. */
uint64_t bb_clock(void);

/* The queue's time: bb_clock, or what was set. Also of a queue that is gone. */
uint64_t bb_now(const bb_queue *q);

/* Set the time of a queue that was made with bb_settings.clock, to `now` or later than before: for
 * a single thread that does step by step what publishers and workers do. No call may sleep in such
 * a queue: time-outs are 0 and times have come, and workers call bb_try_take, bb_try_take_more. */
void bb_set_clock(bb_queue *q, uint64_t now);

/* ---- publishers ---------------------------------------------------------------------- */

/* Accept the event if there are free slots for all its deliveries and no publisher waits that would
 * be admitted before it. A route without recipients is counted as unrouted.
 * ACCEPTED, FULL, CLOSED, GONE or NO_MEMORY (only an event with more deliveries than slots). */
bb_result bb_push(bb_queue *q, const bb_route *route, void *event, int32_t depth, bb_origin origin);

/* bb_push each event, in order, up to the first that is not accepted. Returns the number accepted;
 * or CLOSED or GONE. */
int32_t bb_push_many(bb_queue *q, const bb_route *const *routes, void *const *events, int32_t n,
                     int32_t depth, bb_origin origin);

/* Push the event or, if there are too few free slots, join the wait queue of its level. WAITING:
 * `waiter` may be passed to bb_waiter_wait, and must be passed to bb_waiter_leave or bb_offer,
 * once. With `limited` BY_RULE the standstill rule applies to the wait: FULL immediately while the
 * queue is congested, that is, if a wait has ended by the rule since a worker last took. FULL
 * immediately for a handler if all workers wait in publish, or may take nothing of what is queued.
 * ACCEPTED, WAITING, FULL, CLOSED, GONE or NO_MEMORY. */
bb_result bb_waiter_join(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                         bb_origin origin, int32_t limited, bb_waiter **waiter);

/* Sleep until bb_now() reaches `until`. ACCEPTED: the event was admitted when slots were freed.
 * FULL: the standstill rule ended the wait. CLOSED. WAITING: the time is over. */
bb_result bb_waiter_wait(bb_waiter *waiter, uint64_t until);

/* For how many ns no worker has taken, at most since the waiter joined. */
uint64_t bb_waiter_quiet(bb_waiter *waiter);

/* Of an UNATTENDED waiter: WAITING, ACCEPTED, CLOSED (also if it was withdrawn) or GONE. */
bb_result bb_waiter_state(bb_waiter *waiter);

/* Withdraw the event of an UNATTENDED waiter, which stays valid, so that several threads may ask.
 * 1: the queue does not have the event, and will not; 0: it had been admitted. */
int32_t bb_waiter_withdraw(bb_waiter *waiter);

/* End the wait. 1: the event had been admitted; 0: the queue does not have it. */
int32_t bb_waiter_leave(bb_waiter *waiter);

/* Decide now: accept the event if there are free slots (or if it was admitted already), otherwise
 * apply `mode`, all in one step. `waiter`: its wait, which ends, or NULL. `out` receives the
 * evicted deliveries: at most as many as the event has, or all that are queued if it has more than
 * there are slots; `evicted` is their number. FULL: more than `out_size` would have to be evicted,
 * and nothing was; call again. `first`: 1 if something was dropped for the first time since the
 * queue was last half empty. `caller`: with RUN, what to pass to bb_caller_done. ACCEPTED, REFUSED,
 * EVICTED, RUN, FULL, CLOSED, GONE or NO_MEMORY. */
bb_result bb_offer(bb_queue *q, const bb_route *route, void *event, int32_t depth, bb_origin origin,
                   bb_mode mode, bb_waiter *waiter, bb_delivery *out, int32_t out_size,
                   int32_t *evicted, int32_t *first, bb_caller **caller);

/* Count an event that was never offered as published and dropped, also in a queue that is shut.
 * `reason`: REFUSED or SHUTDOWN. REFUSED, or GONE. */
bb_result bb_refuse(bb_queue *q, const bb_route *route, void *event, bb_reason reason);

/* After BB_RUN, in this thread: the next of the event's deliveries was handled. `failed`: 1 if it
 * raised. The last call frees the caller. */
void bb_caller_done(bb_caller *caller, int32_t failed);

/* The level of the event that the caller runs, from 1; 0: the queue is gone. */
int32_t bb_caller_level(const bb_caller *caller);

/* After BB_RUN: count the remaining deliveries as refused and free the caller. */
void bb_caller_abort(bb_caller *caller);

/* A worker of this queue begins (1) or stops (0) waiting in publish, to this queue or another. */
void bb_worker_waits(bb_worker *worker, int32_t waits);

/* ---- workers ------------------------------------------------------------------------- */

/* Set the number of workers to `n`, 1 to 4096, and more than are reserved. Returns the number of
 * threads that the caller must start; each calls bb_worker_enter, or the caller bb_worker_failed if
 * it cannot be started. Surplus workers leave: bb_take returns LEAVE to idle ones and to the next
 * that ask for work, but not to reserved ones; so no delivery is interrupted. CLOSED if the queue
 * is shut; GONE. */
int32_t bb_resize(bb_queue *q, int32_t n);

/* The number of workers set last; 0 if the queue is gone. */
int32_t bb_wanted(bb_queue *q);

/* Become a worker; `thread` is reported by bb_running. NULL if the thread is not needed any more,
 * or without memory. */
bb_worker *bb_worker_enter(bb_queue *q, uint64_t thread);

/* A thread that bb_resize asked for could not be started. */
void bb_worker_failed(bb_queue *q);

/* Finish the worker's open delivery, if any, and take the next: the oldest of the most urgent
 * level. Sleeps while there is none. LEAVE: the queue is shut or gone, or has too many workers: the
 * worker is no longer valid, and its thread must end. Only in the worker's thread. */
bb_took bb_take(bb_worker *worker, bb_delivery *out);

/* The same without sleeping. NOTHING: nothing is queued; the open delivery is finished anyway. */
bb_took bb_try_take(bb_worker *worker, bb_delivery *out);

/* Take up to `n` further deliveries into the same call as the open one, of the same lane or group,
 * and wait up to `wait_ns` for that many. Returns how many; `out` is in use until the open delivery
 * is finished. Only in the worker's thread, with a grouped delivery open. */
int32_t bb_take_more(bb_worker *worker, bb_delivery *out, int32_t n, int64_t wait_ns);

/* The same without sleeping. NOTHING: the batch is not full, and may be waited for until bb_now()
 * reaches `until`; call again, with the same `out`, `n` and `until`. */
int32_t bb_try_take_more(bb_worker *worker, bb_delivery *out, int32_t n, uint64_t until);

/* Finish the open delivery, and those of bb_take_more, and take no other. Those for which bb_retry
 * was called are queued again. `completes`: the worker calls completion hooks now, and then
 * bb_completed; until then the queue is not idle, though nothing is running. */
void bb_finish(bb_worker *worker, int32_t completes);
void bb_completed(bb_worker *worker);

/* A delivery of the call that is open is to be queued again by bb_finish, delayed until bb_due is
 * called for it. */
void bb_retry(bb_worker *worker, bb_parked *parked);

/* A delayed delivery's time has come. Does nothing if it has left the queue. */
void bb_due(bb_queue *q, bb_parked *parked);

/* Hand the worker's open delivery over, of a grouped subscription and not a batch: it runs on, and
 * the worker takes the next. The result ends it with bb_retry, bb_failed, bb_let_go, bb_finish and
 * bb_completed, or bb_detached_drop, in any thread, and is then freed. NULL without memory, or
 * GONE. */
bb_worker *bb_detach(bb_worker *worker);
void bb_detached_free(bb_worker *detached);

/* Its delivery is counted as dropped by shutdown; the caller has its references, reports that, and
 * calls bb_completed. 0: the queue is gone. */
int32_t bb_detached_drop(bb_worker *detached);

/* The level, from 1, at which the delivery with index `i` of the call that is open was queued; 0:
 * there is none. Only in the worker's thread. */
int32_t bb_call_level(const bb_worker *worker, int32_t i);

/* The worker's open delivery has failed. Only in the worker's thread. */
void bb_failed(bb_worker *worker);

/* The worker is about to drop its references to the open delivery: hide it from bb_running. */
void bb_let_go(bb_worker *worker);

/* Fill in up to `n` running deliveries; returns their number. `hold` (or NULL) is called for each,
 * with the mutex held, to take references: bb_let_go cannot succeed concurrently. The caller holds
 * the host's lock, which is not released. */
int32_t bb_running(bb_queue *q, bb_open_delivery *out, int32_t n,
                   void (*hold)(const bb_open_delivery *));

/* ---- stopping and observing ---------------------------------------------------------- */

/* Refuse new events from now on. With `drain`, workers run what is queued, until `deadline_ns` from
 * now at the latest (negative: no limit), and handlers may still publish (BB_INSIDE); the queue
 * shuts when nothing is queued or running. Without, it shuts immediately. Wakes all sleepers. */
void bb_close(bb_queue *q, int32_t drain, int64_t deadline_ns);

/* Remove up to `n` queued deliveries from a shut queue, counted as dropped by shutdown. Returns
 * their number; 0 also if the queue is not shut. */
int32_t bb_discard(bb_queue *q, bb_delivery *out, int32_t n);

/* Sleep until nothing is queued or running, and no worker has still to report how deliveries ended
 * (bb_finish, BB_EXPIRED), at most `timeout_ns`. 1: it is so, or the queue is gone.
 */
int32_t bb_wait_idle(bb_queue *q, int64_t timeout_ns);

/* What bb_wait_barrier waits for: every delivery that was accepted so far. */
uint64_t bb_barrier(bb_queue *q);

/* Sleep until those have ended, at most `timeout_ns`. 1: they have, or the queue is gone. Only
 * while a thread sleeps here does the end of a delivery cost more, some ns per level and worker. */
int32_t bb_wait_barrier(bb_queue *q, uint64_t barrier, int64_t timeout_ns);

/* Remove up to `n` deliveries that have expired from the queue, counted as dropped. Returns their
 * number. Constant while none can have expired, else linear in what is queued. */
int32_t bb_purge(bb_queue *q, bb_delivery *out, int32_t n);

/* Sleep until the queue is shut, at most `timeout_ns`. 1: it is, or it is gone. */
int32_t bb_wait_shut(bb_queue *q, int64_t timeout_ns);

/* Deliveries queued at the moment of the call. */
int32_t bb_depth(bb_queue *q);

/* Deliveries published (accepted or refused), and ended (processed or dropped), so far. */
uint64_t bb_published(bb_queue *q);
uint64_t bb_ended(bb_queue *q);

/* OPEN, DRAINING or SHUT; SHUT also if the queue is gone. */
bb_state bb_get_state(bb_queue *q);

/* Fill in `out`, `types[t]` for t < n_types, `recipients[r]` with the counts of `which[r]` for
 * r < n_recipients, `workers[w]` for w < n_workers, and `histograms` unless it is NULL, all at one
 * moment. 0, or GONE. Costs a copy of about 30 KB. */
int32_t bb_snapshot(bb_queue *q, bb_stats *out, bb_counts *types, int32_t n_types,
                    bb_recipient *const *which, bb_counts *recipients, int32_t n_recipients,
                    bb_worker_time *workers, int32_t n_workers, bb_histograms *histograms);

/* Copy up to `n` notes of the flight recorder, the newest of those about `event`, or of all if that
 * is 0, the oldest of them first. Returns their number. Linear in what the recorder keeps. */
int32_t bb_notes(bb_queue *q, uint64_t event, bb_note *out, int32_t n);

/* Fill in `arrivals`, and `timers[r]` with those of `which[r]` for r < n, at one moment; all 0
 * without monitoring. 0, or GONE. */
int32_t bb_load(bb_queue *q, bb_arrivals *arrivals, bb_recipient *const *which, bb_timer *timers,
                int32_t n);

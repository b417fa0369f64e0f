/* structs.h: what a queue consists of. */
#ifndef BB_STRUCTS_H
#define BB_STRUCTS_H

#include "api.h"
#include "fast_clock.h"
#include "ticket.h"

#define SCALES 3 /* of bb_arrivals.windows */

/* A queued delivery. Its level is that of the list it is in. */
typedef struct {
    void *event;
    bb_recipient *recipient;
    uint64_t sequence; /* order of acceptance over all levels */
    uint64_t accepted; /* bb_now, 0 if nothing is timed */
    int32_t next;      /* slot after this one in its level or in the free list; -1: none */
    int16_t type;
    int16_t depth;
} slot;

/* First in, first out. */
typedef struct {
    int32_t head;
    int32_t tail;
} level_list;

/* A publisher that waits, or whose event was admitted and whose call has not returned yet. On the
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
    bool handler;    /* not BB_OUTSIDE */
    bool unattended; /* no thread is to be woken */
    bool limited;    /* has a limit of its own: the standstill rule does not apply */
    bool admitted;   /* its event was queued by another thread */
    bool notified;   /* and it was woken for that */
    bool rejected;   /* the queue closed, or it was withdrawn */
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
    uint64_t sequence;
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
    void *event; /* NULL: hidden from bb_running, see bb_let_go */
    bb_recipient *recipient;
    bb_parked *parked; /* NULL: the subscription is not grouped */
    bb_delivery *more; /* of the same call, see bb_take_more */
    int32_t more_count;
    uint64_t sequence;
    uint64_t id; /* of the event, if the flight recorder is on */
    uint64_t began;
    uint64_t cpu; /* the thread's CPU time then; 0: not read, see timers.c */
    int32_t level;
    int32_t type;
    bool open;
    bool failed;
} open_delivery;

struct bb_worker {
    bb_queue *q;
    bb_worker *next; /* among the detached */
    bb_worker *prev;
    uint64_t thread;
    uint64_t native; /* the same for bb_run_delay */
    uint64_t busy;   /* ns */
    uint64_t since;  /* when it entered */
    uint64_t number; /* of deliveries begun */
    int32_t index;   /* in `workers` */
    bool fills;      /* it waits for its batch to fill, between two calls of bb_try_take_more */
    bool detached;   /* no worker, but what has the delivery of one: see detached.c */
    bool completing; /* it calls hooks for what has ended, the deliveries from this sequence on */
    uint64_t completed;
    open_delivery open;
};

typedef struct {
    uint64_t count;
    uint64_t max;
    uint64_t sum;
    uint64_t bucket[BB_BUCKETS];
} histogram;

/* Recent values, in two halves, and all older ones: see histograms.c. */
typedef struct {
    histogram current;
    histogram previous;
    histogram older;
} rolling_histogram;

struct bb_queue {
    bb_mutex mutex;
    bb_cond work; /* idle workers sleep on it; signalled by the thread that adds work */
    bb_cond idle; /* bb_wait_idle sleeps on it, broadcast when nothing is queued or running, and
                   * bb_wait_shut, broadcast when the state changes */
    int64_t fork_count; /* of the process that created it */

    int32_t capacity; /* slots for all publishers, over all levels */
    int32_t reserve;  /* further slots for handlers */
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
    int32_t free_slot;  /* head of the list of slots that were used before; -1: none */
    int32_t fresh_slot; /* the first that was never used */
    int32_t slot_count;
    level_list level[BB_LEVELS];
    slot *slots;

    /* Grouped deliveries, see lanes.c. */
    uint32_t ready_levels; /* bit l: ready[l] is not empty */
    bb_lane_list ready[BB_LEVELS];
    bb_parked *first_parked[BB_LEVELS]; /* the oldest of all that have not ended, */
    bb_parked *last_parked[BB_LEVELS];
    bb_parked *oldest_parked[BB_LEVELS]; /* and the oldest of those that are queued */
    uint32_t parked_levels;              /* bit l: oldest_parked[l] is not NULL */
    int32_t delayed;                     /* deliveries that wait for their time */
    bb_cond fill;                        /* workers sleep on it until a batch is full */

    int32_t expiring;     /* queued deliveries that can expire, */
    uint64_t next_expiry; /* none of which does before that */

    /* Waking workers, see workers.c. */
    int32_t reserved;      /* workers [0 .. reserved - 1] take only the highest level */
    int32_t idle_reserved; /* asleep on `top_work` */
    bool waking_reserved;
    bb_cond top_work;
    int32_t idle_workers; /* asleep on `work` */
    bool waking;          /* a wake-up is in flight */

    /* Publishers, see waiters.c. [1]: handlers. */
    wait_list wait_queue[2][BB_LEVELS];
    uint32_t waiting_levels[2]; /* bit l: wait_queue[.][l] is not empty */
    int32_t waiting;            /* publishers in all wait queues */
    wait_list unnotified;       /* admitted and not woken yet, */
    wait_list notified;         /* or woken, and not returned yet */
    uint64_t last_notified;     /* when some of `unnotified` were notified */
    bb_caller *callers;

    /* The standstill rule, see standstill.c. */
    uint64_t last_progress;  /* a worker took while a publisher waited, or the wait restarted */
    int32_t restarts;        /* since a worker took, for which no worker was to blame */
    uint64_t run_delay;      /* of the workers, read */
    uint64_t run_delay_read; /* at this time */
    bool congested;          /* a wait ended by the rule, and no worker has taken since */
    bool streak;          /* something was dropped, and the queue has not been half empty since */
    int32_t idle_waiters; /* threads in bb_wait_idle */
    int32_t completing;   /* workers that call hooks for what has ended */
    int32_t barrier_waiters; /* threads in bb_wait_barrier, */
    uint64_t barrier;        /* the first of which waits for the sequences below */

    bb_tally by_level[BB_LEVELS];
    bb_tally *by_type;
    int32_t types;
    uint64_t dropped_by[BB_REASONS][BB_LEVELS];
    uint64_t unrouted;

    bb_worker **workers;
    int32_t present;  /* workers in their loops: workers[0 .. present - 1] */
    int32_t starting; /* threads that were asked for and have not entered */
    int32_t wanted;
    int32_t blocked;       /* workers that wait in publish */
    uint64_t busy_of_left; /* ns that workers that have left were busy */
    bb_worker *detached;

    uint64_t created;
    uint64_t last_sample;
    uint64_t samples;
    int32_t history[BB_HISTORY];
    double processing_average;
    uint64_t rolled; /* when the histograms last began a new half */
    rolling_histogram queue_wait;
    rolling_histogram processing;

    bb_note *notes; /* a ring, see recorder.c; NULL: nothing is recorded */
    int32_t notes_size;
    int32_t next_note;
    uint64_t noted; /* so far */

    uint64_t tasks_done; /* items, see items.c */

    bb_timer timer; /* of all recipients */
    bb_arrivals arrivals;
    uint64_t window_began[SCALES];
    uint64_t in_window[SCALES];
    uint64_t process_cpu; /* at the first arrival */
};

#endif

/* fixture.h: queues with their routes, and threads that sleep in a call, for the unit tests. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <pthread.h>

#include "check.h"
#include "internal.h"
#include "staged.h"

#define LEVELS 3
#define MANY 64 /* max deliveries of an event, except those that a test makes itself */
#define NOW 1000000000u
#define MS 1000000u
#define NEVER UINT64_MAX
#define FOREVER INT64_MAX

/* The queue dereferences no event without a ticket, so any even number serves as one. */
#define EVENT(number) ((void *)((intptr_t)(number) * 2))
#define NUMBER(event) ((int64_t)(intptr_t)(event) / 2)

/* An event with a ticket, for one recipient; see grouped.h. */
typedef struct ticketed {
    bb_ticket ticket;
    bb_parked parked;
    int64_t number;
    struct ticketed *next;
} ticketed;

#define MAX_GROUPS 8
struct grouped;

/* A queue of three levels, with a route to one recipient for each, and a worker. */
typedef struct {
    bb_queue *q;
    bb_route low;
    bb_route medium;
    bb_route high;
    bb_worker *worker;
    bb_recipient recipient[LEVELS + MANY];
    bb_recipient *pointers[LEVELS + MANY];
    /* The results of the last offer; `out_size` is passed to it. */
    bb_delivery out[MANY + 2];
    int32_t out_size;
    int32_t evicted;
    int32_t first;
    bb_caller *caller;
    ticketed *tickets; /* all, the newest first */
    struct grouped *group[MAX_GROUPS];
    int32_t groups;
} fixture;

fixture *fixture_new(int32_t capacity);
fixture *fixture_timed(int32_t capacity, int64_t starvation); /* monitored; the clock shows NOW */
fixture *fixture_with(bb_settings settings);
void fixture_free(fixture *f); /* and calls staged_reset */

/* A route to `count` recipients, other than those of the levels. */
bb_route several(fixture *f, int32_t level, int32_t count);

/* ---- publishing, with event numbers -------------------------------------------------------- */
bb_result push(fixture *f, const bb_route *route, int64_t event);
bb_result push_as(fixture *f, const bb_route *route, int64_t event, bb_origin origin);

/* Push events `first`, `first` + 1, ..., all of which must be accepted. */
void fill(fixture *f, const bb_route *route, int64_t first, int32_t n);

/* Join a wait queue; NULL: `last_join` is the reason. */
extern bb_result last_join;
bb_waiter *join(fixture *f, const bb_route *route, int64_t event);
bb_waiter *join_as(fixture *f, const bb_route *route, int64_t event, bb_origin origin,
                   bool limited);

bb_result offer(fixture *f, const bb_route *route, int64_t event, bb_mode mode);
bb_result offer_as(fixture *f, const bb_route *route, int64_t event, bb_mode mode, bb_origin origin,
                   bb_waiter *waiter);

/* ---- working ------------------------------------------------------------------------------- */
bb_worker *add_worker(fixture *f); /* one more; NULL if the queue is shut */
int64_t number_of(const void *event);
int64_t take(bb_worker *worker); /* the event's number, negative if it had expired; 0: LEAVE */
#define CHECK_TAKES(expected, worker) CHECK_INT(expected, take(worker))

/* Take `n` deliveries with the fixture's worker. */
void take_some(fixture *f, int32_t n);

/* Finish the delivery of the fixture's worker without taking another: the worker is replaced. */
void finish(fixture *f);

/* ---- looking ------------------------------------------------------------------------------- */
bb_stats stats_of(fixture *f);

/* Check all counts of the queue, that they balance, and that the counts by level, type and
 * recipient add up to them. */
#define CHECK_BOOKS(f, ...) check_books((f), (bb_counts){__VA_ARGS__}, __FILE__, __LINE__)
void check_books(fixture *f, bb_counts expected, const char *file, int line);

/* A thread in one call. Start it, await that it sleeps, finish it. */
typedef struct {
    pthread_t thread;
    bb_queue *q;
    bb_waiter *waiter;
    bb_worker *worker;
    int64_t timeout;
    uint64_t barrier;
    int64_t result;
} sleeper;

void start_wait(sleeper *s, bb_waiter *waiter); /* without a limit */
void start_take(sleeper *s, bb_worker *worker); /* its result is the event's number */
void start_wait_idle(sleeper *s, fixture *f, int64_t timeout);
void start_wait_shut(sleeper *s, fixture *f, int64_t timeout);
void start_wait_barrier(sleeper *s, fixture *f, uint64_t barrier);
int64_t finish_sleeper(sleeper *s);

/* Return when `n` workers sleep, or `n` threads in calls with a time limit, including publishers.
 * These states are entered and left with the mutex held, so a thread seen in one is asleep. */
void await_workers_asleep(fixture *f, int32_t n);
void await_reserved_asleep(fixture *f, int32_t n);
void await_asleep(fixture *f, int32_t n);
void await_barrier(fixture *f, uint64_t barrier); /* that one is the first that is waited for */
void await_present(fixture *f, int32_t n);

/* One for each file of tests. */
void push_tests(void);
void offer_tests(void);
void oversize_tests(void);
void caller_tests(void);
void waiting_tests(void);
void waiting_end_tests(void);
void reserve_tests(void);
void standstill_tests(void);
void notify_tests(void);
void take_tests(void);
void running_tests(void);
void end_tests(void);
void stats_tests(void);
void histograms_tests(void);
void lanes_tests(void);
void limits_tests(void);
void parked_tests(void);
void batches_tests(void);
void filling_tests(void);
void retries_tests(void);
void detached_tests(void);
void expiry_tests(void);
void barrier_tests(void);
void reserved_tests(void);
void life_tests(void);
void fork_tests(void);
void host_tests(void);
void resize_tests(void);
void resize_races_tests(void);
void timers_tests(void);
void arrivals_tests(void);
void fast_clock_tests(void);
void items_tests(void);
void stepped_tests(void);

#endif

/* test_host.c: the lock rule, with a host lock that knows which thread holds it. */
#include "grouped.h"

#include <sched.h>
#include <stdatomic.h>

#define THREADS 4
#ifndef TURNS /* fewer where an iteration takes long */
#define TURNS 3000
#endif

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool have_host, may_wait;
static bb_mutex *watched; /* the mutex of the queue */
static atomic_int detached;

static void enter_host(void) {
    CHECK(!have_host);
    CHECK_INT(0, staged_mutexes_held()); /* the rule: never attach while the mutex is held */
    pthread_mutex_lock(&host_lock);
    have_host = true;
}

static void leave_host(void) {
    CHECK(have_host);
    have_host = false;
    pthread_mutex_unlock(&host_lock);
}

static void *detach(void) {
    leave_host();
    detached++;
    return &host_lock;
}

static void attach(void *token) {
    CHECK(token == &host_lock);
    enter_host();
}

/* The thread that holds the host's lock must not wait for the queue's mutex, except in bb_running.
 */
static void before_lock(bb_mutex *mutex) {
    if (mutex == watched) CHECK(!have_host || may_wait);
}

static void watch(fixture *f) {
    detached = 0;
    watched = &f->q->mutex;
    staged_before_lock = before_lock;
    host = (bb_host){.detach = detach, .attach = attach};
}

static void unwatch(void) {
    host = (bb_host){0};
    staged_before_lock = NULL;
}

static int32_t running(fixture *f) {
    bb_open_delivery out[MANY];
    may_wait = true;
    int32_t n = bb_running(f->q, out, MANY, NULL);
    may_wait = false;
    return n;
}

static void test_short_calls_keep_the_host_while_the_mutex_is_free(void) {
    fixture *f = fixture_new(2);
    const bb_route *route = &f->low;
    void *event = EVENT(2);
    watch(f);
    enter_host();
    CHECK_INT(BB_ACCEPTED, push(f, &f->low, 1));
    CHECK_INT(1, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
    CHECK_INT(BB_REFUSED, offer(f, &f->low, 3, BB_REFUSE));
    bb_waiter *waiter = join(f, &f->low, 3);
    bb_waiter_quiet(waiter);
    CHECK_INT(0, bb_waiter_leave(waiter));
    CHECK_INT(BB_RUN, offer(f, &f->low, 4, BB_CALLER_RUNS));
    bb_caller_done(f->caller, 0);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(1, running(f));
    bb_worker_waits(f->worker, 1);
    bb_worker_waits(f->worker, 0);
    bb_failed(f->worker);
    bb_let_go(f->worker);
    add_worker(f);
    bb_depth(f->q);
    bb_published(f->q);
    bb_ended(f->q);
    bb_get_state(f->q);
    stats_of(f);
    bb_close(f->q, 0, 0);
    bb_discard(f->q, f->out, 2);
    CHECK_INT(0, detached);
    leave_host();
    unwatch();
    fixture_free(f);
}

static void test_calls_for_grouped_deliveries_keep_the_host_while_the_mutex_is_free(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 1, 4);
    watch(f);
    enter_host();
    post_some(g, 1, 0, 1, 3);
    push_expiring(f, &f->low, 4, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 3, 0));
    retry(f, f->worker, 2);
    bb_finish(f->worker, 0);
    due(f, 2);
    CHECK_INT(1, bb_purge(f->q, f->out, 1));
    CHECK_INT(4, bb_barrier(f->q));
    CHECK_INT(0, detached);
    leave_host();
    unwatch();
    fixture_free(f);
}

static void test_calls_that_may_sleep_detach_from_the_host_first(void) {
    fixture *f = fixture_new(1);
    watch(f);
    enter_host();
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    CHECK_INT(0, bb_wait_shut(f->q, 0));
    fill(f, &f->low, 1, 1);
    bb_waiter *waiter = join(f, &f->low, 2);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter) + detached - 3);
    grouped *g = grouped_new(f, 0, 4);
    CHECK_TAKES(1, f->worker);
    post(g, 1, 0, 3);
    CHECK_INT(0, bb_wait_barrier(f->q, bb_barrier(f->q), 0));
    CHECK_TAKES(3, f->worker);
    CHECK_INT(0, take_more(f->worker, 1, 1));
    CHECK_INT(5, detached);
    CHECK(have_host);
    leave_host();
    unwatch();
    fixture_free(f);
}

/* ---- waiting for the mutex ------------------------------------------------------------------ */

static fixture *contended;
static atomic_bool is_held, may_release;
static pthread_t holder;
static int pauses;

static void hold_mutex(const bb_open_delivery *d) {
    (void)d;
    is_held = true;
    while (!may_release) sched_yield();
}

static void *hold_mutex_in_bb_running(void *argument) {
    bb_open_delivery out;
    CHECK_INT(1, bb_running(contended->q, &out, 1, hold_mutex));
    return argument;
}

static void release_mutex(void) {
    may_release = true;
    pthread_join(holder, NULL);
}

static void *release_and_detach(void) {
    release_mutex();
    detached++;
    return &host_lock;
}

static void attach_again(void *token) { CHECK(token == &host_lock); }

static void count_pause(void) { pauses++; }

static void release_in_third_pause(void) {
    if (++pauses == 3) release_mutex();
}

/* Another thread has the mutex of a queue; the host's `detach` makes it release it. */
static void contend(bool parallel, void (*in_pause)(void)) {
    contended = fixture_new(2);
    fill(contended, &contended->low, 1, 1);
    CHECK_TAKES(1, contended->worker);
    is_held = may_release = false;
    detached = pauses = 0;
    host = (bb_host){.detach = release_and_detach, .attach = attach_again, .parallel = parallel};
    pthread_create(&holder, NULL, hold_mutex_in_bb_running, NULL);
    while (!is_held) sched_yield();
    staged_in_pause = in_pause;
    CHECK_INT(BB_ACCEPTED, push(contended, &contended->low, 2));
    staged_in_pause = NULL;
    host = (bb_host){0};
    fixture_free(contended);
}

static void test_a_parallel_host_is_kept_while_the_mutex_is_soon_released(void) {
    contend(true, release_in_third_pause);
    CHECK_INT(0, detached);
    CHECK_INT(4, pauses);
}

static void test_a_parallel_host_is_detached_from_when_the_mutex_is_held_for_long(void) {
    contend(true, count_pause);
    CHECK_INT(1, detached);
    CHECK(pauses > 1000);
}

static void test_a_host_that_excludes_its_threads_is_never_kept_for_the_mutex(void) {
    contend(false, count_pause);
    CHECK_INT(1, detached);
    CHECK_INT(0, pauses);
}

/* ---- many threads under one host ------------------------------------------------------------- */

static fixture *shared;
static bb_route two;
static atomic_int workers_left;

/* Without sched_yield the lock is nearly always taken again before a waiting thread runs: under
 * valgrind, which runs one thread at a time, publishers made no progress in two minutes. */
static void yield_host(void) {
    leave_host();
    sched_yield();
    enter_host();
}

static int64_t publish(const bb_route *route, int turn, bb_origin origin) {
    bb_waiter *waiter = NULL;
    bb_delivery out[2];
    int32_t evicted, first;
    bb_caller *caller = NULL;
    void *event = EVENT(1 + turn);
    bb_result result = bb_push(shared->q, route, event, 0, origin);
    if (result != BB_FULL) return result;
    yield_host();
    result = bb_waiter_join(shared->q, route, event, 0, origin, turn % 2, &waiter);
    uint64_t until = bb_clock() + (uint64_t)(turn % 3) * 10000;
    if (result == BB_WAITING) result = bb_waiter_wait(waiter, until);
    if (waiter != NULL && turn % 2) return bb_waiter_leave(waiter);
    if (result == BB_ACCEPTED && waiter == NULL) return result;
    bb_mode mode = (bb_mode)(BB_EVICT_OLDEST + turn % 4);
    result = bb_offer(shared->q, route, event, 0, origin, mode, waiter, out, 2, &evicted, &first,
                      &caller);
    for (int32_t i = 0; result == BB_RUN && i < route->count; i++) bb_caller_done(caller, turn % 2);
    return result;
}

static void *worker_thread(void *argument) {
    bb_delivery taken;
    (void)argument;
    enter_host();
    bb_worker *worker = bb_worker_enter(shared->q, bb_thread_id());
    for (int turn = 0; bb_take(worker, &taken) != 0; turn++) {
        yield_host();
        CHECK(running(shared) > 0);
        if (turn % 3 == 0) bb_failed(worker);
        bb_worker_waits(worker, 1);
        if (turn % 4 == 0) publish(&shared->high, turn, BB_INSIDE);
        bb_worker_waits(worker, 0);
        bb_let_go(worker);
    }
    workers_left--;
    leave_host();
    return NULL;
}

static void *publisher_thread(void *argument) {
    const bb_route *route = argument;
    enter_host();
    for (int turn = 0; turn < TURNS; turn++) {
        publish(route, turn, BB_OUTSIDE);
        if (turn % 100 == 0) stats_of(shared);
        if (turn % 7 == 0) yield_host();
    }
    leave_host();
    return NULL;
}

static void test_many_threads_keep_the_lock_rule(void) {
    shared = fixture_with((bb_settings){.capacity = 3, .reserve = 2, .monitoring = 1});
    two = several(shared, 3, 2);
    bb_route *route[THREADS] = {&shared->low, &shared->medium, &shared->high, &two};
    pthread_t workers[THREADS], publishers[THREADS];
    workers_left = THREADS;
    bb_worker *own = shared->worker; /* which takes nothing */
    CHECK_INT(THREADS, bb_resize(shared->q, THREADS + 1));
    watch(shared);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&workers[i], NULL, worker_thread, NULL);
        pthread_create(&publishers[i], NULL, publisher_thread, route[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(publishers[i], NULL);
    enter_host();
    bb_close(shared->q, 1, 0);
    bb_close(shared->q, 0, 0);
    CHECK_INT(0, take(own));
    leave_host();
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i], NULL);
    enter_host();
    while (bb_discard(shared->q, shared->out, 4) > 0) continue;
    CHECK_INT(1, bb_wait_idle(shared->q, FOREVER));
    leave_host();
    CHECK_INT(0, workers_left);
    CHECK(detached > 0);
    unwatch();
    CHECK_INT(0, stats_of(shared).total.queued + stats_of(shared).total.running);
    fixture_free(shared);
}

void host_tests(void) {
    RUN(test_short_calls_keep_the_host_while_the_mutex_is_free);
    RUN(test_calls_for_grouped_deliveries_keep_the_host_while_the_mutex_is_free);
    RUN(test_calls_that_may_sleep_detach_from_the_host_first);
    RUN(test_a_parallel_host_is_kept_while_the_mutex_is_soon_released);
    RUN(test_a_parallel_host_is_detached_from_when_the_mutex_is_held_for_long);
    RUN(test_a_host_that_excludes_its_threads_is_never_kept_for_the_mutex);
    RUN(test_many_threads_keep_the_lock_rule);
}

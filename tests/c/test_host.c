/* test_host.c: the lock rule, with a host of ours whose lock knows who holds it. */
#include "fixture.h"

#include <sched.h>
#include <stdatomic.h>

#define THREADS 4
#ifndef TURNS /* fewer where a turn takes long */
#define TURNS 3000
#endif

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool have_host;
static bb_mutex *watched; /* the mutex of the ring */
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

/* Whoever has the host's lock must not wait for the ring's mutex. */
static void before_lock(bb_mutex *mutex) {
    if (mutex == watched) CHECK(!have_host);
}

static void watch(const fixture *f) {
    detached = 0;
    watched = &ring_of(f->ring)->mutex;
    staged_before_lock = before_lock;
    host = (bb_host){.detach = detach, .attach = attach};
}

static void unwatch(void) {
    host = (bb_host){0};
    staged_before_lock = NULL;
}

static void test_short_calls_keep_the_host_while_the_mutex_is_free(void) {
    fixture f = fixture_new(2);
    bb_stats stats;
    int64_t out[2];
    watch(&f);
    enter_host();
    CHECK_INT(BB_ACCEPTED, bb_push(f.low));
    CHECK_INT(1, bb_push_many((int64_t[]){f.low + 1}, 1));
    CHECK_INT(BB_REFUSED + BB_FIRST, bb_offer(f.low + 2, BB_REFUSE, out));
    CHECK_INT(1, bb_withdraw(f.low + 2));
    CHECK_INT(f.low, bb_take(f.worker));
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 3, out));
    bb_failed(f.worker);
    bb_done(f.worker);
    bb_depth(f.ring);
    bb_snapshot(f.ring, &stats, NULL, 0, NULL, 0);
    bb_close(f.ring, 0, 0);
    bb_discard(f.ring, out, 2);
    CHECK_INT(0, detached);
    leave_host();
    unwatch();
    fixture_free(&f);
}

static void test_calls_that_may_sleep_give_the_host_up_first(void) {
    fixture f = fixture_new(1);
    watch(&f);
    enter_host();
    CHECK_INT(0, bb_wait_idle(f.ring, 0) - 1);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 1000, 1));
    CHECK_INT(3, detached);
    CHECK(have_host);
    leave_host();
    unwatch();
    fixture_free(&f);
}

/* ---- many threads under one host ------------------------------------------------------------- */

static fixture shared;
static atomic_int workers_left;

/* Without the call in between the lock is nearly always taken again before who waits for it runs:
 * under valgrind, which runs one thread at a time, publishers got nowhere in two minutes. */
static void yield_host(void) {
    leave_host();
    sched_yield();
    enter_host();
}

static void *worker_thread(void *argument) {
    int64_t worker = *(int64_t *)argument, out[2];
    enter_host();
    while (bb_take(worker) != 0) {
        yield_host();
        bb_failed(worker);
        bb_depth(shared.ring);
        if (bb_help(worker, shared.high, out) == BB_ACCEPTED && out[0] != 0) bb_done(worker);
    }
    workers_left--;
    leave_host();
    return NULL;
}

static void publish(int64_t handle, int turn) {
    int64_t out[2];
    int32_t mode = BB_EVICT_OLDEST + turn % 4;
    if (bb_push(handle) != BB_FULL) return;
    yield_host();
    if (bb_wait(handle, turn % 3 * 10000, 1) != BB_WAITING) return;
    if (turn % 2) bb_withdraw(handle);
    else if (bb_offer(handle, mode, out) == BB_RUN) bb_caller_done(handle, turn % 2);
}

static void *publisher_thread(void *argument) {
    int64_t first = *(int64_t *)argument;
    bb_stats stats;
    enter_host();
    for (int turn = 0; turn < TURNS; turn++) {
        publish(first + turn, turn);
        if (turn % 100 == 0) bb_snapshot(shared.ring, &stats, NULL, 0, NULL, 0);
        if (turn % 7 == 0) yield_host();
    }
    leave_host();
    return NULL;
}

static void test_many_threads_keep_the_lock_rule(void) {
    shared = fixture_timed(3, 0);
    pthread_t workers[THREADS], publishers[THREADS];
    int64_t worker[THREADS], first[THREADS], out[4];
    workers_left = THREADS;
    for (int i = 0; i < THREADS; i++) {
        worker[i] = bb_worker_add(shared.ring);
        first[i] = bb_route(shared.ring, i, i % LEVELS + 1, 1);
    }
    watch(&shared);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&workers[i], NULL, worker_thread, &worker[i]);
        pthread_create(&publishers[i], NULL, publisher_thread, &first[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(publishers[i], NULL);
    enter_host();
    bb_close(shared.ring, 1, 0);
    bb_close(shared.ring, 0, 0);
    leave_host();
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i], NULL);
    enter_host();
    while (bb_discard(shared.ring, out, 4) > 0) continue;
    CHECK_INT(1, bb_wait_idle(shared.ring, FOREVER));
    leave_host();
    CHECK_INT(0, workers_left);
    CHECK(detached > 0);
    unwatch();
    fixture_free(&shared);
}

void host_tests(void) {
    RUN(test_short_calls_keep_the_host_while_the_mutex_is_free);
    RUN(test_calls_that_may_sleep_give_the_host_up_first);
    RUN(test_many_threads_keep_the_lock_rule);
}

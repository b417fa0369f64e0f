/* test_resize_races.c: workers that come and go while others publish. */
#include "fixture.h"

#include <stdatomic.h>

#define MOST 8

/* A worker that was woken re-attaches to the host before it checks again; the test acts there,
 * once. */
static fixture *raced;
static pthread_t publisher;
static atomic_bool armed;
static void (*while_attaching)(void);

static void *detach(void) { return &raced; }
static void attach(void *token) {
    (void)token;
    if (!pthread_equal(pthread_self(), publisher) && atomic_exchange(&armed, false))
        while_attaching();
}

static void resize_to_one(void) { CHECK_INT(0, bb_resize(raced->q, 1)); }
static void push_one(void) { fill(raced, &raced->low, 1, 1); }

static void two_sleep_until(void (*once)(void), void (*then)(void)) {
    sleeper s[2];
    raced = fixture_new(4);
    publisher = pthread_self();
    while_attaching = then;
    bb_worker *second = add_worker(raced);
    host = (bb_host){.detach = detach, .attach = attach};
    start_take(&s[0], raced->worker);
    start_take(&s[1], second);
    await_workers_asleep(raced, 2);
    armed = true;
    once();
    CHECK_INT(1, finish_sleeper(&s[0]) + finish_sleeper(&s[1]));
    CHECK(!armed);
    CHECK_INT(1, stats_of(raced).workers);
    CHECK_BOOKS(raced, .published = 1, .running = 1);
    host = (bb_host){0};
    fixture_free(raced);
}

static void test_work_is_not_lost_with_the_worker_that_was_woken_for_it(void) {
    two_sleep_until(push_one, resize_to_one);
}

/* It will see all that is added while it is on its way: no other need be woken. */
static void see_the_wake_in_flight(void) {
    bb_mutex_lock(&raced->q->mutex);
    CHECK(raced->q->waking);
    bb_mutex_unlock(&raced->q->mutex);
    resize_to_one();
}

static void test_a_worker_that_was_woken_is_known_to_be_on_its_way(void) {
    two_sleep_until(push_one, see_the_wake_in_flight);
}

static void test_work_that_comes_while_a_worker_leaves_is_not_lost(void) {
    two_sleep_until(resize_to_one, push_one);
}

/* ---- under load ------------------------------------------------------------------------------ */

#define EVENTS 2000
#define ROUNDS 60
#define A_ROUND 20
static atomic_int handled[3 * EVENTS + 1];

static void publish_waiting(fixture *f, const bb_route *route, int64_t event) {
    bb_waiter *waiter;
    bb_result result = bb_waiter_join(f->q, route, EVENT(event), 0, BB_OUTSIDE, 1, &waiter);
    if (result == BB_WAITING) {
        result = bb_waiter_wait(waiter, NEVER);
        CHECK_INT(1, bb_waiter_leave(waiter));
    }
    CHECK_INT(BB_ACCEPTED, result);
}

static void *publish(void *argument) {
    const bb_route *route = argument;
    for (int i = 1; i <= EVENTS; i++)
        publish_waiting(raced, route, (route->level - 1) * EVENTS + i);
    return NULL;
}

static void *work(void *argument) {
    int64_t taken;
    bb_worker *worker = argument;
    if (worker == NULL) worker = bb_worker_enter(raced->q, bb_thread_id());
    if (worker == NULL) return NULL; /* not needed any more */
    while ((taken = take(worker)) != 0) handled[taken]++;
    return NULL;
}

static int32_t start_workers(int32_t n, pthread_t *workers) {
    int32_t more = bb_resize(raced->q, n);
    for (int32_t i = 0; i < more; i++) CHECK_INT(0, pthread_create(&workers[i], NULL, work, NULL));
    return more;
}

static void test_everything_is_handled_once_while_workers_come_and_go(void) {
    static pthread_t workers[ROUNDS * MOST];
    pthread_t publishers[2];
    int32_t started = 1, own = ROUNDS * A_ROUND;
    raced = fixture_new(16);
    CHECK_INT(0, pthread_create(&workers[0], NULL, work, raced->worker));
    CHECK_INT(0, pthread_create(&publishers[0], NULL, publish, &raced->low));
    CHECK_INT(0, pthread_create(&publishers[1], NULL, publish, &raced->medium));
    for (int32_t round = 0; round < ROUNDS; round++) {
        started += start_workers(1 + round * 5 % MOST, workers + started);
        for (int i = 1; i <= A_ROUND; i++)
            publish_waiting(raced, &raced->high, 2 * EVENTS + round * A_ROUND + i);
    }
    for (int p = 0; p < 2; p++) pthread_join(publishers[p], NULL);
    bb_close(raced->q, 1, -1);
    for (int32_t w = 0; w < started; w++) pthread_join(workers[w], NULL);
    for (int i = 1; i <= 2 * EVENTS + own; i++) CHECK_INT(1, handled[i]);
    uint64_t all = 2 * EVENTS + (uint64_t)own;
    CHECK_BOOKS(raced, .published = all, .processed = all);
    fixture_free(raced);
}

void resize_races_tests(void) {
    RUN(test_work_is_not_lost_with_the_worker_that_was_woken_for_it);
    RUN(test_a_worker_that_was_woken_is_known_to_be_on_its_way);
    RUN(test_work_that_comes_while_a_worker_leaves_is_not_lost);
    RUN(test_everything_is_handled_once_while_workers_come_and_go);
}

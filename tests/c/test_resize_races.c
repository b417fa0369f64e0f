/* test_resize_races.c: workers that come and go while others publish. */
#include "fixture.h"

#include <stdatomic.h>

#define MOST 8

/* A worker that was woken re-attaches to the host before it looks again; what happens meanwhile
 * is staged there, once. */
static fixture raced;
static pthread_t publisher;
static atomic_bool armed;
static void (*meanwhile)(void);

static void *detach(void) { return &raced; }
static void attach(void *token) {
    (void)token;
    if (!pthread_equal(pthread_self(), publisher) && atomic_exchange(&armed, false)) meanwhile();
}

static void resize_to_one(void) { CHECK_INT(0, bb_resize(raced.ring, 1, NULL)); }
static void push_one(void) { fill(raced.low, 1); }

static void two_sleep_until(void (*first)(void), void (*then)(void)) {
    int64_t added[2];
    sleeper s[2];
    raced = fixture_new(4);
    publisher = pthread_self();
    meanwhile = then;
    host = (bb_host){detach, attach};
    CHECK_INT(1, bb_resize(raced.ring, 2, added));
    start_take(&s[0], raced.worker);
    start_take(&s[1], added[0]);
    await_workers_asleep(raced.ring, 2);
    armed = true;
    first();
    CHECK_INT(raced.low, finish_sleeper(&s[0]) + finish_sleeper(&s[1]));
    CHECK(!armed);
    bb_stats stats;
    bb_snapshot(raced.ring, &stats, NULL, 0, NULL, 0);
    CHECK_INT(1, stats.workers);
    CHECK_BOOKS(raced.ring, .published = 1, .running = 1);
    host = (bb_host){NULL, NULL};
    fixture_free(&raced);
}

static void test_work_is_not_lost_with_the_worker_that_was_woken_for_it(void) {
    two_sleep_until(push_one, resize_to_one);
}

static void test_work_that_comes_while_a_worker_leaves_is_not_lost(void) {
    two_sleep_until(resize_to_one, push_one);
}

#define EVENTS 2000
#define ROUNDS 60
#define A_ROUND 20
static atomic_int handled[3][EVENTS];

typedef struct {
    pthread_t thread;
    int64_t handle;
} actor;

static int64_t serial_of(int64_t handle) { return handle & (((int64_t)1 << BB_SERIAL_BITS) - 1); }

static void *publish(void *argument) {
    actor *a = argument;
    for (int i = 0; i < EVENTS; i++) CHECK_INT(BB_ACCEPTED, bb_wait(a->handle + i, FOREVER, 1));
    return NULL;
}

static void *work(void *argument) {
    actor *a = argument;
    int64_t taken;
    while ((taken = bb_take(a->handle)) != 0)
        handled[route_of(taken)->level][serial_of(taken)]++;
    return NULL;
}

static int32_t start_workers(int64_t ring, int32_t n, actor *workers) {
    int64_t added[MOST];
    int32_t more = bb_resize(ring, n, added);
    for (int32_t i = 0; i < more; i++) {
        workers[i].handle = added[i];
        CHECK_INT(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
    }
    return more;
}

static void test_everything_is_handled_once_while_workers_come_and_go(void) {
    static actor workers[ROUNDS * MOST];
    fixture f = fixture_new(16);
    actor publishers[2] = {{.handle = f.low}, {.handle = f.medium}};
    int32_t started = 1;
    workers[0].handle = f.worker;
    CHECK_INT(0, pthread_create(&workers[0].thread, NULL, work, &workers[0]));
    for (int p = 0; p < 2; p++)
        CHECK_INT(0, pthread_create(&publishers[p].thread, NULL, publish, &publishers[p]));
    for (int32_t round = 0; round < ROUNDS - 1; round++) {
        started += start_workers(f.ring, 1 + round * 5 % MOST, workers + started);
        for (int i = 0; i < A_ROUND; i++)
            CHECK_INT(BB_ACCEPTED, bb_wait(f.high + round * A_ROUND + i, FOREVER, 1));
    }
    for (int p = 0; p < 2; p++) pthread_join(publishers[p].thread, NULL);
    bb_close(f.ring, 1, -1);
    for (int32_t w = 0; w < started; w++) pthread_join(workers[w].thread, NULL);
    int own = (ROUNDS - 1) * A_ROUND;
    for (int l = 0; l < 3; l++)
        for (int i = 0; i < (l < 2 ? EVENTS : own); i++) CHECK_INT(1, handled[l][i]);
    uint64_t all = 2 * EVENTS + (uint64_t)own;
    CHECK_BOOKS(f.ring, .published = all, .processed = all);
    fixture_free(&f);
}

void resize_races_tests(void) {
    RUN(test_work_is_not_lost_with_the_worker_that_was_woken_for_it);
    RUN(test_work_that_comes_while_a_worker_leaves_is_not_lost);
    RUN(test_everything_is_handled_once_while_workers_come_and_go);
}

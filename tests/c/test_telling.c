/* test_telling.c: when publishers that were let in are told so, and how workers are woken. */
#include "fixture.h"

#define CAPACITY 16
#define GOOD_PART (CAPACITY / 4 + 1)
#define PACE 300000u
#define NOW 1000000000u

static int32_t told(int64_t handle) {
    int32_t n = 0;
    ring *ring = ring_of(handle);
    bb_mutex_lock(&ring->mutex);
    for (const waiter *w = ring->let_in.head; w != NULL; w = w->next) n += w->signalled;
    bb_mutex_unlock(&ring->mutex);
    return n;
}

/* A full ring with so many in line, at a clock that stands still. */
static fixture crowded(int32_t monitoring, int32_t in_line) {
    staged_clock_set(NOW);
    fixture f = monitoring ? fixture_timed(CAPACITY, 0) : fixture_new(CAPACITY);
    fill(f.high, CAPACITY);
    for (int32_t i = 0; i < in_line; i++) CHECK_INT(BB_WAITING, bb_wait(f.low + i, 0, 1));
    bb_take(f.worker); /* nobody was told for a long time, so this one is at once */
    CHECK_INT(1, told(f.ring));
    return f;
}

static void test_publishers_are_told_together(void) {
    for (int32_t monitoring = 0; monitoring <= 1; monitoring++) {
        fixture f = crowded(monitoring, 8);
        for (int i = 1; i < GOOD_PART; i++) {
            bb_take(f.worker);
            CHECK_INT(1, told(f.ring));
        }
        bb_take(f.worker);
        CHECK_INT(1 + GOOD_PART, told(f.ring));
        CHECK_INT(2, length_of_line(f.ring));
        fixture_free(&f);
        staged_clock_set(0);
    }
}

/* However often workers take meanwhile: what a publisher waits does not grow with the queue. */
static void test_publishers_are_told_after_a_while_at_the_latest(void) {
    for (int32_t monitoring = 0; monitoring <= 1; monitoring++) {
        fixture f = crowded(monitoring, 8);
        for (int i = 1; i < GOOD_PART; i++) {
            staged_clock_advance(PACE / GOOD_PART);
            bb_take(f.worker);
            CHECK_INT(1, told(f.ring));
        }
        staged_clock_advance(PACE - PACE / GOOD_PART * (GOOD_PART - 1));
        bb_take(f.worker);
        CHECK_INT(1 + GOOD_PART, told(f.ring));
        fixture_free(&f);
        staged_clock_set(0);
    }
}

static void test_publishers_are_told_at_once_where_workers_seldom_take(void) {
    for (int32_t monitoring = 0; monitoring <= 1; monitoring++) {
        fixture f = crowded(monitoring, 8);
        staged_clock_advance(PACE - 1);
        bb_take(f.worker);
        CHECK_INT(1, told(f.ring));
        staged_clock_advance(1);
        bb_take(f.worker);
        CHECK_INT(3, told(f.ring));
        staged_clock_advance(PACE);
        bb_take(f.worker);
        CHECK_INT(4, told(f.ring));
        fixture_free(&f);
        staged_clock_set(0);
    }
}

static void test_publishers_are_told_when_a_good_part_is_free(void) {
    fixture f = crowded(1, 3);
    bb_take(f.worker);
    bb_take(f.worker);
    CHECK_INT(1, told(f.ring)); /* all are let in now, the queue is full */
    for (int i = 1; i < GOOD_PART; i++) bb_take(f.worker);
    CHECK_INT(1, told(f.ring));
    bb_take(f.worker);
    CHECK_INT(3, told(f.ring));
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_publishers_are_told_when_the_queue_runs_empty(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(1, 0);
    fill(f.high, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low, 0, 1));
    bb_take(f.worker);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    bb_take(f.worker);
    bb_take(f.worker);
    CHECK_INT(2, told(f.ring));
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_who_comes_back_untold_needs_no_telling(void) {
    fixture f = crowded(1, 3);
    bb_take(f.worker);
    CHECK_INT(1, ring_of(f.ring)->unsignalled);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 1, 0, 1));
    CHECK_INT(0, ring_of(f.ring)->unsignalled);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low, 0, 1)); /* this one was told */
    CHECK_INT(0, ring_of(f.ring)->unsignalled);
    fixture_free(&f);
    staged_clock_set(0);
}

/* Let in, but not told, and asleep when the ring closes: it is woken, and was accepted. */
static void test_close_wakes_who_was_let_in_untold(void) {
    fixture f = crowded(1, 1);
    sleeper s;
    start_wait(&s, f.low + 5, FOREVER);
    await_line(f.ring, 1);
    bb_take(f.worker);
    await_line(f.ring, 0);
    CHECK_INT(1, told(f.ring));
    bb_close(f.ring, 0, 0);
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    CHECK_INT(0, ring_of(f.ring)->unsignalled);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_a_sleeping_publisher_hears_of_it(void) {
    enum { WAITING = 6 };
    fixture f = fixture_new(CAPACITY);
    sleeper s[WAITING];
    fill(f.low, CAPACITY);
    for (int i = 0; i < WAITING; i++) start_wait(&s[i], f.low + 100 + i, FOREVER);
    await_line(f.ring, WAITING);
    for (int i = 0; i < CAPACITY + WAITING; i++) bb_take(f.worker);
    for (int i = 0; i < WAITING; i++) CHECK_INT(BB_ACCEPTED, finish_sleeper(&s[i]));
    fixture_free(&f);
}

/* ---- workers ----------------------------------------------------------------------------- */

static void test_a_push_wakes_a_sleeping_worker(void) {
    fixture f = fixture_new(4);
    sleeper s;
    start_take(&s, f.worker);
    await_workers_asleep(f.ring, 1);
    CHECK_INT(BB_ACCEPTED, bb_push(f.low));
    CHECK_INT(f.low, finish_sleeper(&s));
    fixture_free(&f);
}

/* Whatever adds work wakes: waiting with room, offering, and letting in on leaving the line. */
static void test_every_way_in_wakes_a_sleeping_worker(void) {
    for (int way = 0; way < 4; way++) {
        fixture f = fixture_new(4);
        int64_t out[2];
        sleeper s;
        if (way == 3) /* never fits, so it stands in line though the ring is empty */
            CHECK_INT(BB_WAITING, bb_wait(bb_route(f.ring, 0, 2, 5), 0, 1));
        if (way == 3) CHECK_INT(BB_WAITING, bb_wait(f.low, 0, 1));
        start_take(&s, f.worker);
        await_workers_asleep(f.ring, 1);
        if (way == 0) CHECK_INT(BB_ACCEPTED, bb_wait(f.low, 0, 1));
        if (way == 1) CHECK_INT(BB_ACCEPTED, bb_offer(f.low, BB_REFUSE, out));
        if (way == 2) CHECK_INT(1, bb_push_many(&f.low, 1));
        if (way == 3) CHECK_INT(1, bb_withdraw(ring_of(f.ring)->line.head->handle));
        CHECK_INT(f.low, finish_sleeper(&s));
        fixture_free(&f);
    }
}

static void test_the_woken_worker_wakes_the_next(void) {
    enum { WORKERS = 4 };
    fixture f = fixture_new(8);
    const int64_t handles[] = {f.low, f.low + 1, f.low + 2, f.low + 3};
    sleeper s[WORKERS];
    int64_t sum = 0;
    for (int i = 0; i < WORKERS; i++) start_take(&s[i], bb_worker_add(f.ring));
    await_workers_asleep(f.ring, WORKERS);
    CHECK_INT(4, bb_push_many(handles, 4)); /* one signal, four workers needed */
    for (int i = 0; i < WORKERS; i++) sum += finish_sleeper(&s[i]) - f.low;
    CHECK_INT(0 + 1 + 2 + 3, sum);
    CHECK_BOOKS(f.ring, .published = 4, .running = 4);
    fixture_free(&f);
}

static void test_close_wakes_all_sleeping_workers(void) {
    enum { WORKERS = 4 };
    for (int32_t drain = 0; drain <= 1; drain++) {
        fixture f = fixture_new(8);
        sleeper s[WORKERS];
        for (int i = 0; i < WORKERS; i++) start_take(&s[i], bb_worker_add(f.ring));
        await_workers_asleep(f.ring, WORKERS);
        bb_close(f.ring, drain, -1);
        for (int i = 0; i < WORKERS; i++) CHECK_INT(0, finish_sleeper(&s[i]));
        fixture_free(&f);
    }
}

void telling_tests(void) {
    RUN(test_publishers_are_told_together);
    RUN(test_publishers_are_told_after_a_while_at_the_latest);
    RUN(test_publishers_are_told_at_once_where_workers_seldom_take);
    RUN(test_publishers_are_told_when_a_good_part_is_free);
    RUN(test_publishers_are_told_when_the_queue_runs_empty);
    RUN(test_who_comes_back_untold_needs_no_telling);
    RUN(test_close_wakes_who_was_let_in_untold);
    RUN(test_a_sleeping_publisher_hears_of_it);
    RUN(test_a_push_wakes_a_sleeping_worker);
    RUN(test_every_way_in_wakes_a_sleeping_worker);
    RUN(test_the_woken_worker_wakes_the_next);
    RUN(test_close_wakes_all_sleeping_workers);
}

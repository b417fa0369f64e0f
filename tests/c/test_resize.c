/* test_resize.c: workers that come and go while the queue is at work. */
#include "fixture.h"

#define MOST 8

static int32_t present(fixture *f) { return stats_of(f).workers; }

static void enter(fixture *f, bb_worker **workers, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        workers[i] = bb_worker_enter(f->q, (uint64_t)i + 1);
        CHECK(workers[i] != NULL);
    }
}

/* ---- up ------------------------------------------------------------------------------------ */

static void test_resize_up_asks_for_the_missing_threads(void) {
    fixture *f = fixture_new(4);
    bb_worker *added[3];
    CHECK_INT(3, bb_resize(f->q, 4));
    CHECK_INT(0, bb_resize(f->q, 4)); /* they are starting */
    CHECK_INT(1, present(f));
    CHECK_INT(4, stats_of(f).wanted);
    enter(f, added, 3);
    CHECK_INT(4, present(f));
    CHECK_INT(0, bb_resize(f->q, 4));
    fill(f, &f->low, 1, 4);
    CHECK_TAKES(1, f->worker);
    for (int i = 0; i < 3; i++) CHECK_TAKES(2 + i, added[i]);
    CHECK_BOOKS(f, .published = 4, .running = 4);
    fixture_free(f);
}

static void test_a_thread_that_could_not_be_started_is_asked_for_again(void) {
    fixture *f = fixture_new(4);
    CHECK_INT(2, bb_resize(f->q, 3));
    bb_worker_failed(f->q);
    CHECK_INT(1, bb_resize(f->q, 3));
    bb_worker_failed(f->q);
    bb_worker_failed(f->q);
    CHECK_INT(1, present(f));
    CHECK_INT(2, bb_resize(f->q, 3));
    fixture_free(f);
}

static void test_a_thread_that_is_not_needed_any_more_does_not_enter(void) {
    fixture *f = fixture_new(4);
    CHECK_INT(2, bb_resize(f->q, 3));
    CHECK_INT(0, bb_resize(f->q, 2)); /* before they start */
    CHECK(bb_worker_enter(f->q, 1) != NULL);
    CHECK(bb_worker_enter(f->q, 2) == NULL);
    CHECK_INT(2, present(f));
    CHECK_INT(0, bb_resize(f->q, 2));
    fixture_free(f);
}

/* An interrupt may occur between the call and the start of the threads. */
static void test_threads_that_never_enter_cost_no_worker(void) {
    fixture *f = fixture_new(4);
    bb_delivery out;
    CHECK_INT(2, bb_resize(f->q, 3));
    CHECK_INT(0, bb_resize(f->q, 1));
    CHECK_INT(BB_NOTHING, bb_try_take(f->worker, &out));
    CHECK_INT(1, present(f));
    fixture_free(f);
}

static void test_resize_works_up_to_the_max_workers(void) {
    static bb_worker *added[BB_MAX_WORKERS];
    fixture *f = fixture_new(4);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(BB_MAX_WORKERS - 1, bb_resize(f->q, BB_MAX_WORKERS));
        enter(f, added, BB_MAX_WORKERS - 1);
        CHECK_INT(BB_MAX_WORKERS, present(f));
        CHECK_INT(0, bb_resize(f->q, 1));
        for (int i = 0; i < BB_MAX_WORKERS - 1; i++) CHECK_TAKES(0, added[i]);
        CHECK_INT(1, present(f));
    }
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, f->worker);
    fixture_free(f);
}

/* A thread may enter before surplus workers have left. */
static void test_no_more_than_the_max_workers_enter(void) {
    static bb_worker *added[BB_MAX_WORKERS];
    fixture *f = fixture_new(4);
    CHECK_INT(BB_MAX_WORKERS - 1, bb_resize(f->q, BB_MAX_WORKERS));
    enter(f, added, BB_MAX_WORKERS - 1);
    CHECK_INT(1, bb_resize(f->q, BB_MAX_WORKERS + 1)); /* not allowed, but possible */
    CHECK(bb_worker_enter(f->q, 1) == NULL);
    CHECK_INT(BB_MAX_WORKERS, present(f));
    fixture_free(f);
}

/* ---- down ---------------------------------------------------------------------------------- */

static void test_idle_workers_leave_immediately(void) {
    fixture *f = fixture_new(4);
    bb_worker *added[2];
    sleeper s[3];
    CHECK_INT(2, bb_resize(f->q, 3));
    enter(f, added, 2);
    start_take(&s[0], f->worker);
    for (int i = 0; i < 2; i++) start_take(&s[1 + i], added[i]);
    await_workers_asleep(f, 3);
    CHECK_INT(0, bb_resize(f->q, 1));
    await_present(f, 1);
    await_workers_asleep(f, 1);
    fill(f, &f->low, 1, 1);
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) sum += finish_sleeper(&s[i]);
    CHECK_INT(1, sum); /* the remaining worker has it */
    CHECK_BOOKS(f, .published = 1, .running = 1);
    fixture_free(f);
}

static void test_a_working_worker_leaves_after_its_delivery(void) {
    fixture *f = fixture_new(4);
    bb_worker *second = add_worker(f);
    fill(f, &f->low, 1, 3);
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(2, second);
    CHECK_INT(0, bb_resize(f->q, 1));
    CHECK_INT(2, present(f));
    CHECK_BOOKS(f, .published = 3, .running = 2, .queued = 1);
    CHECK_TAKES(0, second);
    CHECK_INT(1, present(f));
    CHECK_BOOKS(f, .published = 3, .processed = 1, .running = 1, .queued = 1);
    CHECK_TAKES(3, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 2, .running = 1);
    fixture_free(f);
}

static void test_whichever_worker_leaves_the_others_stay(void) {
    for (int leaves = 0; leaves < 3; leaves++) {
        fixture *f = fixture_new(4);
        bb_worker *all[3] = {f->worker, add_worker(f), add_worker(f)};
        CHECK_INT(0, bb_resize(f->q, 2));
        CHECK_TAKES(0, all[leaves]);
        fill(f, &f->low, 1, 2);
        for (int i = 0, n = 0; i < 3; i++)
            if (i != leaves) CHECK_TAKES(++n, all[i]);
        CHECK_BOOKS(f, .published = 2, .running = 2);
        fixture_free(f);
    }
}

static void test_a_later_resize_up_keeps_the_surplus(void) {
    fixture *f = fixture_new(4);
    bb_worker *added[3];
    CHECK_INT(3, bb_resize(f->q, 4));
    enter(f, added, 3);
    CHECK_INT(0, bb_resize(f->q, 1));
    CHECK_TAKES(0, added[1]);
    CHECK_INT(1, bb_resize(f->q, 4)); /* of three that were to leave, two stay */
    enter(f, &added[1], 1);
    fill(f, &f->low, 1, 4);
    CHECK_TAKES(1, f->worker);
    for (int i = 0; i < 3; i++) CHECK_TAKES(2 + i, added[i]);
    CHECK_INT(4, present(f));
    fixture_free(f);
}

static void test_only_present_workers_have_a_utilisation(void) {
    fixture *f = fixture_timed(4, 0);
    bb_worker *added[2];
    bb_worker_time times[4] = {{0}, {0}, {7, 7}};
    bb_stats stats;
    staged_clock_advance(100);
    CHECK_INT(2, bb_resize(f->q, 3));
    enter(f, added, 2);
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, added[0]);
    staged_clock_advance(10);
    CHECK_INT(0, bb_resize(f->q, 2));
    CHECK_TAKES(0, added[1]);
    CHECK_INT(0, bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, times, 4, NULL));
    CHECK_INT(2, stats.workers);
    CHECK_INT(110, times[0].age);
    CHECK_INT(0, times[0].busy);
    CHECK_INT(10, times[1].age);
    CHECK_INT(10, times[1].busy);
    CHECK_INT(7, times[2].age);
    CHECK_INT(0, bb_resize(f->q, 1));
    CHECK_TAKES(0, added[0]);
    CHECK(add_worker(f) != NULL);
    CHECK_INT(0, bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, times, 4, NULL));
    CHECK_INT(0, times[1].busy); /* a new one inherits nothing */
    CHECK_INT(0, times[1].age);
    CHECK_INT(10, stats.busy); /* but that of the one that left still counts */
    CHECK_INT(0, stats.busy_workers);
    fixture_free(f);
}

/* ---- the end of a queue -------------------------------------------------------------------- */

static void test_a_draining_queue_can_be_resized(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 3);
    CHECK_TAKES(1, f->worker);
    bb_close(f->q, 1, -1);
    bb_worker *second = add_worker(f);
    CHECK_TAKES(2, second);
    CHECK_INT(0, bb_resize(f->q, 1));
    CHECK_TAKES(0, f->worker);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    CHECK_TAKES(3, second);
    CHECK_TAKES(0, second);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_BOOKS(f, .published = 3, .processed = 3);
    fixture_free(f);
}

static void test_a_shut_queue_is_not_resized(void) {
    fixture *f = fixture_new(4);
    CHECK_INT(1, bb_resize(f->q, 2));
    bb_close(f->q, 0, 0);
    CHECK_INT(BB_CLOSED, bb_resize(f->q, 4));
    CHECK_INT(BB_CLOSED, bb_resize(f->q, 1));
    CHECK(bb_worker_enter(f->q, 1) == NULL); /* one that was starting is late */
    CHECK_INT(1, present(f));
    fixture_free(f);
}

void resize_tests(void) {
    RUN(test_resize_up_asks_for_the_missing_threads);
    RUN(test_a_thread_that_could_not_be_started_is_asked_for_again);
    RUN(test_a_thread_that_is_not_needed_any_more_does_not_enter);
    RUN(test_threads_that_never_enter_cost_no_worker);
    RUN(test_resize_works_up_to_the_max_workers);
    RUN(test_no_more_than_the_max_workers_enter);
    RUN(test_idle_workers_leave_immediately);
    RUN(test_a_working_worker_leaves_after_its_delivery);
    RUN(test_whichever_worker_leaves_the_others_stay);
    RUN(test_a_later_resize_up_keeps_the_surplus);
    RUN(test_only_present_workers_have_a_utilisation);
    RUN(test_a_draining_queue_can_be_resized);
    RUN(test_a_shut_queue_is_not_resized);
}

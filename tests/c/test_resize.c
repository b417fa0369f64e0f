/* test_resize.c: workers that come and go while the ring is at work. */
#include "fixture.h"

#include <sched.h>

#define NOW 1000000000u
#define MOST 8

static int32_t present(int64_t ring) {
    bb_stats stats;
    bb_snapshot(ring, &stats, NULL, 0, NULL, 0);
    return stats.workers;
}

/* ---- up ------------------------------------------------------------------------------------ */

static void test_resize_up_registers_so_many_more(void) {
    fixture f = fixture_new(4);
    int64_t added[4];
    CHECK_INT(3, bb_resize(f.ring, 4, added));
    CHECK_INT(4, present(f.ring));
    fill(f.low, 4);
    CHECK_TAKES(f.low, f.worker);
    for (int i = 0; i < 3; i++) CHECK_TAKES(f.low + 1 + i, added[i]);
    CHECK_BOOKS(f.ring, .published = 4, .running = 4);
    CHECK_INT(0, bb_resize(f.ring, 4, added));
    fixture_free(&f);
}

static void test_the_places_of_those_that_left_are_used_again(void) {
    fixture f = fixture_new(4);
    int64_t added[4], again[4];
    CHECK_INT(3, bb_resize(f.ring, 4, added));
    CHECK_INT(0, bb_resize(f.ring, 2, again));
    CHECK_TAKES(0, added[0]);
    CHECK_TAKES(0, added[2]);
    CHECK_INT(2, present(f.ring));
    staged_memory_asked();
    CHECK_INT(2, bb_resize(f.ring, 4, again));
    CHECK_INT(0, staged_memory_asked());
    CHECK_INT(added[0], again[0]);
    CHECK_INT(added[2], again[1]);
    CHECK_INT(4, present(f.ring));
    fill(f.low, 1);
    CHECK_TAKES(f.low, again[1]);
    fixture_free(&f);
}

static void test_the_worker_of_a_thread_that_never_started_is_gone(void) {
    fixture f = fixture_new(4);
    int64_t added[2];
    CHECK_INT(1, bb_resize(f.ring, 2, added));
    bb_worker_gone(added[0]);
    bb_worker_gone(added[0]); /* once is enough */
    bb_worker_gone(added[0] + 7);
    CHECK_INT(1, present(f.ring));
    CHECK_INT(1, bb_resize(f.ring, 2, added));
    fixture_free(&f);
}

static void test_resize_works_up_to_the_most_workers(void) {
    static int64_t added[BB_MAX_WORKERS];
    fixture f = fixture_new(4);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(BB_MAX_WORKERS - 1, bb_resize(f.ring, BB_MAX_WORKERS, added));
        CHECK_INT(BB_MAX_WORKERS, present(f.ring));
        CHECK_INT(0, bb_worker_add(f.ring));
        CHECK_INT(f.worker + BB_MAX_WORKERS - 1, added[BB_MAX_WORKERS - 2]);
        CHECK_INT(0, bb_resize(f.ring, 1, NULL));
        for (int i = 0; i < BB_MAX_WORKERS - 1; i++) CHECK_TAKES(0, added[i]);
        CHECK_INT(1, present(f.ring));
    }
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    fixture_free(&f);
}

static void test_without_memory_resize_changes_nothing(void) {
    for (int left = 0; left < 3; left++) {
        fixture f = fixture_new(4);
        int64_t added[MOST];
        staged_memory_fail_after(left);
        CHECK_INT(BB_NO_MEMORY, bb_resize(f.ring, 4, added));
        CHECK_INT(1, present(f.ring));
        CHECK_INT(3, bb_resize(f.ring, 4, added));
        CHECK_INT(0, bb_resize(f.ring, 3, NULL));
        staged_memory_fail_after(left);
        CHECK_INT(BB_NO_MEMORY, bb_resize(f.ring, MOST, added + 3));
        CHECK_INT(4, present(f.ring));
        CHECK_TAKES(0, added[0]); /* one was to leave, and is still */
        fill(f.low, 1);
        CHECK_TAKES(f.low, added[1]);
        fixture_free(&f);
    }
}

/* ---- down ---------------------------------------------------------------------------------- */

static void test_sleeping_workers_leave_at_once(void) {
    fixture f = fixture_new(4);
    int64_t added[3];
    sleeper s[3];
    CHECK_INT(2, bb_resize(f.ring, 3, added));
    start_take(&s[0], f.worker);
    for (int i = 0; i < 2; i++) start_take(&s[1 + i], added[i]);
    await_workers_asleep(f.ring, 3);
    CHECK_INT(0, bb_resize(f.ring, 1, NULL));
    while (present(f.ring) > 1) sched_yield();
    await_workers_asleep(f.ring, 1);
    fill(f.low, 1);
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) sum += finish_sleeper(&s[i]);
    CHECK_INT(f.low, sum); /* who stayed has it */
    CHECK_BOOKS(f.ring, .published = 1, .running = 1);
    fixture_free(&f);
}

static void test_a_working_worker_leaves_after_its_delivery(void) {
    fixture f = fixture_new(4);
    int64_t added[2];
    CHECK_INT(1, bb_resize(f.ring, 2, added));
    fill(f.low, 3);
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, added[0]);
    CHECK_INT(0, bb_resize(f.ring, 1, NULL));
    CHECK_INT(2, present(f.ring));
    CHECK_BOOKS(f.ring, .published = 3, .running = 2, .queued = 1);
    CHECK_TAKES(0, added[0]);
    CHECK_INT(1, present(f.ring));
    CHECK_BOOKS(f.ring, .published = 3, .processed = 1, .running = 1, .queued = 1);
    CHECK_TAKES(f.low + 2, f.worker);
    CHECK_BOOKS(f.ring, .published = 3, .processed = 2, .running = 1);
    fixture_free(&f);
}

static void test_a_later_resize_up_keeps_the_surplus(void) {
    fixture f = fixture_new(4);
    int64_t added[4], more[4];
    CHECK_INT(3, bb_resize(f.ring, 4, added));
    CHECK_INT(0, bb_resize(f.ring, 1, NULL));
    CHECK_TAKES(0, added[1]);
    CHECK_INT(1, bb_resize(f.ring, 4, more)); /* of three that were to leave, two stay */
    CHECK_INT(added[1], more[0]);
    fill(f.low, 4);
    CHECK_TAKES(f.low, f.worker);
    for (int i = 0; i < 3; i++) CHECK_TAKES(f.low + 1 + i, added[i]);
    CHECK_INT(4, present(f.ring));
    fixture_free(&f);
}

static void test_only_workers_that_are_there_have_a_utilisation(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(4, 0);
    int64_t added[3];
    bb_worker_time times[4] = {{0}, {0}, {7, 7}};
    bb_stats stats;
    staged_clock_advance(100);
    CHECK_INT(2, bb_resize(f.ring, 3, added));
    fill(f.low, 1);
    CHECK_TAKES(f.low, added[0]);
    staged_clock_advance(10);
    CHECK_INT(0, bb_resize(f.ring, 2, NULL));
    CHECK_TAKES(0, added[1]);
    CHECK_INT(0, bb_snapshot(f.ring, &stats, NULL, 0, times, 4));
    CHECK_INT(2, stats.workers);
    CHECK_INT(110, times[0].age);
    CHECK_INT(0, times[0].busy);
    CHECK_INT(10, times[1].age);
    CHECK_INT(10, times[1].busy);
    CHECK_INT(7, times[2].age);
    bb_done(added[0]);
    CHECK_INT(0, bb_resize(f.ring, 1, NULL));
    CHECK_TAKES(0, added[0]);
    CHECK_INT(1, bb_resize(f.ring, 2, added));
    CHECK_INT(0, bb_snapshot(f.ring, &stats, NULL, 0, times, 4));
    CHECK_INT(0, times[1].busy); /* a new one owes nothing to who had the place before */
    CHECK_INT(0, times[1].age);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_a_worker_that_never_started_is_one_of_the_surplus(void) {
    fixture f = fixture_new(4);
    int64_t added[1];
    CHECK_INT(1, bb_resize(f.ring, 2, added));
    CHECK_INT(0, bb_resize(f.ring, 1, NULL));
    bb_worker_gone(added[0]);
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(1, present(f.ring));
    fixture_free(&f);
}

/* ---- the end of a ring --------------------------------------------------------------------- */

static void test_a_draining_ring_can_be_resized(void) {
    fixture f = fixture_new(4);
    int64_t added[2];
    fill(f.low, 3);
    CHECK_TAKES(f.low, f.worker);
    bb_close(f.ring, 1, -1);
    CHECK_INT(1, bb_resize(f.ring, 2, added));
    CHECK_TAKES(f.low + 1, added[0]);
    CHECK_INT(0, bb_resize(f.ring, 1, NULL));
    CHECK_TAKES(0, f.worker);
    CHECK_INT(BB_DRAINING, bb_state(f.ring));
    CHECK_TAKES(f.low + 2, added[0]);
    CHECK_TAKES(0, added[0]);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_BOOKS(f.ring, .published = 3, .processed = 3);
    fixture_free(&f);
}

static void test_a_shut_ring_is_not_resized(void) {
    fixture f = fixture_new(4);
    int64_t added[4];
    bb_close(f.ring, 0, 0);
    CHECK_INT(BB_CLOSED, bb_resize(f.ring, 4, added));
    CHECK_INT(BB_CLOSED, bb_resize(f.ring, 1, added));
    CHECK_INT(1, present(f.ring));
    fixture_free(&f);
}

static void test_a_ring_that_is_gone_has_no_workers(void) {
    fixture f = fixture_new(4);
    int64_t added[4];
    fixture_free(&f);
    CHECK_INT(BB_GONE, bb_resize(f.ring, 4, added));
    CHECK_INT(0, bb_opened(f.worker));
    bb_worker_gone(f.worker);
}

/* ---- what a worker has open ---------------------------------------------------------------- */

static void test_opened_is_the_innermost_delivery(void) {
    fixture f = fixture_new(1);
    int64_t out[1];
    CHECK_INT(0, bb_opened(f.worker));
    CHECK_INT(0, bb_opened(f.worker + 1));
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(f.low, bb_opened(f.worker));
    fill(f.low + 1, 1);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 2, out));
    CHECK_INT(f.low + 1, out[0]);
    CHECK_INT(f.low + 1, bb_opened(f.worker));
    bb_done(f.worker);
    CHECK_INT(f.low, bb_opened(f.worker));
    bb_done(f.worker);
    CHECK_INT(0, bb_opened(f.worker));
    fixture_free(&f);
}

void resize_tests(void) {
    RUN(test_resize_up_registers_so_many_more);
    RUN(test_the_places_of_those_that_left_are_used_again);
    RUN(test_the_worker_of_a_thread_that_never_started_is_gone);
    RUN(test_resize_works_up_to_the_most_workers);
    RUN(test_without_memory_resize_changes_nothing);
    RUN(test_sleeping_workers_leave_at_once);
    RUN(test_a_working_worker_leaves_after_its_delivery);
    RUN(test_a_later_resize_up_keeps_the_surplus);
    RUN(test_only_workers_that_are_there_have_a_utilisation);
    RUN(test_a_worker_that_never_started_is_one_of_the_surplus);
    RUN(test_a_draining_ring_can_be_resized);
    RUN(test_a_shut_ring_is_not_resized);
    RUN(test_a_ring_that_is_gone_has_no_workers);
    RUN(test_opened_is_the_innermost_delivery);
}

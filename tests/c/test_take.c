/* test_take.c: taking, finishing and starvation. */
#include "fixture.h"

static void test_taking_finishes_what_was_open(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 3);
    CHECK_TAKES(1, f->worker);
    CHECK_BOOKS(f, .published = 3, .queued = 2, .running = 1);
    CHECK_TAKES(2, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .queued = 1, .running = 1);
    CHECK_TAKES(3, f->worker);
    finish(f);
    CHECK_BOOKS(f, .published = 3, .processed = 3);
    CHECK_INT(3, bb_ended(f->q));
    fixture_free(f);
}

static void test_a_failure_is_counted_with_its_delivery(void) {
    fixture *f = fixture_new(4);
    bb_failed(f->worker); /* nothing is open */
    fill(f, &f->low, 1, 3);
    take_some(f, 1);
    bb_failed(f->worker);
    bb_failed(f->worker); /* twice is once */
    CHECK_BOOKS(f, .published = 3, .queued = 2, .running = 1);
    take_some(f, 1);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .failed = 1, .queued = 1, .running = 1);
    take_some(f, 1);
    bb_failed(f->worker);
    finish(f);
    CHECK_BOOKS(f, .published = 3, .processed = 3, .failed = 2);
    fixture_free(f);
}

static void test_workers_do_not_mix_up_their_deliveries(void) {
    fixture *f = fixture_new(4);
    bb_worker *second = add_worker(f);
    fill(f, &f->low, 1, 1);
    fill(f, &f->high, 2, 1);
    fill(f, &f->low, 3, 1);
    CHECK_TAKES(2, f->worker);
    CHECK_TAKES(1, second);
    bb_failed(second);
    CHECK_TAKES(3, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .running = 2);
    CHECK_INT(1, stats_of(f).level[2].processed);
    bb_close(f->q, 0, 0);
    CHECK_TAKES(0, second);
    CHECK_BOOKS(f, .published = 3, .processed = 2, .failed = 1, .running = 1);
    CHECK_INT(1, stats_of(f).level[0].failed);
    fixture_free(f);
}

static void test_a_shut_queue_gives_nothing_but_still_finishes(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 2);
    CHECK_TAKES(1, f->worker);
    bb_close(f->q, 0, 0);
    CHECK_TAKES(0, f->worker);
    CHECK_INT(0, stats_of(f).workers);
    CHECK_BOOKS(f, .published = 2, .processed = 1, .queued = 1);
    fixture_free(f);
}

static void test_without_starvation_urgency_is_strict(void) {
    fixture *f = fixture_timed(4, 0);
    fill(f, &f->low, 1, 1);
    staged_clock_advance(INT64_MAX);
    fill(f, &f->high, 2, 1);
    CHECK_TAKES(2, f->worker);
    CHECK_TAKES(1, f->worker);
    fixture_free(f);
}

static void test_a_starving_delivery_is_taken_next(void) {
    fixture *f = fixture_timed(8, 1000);
    fill(f, &f->low, 1, 1);
    staged_clock_advance(400);
    fill(f, &f->medium, 11, 1);
    staged_clock_advance(400);
    fill(f, &f->high, 21, 4);
    staged_clock_advance(200); /* low has waited exactly 1000, not longer */
    CHECK_TAKES(21, f->worker);
    staged_clock_advance(1);
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(22, f->worker);
    staged_clock_advance(2000); /* all starve: the oldest first, whatever its level */
    CHECK_TAKES(11, f->worker);
    CHECK_TAKES(23, f->worker);
    fixture_free(f);
}

static void test_starvation_works_without_monitoring(void) {
    staged_clock_set(NOW);
    fixture *f = fixture_with((bb_settings){.capacity = 4, .starvation = 1000});
    bb_waiter *waiter;
    fill(f, &f->low, 1, 1);
    staged_clock_advance(1001);
    fill(f, &f->high, 2, 3);
    waiter = join(f, &f->low, 5); /* the wait of an admitted delivery is timed from then on */
    CHECK_TAKES(1, f->worker);
    staged_clock_advance(1000);
    for (int i = 2; i <= 4; i++) CHECK_TAKES(i, f->worker);
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

/* A worker reads the clock, then waits for the mutex; a publisher that reads it later and gets the
 * mutex first makes a delivery that was accepted after it is taken. */
static void test_a_clock_read_too_early_starves_no_delivery(void) {
    fixture *f = fixture_timed(4, 1000);
    fill(f, &f->low, 1, 1);
    fill(f, &f->high, 2, 1);
    staged_clock_set(NOW - 5);
    CHECK_TAKES(2, f->worker);
    CHECK_TAKES(1, f->worker);
    fixture_free(f);
}

void take_tests(void) {
    RUN(test_taking_finishes_what_was_open);
    RUN(test_a_failure_is_counted_with_its_delivery);
    RUN(test_workers_do_not_mix_up_their_deliveries);
    RUN(test_a_shut_queue_gives_nothing_but_still_finishes);
    RUN(test_without_starvation_urgency_is_strict);
    RUN(test_a_starving_delivery_is_taken_next);
    RUN(test_starvation_works_without_monitoring);
    RUN(test_a_clock_read_too_early_starves_no_delivery);
}

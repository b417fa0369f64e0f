/* test_take.c: taking, finishing, starvation, and the registry of workers. */
#include "fixture.h"

#include <stdlib.h>

#define NOW 1000000000u

static void test_taking_finishes_what_was_open(void) {
    fixture f = fixture_new(4);
    fill(f.low, 3);
    CHECK_TAKES(f.low, f.worker);
    CHECK_BOOKS(f.ring, .published = 3, .queued = 2, .running = 1);
    CHECK_TAKES(f.low + 1, f.worker);
    CHECK_BOOKS(f.ring, .published = 3, .processed = 1, .queued = 1, .running = 1);
    bb_done(f.worker);
    CHECK_BOOKS(f.ring, .published = 3, .processed = 2, .queued = 1);
    bb_done(f.worker); /* nothing is open */
    CHECK_BOOKS(f.ring, .published = 3, .processed = 2, .queued = 1);
    CHECK_TAKES(f.low + 2, f.worker);
    fixture_free(&f);
}

static void test_a_failure_is_counted_with_its_delivery(void) {
    fixture f = fixture_new(4);
    bb_failed(f.worker); /* nothing is open */
    fill(f.low, 3);
    bb_take(f.worker);
    bb_failed(f.worker);
    bb_failed(f.worker); /* twice is once */
    CHECK_BOOKS(f.ring, .published = 3, .queued = 2, .running = 1);
    bb_take(f.worker);
    CHECK_BOOKS(f.ring, .published = 3, .processed = 1, .failed = 1, .queued = 1, .running = 1);
    bb_take(f.worker);
    bb_failed(f.worker);
    bb_done(f.worker);
    CHECK_BOOKS(f.ring, .published = 3, .processed = 3, .failed = 2);
    fixture_free(&f);
}

static void test_workers_do_not_mix_up_their_deliveries(void) {
    fixture f = fixture_new(4);
    int64_t second = bb_worker_add(f.ring);
    fill(f.low, 2);
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, second);
    bb_failed(second);
    bb_done(f.worker);
    CHECK_BOOKS(f.ring, .published = 2, .processed = 1, .running = 1);
    bb_done(second);
    CHECK_BOOKS(f.ring, .published = 2, .processed = 2, .failed = 1);
    fixture_free(&f);
}

static void test_a_shut_ring_gives_nothing_but_still_finishes(void) {
    fixture f = fixture_new(4);
    fill(f.low, 2);
    CHECK_TAKES(f.low, f.worker);
    bb_close(f.ring, 0, 0);
    CHECK_TAKES(0, f.worker);
    CHECK_BOOKS(f.ring, .published = 2, .processed = 1, .queued = 1);
    CHECK_TAKES(0, f.worker);
    fixture_free(&f);
}

static void test_without_starvation_urgency_is_strict(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(4, 0);
    fill(f.low, 1);
    staged_clock_advance(INT64_MAX);
    fill(f.high, 1);
    CHECK_TAKES(f.high, f.worker);
    CHECK_TAKES(f.low, f.worker);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_a_starving_delivery_is_taken_next(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(8, 1000);
    fill(f.low, 1);
    staged_clock_advance(400);
    fill(f.medium, 1);
    staged_clock_advance(400);
    fill(f.high, 4);
    staged_clock_advance(200); /* low has waited exactly 1000, not longer */
    CHECK_TAKES(f.high, f.worker);
    staged_clock_advance(1);
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.high + 1, f.worker);
    staged_clock_advance(2000); /* all starve: the oldest first, whatever its level */
    CHECK_TAKES(f.medium, f.worker);
    CHECK_TAKES(f.high + 2, f.worker);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_starvation_works_without_monitoring(void) {
    staged_clock_set(NOW);
    int64_t ring = bb_ring_new(4, 2, 0, 1000);
    int64_t low = bb_route(ring, 0, 1, 1), high = bb_route(ring, 0, 2, 1);
    int64_t worker = bb_worker_add(ring);
    fill(low, 1);
    staged_clock_advance(1001);
    fill(high, 1);
    CHECK_TAKES(low, worker);
    CHECK_TAKES(high, worker);
    bb_ring_free(ring);
    staged_clock_set(0);
}

/* A taker reads the clock, then waits for the mutex; a publisher that reads it later and gets the
 * mutex first makes a delivery that was accepted after it is taken. */
static void test_a_clock_read_too_early_starves_nobody(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(4, 1000);
    fill(f.low, 1);
    fill(f.high, 1);
    staged_clock_set(NOW - 5);
    CHECK_TAKES(f.high, f.worker);
    CHECK_TAKES(f.low, f.worker);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_workers_are_registered_up_to_their_limit(void) {
    fixture f = fixture_new(4);
    int64_t first = f.worker, last = first;
    bb_stats stats;
    for (int i = 1; i < BB_MAX_WORKERS; i++) {
        int64_t worker = bb_worker_add(f.ring);
        CHECK(worker > last);
        last = worker;
    }
    CHECK_INT(0, bb_worker_add(f.ring));
    CHECK_INT(0, bb_snapshot(f.ring, &stats, NULL, 0, NULL, 0));
    CHECK_INT(BB_MAX_WORKERS, stats.workers);
    fill(f.low, 2);
    CHECK_TAKES(f.low, first);
    CHECK_TAKES(f.low + 1, last);
    fixture_free(&f);
}

static void test_a_handle_that_is_no_worker_takes_nothing(void) {
    fixture f = fixture_new(4);
    fill(f.low, 1);
    CHECK_TAKES(0, f.ring);
    CHECK_TAKES(0, f.worker + 1); /* not registered */
    bb_done(f.worker + 1);
    bb_failed(f.worker + 1);
    CHECK_INT(1, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_the_largest_ring_works(void) {
    enum { CAPACITY = 1 << 24 };
    fixture f = fixture_new(CAPACITY);
    int64_t half = bb_route(f.ring, 0, 2, CAPACITY / 2), out[1];
    CHECK(f.ring != 0);
    CHECK_INT(BB_ACCEPTED, bb_push(half));
    CHECK_INT(BB_ACCEPTED, bb_push(half + CAPACITY / 2));
    CHECK_INT(BB_FULL, bb_push(f.low));
    CHECK_INT(CAPACITY, bb_depth(f.ring));
    CHECK_TAKES(half, f.worker);
    /* An offer that must evict half the ring hands them all out. */
    int64_t *evicted = calloc(CAPACITY / 2 + 1, sizeof *evicted);
    CHECK_INT(BB_EVICTED + BB_FIRST, bb_offer(half + CAPACITY, BB_EVICT_OLDEST, evicted));
    CHECK_INT(half + 1, evicted[0]);
    CHECK_INT(half + CAPACITY / 2 - 1, evicted[CAPACITY / 2 - 2]);
    CHECK_INT(0, evicted[CAPACITY / 2 - 1]);
    CHECK_INT(BB_ACCEPTED, bb_offer(f.low, BB_OVERDRAW, out));
    CHECK_INT(CAPACITY + 1, bb_depth(f.ring));
    free(evicted);
    fixture_free(&f);
}

void take_tests(void) {
    RUN(test_taking_finishes_what_was_open);
    RUN(test_a_failure_is_counted_with_its_delivery);
    RUN(test_workers_do_not_mix_up_their_deliveries);
    RUN(test_a_shut_ring_gives_nothing_but_still_finishes);
    RUN(test_without_starvation_urgency_is_strict);
    RUN(test_a_starving_delivery_is_taken_next);
    RUN(test_starvation_works_without_monitoring);
    RUN(test_a_clock_read_too_early_starves_nobody);
    RUN(test_workers_are_registered_up_to_their_limit);
    RUN(test_a_handle_that_is_no_worker_takes_nothing);
    RUN(test_the_largest_ring_works);
}

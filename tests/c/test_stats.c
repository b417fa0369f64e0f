/* test_stats.c: the contents of a snapshot, with a clock that the test moves. */
#include "fixture.h"

#include <math.h>

static bool near(double expected, double actual) {
    return fabs(actual - expected) <= 1e-12 * expected;
}

/* Push, wait, take, handle, finish. */
static void handle_one(fixture *f, uint64_t wait, uint64_t handling) {
    fill(f, &f->low, 7, 1);
    staged_clock_advance(wait);
    CHECK_TAKES(7, f->worker);
    staged_clock_advance(handling);
    finish(f);
}

static bb_worker_time time_of_worker(fixture *f) {
    bb_worker_time time = {7, 7};
    bb_stats stats;
    CHECK_INT(0, bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, &time, 1, NULL));
    return time;
}

static void test_a_new_queue_has_empty_books(void) {
    fixture *f = fixture_timed(4, 0);
    staged_clock_advance(7);
    bb_stats s = stats_of(f);
    CHECK_BOOKS(f, .published = 0);
    CHECK_INT(7, s.age);
    CHECK_INT(BB_OPEN, s.state);
    CHECK_INT(1, s.workers);
    CHECK_INT(1, s.wanted);
    CHECK_INT(0, s.types);
    CHECK_INT(0, s.waiting + s.reserve_used + s.history_length);
    CHECK(s.processing_average == 0.0);
    CHECK_INT(0, s.timer.deliveries);
    fixture_free(f);
}

static void test_the_moving_average_is_seeded_by_the_first_sample(void) {
    fixture *f = fixture_timed(4, 0);
    double expected = 1000;
    handle_one(f, 0, 1000);
    CHECK(near(expected, stats_of(f).processing_average));
    for (int i = 1; i < 50; i++) {
        uint64_t sample = (uint64_t)(i * 7919 % 5000);
        handle_one(f, 0, sample);
        expected = 0.9 * expected + 0.1 * (double)sample;
        CHECK(near(expected, stats_of(f).processing_average));
    }
    fixture_free(f);
}

static void test_counts_by_type_and_by_level(void) {
    static bb_counts types[BB_MAX_TYPES];
    fixture *f = fixture_new(4);
    bb_route top = several(f, 3, 2);
    top.type = BB_MAX_TYPES - 1;
    f->low.type = 2;
    bb_stats s;
    fill(f, &top, 1, 1);
    fill(f, &f->low, 2, 1);
    fill(f, &f->medium, 3, 1);
    CHECK_TAKES(1, f->worker);
    bb_failed(f->worker);
    CHECK_TAKES(1, f->worker);
    fill(f, &top, 4, 1);
    CHECK_INT(BB_EVICTED, offer(f, &f->medium, 5, BB_EVICT_LOWEST));
    CHECK_INT(0, bb_snapshot(f->q, &s, types, BB_MAX_TYPES, NULL, NULL, 0, NULL, 0, NULL));
    CHECK_INT(BB_MAX_TYPES, s.types);
    const bb_counts *last = &types[BB_MAX_TYPES - 1];
    CHECK_INT(4, last->published);
    CHECK_INT(1, last->processed);
    CHECK_INT(1, last->failed);
    CHECK_INT(2, last->queued);
    CHECK_INT(1, last->running);
    CHECK_INT(1, types[2].dropped);
    CHECK_INT(2, types[0].published);
    CHECK_INT(0, types[1].published);
    CHECK_INT(1, s.level[0].dropped);
    CHECK_INT(2, s.level[1].queued);
    CHECK_INT(2, s.level[2].queued);
    CHECK_INT(1, s.level[2].failed);
    CHECK_INT(1, s.dropped_by[BB_WHY_EVICTED][0]);
    CHECK_BOOKS(f, .published = 7, .processed = 1, .failed = 1, .dropped = 1, .queued = 4,
                .running = 1);
    fixture_free(f);
}

static void test_counts_by_recipient(void) {
    fixture *f = fixture_new(4);
    bb_route two = several(f, 3, 2);
    bb_recipient *which[] = {two.recipients[1], f->low.recipients[0], two.recipients[0]};
    bb_counts counts[4] = {[3] = {.published = 77}};
    bb_stats s;
    fill(f, &two, 1, 1);
    fill(f, &f->low, 2, 2);
    CHECK_INT(BB_EVICTED, offer(f, &two, 4, BB_EVICT_LOWEST));
    CHECK_TAKES(1, f->worker);
    bb_failed(f->worker);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(0, bb_snapshot(f->q, &s, NULL, 0, which, counts, 3, NULL, 0, NULL));
    CHECK_INT(2, counts[0].published); /* the second of each event: one runs, one is queued */
    CHECK_INT(1, counts[0].running);
    CHECK_INT(1, counts[0].queued);
    CHECK_INT(0, counts[0].processed);
    CHECK_INT(2, counts[1].published);
    CHECK_INT(2, counts[1].dropped);
    CHECK_INT(0, counts[1].queued);
    CHECK_INT(1, counts[2].processed);
    CHECK_INT(1, counts[2].failed);
    CHECK_INT(1, counts[2].queued);
    CHECK_INT(77, counts[3].published);
    fixture_free(f);
}

static void test_a_snapshot_fills_only_what_it_was_given(void) {
    fixture *f = fixture_new(4);
    bb_counts types[3] = {{0}, {0}, {.published = 77}};
    bb_worker_time workers[3] = {{7, 7}, {7, 7}, {7, 7}};
    bb_stats s;
    f->low.type = 9;
    fill(f, &f->low, 1, 1);
    CHECK_INT(0, bb_snapshot(f->q, &s, types, 2, NULL, NULL, 0, workers, 2, NULL));
    CHECK_INT(10, s.types);
    CHECK_INT(77, types[2].published);
    CHECK_INT(0, workers[0].busy);
    CHECK_INT(7, workers[1].busy); /* there is one worker only */
    fixture_free(f);
}

static void test_workers_are_busy_while_they_have_a_delivery(void) {
    fixture *f = fixture_timed(2, 0);
    fill(f, &f->low, 1, 2);
    staged_clock_advance(30);
    CHECK_TAKES(1, f->worker);
    staged_clock_advance(100);
    CHECK_INT(100, time_of_worker(f).busy); /* still open */
    CHECK_INT(100, stats_of(f).busy);
    CHECK_INT(1, stats_of(f).busy_workers);
    CHECK_INT(130, time_of_worker(f).age);
    CHECK_TAKES(2, f->worker);
    staged_clock_advance(11);
    CHECK_INT(111, time_of_worker(f).busy);
    CHECK_INT(100, stats_of(f).timer.wall);
    fixture_free(f);
}

static void test_a_callers_deliveries_are_timed_one_by_one(void) {
    fixture *f = fixture_timed(1, 0);
    bb_route two = several(f, 1, 2);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_RUN, offer(f, &two, 2, BB_CALLER_RUNS));
    staged_clock_advance(300);
    bb_caller_done(f->caller, 0);
    staged_clock_advance(200);
    bb_caller_done(f->caller, 0);
    CHECK(near(290, stats_of(f).processing_average));
    CHECK_INT(500, stats_of(f).timer.wall);
    CHECK_INT(2, stats_of(f).timer.deliveries);
    fixture_free(f);
}

static void test_history_has_a_sample_each_ten_milliseconds(void) {
    fixture *f = fixture_timed(1000, 0);
    for (int i = 0; i < 95; i++) {
        fill(f, &f->low, 1 + i, 1);
        staged_clock_advance(MS);
    }
    bb_stats s = stats_of(f);
    CHECK_INT(10, s.history_length);
    for (int i = 0; i < 10; i++) CHECK_INT(10 * i + 1, s.history[i]);
    fixture_free(f);
}

static void test_history_keeps_the_latest_samples(void) {
    enum { TOTAL = BB_HISTORY + 88 };
    fixture *f = fixture_timed(1000, 0);
    for (int i = 0; i < TOTAL; i++) {
        fill(f, &f->low, 1 + i, 1);
        staged_clock_advance(10 * MS);
    }
    staged_clock_advance(MS);
    CHECK_TAKES(1, f->worker); /* takes are sampled too */
    bb_stats s = stats_of(f);
    CHECK_INT(BB_HISTORY, s.history_length);
    for (int i = 0; i < BB_HISTORY - 1; i++) CHECK_INT(TOTAL - BB_HISTORY + 2 + i, s.history[i]);
    CHECK_INT(TOTAL - 1, s.history[BB_HISTORY - 1]);
    fixture_free(f);
}

static void test_without_monitoring_no_time_is_kept(void) {
    for (int64_t starvation = 0; starvation <= 1000; starvation += 1000) {
        staged_clock_set(NOW);
        fixture *f = fixture_with((bb_settings){.capacity = 4, .starvation = starvation});
        fill(f, &f->low, 1, 2);
        staged_clock_advance(100);
        CHECK_TAKES(1, f->worker);
        staged_clock_advance(100);
        CHECK_INT(0, time_of_worker(f).busy); /* nor of the one that is open */
        CHECK_TAKES(2, f->worker);
        CHECK_INT(0, time_of_worker(f).busy);
        bb_stats s = stats_of(f);
        CHECK_INT(0, s.history_length);
        CHECK_INT(0, s.timer.deliveries);
        CHECK_INT(1, s.total.processed);
        fixture_free(f);
    }
}

void stats_tests(void) {
    RUN(test_a_new_queue_has_empty_books);
    RUN(test_the_moving_average_is_seeded_by_the_first_sample);
    RUN(test_counts_by_type_and_by_level);
    RUN(test_counts_by_recipient);
    RUN(test_a_snapshot_fills_only_what_it_was_given);
    RUN(test_workers_are_busy_while_they_have_a_delivery);
    RUN(test_a_callers_deliveries_are_timed_one_by_one);
    RUN(test_history_has_a_sample_each_ten_milliseconds);
    RUN(test_history_keeps_the_latest_samples);
    RUN(test_without_monitoring_no_time_is_kept);
}

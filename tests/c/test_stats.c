/* test_stats.c: what a snapshot says, by a clock that the test moves. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>

#define NOW 1000000000u
#define MS 1000000u
#define SAMPLES 2000

static bb_stats look_at(int64_t ring) {
    bb_stats stats;
    CHECK_INT(0, bb_snapshot(ring, &stats, NULL, 0, NULL, 0));
    return stats;
}

static bool near(double expected, double actual, double tolerance) {
    return fabs(actual - expected) <= tolerance * expected;
}

/* Push, wait so long, take, handle so long, finish. */
static void handle_one(const fixture *f, int64_t handle, uint64_t wait, uint64_t handling) {
    CHECK_INT(BB_ACCEPTED, bb_push(handle));
    staged_clock_advance(wait);
    CHECK_TAKES(handle, f->worker);
    staged_clock_advance(handling);
    bb_done(f->worker);
}

static void test_a_new_ring_has_empty_books(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(4, 0);
    staged_clock_advance(7);
    bb_stats s = look_at(f.ring);
    CHECK_BOOKS(f.ring, .published = 0);
    CHECK_INT(7, s.age);
    CHECK_INT(BB_OPEN, s.state);
    CHECK_INT(1, s.workers);
    CHECK_INT(1, s.kinds);
    CHECK_INT(0, s.history_length);
    CHECK_INT(0, s.queue_wait.max);
    CHECK_INT(0, s.processing.p99);
    CHECK(s.processing_average == 0.0);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_the_moving_average_is_seeded_by_the_first_sample(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(4, 0);
    double expected = 1000;
    handle_one(&f, f.low, 0, 1000);
    CHECK(near(expected, look_at(f.ring).processing_average, 1e-12));
    for (int i = 1; i < 50; i++) {
        uint64_t sample = (uint64_t)(i * 7919 % 5000);
        handle_one(&f, f.low + i, 0, sample);
        expected = 0.9 * expected + 0.1 * (double)sample;
        CHECK(near(expected, look_at(f.ring).processing_average, 1e-12));
    }
    fixture_free(&f);
    staged_clock_set(0);
}

static int ascending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void check_quantiles(uint64_t *samples, int n, const bb_quantiles *q) {
    qsort(samples, (size_t)n, sizeof *samples, ascending);
    CHECK(near((double)samples[n * 50 / 100 - 1], (double)q->p50, 0.032));
    CHECK(near((double)samples[n * 95 / 100 - 1], (double)q->p95, 0.032));
    CHECK(near((double)samples[n * 99 / 100 - 1], (double)q->p99, 0.032));
    CHECK_INT(samples[n - 1], q->max);
}

static void test_quantiles_are_at_most_3_percent_off(void) {
    static uint64_t waits[SAMPLES], handlings[SAMPLES];
    srand(7);
    for (int spread = 1; spread <= 40; spread += 3) { /* of the samples, in powers of two */
        staged_clock_set(NOW);
        fixture f = fixture_timed(4, 0);
        for (int i = 0; i < SAMPLES; i++) {
            waits[i] = (uint64_t)exp2(spread * (rand() / (double)RAND_MAX));
            handlings[i] = (uint64_t)(rand() % 1000 + 1) << (spread / 2);
            handle_one(&f, f.low + i, waits[i], handlings[i]);
        }
        bb_stats s = look_at(f.ring);
        check_quantiles(waits, SAMPLES, &s.queue_wait);
        check_quantiles(handlings, SAMPLES, &s.processing);
        fixture_free(&f);
    }
    staged_clock_set(0);
}

static void test_quantiles_of_one_sample_are_the_sample(void) {
    const uint64_t samples[] = {0, 1, 15, 16, 17, 31, 1000, (uint64_t)1 << 62};
    for (int i = 0; i < 8; i++) {
        staged_clock_set(NOW);
        fixture f = fixture_timed(4, 0);
        handle_one(&f, f.low, samples[i], 0);
        bb_quantiles q = look_at(f.ring).queue_wait;
        CHECK_INT(samples[i], q.max);
        CHECK(near((double)samples[i], (double)q.p50, 0.032));
        CHECK_INT(q.p50, q.p99);
        CHECK(q.p99 <= q.max);
        fixture_free(&f);
    }
    staged_clock_set(0);
}

/* See test_a_clock_read_too_early_starves_nobody. */
static void test_a_clock_read_too_early_is_no_wait_of_centuries(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(4, 0);
    fill(f.low, 2);
    staged_clock_set(NOW - 5);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(0, look_at(f.ring).queue_wait.max);
    CHECK_INT(1, look_at(f.ring).history_length); /* nor ten milliseconds */
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_counts_by_kind_and_by_level(void) {
    fixture f = fixture_new(4);
    int64_t top = bb_route(f.ring, BB_MAX_KINDS - 1, 3, 2), two = bb_route(f.ring, 2, 1, 1);
    int64_t out[3];
    static bb_counts kinds[BB_MAX_KINDS];
    bb_stats s;
    CHECK_INT(BB_ACCEPTED, bb_push(top));
    CHECK_INT(BB_ACCEPTED, bb_push(two));
    CHECK_INT(BB_ACCEPTED, bb_push(f.medium));
    CHECK_TAKES(top, f.worker);
    bb_failed(f.worker);
    CHECK_TAKES(top + 1, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(top + 2));
    CHECK_INT(BB_EVICTED + BB_FIRST, bb_offer(f.medium + 1, BB_EVICT_LOWEST, out));
    CHECK_INT(0, bb_snapshot(f.ring, &s, kinds, BB_MAX_KINDS, NULL, 0));
    CHECK_INT(BB_MAX_KINDS, s.kinds);
    CHECK_INT(4, kinds[BB_MAX_KINDS - 1].published);
    CHECK_INT(1, kinds[BB_MAX_KINDS - 1].processed);
    CHECK_INT(1, kinds[BB_MAX_KINDS - 1].failed);
    CHECK_INT(2, kinds[BB_MAX_KINDS - 1].queued);
    CHECK_INT(1, kinds[BB_MAX_KINDS - 1].running);
    CHECK_INT(1, kinds[2].dropped);
    CHECK_INT(2, kinds[0].published);
    CHECK_INT(0, kinds[1].published);
    CHECK_INT(1, s.level[0].dropped);
    CHECK_INT(2, s.level[1].queued);
    CHECK_INT(2, s.level[2].queued);
    CHECK_INT(1, s.level[2].failed);
    CHECK_INT(1, s.dropped_by[BB_WHY_EVICTED][0]);
    fixture_free(&f);
}

static void test_a_snapshot_fills_only_what_it_was_given(void) {
    fixture f = fixture_new(4);
    bb_route(f.ring, 9, 1, 1);
    bb_counts kinds[3] = {{0}, {0}, {.published = 77}};
    bb_worker_time workers[3] = {{7, 7}, {7, 7}, {7, 7}};
    bb_stats s;
    CHECK_INT(0, bb_snapshot(f.ring, &s, kinds, 2, workers, 2));
    CHECK_INT(77, kinds[2].published);
    CHECK_INT(0, workers[0].busy);
    CHECK_INT(7, workers[1].busy); /* there is one worker only */
    fixture_free(&f);
}

static void test_workers_are_busy_for_their_outermost_delivery(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(1, 0);
    bb_worker_time worker[1];
    bb_stats s;
    int64_t out[1];
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    fill(f.low + 1, 1);
    staged_clock_advance(100);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 2, out));
    staged_clock_advance(10);
    CHECK_INT(0, bb_snapshot(f.ring, &s, NULL, 0, worker, 1));
    CHECK_INT(110, worker[0].busy); /* still open */
    bb_done(f.worker);
    staged_clock_advance(1);
    bb_done(f.worker);
    staged_clock_advance(5000); /* idle */
    CHECK_INT(0, bb_snapshot(f.ring, &s, NULL, 0, worker, 1));
    CHECK_INT(111, worker[0].busy);
    CHECK_INT(111, s.processing.max); /* each delivery has its own time, nested or not */
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_a_callers_deliveries_are_timed_one_by_one(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(1, 0);
    int64_t two = bb_route(f.ring, 0, 1, 2), out[3];
    fill(f.low, 1);
    CHECK_INT(BB_RUN, bb_offer(two, BB_CALLER_RUNS, out));
    staged_clock_advance(300);
    bb_caller_done(two, 0);
    staged_clock_advance(200);
    bb_caller_done(two, 0);
    bb_stats s = look_at(f.ring);
    CHECK_INT(300, s.processing.max);
    CHECK(near(290, s.processing_average, 1e-12));
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_history_has_a_sample_each_ten_milliseconds(void) {
    staged_clock_set(NOW);
    fixture f = fixture_timed(1000, 0);
    for (int i = 0; i < 95; i++) {
        fill(f.low + i, 1);
        staged_clock_advance(MS);
    }
    bb_stats s = look_at(f.ring);
    CHECK_INT(10, s.history_length);
    for (int i = 0; i < 10; i++) CHECK_INT(10 * i + 1, s.history[i]);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_history_keeps_the_latest_samples(void) {
    enum { TOTAL = BB_HISTORY + 88 };
    staged_clock_set(NOW);
    fixture f = fixture_timed(1000, 0);
    for (int i = 0; i < TOTAL; i++) {
        fill(f.low + i, 1);
        staged_clock_advance(10 * MS);
    }
    staged_clock_advance(MS);
    CHECK_TAKES(f.low, f.worker); /* takes are sampled too */
    bb_stats s = look_at(f.ring);
    CHECK_INT(BB_HISTORY, s.history_length);
    for (int i = 0; i < BB_HISTORY - 1; i++) CHECK_INT(TOTAL - BB_HISTORY + 2 + i, s.history[i]);
    CHECK_INT(TOTAL - 1, s.history[BB_HISTORY - 1]);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_without_monitoring_no_time_is_kept(void) {
    staged_clock_set(NOW);
    fixture f = fixture_new(4);
    bb_worker_time worker[1];
    handle_one(&f, f.low, 1000, 1000);
    bb_stats s;
    CHECK_INT(0, bb_snapshot(f.ring, &s, NULL, 0, worker, 1));
    CHECK_INT(0, worker[0].busy);
    CHECK_INT(0, s.queue_wait.max);
    CHECK_INT(0, s.processing.max);
    CHECK_INT(0, s.history_length);
    CHECK_INT(1, s.total.processed);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_unrouted_events_are_counted_apart(void) {
    fixture f = fixture_new(4);
    bb_unrouted(f.ring, 1);
    bb_unrouted(f.ring, 41);
    CHECK_INT(42, look_at(f.ring).unrouted);
    CHECK_BOOKS(f.ring, .published = 0);
    fixture_free(&f);
}

void stats_tests(void) {
    RUN(test_a_new_ring_has_empty_books);
    RUN(test_the_moving_average_is_seeded_by_the_first_sample);
    RUN(test_quantiles_are_at_most_3_percent_off);
    RUN(test_quantiles_of_one_sample_are_the_sample);
    RUN(test_a_clock_read_too_early_is_no_wait_of_centuries);
    RUN(test_counts_by_kind_and_by_level);
    RUN(test_a_snapshot_fills_only_what_it_was_given);
    RUN(test_workers_are_busy_for_their_outermost_delivery);
    RUN(test_a_callers_deliveries_are_timed_one_by_one);
    RUN(test_history_has_a_sample_each_ten_milliseconds);
    RUN(test_history_keeps_the_latest_samples);
    RUN(test_without_monitoring_no_time_is_kept);
    RUN(test_unrouted_events_are_counted_apart);
}

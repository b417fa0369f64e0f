/* test_histograms.c: how durations are distributed, over the whole life and recently. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>

#define SAMPLES 2000
#define S (1000ull * MS)
#define HALF (30 * S) /* the length of a half, see histograms.c */

static bb_histograms histograms; /* large; filled by each call of look_at */

static const bb_histograms *look_at(fixture *f) {
    bb_stats stats;
    CHECK_INT(0, bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, NULL, 0, &histograms));
    return &histograms;
}

static bool near(double expected, double actual, double tolerance) {
    return fabs(actual - expected) <= tolerance * expected;
}

/* A delivery that waits for `wait`, after one that was handled for `handling`, which this finishes.
 */
static void wait_and_take(fixture *f, uint64_t handling, uint64_t wait) {
    staged_clock_advance(handling);
    fill(f, &f->low, 7, 1);
    staged_clock_advance(wait);
    CHECK_TAKES(7, f->worker);
}

static int ascending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void check_quantiles(uint64_t *samples, int n, const bb_durations *d) {
    double sum = 0;
    uint64_t counted = 0;
    for (int i = 0; i < n; i++) sum += (double)samples[i];
    for (int b = 0; b < BB_BUCKETS; b++) counted += d->bucket[b];
    qsort(samples, (size_t)n, sizeof *samples, ascending);
    CHECK(near((double)samples[n * 50 / 100 - 1], (double)d->p50, 0.032));
    CHECK(near((double)samples[n * 95 / 100 - 1], (double)d->p95, 0.032));
    CHECK(near((double)samples[n * 99 / 100 - 1], (double)d->p99, 0.032));
    CHECK_INT(samples[n - 1], d->max);
    CHECK_INT(n, d->count);
    CHECK_INT(n, counted);
    CHECK(near(sum, d->sum, 1e-9));
}

/* Over the life; at the larger spreads most of it is not recent. */
static void test_quantiles_are_at_most_3_percent_off(void) {
    static uint64_t waits[SAMPLES], handlings[SAMPLES];
    srand(7);
    for (int spread = 1; spread <= 40; spread += 3) { /* of the samples, in powers of two */
        fixture *f = fixture_timed(4, 0);
        wait_and_take(f, 0, waits[0] = 1);
        for (int i = 1; i < SAMPLES; i++) {
            waits[i] = (uint64_t)exp2(spread * (rand() / (double)RAND_MAX));
            uint64_t handling = (uint64_t)(rand() % 1000 + 1) << (spread / 2);
            handlings[i - 1] = handling + waits[i]; /* the worker has it open all that time */
            wait_and_take(f, handling, waits[i]);
        }
        staged_clock_advance(handlings[SAMPLES - 1] = 1);
        finish(f);
        const bb_histograms *h = look_at(f);
        check_quantiles(waits, SAMPLES, &h->queue_wait);
        check_quantiles(handlings, SAMPLES, &h->processing);
        fixture_free(f);
    }
}

static void test_quantiles_of_one_sample_are_the_sample(void) {
    const uint64_t samples[] = {0, 1, 15, 16, 17, 31, 1000, (uint64_t)1 << 62};
    for (int i = 0; i < 8; i++) {
        fixture *f = fixture_timed(4, 0);
        wait_and_take(f, 0, samples[i]);
        const bb_durations *all = &look_at(f)->queue_wait;
        CHECK_INT(samples[i], all->max);
        CHECK(near((double)samples[i], (double)all->p50, 0.032));
        CHECK_INT(all->p50, all->p99);
        CHECK(all->p99 <= all->max);
        CHECK_INT(1, all->count);
        fixture_free(f);
    }
}

static void test_without_samples_all_is_0(void) {
    for (int monitoring = 0; monitoring <= 1; monitoring++) {
        fixture *f = monitoring ? fixture_timed(4, 0) : fixture_new(4);
        if (!monitoring) wait_and_take(f, 5, 5);
        const bb_histograms *h = look_at(f);
        CHECK_INT(0, h->queue_wait.max + h->queue_wait.count + h->queue_wait.p99);
        CHECK_INT(0, h->recent_processing.max + h->processing.count + h->processing.p50);
        fixture_free(f);
    }
}

/* See test_a_clock_read_too_early_starves_no_delivery. */
static void test_a_clock_read_too_early_is_no_wait_of_centuries(void) {
    fixture *f = fixture_timed(4, 0);
    fill(f, &f->low, 1, 2);
    staged_clock_set(NOW - 5);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(0, look_at(f)->queue_wait.max);
    CHECK_INT(1, stats_of(f).history_length); /* nor ten milliseconds */
    fixture_free(f);
}

/* ---- recently ------------------------------------------------------------------------------ */

static void test_a_value_is_recent_for_half_a_minute_to_a_minute(void) {
    const struct {
        uint64_t after;
        int recent;
    } looks[] = {{0, 1},        {HALF - 1, 1},  {HALF, 1}, {2 * HALF - 1, 1},
                 {2 * HALF, 0}, {100 * HALF, 0}};
    for (int i = 0; i < 6; i++) { /* each with its own queue: a snapshot may begin a new half */
        fixture *f = fixture_timed(4, 0);
        wait_and_take(f, 0, 0);
        staged_clock_advance(looks[i].after);
        const bb_histograms *h = look_at(f);
        CHECK_INT(looks[i].recent, h->recent_queue_wait.count);
        CHECK_INT(1, h->queue_wait.count);
        fixture_free(f);
    }
}

static void test_the_halves_move_on_one_after_the_other(void) {
    fixture *f = fixture_timed(4, 0);
    for (uint64_t i = 1; i <= 6; i++) { /* one value each half minute */
        wait_and_take(f, 0, i);
        const bb_histograms *h = look_at(f);
        CHECK_INT(i, h->queue_wait.count);
        CHECK_INT(i == 1 ? 1 : 2, h->recent_queue_wait.count);
        CHECK_INT(i, h->recent_queue_wait.max);
        CHECK(h->recent_queue_wait.sum == (double)(i == 1 ? 1 : i + i - 1));
        CHECK_INT((i + 1) / 2, h->queue_wait.p50);
        staged_clock_advance(HALF);
    }
    fixture_free(f);
}

static void test_the_maximum_of_the_life_outlasts_the_recent_one(void) {
    fixture *f = fixture_timed(4, 0);
    wait_and_take(f, 0, 5000);
    staged_clock_advance(2 * HALF);
    wait_and_take(f, 0, 10);
    const bb_histograms *h = look_at(f);
    CHECK_INT(5000, h->queue_wait.max);
    CHECK_INT(10, h->recent_queue_wait.max);
    CHECK_INT(10, h->recent_queue_wait.p99);
    CHECK_INT(1, h->recent_queue_wait.count);
    fixture_free(f);
}

/* The first delivery after a long pause, or one that took long, ended just now. */
static void test_what_was_recorded_just_now_is_recent_after_any_calm(void) {
    for (uint64_t calm = HALF; calm <= 4 * HALF; calm += HALF) {
        fixture *f = fixture_timed(4, 0);
        wait_and_take(f, 0, 0);
        wait_and_take(f, calm, 10); /* it finishes the first, which took as long as the calm */
        const bb_histograms *h = look_at(f);
        CHECK_INT(1 + (calm < 2 * HALF - 10), h->recent_queue_wait.count);
        CHECK_INT(10, h->recent_queue_wait.max);
        CHECK_INT(1, h->recent_processing.count);
        CHECK_INT(calm + 10, h->recent_processing.max);
        CHECK_INT(2, h->queue_wait.count);
        fixture_free(f);
    }
}

static void test_what_a_caller_has_just_handled_is_recent(void) {
    fixture *f = fixture_timed(1, 0);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_RUN, offer(f, &f->low, 2, BB_CALLER_RUNS));
    staged_clock_advance(3 * HALF);
    bb_caller_done(f->caller, 0);
    CHECK_INT(1, look_at(f)->recent_processing.count);
    CHECK_INT(3 * HALF, look_at(f)->recent_processing.max);
    fixture_free(f);
}

void histograms_tests(void) {
    RUN(test_quantiles_are_at_most_3_percent_off);
    RUN(test_quantiles_of_one_sample_are_the_sample);
    RUN(test_without_samples_all_is_0);
    RUN(test_a_clock_read_too_early_is_no_wait_of_centuries);
    RUN(test_a_value_is_recent_for_half_a_minute_to_a_minute);
    RUN(test_the_halves_move_on_one_after_the_other);
    RUN(test_the_maximum_of_the_life_outlasts_the_recent_one);
    RUN(test_what_was_recorded_just_now_is_recent_after_any_calm);
    RUN(test_what_a_caller_has_just_handled_is_recent);
}

/* test_fast_clock.c: the clock for statistics, by a counter of 3 ticks per nanosecond. */
#define BB_STAGED
#define bb_clock staged_clock
#define bb_ticks staged_ticks
#include "fixture.h"

#define PER_NS 3u
#define BEGIN 500000000000u /* what the counter shows at the time NOW */

static uint64_t ticks_at(uint64_t ns) { return BEGIN + (ns - NOW) * PER_NS; }

/* Both clocks show the time. */
static void show(uint64_t ns) {
    staged_clock_set(ns);
    staged_ticks_set(ticks_at(ns));
}

static fast_clock clock_at_now(void) {
    fast_clock clock;
    staged_ticks_reliable(true);
    show(NOW);
    fast_clock_init(&clock);
    return clock;
}

/* A clock that knows its rate, after 200 ms. */
#define KNOWN (NOW + 200u * MS)
static fast_clock clock_that_knows(void) {
    fast_clock clock = clock_at_now();
    show(KNOWN);
    CHECK_INT(KNOWN, fast_clock_time(&clock, ticks_at(KNOWN)));
    return clock;
}

/* Within a rounding error. */
#define CHECK_NEAR(expected, ns) \
    do { \
        uint64_t is_ = (ns), at_ = (expected); \
        CHECK(is_ <= at_ && at_ - is_ <= 1); \
    } while (0)

static void test_without_a_reliable_counter_it_is_the_clock(void) {
    fast_clock clock;
    staged_clock_set(NOW);
    staged_ticks_set(7);
    fast_clock_init(&clock);
    CHECK_INT(NOW, fast_clock_read(&clock));
    CHECK_INT(NOW - 5, fast_clock_time(&clock, NOW - 5));
    staged_reset();
}

static void test_until_it_knows_the_rate_it_asks_the_clock(void) {
    fast_clock clock = clock_at_now();
    show(NOW + MS - 200);
    staged_clock_advance(123);
    CHECK_INT(NOW + MS - 77, fast_clock_time(&clock, fast_clock_read(&clock)));
    CHECK_INT(0, clock.span);
}

static void test_then_it_follows_the_counter_for_a_tenth_of_a_second(void) {
    fast_clock clock = clock_that_knows();
    staged_clock_set(1); /* is not asked */
    CHECK_NEAR(KNOWN + 40, fast_clock_time(&clock, ticks_at(KNOWN + 40)));
    CHECK_NEAR(KNOWN + 99 * MS, fast_clock_time(&clock, ticks_at(KNOWN + 99 * MS)));
    show(KNOWN + 101 * MS);
    staged_clock_advance(17);
    CHECK_INT(KNOWN + 101 * MS + 17, fast_clock_time(&clock, ticks_at(KNOWN + 101 * MS)));
}

static void test_a_reading_from_before_the_base_is_a_time_before_it(void) {
    fast_clock clock = clock_that_knows();
    staged_clock_set(1);
    CHECK_NEAR(KNOWN - 49, fast_clock_time(&clock, ticks_at(KNOWN - 50)));
    CHECK_INT(KNOWN, fast_clock_time(&clock, ticks_at(KNOWN)));
}

static void test_a_rate_is_trusted_no_longer_than_it_was_measured(void) {
    fast_clock clock = clock_at_now();
    show(NOW + 2 * MS);
    fast_clock_rebase(&clock);
    CHECK_NEAR(NOW + 4 * MS - 9, fast_clock_time(&clock, ticks_at(NOW + 4 * MS - 9)));
    show(NOW + 4 * MS);
    staged_clock_advance(3);
    CHECK_INT(NOW + 4 * MS + 3, fast_clock_time(&clock, ticks_at(NOW + 4 * MS)));
}

static void test_a_clock_that_is_slewed_is_followed(void) {
    fast_clock clock = clock_that_knows();
    for (uint64_t ms = 300; ms <= 1000; ms += 101) { /* the clock gains 400 ppm */
        show(NOW + ms * MS);
        staged_clock_advance((ms - 200) * 400);
        fast_clock_rebase(&clock);
        CHECK(clock.span > 0);
    }
    uint64_t at = clock.ns, ticks = clock.ticks;
    CHECK_NEAR(at + 50 * MS + 50 * 400,
               fast_clock_time(&clock, ticks + (uint64_t)50 * MS * PER_NS));
}

static void test_a_counter_that_went_on_while_the_clock_slept_is_measured_anew(void) {
    fast_clock clock = clock_that_knows();
    staged_clock_set(KNOWN + 5 * MS);
    staged_ticks_set(ticks_at(KNOWN + 3000u * MS));
    CHECK_INT(KNOWN + 5 * MS, fast_clock_time(&clock, fast_clock_read(&clock)));
    staged_clock_set(KNOWN + 300u * MS);
    CHECK_INT(KNOWN + 300u * MS, fast_clock_time(&clock, fast_clock_read(&clock)));
    CHECK_INT(0, clock.span);
}

static void test_a_counter_that_began_again_is_measured_anew(void) {
    fast_clock clock = clock_that_knows();
    staged_clock_set(KNOWN + 20 * MS);
    staged_ticks_set(11);
    CHECK_INT(KNOWN + 20 * MS, fast_clock_time(&clock, fast_clock_read(&clock)));
    CHECK_INT(0, clock.span);
    CHECK_INT(11, clock.ticks);
    staged_clock_advance(150 * MS);
    staged_ticks_set(11 + (uint64_t)150 * MS * PER_NS);
    fast_clock_rebase(&clock);
    staged_clock_set(1);
    CHECK_NEAR(KNOWN + 171 * MS, fast_clock_time(&clock, 11 + (uint64_t)151 * MS * PER_NS));
}

static void test_a_counter_that_stands_still_is_never_trusted(void) {
    fast_clock clock = clock_at_now();
    for (uint64_t ms = 20; ms < 100; ms += 20) {
        staged_clock_set(NOW + ms * MS);
        CHECK_INT(NOW + ms * MS, fast_clock_time(&clock, fast_clock_read(&clock)));
        CHECK_INT(0, clock.span);
    }
}

static void test_readings_between_which_the_thread_lost_its_core_are_no_base(void) {
    fast_clock clock = clock_that_knows();
    show(KNOWN + 150 * MS);
    staged_ticks_step(10000);
    CHECK_INT(KNOWN + 150 * MS, fast_clock_time(&clock, fast_clock_read(&clock)));
    CHECK_INT(KNOWN, clock.ns);
    staged_ticks_step(0);
    show(KNOWN + 151 * MS);
    CHECK_INT(KNOWN + 151 * MS, fast_clock_time(&clock, fast_clock_read(&clock)));
    CHECK_INT(KNOWN + 151 * MS, clock.ns);
}

static void test_a_queue_measures_by_the_counter(void) {
    staged_ticks_reliable(true);
    show(NOW);
    fixture *f = fixture_with((bb_settings){.capacity = 8, .levels = 3, .monitoring = 1});
    show(KNOWN);
    fill(f, &f->low, 1, 1);
    staged_ticks_set(ticks_at(KNOWN + 30 * MS)); /* the clock stands still, and is not asked */
    fill(f, &f->low, 2, 1);
    staged_ticks_set(ticks_at(KNOWN + 70 * MS));
    take_some(f, 2);
    bb_stats stats;
    bb_histograms h;
    bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, NULL, 0, &h);
    CHECK_INT(2, h.queue_wait.count);
    CHECK(h.queue_wait.max >= 70 * MS - 1 && h.queue_wait.max <= 70 * MS);
    CHECK(h.queue_wait.sum >= 110.0 * MS - 2 && h.queue_wait.sum <= 110.0 * MS);
    fixture_free(f);
}

void fast_clock_tests(void) {
    RUN(test_without_a_reliable_counter_it_is_the_clock);
    RUN(test_until_it_knows_the_rate_it_asks_the_clock);
    RUN(test_then_it_follows_the_counter_for_a_tenth_of_a_second);
    RUN(test_a_reading_from_before_the_base_is_a_time_before_it);
    RUN(test_a_rate_is_trusted_no_longer_than_it_was_measured);
    RUN(test_a_clock_that_is_slewed_is_followed);
    RUN(test_a_counter_that_went_on_while_the_clock_slept_is_measured_anew);
    RUN(test_a_counter_that_began_again_is_measured_anew);
    RUN(test_a_counter_that_stands_still_is_never_trusted);
    RUN(test_readings_between_which_the_thread_lost_its_core_are_no_base);
    RUN(test_a_queue_measures_by_the_counter);
    staged_reset();
}

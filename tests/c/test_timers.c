/* test_timers.c: the cost of handlers, by recipient. */
#include "fixture.h"

#include <string.h>

#define LONG (1000 * MS) /* by the staged clock; of the real CPU time it is a small part */

static bb_timer timer_of(fixture *f, bb_recipient *recipient) {
    bb_arrivals arrivals;
    bb_timer timer;
    CHECK_INT(0, bb_load(f->q, &arrivals, &recipient, &timer, 1));
    return timer;
}

static bb_timer low_timer(fixture *f) { return timer_of(f, f->low.recipients[0]); }

#define CHECK_TIMER(f, recipient, n, ns) \
    do { \
        CHECK_INT(n, timer_of(f, recipient).deliveries); \
        CHECK_INT(ns, timer_of(f, recipient).wall); \
    } while (0)

static void handle_for(fixture *f, int64_t expected, uint64_t ns) {
    CHECK_TAKES(expected, f->worker);
    staged_clock_advance(ns);
    finish(f);
}

static void test_deliveries_go_to_the_timers_of_their_recipients(void) {
    fixture *f = fixture_timed(16, 0);
    bb_route three = several(f, 1, 3);
    fill(f, &three, 1, 2);
    for (int event = 1; event <= 2; event++)
        for (unsigned i = 0; i < 3; i++) handle_for(f, event, 10 + i);
    for (int i = 0; i < 3; i++) CHECK_TIMER(f, three.recipients[i], 2, 2 * (10 + i));
    CHECK_TIMER(f, f->low.recipients[0], 0, 0);
    CHECK_INT(2 * 12 * 12, timer_of(f, three.recipients[2]).wall_squared);
    bb_timer all = stats_of(f).timer;
    CHECK_INT(6, all.deliveries);
    CHECK_INT(66, all.wall);
    CHECK_INT(2 * (100 + 121 + 144), all.wall_squared);
    fixture_free(f);
}

static void test_one_recipient_takes_from_several_routes_and_places(void) {
    fixture *f = fixture_timed(16, 0);
    bb_recipient *same[] = {&f->recipient[3], &f->recipient[3]};
    bb_route two = {.level = 1, .count = 2, .recipients = same};
    bb_route one = {.level = 2, .count = 1, .recipients = same};
    fill(f, &two, 1, 1);
    fill(f, &one, 2, 1);
    handle_for(f, 2, 100);
    for (int i = 0; i < 2; i++) handle_for(f, 1, 10);
    CHECK_TIMER(f, same[0], 3, 120);
    fixture_free(f);
}

static void test_callers_are_timed_by_recipient(void) {
    fixture *f = fixture_timed(1, 0);
    bb_recipient *which[] = {&f->recipient[4], &f->recipient[6], &f->recipient[4]};
    bb_route three = {.level = 1, .count = 3, .recipients = which};
    bb_arrivals arrivals;
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_RUN, offer(f, &three, 2, BB_CALLER_RUNS));
    for (unsigned i = 1; i <= 3; i++) {
        staged_clock_advance(i * LONG);
        bb_caller_done(f->caller, 0);
    }
    CHECK_TIMER(f, which[0], 2, 4ull * LONG);
    CHECK_TIMER(f, which[1], 1, 2ull * LONG);
    CHECK(timer_of(f, which[0]).cpu < LONG);
    CHECK(timer_of(f, which[1]).cpu < LONG);
    CHECK_INT(0, bb_load(f->q, &arrivals, NULL, NULL, 0));
    CHECK_INT(1, arrivals.deliveries); /* the caller's never arrived in the queue */
    fixture_free(f);
}

/* The staged clock advances while the thread uses hardly any CPU time. */
static void test_waiting_is_not_computing(void) {
    fixture *f = fixture_timed(4, 0);
    fill(f, &f->low, 1, 1);
    handle_for(f, 1, LONG);
    bb_timer t = low_timer(f);
    CHECK_INT(LONG, t.wall);
    CHECK(t.cpu > 0 && t.cpu < LONG / 2);
    CHECK(t.cpu_squared == (double)t.cpu * (double)t.cpu);
    CHECK_INT(t.cpu, stats_of(f).timer.cpu);
    fixture_free(f);
}

static void test_the_cpu_time_is_at_most_the_wall_time(void) {
    fixture *f = fixture_timed(4, 0);
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, f->worker);
    uint64_t begun = bb_thread_cpu();
    while (bb_thread_cpu() - begun < MS) continue;
    staged_clock_advance(MS / 2);
    finish(f);
    CHECK_INT(MS / 2, low_timer(f).cpu);
    fixture_free(f);
}

static void test_short_deliveries_are_taken_as_computing(void) {
    fixture *f = fixture_timed(64, 0);
    fill(f, &f->low, 1, TRIAL + 1);
    for (int i = 1; i <= TRIAL; i++) handle_for(f, i, 1);
    bb_timer before = low_timer(f);
    handle_for(f, TRIAL + 1, LONG);
    CHECK_INT(LONG, low_timer(f).cpu - before.cpu); /* the clock was not read for it */
    fill(f, &f->low, TRIAL + 2, 1);
    before = low_timer(f);
    handle_for(f, TRIAL + 2, LONG); /* on average they are long by now */
    CHECK(low_timer(f).cpu - before.cpu < LONG / 2);
    fixture_free(f);
}

static void test_a_few_deliveries_are_measured_before_they_are_taken_as_short(void) {
    fixture *f = fixture_timed(64, 0);
    fill(f, &f->low, 1, TRIAL);
    for (int i = 1; i < TRIAL; i++) handle_for(f, i, 1);
    handle_for(f, TRIAL, LONG);
    CHECK(low_timer(f).cpu < LONG / 2);
    fixture_free(f);
}

/* The end of one delivery is the beginning of the next: one reading of the clock serves both. */
static void test_each_of_successive_deliveries_has_its_own_cpu_time(void) {
    fixture *f = fixture_timed(4, 0);
    fill(f, &f->high, 1, 1);
    fill(f, &f->low, 2, 1);
    CHECK_TAKES(1, f->worker);
    uint64_t begun = bb_thread_cpu();
    while (bb_thread_cpu() - begun < 5 * MS) continue;
    staged_clock_advance(LONG);
    CHECK_TAKES(2, f->worker);
    staged_clock_advance(LONG);
    finish(f);
    bb_timer first = timer_of(f, f->high.recipients[0]), second = low_timer(f);
    CHECK(first.cpu >= 5 * MS);
    CHECK(second.cpu < first.cpu);
    fixture_free(f);
}

static void test_without_monitoring_nothing_is_timed(void) {
    static const bb_arrivals none;
    staged_clock_set(NOW);
    fixture *f = fixture_new(4);
    bb_arrivals arrivals = {.deliveries = 7};
    bb_timer timers[2] = {{7, 7, 7, 7, 7}, {.deliveries = 7}};
    fill(f, &f->low, 1, 4);
    CHECK_INT(BB_RUN, offer(f, &f->low, 5, BB_CALLER_RUNS));
    staged_clock_advance(LONG);
    bb_caller_done(f->caller, 0);
    for (int i = 1; i <= 4; i++) handle_for(f, i, LONG);
    CHECK_INT(0, bb_load(f->q, &arrivals, f->low.recipients, timers, 1));
    CHECK(memcmp(&arrivals, &none, sizeof arrivals) == 0);
    CHECK_INT(0, timers[0].deliveries + timers[0].wall + timers[0].cpu);
    CHECK_INT(7, timers[1].deliveries); /* not requested */
    fixture_free(f);
}

void timers_tests(void) {
    RUN(test_deliveries_go_to_the_timers_of_their_recipients);
    RUN(test_one_recipient_takes_from_several_routes_and_places);
    RUN(test_callers_are_timed_by_recipient);
    RUN(test_waiting_is_not_computing);
    RUN(test_the_cpu_time_is_at_most_the_wall_time);
    RUN(test_short_deliveries_are_taken_as_computing);
    RUN(test_a_few_deliveries_are_measured_before_they_are_taken_as_short);
    RUN(test_each_of_successive_deliveries_has_its_own_cpu_time);
    RUN(test_without_monitoring_nothing_is_timed);
}

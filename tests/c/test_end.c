/* test_end.c: closing, draining, discarding, and waiting until nothing is left. */
#include "fixture.h"

#define NOW 1000000000u
#define MS 1000000

static void test_draining_works_the_queue_off_and_then_shuts(void) {
    fixture f = fixture_new(4);
    fill(f.low, 2);
    CHECK_INT(BB_OPEN, bb_state(f.ring));
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_DRAINING, bb_state(f.ring));
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, f.worker);
    CHECK_INT(BB_DRAINING, bb_state(f.ring)); /* the last one still runs */
    bb_done(f.worker);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_TAKES(0, f.worker);
    CHECK_BOOKS(f.ring, .published = 2, .processed = 2);
    fixture_free(&f);
}

static void test_draining_an_idle_ring_shuts_it(void) {
    fixture f = fixture_new(4);
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_TAKES(0, f.worker);
    fixture_free(&f);
}

static void test_without_draining_the_ring_shuts_at_once(void) {
    fixture f = fixture_new(4);
    fill(f.low, 2);
    CHECK_TAKES(f.low, f.worker);
    bb_close(f.ring, 0, -1);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    bb_done(f.worker);
    CHECK_BOOKS(f.ring, .published = 2, .processed = 1, .queued = 1);
    fixture_free(&f);
}

static void test_the_state_never_moves_back(void) {
    fixture f = fixture_new(4);
    fill(f.low, 1);
    bb_close(f.ring, 1, -1);
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_DRAINING, bb_state(f.ring));
    bb_close(f.ring, 0, 0);
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    bb_close(f.ring, 0, 0);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    fixture_free(&f);
}

static void test_a_drain_ends_at_its_deadline(void) {
    staged_clock_set(NOW);
    fixture f = fixture_new(4);
    fill(f.low, 3);
    bb_close(f.ring, 1, 1000);
    staged_clock_advance(999);
    CHECK_TAKES(f.low, f.worker);
    staged_clock_advance(1);
    CHECK_TAKES(0, f.worker);
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_BOOKS(f.ring, .published = 3, .processed = 1, .queued = 2);
    fixture_free(&f);
    staged_clock_set(0);
}

static void test_a_drain_with_an_extreme_deadline(void) {
    fixture f = fixture_new(4);
    fill(f.low, 1);
    bb_close(f.ring, 1, INT64_MAX);
    CHECK_TAKES(f.low, f.worker);
    fixture_free(&f);
    f = fixture_new(4);
    fill(f.low, 1);
    bb_close(f.ring, 1, INT64_MIN); /* negative: no limit */
    CHECK_TAKES(f.low, f.worker);
    fixture_free(&f);
    f = fixture_new(4);
    fill(f.low, 1);
    bb_close(f.ring, 1, 0);
    CHECK_TAKES(0, f.worker);
    fixture_free(&f);
}

/* One handler is stuck; the workers that sleep meanwhile must go home at the deadline. */
static void test_workers_asleep_in_a_drain_end_at_its_deadline(void) {
    fixture f = fixture_new(4);
    int64_t stuck = bb_worker_add(f.ring);
    sleeper s;
    fill(f.low, 1);
    CHECK_TAKES(f.low, stuck);
    start_take(&s, f.worker);
    await_workers_asleep(f.ring, 1);
    bb_close(f.ring, 1, 20 * MS);
    CHECK_INT(0, finish_sleeper(&s));
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_BOOKS(f.ring, .published = 1, .running = 1);
    fixture_free(&f);
}

static void test_the_last_delivery_of_a_drain_sends_sleeping_workers_home(void) {
    fixture f = fixture_new(4);
    int64_t busy = bb_worker_add(f.ring);
    sleeper s;
    fill(f.low, 1);
    CHECK_TAKES(f.low, busy);
    bb_close(f.ring, 1, -1);
    start_take(&s, f.worker);
    await_workers_asleep(f.ring, 1);
    bb_done(busy);
    CHECK_INT(0, finish_sleeper(&s));
    fixture_free(&f);
}

static void test_work_added_in_a_drain_wakes_a_sleeping_worker(void) {
    fixture f = fixture_new(4);
    int64_t busy = bb_worker_add(f.ring), out[2];
    sleeper s;
    fill(f.low, 1);
    CHECK_TAKES(f.low, busy);
    bb_close(f.ring, 1, -1);
    start_take(&s, f.worker);
    await_workers_asleep(f.ring, 1);
    CHECK_INT(BB_ACCEPTED, bb_offer(f.low + 1, BB_REFUSE + BB_INSIDE, out));
    CHECK_INT(f.low + 1, finish_sleeper(&s));
    fixture_free(&f);
}

/* ---- discarding ---------------------------------------------------------------------------- */

static void test_discard_takes_nothing_from_a_ring_that_is_not_shut(void) {
    fixture f = fixture_new(4);
    int64_t out[4];
    fill(f.low, 2);
    CHECK_INT(0, bb_discard(f.ring, out, 4));
    bb_close(f.ring, 1, -1);
    CHECK_INT(0, bb_discard(f.ring, out, 4));
    CHECK_INT(2, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_discard_empties_a_shut_ring_in_portions(void) {
    fixture f = fixture_new(8);
    int64_t two = bb_route(f.ring, 0, 2, 2);
    const int64_t expected[] = {f.high, two, two + 1, f.low, f.low + 1};
    int64_t out[3] = {0};
    fill(f.low, 2);
    fill(f.high, 1);
    CHECK_INT(BB_ACCEPTED, bb_push(two));
    bb_close(f.ring, 0, 0);
    CHECK_INT(0, bb_discard(f.ring, out, 0));
    CHECK_INT(0, bb_discard(f.ring, out, -1));
    CHECK_INT(2, bb_discard(f.ring, out, 2));
    for (int i = 0; i < 2; i++) CHECK_INT(expected[i], out[i]);
    CHECK_INT(3, bb_discard(f.ring, out, 3));
    for (int i = 0; i < 3; i++) CHECK_INT(expected[2 + i], out[i]);
    CHECK_INT(0, bb_discard(f.ring, out, 3));
    CHECK_BOOKS(f.ring, .published = 5, .dropped = 5);
    bb_stats stats;
    bb_snapshot(f.ring, &stats, NULL, 0, NULL, 0);
    CHECK_INT(2, stats.dropped_by[BB_WHY_SHUTDOWN][0]);
    CHECK_INT(2, stats.dropped_by[BB_WHY_SHUTDOWN][1]);
    CHECK_INT(1, stats.dropped_by[BB_WHY_SHUTDOWN][2]);
    fixture_free(&f);
}

/* ---- idle ------------------------------------------------------------------------------------ */

static void test_wait_idle_says_so_at_once(void) {
    fixture f = fixture_new(4);
    CHECK_INT(1, bb_wait_idle(f.ring, 0));
    CHECK_INT(1, bb_wait_idle(f.ring, FOREVER));
    fixture_free(&f);
}

static void test_wait_idle_gives_up_after_its_time(void) {
    fixture f = fixture_new(4);
    fill(f.low, 1);
    uint64_t before = bb_clock();
    CHECK_INT(0, bb_wait_idle(f.ring, 20 * MS));
    CHECK(bb_clock() - before >= 20 * MS);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(0, bb_wait_idle(f.ring, 0)); /* running is not idle */
    bb_done(f.worker);
    CHECK_INT(1, bb_wait_idle(f.ring, 0));
    fixture_free(&f);
}

static void test_the_last_delivery_wakes_all_who_wait_for_idleness(void) {
    fixture f = fixture_new(4);
    sleeper s[2];
    fill(f.low, 2);
    for (int i = 0; i < 2; i++) start_wait_idle(&s[i], f.ring, FOREVER);
    await_idle_waiters(f.ring, 2);
    bb_take(f.worker);
    bb_take(f.worker);
    bb_done(f.worker);
    for (int i = 0; i < 2; i++) CHECK_INT(1, finish_sleeper(&s[i]));
    fixture_free(&f);
}

static void test_a_caller_that_is_done_wakes_who_waits_for_idleness(void) {
    for (int gives_up = 0; gives_up <= 1; gives_up++) {
        fixture f = fixture_new(1);
        int64_t out[2];
        sleeper s;
        fill(f.low, 1);
        CHECK_INT(BB_RUN, bb_offer(f.high, BB_CALLER_RUNS, out));
        bb_take(f.worker);
        bb_done(f.worker);
        start_wait_idle(&s, f.ring, FOREVER);
        await_idle_waiters(f.ring, 1);
        if (gives_up) bb_withdraw(f.high);
        else bb_caller_done(f.high, 0);
        CHECK_INT(1, finish_sleeper(&s));
        fixture_free(&f);
    }
}

static void test_discarding_the_rest_wakes_who_waits_for_idleness(void) {
    fixture f = fixture_new(4);
    int64_t out[4];
    sleeper s;
    fill(f.low, 3);
    bb_close(f.ring, 0, 0);
    start_wait_idle(&s, f.ring, FOREVER);
    await_idle_waiters(f.ring, 1);
    CHECK_INT(3, bb_discard(f.ring, out, 4));
    CHECK_INT(1, finish_sleeper(&s));
    fixture_free(&f);
}

static void test_the_end_of_a_drain_wakes_who_waits_for_idleness(void) {
    fixture f = fixture_new(4);
    sleeper s;
    fill(f.low, 1);
    bb_take(f.worker);
    bb_close(f.ring, 1, -1);
    start_wait_idle(&s, f.ring, FOREVER);
    await_idle_waiters(f.ring, 1);
    bb_done(f.worker);
    CHECK_INT(1, finish_sleeper(&s));
    fixture_free(&f);
}

void end_tests(void) {
    RUN(test_draining_works_the_queue_off_and_then_shuts);
    RUN(test_draining_an_idle_ring_shuts_it);
    RUN(test_without_draining_the_ring_shuts_at_once);
    RUN(test_the_state_never_moves_back);
    RUN(test_a_drain_ends_at_its_deadline);
    RUN(test_a_drain_with_an_extreme_deadline);
    RUN(test_workers_asleep_in_a_drain_end_at_its_deadline);
    RUN(test_the_last_delivery_of_a_drain_sends_sleeping_workers_home);
    RUN(test_work_added_in_a_drain_wakes_a_sleeping_worker);
    RUN(test_discard_takes_nothing_from_a_ring_that_is_not_shut);
    RUN(test_discard_empties_a_shut_ring_in_portions);
    RUN(test_wait_idle_says_so_at_once);
    RUN(test_wait_idle_gives_up_after_its_time);
    RUN(test_the_last_delivery_wakes_all_who_wait_for_idleness);
    RUN(test_a_caller_that_is_done_wakes_who_waits_for_idleness);
    RUN(test_discarding_the_rest_wakes_who_waits_for_idleness);
    RUN(test_the_end_of_a_drain_wakes_who_waits_for_idleness);
}

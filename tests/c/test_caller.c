/* test_caller.c: events that the publisher runs itself, and taking an event back. */
#include "fixture.h"

static int32_t offer(int64_t handle, int32_t mode) {
    int64_t out[16];
    return plain_result(bb_offer(handle, mode, out));
}

static void test_a_caller_runs_what_finds_no_room(void) {
    fixture f = fixture_new(1);
    int64_t three = bb_route(f.ring, 0, 3, 3);
    fill(f.low, 1);
    CHECK_INT(BB_RUN, offer(three, BB_CALLER_RUNS));
    CHECK_BOOKS(f.ring, .published = 4, .queued = 1, .running = 3);
    bb_caller_done(three, 0);
    CHECK_BOOKS(f.ring, .published = 4, .processed = 1, .queued = 1, .running = 2);
    bb_caller_done(three, 1);
    bb_caller_done(three, 0);
    CHECK_BOOKS(f.ring, .published = 4, .processed = 3, .failed = 1, .queued = 1);
    bb_caller_done(three, 0); /* one too many: nobody knows it any more */
    CHECK_BOOKS(f.ring, .published = 4, .processed = 3, .failed = 1, .queued = 1);
    fixture_free(&f);
}

static void test_callers_do_not_mix_up_their_events(void) {
    fixture f = fixture_new(1);
    int64_t two = bb_route(f.ring, 0, 3, 2);
    fill(f.low, 1);
    CHECK_INT(BB_RUN, offer(two, BB_CALLER_RUNS));
    CHECK_INT(BB_RUN, offer(two + 2, BB_CALLER_RUNS));
    bb_caller_done(two + 2, 0);
    bb_caller_done(two + 2, 0);
    bb_caller_done(two + 2, 0);
    CHECK_BOOKS(f.ring, .published = 5, .processed = 2, .queued = 1, .running = 2);
    fixture_free(&f);
}

static void test_what_a_caller_gives_up_is_refused(void) {
    fixture f = fixture_new(1);
    int64_t three = bb_route(f.ring, 0, 3, 3);
    fill(f.low, 1);
    CHECK_INT(BB_RUN, offer(three, BB_CALLER_RUNS));
    bb_caller_done(three, 0);
    CHECK_INT(2, bb_withdraw(three));
    CHECK_BOOKS(f.ring, .published = 4, .processed = 1, .dropped = 2, .queued = 1);
    CHECK_INT(1, bb_withdraw(three));
    bb_stats stats;
    bb_snapshot(f.ring, &stats, NULL, 0, NULL, 0);
    CHECK_INT(2, stats.dropped_by[BB_WHY_REFUSED][2]);
    fixture_free(&f);
}

static void test_a_running_caller_keeps_the_ring_busy(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_RUN, offer(f.high, BB_CALLER_RUNS));
    CHECK_INT(BB_RUN, offer(f.high + 1, BB_CALLER_RUNS));
    CHECK_TAKES(f.low, f.worker);
    bb_done(f.worker);
    CHECK_INT(0, bb_wait_idle(f.ring, 0));
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_DRAINING, bb_state(f.ring));
    bb_caller_done(f.high, 0);
    CHECK_INT(BB_DRAINING, bb_state(f.ring));
    CHECK_INT(2, bb_withdraw(f.high + 1));
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_INT(1, bb_wait_idle(f.ring, 0));
    fixture_free(&f);
}

static void test_withdraw_of_a_handle_that_was_never_offered(void) {
    fixture f = fixture_new(1);
    CHECK_INT(1, bb_withdraw(f.low));
    fill(f.low, 1);
    CHECK_INT(BB_FULL, bb_push(f.low + 1));
    CHECK_INT(1, bb_withdraw(f.low + 1));
    CHECK_BOOKS(f.ring, .published = 1, .queued = 1);
    fixture_free(&f);
}

static void test_withdraw_leaves_an_accepted_event_alone(void) {
    fixture f = fixture_new(4);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    CHECK_INT(BB_ACCEPTED, bb_push(three));
    CHECK_INT(0, bb_withdraw(three)); /* queued */
    CHECK_TAKES(three, f.worker);
    CHECK_INT(0, bb_withdraw(three)); /* queued in part */
    CHECK_TAKES(three + 1, f.worker);
    CHECK_TAKES(three + 2, f.worker);
    CHECK_INT(0, bb_withdraw(three)); /* the last one is open */
    CHECK_BOOKS(f.ring, .published = 3, .processed = 2, .running = 1);
    bb_done(f.worker);
    CHECK_INT(1, bb_withdraw(three)); /* finished */
    fixture_free(&f);
}

static void test_withdraw_takes_an_event_out_of_the_line(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 0, 1));
    CHECK_INT(1, bb_withdraw(f.low + 1));
    CHECK_INT(1, length_of_line(f.ring));
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 2, f.worker);
    CHECK_BOOKS(f.ring, .published = 2, .processed = 1, .running = 1);
    CHECK_INT(1, bb_withdraw(f.low + 1));
    fixture_free(&f);
}

static void test_withdraw_leaves_an_event_that_was_let_in(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(0, bb_withdraw(f.low + 1));
    CHECK_TAKES(f.low + 1, f.worker);
    fixture_free(&f);
}

static void test_whoever_withdraws_from_the_head_lets_the_next_in(void) {
    fixture f = fixture_new(2);
    int64_t two = bb_route(f.ring, 0, 2, 2);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(two, 0, 1)); /* one place is free, but it needs two */
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_INT(1, bb_depth(f.ring));
    CHECK_INT(1, bb_withdraw(two));
    CHECK_INT(2, bb_depth(f.ring));
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 1, 0, 1));
    fixture_free(&f);
}

static void test_whoever_withdraws_from_the_head_lets_all_in_who_fit(void) {
    fixture f = fixture_new(3);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(three, 0, 1));
    for (int i = 1; i <= 3; i++) CHECK_INT(BB_WAITING, bb_wait(f.low + i, 0, 1));
    CHECK_INT(1, bb_withdraw(three));
    CHECK_INT(3, bb_depth(f.ring));
    CHECK_INT(1, length_of_line(f.ring));
    fixture_free(&f);
}

void caller_tests(void) {
    RUN(test_a_caller_runs_what_finds_no_room);
    RUN(test_callers_do_not_mix_up_their_events);
    RUN(test_what_a_caller_gives_up_is_refused);
    RUN(test_a_running_caller_keeps_the_ring_busy);
    RUN(test_withdraw_of_a_handle_that_was_never_offered);
    RUN(test_withdraw_leaves_an_accepted_event_alone);
    RUN(test_withdraw_takes_an_event_out_of_the_line);
    RUN(test_withdraw_leaves_an_event_that_was_let_in);
    RUN(test_whoever_withdraws_from_the_head_lets_the_next_in);
    RUN(test_whoever_withdraws_from_the_head_lets_all_in_who_fit);
}

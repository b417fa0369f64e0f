/* test_push.c: pushing, and the order in which deliveries come out. */
#include "fixture.h"

static void test_push_is_accepted_while_there_is_room(void) {
    fixture f = fixture_new(3);
    fill(f.medium, 3);
    CHECK_INT(3, bb_depth(f.ring));
    CHECK_BOOKS(f.ring, .published = 3, .queued = 3);
    fixture_free(&f);
}

static void test_full_ring_refuses_and_counts_nothing(void) {
    fixture f = fixture_new(2);
    fill(f.medium, 2);
    CHECK_INT(BB_FULL, bb_push(f.medium + 2));
    CHECK_INT(BB_FULL, bb_push(f.high));
    CHECK_BOOKS(f.ring, .published = 2, .queued = 2);
    CHECK_TAKES(f.medium, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(f.medium + 3));
    fixture_free(&f);
}

static void test_closed_ring_refuses_and_counts_nothing(void) {
    fixture f = fixture_new(2);
    fill(f.low, 1);
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_CLOSED, bb_push(f.low + 1));
    CHECK_INT(BB_CLOSED, bb_push_many((int64_t[]){f.low + 1}, 1));
    bb_close(f.ring, 0, 0);
    CHECK_INT(BB_CLOSED, bb_push(f.low + 1));
    CHECK_BOOKS(f.ring, .published = 1, .queued = 1);
    fixture_free(&f);
}

static void test_freed_ring_is_gone(void) {
    fixture f = fixture_new(2);
    fill(f.low, 1);
    fixture_free(&f);
    int64_t out[2] = {-1, -1};
    bb_stats stats;
    CHECK_INT(BB_GONE, bb_push(f.low + 1));
    CHECK_INT(BB_GONE, bb_push_many(&f.low, 1));
    CHECK_INT(BB_GONE, bb_wait(f.low, FOREVER, 1));
    CHECK_INT(BB_GONE, bb_offer(f.low, BB_EVICT_OLDEST, out));
    CHECK_INT(0, out[0]);
    CHECK_INT(BB_GONE, bb_help(f.worker, f.low, out));
    CHECK_INT(1, bb_withdraw(f.low));
    CHECK_INT(0, bb_take(f.worker));
    CHECK_INT(0, bb_route(f.ring, 0, 1, 1));
    CHECK_INT(0, bb_worker_add(f.ring));
    CHECK_INT(0, bb_discard(f.ring, out, 1));
    CHECK_INT(1, bb_wait_idle(f.ring, FOREVER));
    CHECK_INT(0, bb_depth(f.ring));
    CHECK_INT(BB_SHUT, bb_state(f.ring));
    CHECK_INT(BB_GONE, bb_snapshot(f.ring, &stats, NULL, 0, NULL, 0));
    bb_caller_done(f.low, 0);
    bb_done(f.worker);
    bb_failed(f.worker);
    bb_unrouted(f.ring, 1);
    bb_close(f.ring, 1, 0);
    bb_ring_free(f.ring);
}

static void test_nonsense_handles_are_gone(void) {
    const int64_t nonsense[] = {0, 1, -1, INT64_MIN, INT64_MAX, (int64_t)131071 << BB_SERIAL_BITS};
    for (int i = 0; i < 6; i++) {
        CHECK_INT(BB_GONE, bb_push(nonsense[i]));
        CHECK_INT(BB_GONE, bb_wait(nonsense[i], FOREVER, 1));
        CHECK_INT(0, bb_take(nonsense[i]));
        CHECK_INT(BB_SHUT, bb_state(nonsense[i]));
    }
}

static void test_all_deliveries_of_an_event_are_accepted_or_none(void) {
    fixture f = fixture_new(5);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    CHECK_INT(BB_ACCEPTED, bb_push(three));
    CHECK_INT(3, bb_depth(f.ring));
    CHECK_INT(BB_FULL, bb_push(three + 3));
    CHECK_INT(3, bb_depth(f.ring));
    CHECK_TAKES(three, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(three + 3)); /* now 2 and 3 fit exactly */
    CHECK_INT(5, bb_depth(f.ring));
    for (int i = 1; i < 6; i++) CHECK_TAKES(three + i, f.worker);
    CHECK_BOOKS(f.ring, .published = 6, .processed = 5, .running = 1);
    fixture_free(&f);
}

static void test_first_in_first_out_within_a_level(void) {
    fixture f = fixture_new(100);
    int64_t two = bb_route(f.ring, 0, 2, 2);
    for (int i = 0; i < 30; i++) {
        CHECK_INT(BB_ACCEPTED, bb_push(f.medium + i));
        CHECK_INT(BB_ACCEPTED, bb_push(two + 2 * i));
    }
    for (int i = 0; i < 30; i++) {
        CHECK_TAKES(f.medium + i, f.worker);
        CHECK_TAKES(two + 2 * i, f.worker);
        CHECK_TAKES(two + 2 * i + 1, f.worker);
    }
    fixture_free(&f);
}

static void test_order_survives_any_number_of_turns(void) {
    fixture f = fixture_new(3);
    fill(f.medium, 2);
    for (int i = 0; i < 10000; i++) {
        CHECK_INT(BB_ACCEPTED, bb_push(f.medium + i + 2));
        CHECK_TAKES(f.medium + i, f.worker);
    }
    CHECK_INT(2, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_more_urgent_levels_are_taken_first(void) {
    fixture f = fixture_new(9);
    fill(f.low, 2);
    fill(f.high, 2);
    fill(f.medium, 2);
    CHECK_TAKES(f.high, f.worker);
    CHECK_TAKES(f.high + 1, f.worker);
    CHECK_TAKES(f.medium, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(f.high + 2)); /* overtakes what is queued */
    CHECK_TAKES(f.high + 2, f.worker);
    CHECK_TAKES(f.medium + 1, f.worker);
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, f.worker);
    fixture_free(&f);
}

static void test_all_eight_levels_are_in_order(void) {
    int64_t ring = bb_ring_new(16, BB_LEVELS, 0, 0);
    int64_t worker = bb_worker_add(ring);
    int64_t route[BB_LEVELS];
    for (int l = 0; l < BB_LEVELS; l++) {
        route[l] = bb_route(ring, 0, l + 1, 1);
        fill(route[l], 2);
    }
    for (int l = BB_LEVELS - 1; l >= 0; l--) {
        CHECK_TAKES(route[l], worker);
        CHECK_TAKES(route[l] + 1, worker);
    }
    bb_ring_free(ring);
}

static void test_push_many_accepts_in_order(void) {
    fixture f = fixture_new(10);
    const int64_t handles[] = {f.medium, f.low, f.medium + 1, f.high};
    CHECK_INT(4, bb_push_many(handles, 4));
    CHECK_TAKES(f.high, f.worker);
    CHECK_TAKES(f.medium, f.worker);
    CHECK_TAKES(f.medium + 1, f.worker);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(0, bb_push_many(handles, 0));
    CHECK_INT(0, bb_push_many(handles, -1));
    fixture_free(&f);
}

static void test_push_many_stops_at_the_first_that_does_not_fit(void) {
    fixture f = fixture_new(4);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    const int64_t handles[] = {f.medium, f.medium + 1, three, f.medium + 2};
    CHECK_INT(2, bb_push_many(handles, 4)); /* the fourth would fit, but is not to overtake */
    CHECK_INT(2, bb_depth(f.ring));
    CHECK_INT(0, bb_push_many(&handles[2], 2));
    CHECK_BOOKS(f.ring, .published = 2, .queued = 2);
    fixture_free(&f);
}

static void test_push_many_stops_at_a_handle_of_no_or_another_ring(void) {
    fixture f = fixture_new(4), other = fixture_new(4), freed = fixture_new(4);
    fixture_free(&freed);
    CHECK_INT(1, bb_push_many((int64_t[]){f.medium, freed.medium, f.medium + 1}, 3));
    CHECK_INT(1, bb_push_many((int64_t[]){f.medium + 2, other.medium, f.medium + 3}, 3));
    CHECK_INT(2, bb_depth(f.ring));
    CHECK_INT(0, bb_depth(other.ring));
    fixture_free(&other);
    fixture_free(&f);
}

void push_tests(void) {
    RUN(test_push_is_accepted_while_there_is_room);
    RUN(test_full_ring_refuses_and_counts_nothing);
    RUN(test_closed_ring_refuses_and_counts_nothing);
    RUN(test_freed_ring_is_gone);
    RUN(test_nonsense_handles_are_gone);
    RUN(test_all_deliveries_of_an_event_are_accepted_or_none);
    RUN(test_first_in_first_out_within_a_level);
    RUN(test_order_survives_any_number_of_turns);
    RUN(test_more_urgent_levels_are_taken_first);
    RUN(test_all_eight_levels_are_in_order);
    RUN(test_push_many_accepts_in_order);
    RUN(test_push_many_stops_at_the_first_that_does_not_fit);
    RUN(test_push_many_stops_at_a_handle_of_no_or_another_ring);
}

/* test_help.c: a handler that publishes into a full ring runs deliveries itself. */
#include "fixture.h"

/* A worker inside a delivery of a ring that is full. */
static fixture helping(int32_t capacity) {
    fixture f = fixture_new(capacity);
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    for (int32_t i = 1; i <= capacity; i++) CHECK_INT(BB_ACCEPTED, bb_push(f.low + i));
    return f;
}

static void test_help_is_not_needed_while_there_is_room(void) {
    fixture f = fixture_new(2);
    int64_t out[1] = {-1};
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 1, out));
    CHECK_INT(0, out[0]);
    CHECK_BOOKS(f.ring, .published = 2, .queued = 1, .running = 1);
    fixture_free(&f);
}

static void test_help_takes_one_and_puts_the_event_in_its_place(void) {
    fixture f = helping(2);
    int64_t out[1];
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 3, out));
    CHECK_INT(f.low + 1, out[0]);
    CHECK_BOOKS(f.ring, .published = 4, .queued = 2, .running = 2);
    bb_failed(f.worker); /* the innermost */
    bb_done(f.worker);
    CHECK_BOOKS(f.ring, .published = 4, .processed = 1, .failed = 1, .queued = 2, .running = 1);
    CHECK_TAKES(f.low + 2, f.worker); /* finishes the outermost */
    CHECK_BOOKS(f.ring, .published = 4, .processed = 2, .failed = 1, .queued = 1, .running = 1);
    fixture_free(&f);
}

static void test_help_comes_ahead_of_the_line(void) {
    fixture f = helping(1);
    int64_t out[1];
    CHECK_INT(BB_WAITING, bb_wait(f.high, 0, 1));
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 2, out));
    CHECK_INT(f.low + 1, out[0]);
    CHECK_INT(1, length_of_line(f.ring));
    bb_done(f.worker);
    CHECK_TAKES(f.low + 2, f.worker);
    CHECK_TAKES(f.high, f.worker);
    fixture_free(&f);
}

static void test_help_with_room_passes_the_line_too(void) {
    fixture f = fixture_new(2);
    int64_t out[1], three = bb_route(f.ring, 0, 3, 2);
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + 1));
    CHECK_INT(BB_WAITING, bb_wait(three, 0, 1));
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 2, out));
    CHECK_INT(0, out[0]);
    fixture_free(&f);
}

static void test_an_event_of_several_deliveries_needs_several_helps(void) {
    fixture f = helping(3);
    int64_t out[1], three = bb_route(f.ring, 0, 1, 3);
    for (int i = 1; i <= 2; i++) {
        CHECK_INT(BB_FULL, bb_help(f.worker, three, out));
        CHECK_INT(f.low + i, out[0]);
        bb_done(f.worker);
    }
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, three, out));
    CHECK_INT(f.low + 3, out[0]);
    CHECK_INT(3, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_room_that_help_cannot_use_goes_to_the_line(void) {
    fixture f = helping(3);
    int64_t out[1], three = bb_route(f.ring, 0, 1, 3);
    CHECK_INT(BB_WAITING, bb_wait(f.high, 0, 1));
    CHECK_INT(BB_FULL, bb_help(f.worker, three, out));
    CHECK_INT(f.low + 1, out[0]);
    CHECK_INT(0, length_of_line(f.ring));
    CHECK_INT(3, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_help_goes_oldest_first_then_newest_first_then_stops(void) {
    enum { CAPACITY = 100 };
    fixture f = helping(CAPACITY);
    int64_t next = f.low + CAPACITY + 1, newest = f.low + CAPACITY, out[1];
    for (int open = 1; open < BB_HELP; open++) {
        CHECK_INT(BB_ACCEPTED, bb_help(f.worker, next, out));
        CHECK_INT(open < BB_BREADTH ? f.low + open : newest, out[0]);
        newest = next++;
    }
    CHECK_INT(BB_FULL, bb_help(f.worker, next, out));
    CHECK_INT(0, out[0]);
    CHECK_INT(CAPACITY, bb_depth(f.ring));
    for (int open = BB_HELP; open > 1; open--) bb_done(f.worker);
    CHECK_TAKES(f.low + BB_BREADTH, f.worker); /* the queue is in order, but for its end */
    CHECK_BOOKS(f.ring, .published = CAPACITY + BB_HELP, .processed = BB_HELP,
                .queued = CAPACITY - 1, .running = 1);
    fixture_free(&f);
}

static void test_newest_first_keeps_the_urgency(void) {
    fixture f = helping(20);
    int64_t out[1];
    for (int i = 0; i < BB_BREADTH - 1; i++)
        CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 50 + i, out));
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.high, out));
    CHECK_INT(f.low + 50 + BB_BREADTH - 2, out[0]);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 60, out));
    CHECK_INT(f.high, out[0]);
    fixture_free(&f);
}

static void test_an_event_of_several_deliveries_is_taken_from_the_newest_end_in_order(void) {
    fixture f = helping(16);
    int64_t out[1], three = bb_route(f.ring, 0, 1, 3);
    for (int i = 0; i < BB_BREADTH - 1; i++)
        CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 50 + i, out));
    int64_t offered[4];
    CHECK_INT(BB_ACCEPTED, bb_offer(three, BB_OVERDRAW, offered));
    for (int i = 0; i < 3; i++) {
        CHECK_INT(BB_FULL, bb_help(f.worker, f.medium, out));
        CHECK_INT(three + i, out[0]);
    }
    fixture_free(&f);
}

static void test_help_in_an_overdrawn_ring_goes_on_until_there_is_room(void) {
    fixture f = helping(2);
    int64_t out[1], offered[2];
    for (int i = 3; i < 6; i++) CHECK_INT(BB_ACCEPTED, bb_offer(f.low + i, BB_OVERDRAW, offered));
    for (int i = 1; i < 4; i++) {
        CHECK_INT(BB_FULL, bb_help(f.worker, f.low + 6, out));
        CHECK_INT(f.low + i, out[0]);
        bb_done(f.worker);
    }
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 6, out));
    CHECK_INT(f.low + 4, out[0]);
    fixture_free(&f);
}

static void test_handlers_publish_while_draining_but_not_when_shut(void) {
    fixture f = helping(1);
    int64_t out[1];
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_ACCEPTED, bb_help(f.worker, f.low + 2, out));
    CHECK_INT(f.low + 1, out[0]);
    bb_close(f.ring, 0, 0);
    CHECK_INT(BB_CLOSED, bb_help(f.worker, f.low + 3, out));
    CHECK_INT(0, out[0]);
    CHECK_BOOKS(f.ring, .published = 3, .queued = 1, .running = 2);
    fixture_free(&f);
}

static void test_help_without_anything_queued_is_full(void) {
    fixture f = fixture_new(2);
    int64_t out[1], three = bb_route(f.ring, 0, 1, 3); /* larger than the ring */
    fill(f.low, 1);
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(BB_FULL, bb_help(f.worker, three, out));
    CHECK_INT(0, out[0]);
    fixture_free(&f);
}

void help_tests(void) {
    RUN(test_help_is_not_needed_while_there_is_room);
    RUN(test_help_takes_one_and_puts_the_event_in_its_place);
    RUN(test_help_comes_ahead_of_the_line);
    RUN(test_help_with_room_passes_the_line_too);
    RUN(test_an_event_of_several_deliveries_needs_several_helps);
    RUN(test_room_that_help_cannot_use_goes_to_the_line);
    RUN(test_help_goes_oldest_first_then_newest_first_then_stops);
    RUN(test_newest_first_keeps_the_urgency);
    RUN(test_an_event_of_several_deliveries_is_taken_from_the_newest_end_in_order);
    RUN(test_help_in_an_overdrawn_ring_goes_on_until_there_is_room);
    RUN(test_handlers_publish_while_draining_but_not_when_shut);
    RUN(test_help_without_anything_queued_is_full);
}

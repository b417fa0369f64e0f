/* test_line.c: the line of publishers that wait for room. */
#include "fixture.h"

static int32_t offer(int64_t handle, int32_t mode) {
    int64_t out[16];
    return plain_result(bb_offer(handle, mode, out));
}

static void test_wait_accepts_at_once_while_there_is_room(void) {
    fixture f = fixture_new(1);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low, FOREVER, 0));
    CHECK_INT(1, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_wait_gives_up_after_its_time(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    uint64_t before = bb_clock();
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 20000000, 1));
    CHECK(bb_clock() - before >= 20000000);
    CHECK_INT(1, length_of_line(f.ring));
    CHECK_BOOKS(f.ring, .published = 1, .queued = 1);
    fixture_free(&f);
}

static void test_wait_with_no_or_negative_time_does_not_sleep(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, -1, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, INT64_MIN, 1));
    CHECK_INT(0, bb_wait_idle(f.ring, -1));
    CHECK_INT(0, bb_wait_idle(f.ring, INT64_MIN));
    fixture_free(&f);
}

static void test_the_line_is_first_come_first_served(void) {
    enum { WAITING = 5 };
    fixture f = fixture_new(1);
    sleeper s[WAITING];
    fill(f.low, 1);
    for (int i = 0; i < WAITING; i++) { /* not in the order of urgency, but of arrival */
        start_wait(&s[i], (i % 2 ? f.high : f.low) + 10 + i, FOREVER);
        await_line(f.ring, i + 1);
    }
    CHECK_TAKES(f.low, f.worker);
    for (int i = 0; i < WAITING; i++) CHECK_TAKES((i % 2 ? f.high : f.low) + 10 + i, f.worker);
    for (int i = 0; i < WAITING; i++) CHECK_INT(BB_ACCEPTED, finish_sleeper(&s[i]));
    CHECK_BOOKS(f.ring, .published = 6, .processed = 5, .running = 1);
    fixture_free(&f);
}

static void test_a_taker_lets_in_who_is_not_even_there(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_TAKES(f.low, f.worker);
    CHECK_INT(1, bb_depth(f.ring));
    CHECK_BOOKS(f.ring, .published = 2, .queued = 1, .running = 1);
    CHECK_TAKES(f.low + 1, f.worker); /* handled before its publisher came back */
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 1, 0, 1));
    CHECK_BOOKS(f.ring, .published = 2, .processed = 1, .running = 1);
    fixture_free(&f);
}

static void test_slices_of_a_wait_keep_the_place_in_line(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 1000, 1));
        CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 1000, 1));
    }
    CHECK_INT(2, length_of_line(f.ring));
    for (int i = 0; i < 3; i++) CHECK_TAKES(f.low + i, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 2, 0, 1));
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 1, 0, 1));
    fixture_free(&f);
}

static void test_nobody_pushes_past_the_line(void) {
    fixture f = fixture_new(2);
    int64_t two = bb_route(f.ring, 0, 2, 2);
    fill(f.low, 2);
    CHECK_INT(BB_WAITING, bb_wait(two, 0, 1));
    CHECK_TAKES(f.low, f.worker); /* one place is free, the head of the line needs two */
    CHECK_INT(BB_FULL, bb_push(f.high));
    CHECK_INT(0, bb_push_many(&f.high, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.high, 0, 1));
    CHECK_TAKES(f.low + 1, f.worker);
    CHECK_TAKES(two, f.worker);
    CHECK_INT(BB_ACCEPTED, bb_wait(two, 0, 1));
    fixture_free(&f);
}

static void test_one_place_may_let_in_several_and_several_places_one(void) {
    fixture f = fixture_new(3);
    int64_t three = bb_route(f.ring, 0, 3, 3);
    fill(f.low, 3);
    CHECK_INT(BB_WAITING, bb_wait(three, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.medium, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.medium + 1, 0, 1));
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, f.worker);
    CHECK_INT(3, length_of_line(f.ring));
    CHECK_TAKES(f.low + 2, f.worker);
    CHECK_INT(2, length_of_line(f.ring));
    for (int i = 0; i < 3; i++) CHECK_TAKES(three + i, f.worker);
    CHECK_INT(0, length_of_line(f.ring));
    CHECK_BOOKS(f.ring, .published = 8, .processed = 5, .queued = 2, .running = 1);
    fixture_free(&f);
}

static void test_a_wait_in_vain_is_paid_once_a_congestion(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 1000, 0));
    CHECK_INT(BB_FULL, offer(f.low + 1, BB_TRY)); /* in vain: the ring is congested */
    CHECK_INT(0, length_of_line(f.ring));
    CHECK_INT(BB_FULL, bb_wait(f.low + 2, FOREVER, 0));
    CHECK_INT(0, length_of_line(f.ring));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 1000, 1)); /* whoever insists does wait */
    CHECK_INT(1, length_of_line(f.ring));
    CHECK_INT(1, bb_withdraw(f.low + 2));
    CHECK_TAKES(f.low, f.worker); /* a worker made room: waiting is worth a try again */
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + 3));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 4, 1000, 0));
    CHECK_INT(1, length_of_line(f.ring));
    fixture_free(&f);
}

static void test_who_stands_in_line_waits_on_when_another_has_waited_in_vain(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 1000, 0));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 1000, 0));
    CHECK_INT(BB_FULL, offer(f.low + 1, BB_TRY));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 1000, 0)); /* its next slice */
    CHECK_INT(1, length_of_line(f.ring));
    CHECK_INT(BB_FULL, bb_wait(f.low + 3, 1000, 0));
    fixture_free(&f);
}

static void test_only_a_wait_in_vain_congests(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_REFUSED, offer(f.low + 1, BB_REFUSE)); /* it never waited */
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 1000, 0));
    CHECK_INT(1, bb_withdraw(f.low + 2)); /* interrupted, not in vain */
    CHECK_INT(BB_WAITING, bb_wait(f.low + 3, 1000, 0));
    CHECK_INT(1, length_of_line(f.ring));
    fixture_free(&f);
}

static void test_an_offer_after_being_let_in_is_accepted_once(void) {
    const int32_t modes[] = {BB_TRY,    BB_EVICT_OLDEST, BB_EVICT_LOWEST,
                             BB_REFUSE, BB_CALLER_RUNS,  BB_OVERDRAW};
    for (int i = 0; i < 6; i++) {
        fixture f = fixture_new(1);
        fill(f.low, 1);
        CHECK_INT(BB_WAITING, bb_wait(f.high, 0, 1));
        CHECK_TAKES(f.low, f.worker);
        CHECK_INT(BB_ACCEPTED, offer(f.high, modes[i]));
        CHECK_BOOKS(f.ring, .published = 2, .queued = 1, .running = 1);
        fixture_free(&f);
    }
}

static void test_an_offer_leaves_the_line_whatever_comes_of_it(void) {
    const int32_t modes[] = {BB_TRY, BB_EVICT_OLDEST, BB_REFUSE, BB_CALLER_RUNS, BB_OVERDRAW};
    for (int i = 0; i < 5; i++) {
        fixture f = fixture_new(1);
        fill(f.low, 1);
        CHECK_INT(BB_WAITING, bb_wait(f.high, 0, 1));
        CHECK(offer(f.high, modes[i]) != BB_CLOSED);
        CHECK_INT(0, length_of_line(f.ring));
        fixture_free(&f);
    }
}

static void test_whoever_leaves_the_head_with_an_offer_lets_the_next_in(void) {
    fixture f = fixture_new(2);
    int64_t two = bb_route(f.ring, 0, 2, 2);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(two, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_INT(BB_REFUSED, offer(two, BB_REFUSE));
    CHECK_BOOKS(f.ring, .published = 4, .dropped = 2, .queued = 2);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 1, 0, 1));
    fixture_free(&f);
}

static void test_close_wakes_the_line_and_sends_it_home(void) {
    enum { WAITING = 4 };
    for (int32_t drain = 0; drain <= 1; drain++) {
        fixture f = fixture_new(1);
        sleeper s[WAITING];
        fill(f.low, 1);
        for (int i = 0; i < WAITING; i++) start_wait(&s[i], f.low + 1 + i, FOREVER);
        await_line(f.ring, WAITING);
        bb_close(f.ring, drain, -1);
        for (int i = 0; i < WAITING; i++) CHECK_INT(BB_CLOSED, finish_sleeper(&s[i]));
        CHECK_INT(0, length_of_line(f.ring));
        CHECK_BOOKS(f.ring, .published = 1, .queued = 1);
        fixture_free(&f);
    }
}

static void test_close_between_two_slices(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 1, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 3, 0, 1));
    bb_close(f.ring, 1, -1);
    CHECK_INT(BB_CLOSED, bb_wait(f.low + 1, FOREVER, 1));
    CHECK_INT(2, length_of_line(f.ring));
    CHECK_INT(BB_CLOSED, offer(f.low + 2, BB_OVERDRAW));
    CHECK_INT(1, length_of_line(f.ring));
    CHECK_TAKES(f.low, f.worker); /* nobody is let in any more */
    CHECK_INT(0, bb_depth(f.ring));
    CHECK_INT(1, bb_withdraw(f.low + 3));
    fixture_free(&f);
}

static void test_who_was_let_in_stays_accepted_when_the_ring_closes(void) {
    fixture f = fixture_new(8); /* so large that a single place is no reason to tell anyone */
    fill(f.low, 8);
    CHECK_INT(BB_WAITING, bb_wait(f.low + 8, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 9, 0, 1));
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, f.worker);
    bb_close(f.ring, 0, 0);
    CHECK_INT(BB_ACCEPTED, bb_wait(f.low + 8, FOREVER, 1));
    CHECK_INT(BB_ACCEPTED, offer(f.low + 9, BB_REFUSE));
    CHECK_BOOKS(f.ring, .published = 10, .processed = 1, .queued = 8, .running = 1);
    fixture_free(&f);
}

static void test_a_ring_can_be_freed_with_events_in_line(void) {
    fixture f = fixture_new(1);
    int64_t out[2];
    fill(f.low, 1);
    CHECK_INT(BB_RUN, bb_offer(f.low + 1, BB_CALLER_RUNS, out));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 2, 0, 1));
    CHECK_INT(BB_WAITING, bb_wait(f.low + 3, 0, 1));
    CHECK_TAKES(f.low, f.worker); /* one in each list */
    fixture_free(&f);
}

void line_tests(void) {
    RUN(test_wait_accepts_at_once_while_there_is_room);
    RUN(test_wait_gives_up_after_its_time);
    RUN(test_wait_with_no_or_negative_time_does_not_sleep);
    RUN(test_the_line_is_first_come_first_served);
    RUN(test_a_taker_lets_in_who_is_not_even_there);
    RUN(test_slices_of_a_wait_keep_the_place_in_line);
    RUN(test_nobody_pushes_past_the_line);
    RUN(test_one_place_may_let_in_several_and_several_places_one);
    RUN(test_a_wait_in_vain_is_paid_once_a_congestion);
    RUN(test_who_stands_in_line_waits_on_when_another_has_waited_in_vain);
    RUN(test_only_a_wait_in_vain_congests);
    RUN(test_an_offer_after_being_let_in_is_accepted_once);
    RUN(test_an_offer_leaves_the_line_whatever_comes_of_it);
    RUN(test_whoever_leaves_the_head_with_an_offer_lets_the_next_in);
    RUN(test_close_wakes_the_line_and_sends_it_home);
    RUN(test_close_between_two_slices);
    RUN(test_who_was_let_in_stays_accepted_when_the_ring_closes);
    RUN(test_a_ring_can_be_freed_with_events_in_line);
}

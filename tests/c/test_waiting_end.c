/* test_waiting_end.c: how a wait ends: with an offer, or because the queue closes. */
#include "fixture.h"

static const bb_mode modes[] = {BB_EVICT_OLDEST, BB_EVICT_LOWEST, BB_REFUSE, BB_CALLER_RUNS};

static fixture *full_queue(int32_t capacity) {
    fixture *f = fixture_new(capacity);
    fill(f, &f->low, 1, capacity);
    return f;
}

static void test_an_offer_after_admission_is_accepted_once(void) {
    for (int i = 0; i < 4; i++) {
        fixture *f = full_queue(1);
        bb_waiter *waiter = join(f, &f->high, 2);
        CHECK_TAKES(1, f->worker);
        CHECK_INT(BB_ACCEPTED, offer_as(f, &f->high, 2, modes[i], BB_OUTSIDE, waiter));
        CHECK_BOOKS(f, .published = 2, .queued = 1, .running = 1);
        fixture_free(f);
    }
}

static void test_an_offer_ends_the_wait_whatever_its_result(void) {
    const bb_result results[] = {BB_EVICTED, BB_EVICTED, BB_REFUSED, BB_RUN};
    for (int i = 0; i < 4; i++) {
        fixture *f = full_queue(1);
        bb_waiter *waiter = join(f, &f->high, 2);
        CHECK_INT(results[i], offer_as(f, &f->high, 2, modes[i], BB_OUTSIDE, waiter));
        CHECK_INT(0, stats_of(f).waiting);
        if (results[i] == BB_RUN) bb_caller_done(f->caller, 0);
        fixture_free(f);
    }
}

static void test_an_offer_of_the_first_waiter_admits_the_next(void) {
    fixture *f = fixture_new(2);
    bb_route two = several(f, 2, 2);
    fill(f, &f->low, 1, 1);
    bb_waiter *first = join(f, &two, 2), *next = join(f, &f->low, 3);
    CHECK_INT(BB_REFUSED, offer_as(f, &two, 2, BB_REFUSE, BB_OUTSIDE, first));
    CHECK_BOOKS(f, .published = 4, .dropped = 2, .queued = 2);
    CHECK_INT(1, bb_waiter_leave(next));
    fixture_free(f);
}

/* It may have become the first waiter since it last checked. */
static void test_an_offer_of_a_waiter_takes_free_slots(void) {
    fixture *f = fixture_new(2);
    bb_route two = several(f, 2, 2);
    fill(f, &f->low, 1, 1);
    bb_waiter *first = join(f, &two, 2), *second = join(f, &f->medium, 3);
    CHECK_INT(BB_ACCEPTED, offer_as(f, &f->medium, 3, BB_REFUSE, BB_OUTSIDE, second));
    CHECK_BOOKS(f, .published = 2, .queued = 2);
    CHECK_INT(0, bb_waiter_leave(first));
    fixture_free(f);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void test_close_wakes_and_rejects_all_waiters(void) {
    enum { WAITING = 4 };
    for (int32_t drain = 0; drain <= 1; drain++) {
        fixture *f = full_queue(1);
        sleeper s[WAITING];
        bb_waiter *waiter[WAITING];
        const bb_route *route[] = {&f->low, &f->high};
        staged_sleeps(STAGED_ENDLESS);
        for (int i = 0; i < WAITING; i++) {
            bb_origin origin = i < 2 ? BB_OUTSIDE : BB_HANDLER;
            waiter[i] = join_as(f, route[i % 2], 2 + i, origin, i % 2);
            start_wait(&s[i], waiter[i]);
        }
        await_asleep(f, WAITING);
        bb_close(f->q, drain, -1);
        for (int i = 0; i < WAITING; i++) {
            CHECK_INT(BB_CLOSED, finish_sleeper(&s[i]));
            CHECK_INT(0, bb_waiter_leave(waiter[i]));
        }
        CHECK_INT(0, stats_of(f).waiting);
        CHECK_BOOKS(f, .published = 1, .queued = 1);
        fixture_free(f);
    }
}

static void test_close_between_two_slices(void) {
    fixture *f = full_queue(1);
    bb_waiter *waiter[3];
    for (int i = 0; i < 3; i++) waiter[i] = join(f, &f->low, 2 + i);
    bb_close(f->q, 1, -1);
    CHECK_INT(0, stats_of(f).waiting);
    CHECK_INT(BB_CLOSED, bb_waiter_wait(waiter[0], NEVER));
    CHECK_INT(BB_CLOSED, offer_as(f, &f->low, 3, BB_EVICT_OLDEST, BB_OUTSIDE, waiter[1]));
    CHECK_TAKES(1, f->worker); /* no waiter is admitted any more */
    CHECK_INT(0, bb_depth(f->q));
    CHECK_INT(0, bb_waiter_leave(waiter[0]));
    CHECK_INT(0, bb_waiter_leave(waiter[2]));
    CHECK(join(f, &f->low, 5) == NULL);
    CHECK_INT(BB_CLOSED, last_join);
    fixture_free(f);
}

static void test_handlers_of_a_draining_queue_keep_waiting_and_are_admitted(void) {
    fixture *f = full_queue(2);
    sleeper s;
    take_some(f, 1);
    fill(f, &f->low, 3, 1);
    staged_sleeps(STAGED_ENDLESS);
    bb_waiter *outside = join(f, &f->high, 10);
    bb_waiter *inside = join_as(f, &f->low, 11, BB_INSIDE, false);
    start_wait(&s, inside);
    await_asleep(f, 1);
    bb_close(f->q, 1, -1);
    CHECK_INT(1, stats_of(f).waiting);
    CHECK_INT(BB_CLOSED, bb_waiter_wait(outside, NEVER));
    CHECK_INT(0, bb_waiter_leave(outside));
    bb_waiter *later = join_as(f, &f->low, 12, BB_INSIDE, false);
    CHECK_TAKES(2, f->worker);
    CHECK_TAKES(3, f->worker);
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    CHECK_INT(1, bb_waiter_leave(inside));
    CHECK_INT(1, bb_waiter_leave(later));
    CHECK_TAKES(11, f->worker);
    CHECK_TAKES(12, f->worker);
    CHECK_TAKES(0, f->worker);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    fixture_free(f);
}

static void test_they_are_rejected_when_the_drain_is_over(void) {
    for (int by_deadline = 0; by_deadline <= 1; by_deadline++) {
        fixture *f = full_queue(2);
        staged_clock_set(NOW);
        take_some(f, 1);
        fill(f, &f->low, 3, 1);
        bb_waiter *inside = join_as(f, &f->low, 11, BB_INSIDE, false);
        bb_close(f->q, 1, 1000);
        CHECK_INT(BB_WAITING, bb_waiter_wait(inside, 0));
        staged_clock_advance(1000);
        if (by_deadline) CHECK_TAKES(0, f->worker);
        else bb_close(f->q, 0, 0);
        CHECK_INT(BB_CLOSED, bb_waiter_wait(inside, NEVER));
        CHECK_INT(0, bb_waiter_leave(inside));
        CHECK_BOOKS(f, .published = 3, .queued = 2, .processed = by_deadline,
                    .running = !by_deadline);
        fixture_free(f);
    }
}

static void test_an_admitted_event_stays_accepted_when_the_queue_closes(void) {
    fixture *f = full_queue(8); /* so large that a single free slot notifies no waiter */
    bb_waiter *first = join(f, &f->low, 9), *second = join(f, &f->low, 10);
    take_some(f, 2);
    bb_close(f->q, 0, 0);
    CHECK_INT(BB_ACCEPTED, bb_waiter_wait(first, NEVER));
    CHECK_INT(1, bb_waiter_leave(first));
    CHECK_INT(BB_ACCEPTED, offer_as(f, &f->low, 10, BB_REFUSE, BB_OUTSIDE, second));
    CHECK_BOOKS(f, .published = 10, .processed = 1, .queued = 8, .running = 1);
    fixture_free(f);
}

void waiting_end_tests(void) {
    RUN(test_an_offer_after_admission_is_accepted_once);
    RUN(test_an_offer_ends_the_wait_whatever_its_result);
    RUN(test_an_offer_of_the_first_waiter_admits_the_next);
    RUN(test_an_offer_of_a_waiter_takes_free_slots);
    RUN(test_close_wakes_and_rejects_all_waiters);
    RUN(test_close_between_two_slices);
    RUN(test_handlers_of_a_draining_queue_keep_waiting_and_are_admitted);
    RUN(test_they_are_rejected_when_the_drain_is_over);
    RUN(test_an_admitted_event_stays_accepted_when_the_queue_closes);
}

/* test_oversize.c: events with more deliveries than the queue has slots. */
#include "fixture.h"

#include <stdlib.h>

static void check_out(fixture *f, int32_t n, const int64_t *events) {
    CHECK_INT(n, f->evicted);
    for (int i = 0; i < n; i++) CHECK_INT(events[i], NUMBER(f->out[i].event));
}

static void test_an_empty_queue_accepts_an_event_of_any_size(void) {
    fixture *f = fixture_new(2);
    bb_route many = several(f, 2, MANY);
    fill(f, &many, 1, 1);
    CHECK_INT(MANY, bb_depth(f->q));
    CHECK_INT(BB_FULL, push(f, &f->high, 2));
    for (int i = 0; i < MANY; i++) CHECK_TAKES(1, f->worker);
    CHECK_BOOKS(f, .published = MANY, .processed = MANY - 1, .running = 1);
    fill(f, &f->low, 3, 2);
    CHECK_INT(BB_FULL, push(f, &f->low, 5)); /* the capacity is what it was */
    fixture_free(f);
}

static void test_a_queue_that_is_not_empty_refuses_such_an_event(void) {
    fixture *f = fixture_new(2);
    bb_route three = several(f, 2, 3);
    const bb_route *route = &three;
    void *event = EVENT(2);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_FULL, push(f, &three, 2));
    CHECK_INT(0, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
    CHECK_INT(BB_REFUSED, offer(f, &three, 2, BB_REFUSE));
    CHECK_BOOKS(f, .published = 4, .dropped = 3, .queued = 1);
    fixture_free(f);
}

static void test_every_way_in_is_open_to_such_an_event(void) {
    for (int way = 0; way < 3; way++) {
        fixture *f = fixture_new(2);
        bb_route many = several(f, 2, MANY);
        const bb_route *route = &many;
        void *event = EVENT(2);
        if (way == 0) CHECK(join(f, &many, 2) == NULL && last_join == BB_ACCEPTED);
        if (way == 1) CHECK_INT(BB_ACCEPTED, offer(f, &many, 2, BB_REFUSE));
        if (way == 2) CHECK_INT(1, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
        CHECK_BOOKS(f, .published = MANY, .queued = MANY);
        fixture_free(f);
    }
}

static void test_a_waiter_with_such_an_event_is_admitted_when_the_queue_is_empty(void) {
    fixture *f = fixture_new(2);
    bb_route many = several(f, 2, MANY);
    fill(f, &f->low, 1, 2);
    bb_waiter *waiter = join(f, &many, 3);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(1, bb_depth(f->q));
    CHECK_TAKES(2, f->worker);
    CHECK_INT(MANY, bb_depth(f->q));
    CHECK_INT(1, bb_waiter_leave(waiter));
    for (int i = 0; i < MANY; i++) CHECK_TAKES(3, f->worker);
    fixture_free(f);
}

static void test_all_are_evicted_for_such_an_event(void) {
    for (bb_mode mode = BB_EVICT_OLDEST; mode <= BB_EVICT_LOWEST; mode++) {
        fixture *f = fixture_new(2);
        bb_route three = several(f, 3, 3);
        fill(f, &f->low, 1, 2);
        CHECK_INT(BB_EVICTED, offer(f, &three, 3, mode));
        check_out(f, 2, (int64_t[]){1, 2});
        CHECK_BOOKS(f, .published = 5, .dropped = 2, .queued = 3);
        fixture_free(f);
    }
}

static void test_it_is_refused_if_something_more_urgent_is_queued(void) {
    fixture *f = fixture_new(3);
    bb_route four = several(f, 1, 4);
    fill(f, &f->low, 1, 2);
    fill(f, &f->high, 21, 1);
    CHECK_INT(BB_REFUSED, offer(f, &four, 3, BB_EVICT_OLDEST));
    CHECK_INT(0, f->evicted);
    CHECK_INT(3, bb_depth(f->q));
    fixture_free(f);
}

/* More than the event has deliveries may be queued: by handlers, or by another such event. */
static void test_if_the_evicted_do_not_fit_into_the_array_nothing_changes(void) {
    fixture *f = fixture_with((bb_settings){.capacity = 2, .reserve = 10});
    bb_route three = several(f, 2, 3);
    for (int i = 1; i <= 12; i++) CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, i, BB_HANDLER));
    for (f->out_size = 3; f->out_size < 12; f->out_size += 8) {
        f->out[0].event = EVENT(77);
        CHECK_INT(BB_FULL, offer(f, &three, 21, BB_EVICT_OLDEST));
        check_out(f, 0, NULL);
        CHECK_INT(0, f->first);
        CHECK_INT(77, NUMBER(f->out[0].event));
    }
    CHECK_BOOKS(f, .published = 12, .queued = 12);
    f->out_size = 12;
    CHECK_INT(BB_EVICTED, offer(f, &three, 21, BB_EVICT_OLDEST));
    check_out(f, 12, (int64_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    CHECK_INT(3, bb_depth(f->q));
    fixture_free(f);
}

static void test_the_wait_has_ended_after_that(void) {
    fixture *f = fixture_new(2);
    bb_route three = several(f, 2, 3);
    fill(f, &f->low, 1, 2);
    bb_waiter *waiter = join(f, &three, 3);
    f->out_size = 1;
    CHECK_INT(BB_FULL, offer_as(f, &three, 3, BB_EVICT_OLDEST, BB_OUTSIDE, waiter));
    CHECK_INT(0, stats_of(f).waiting);
    f->out_size = 2;
    CHECK_INT(BB_EVICTED, offer(f, &three, 3, BB_EVICT_OLDEST));
    fixture_free(f);
}

static void test_an_event_of_the_usual_size_replaces_one_for_one(void) {
    fixture *f = fixture_new(2);
    bb_route ten = several(f, 1, 10), two = several(f, 2, 2);
    fill(f, &ten, 1, 1);
    f->out_size = 2;
    CHECK_INT(BB_EVICTED, offer(f, &two, 2, BB_EVICT_OLDEST));
    check_out(f, 2, (int64_t[]){1, 1});
    CHECK_INT(10, bb_depth(f->q));
    fixture_free(f);
}

static void test_slots_evicted_beyond_its_size_go_to_waiters(void) {
    fixture *f = fixture_with((bb_settings){.capacity = 2, .reserve = 2});
    bb_route three = several(f, 2, 3);
    for (int i = 1; i <= 4; i++) CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, i, BB_HANDLER));
    bb_waiter *handler = join_as(f, &f->low, 5, BB_HANDLER, true);
    CHECK_INT(BB_EVICTED, offer(f, &three, 6, BB_EVICT_OLDEST));
    CHECK_INT(4, f->evicted);
    CHECK_INT(4, bb_depth(f->q));
    CHECK_INT(1, bb_waiter_leave(handler));
    fixture_free(f);
}

static void test_a_caller_runs_such_an_event_whole(void) {
    fixture *f = fixture_new(1);
    bb_route three = several(f, 1, 3);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_RUN, offer(f, &three, 2, BB_CALLER_RUNS));
    CHECK_BOOKS(f, .published = 4, .queued = 1, .running = 3);
    for (int i = 0; i < 3; i++) bb_caller_done(f->caller, 0);
    CHECK_BOOKS(f, .published = 4, .processed = 3, .queued = 1);
    fixture_free(f);
}

static void test_without_memory_for_its_slots_nothing_changes(void) {
    for (int way = 0; way < 4; way++) {
        fixture *f = fixture_new(2);
        bb_route many = several(f, 3, MANY);
        bool holds = way == 1 || way == 3;
        if (holds) fill(f, &f->low, 1, 1);
        staged_memory_fail_after(way == 3); /* the waiter's own comes first */
        if (way == 0) CHECK_INT(BB_NO_MEMORY, push(f, &many, 2));
        if (way == 1) CHECK_INT(BB_NO_MEMORY, offer(f, &many, 2, BB_EVICT_OLDEST));
        if (way == 2) CHECK_INT(BB_NO_MEMORY, offer(f, &many, 2, BB_REFUSE));
        if (way == 3) CHECK(join(f, &many, 2) == NULL && last_join == BB_NO_MEMORY);
        CHECK_INT(0, stats_of(f).waiting);
        CHECK_BOOKS(f, .published = holds, .queued = holds);
        fixture_free(f);
    }
}

static void test_the_largest_queue_works(void) {
    enum { CAPACITY = 1 << 24, HALF = CAPACITY / 2 };
    fixture *f = fixture_new(CAPACITY);
    bb_recipient **half = calloc(HALF, sizeof *half);
    bb_delivery *out = calloc(HALF, sizeof *out);
    for (int i = 0; i < HALF; i++) half[i] = &f->recipient[0];
    bb_route route = {.level = 2, .count = HALF, .recipients = half};
    int32_t evicted, first;
    bb_caller *caller;
    fill(f, &route, 1, 2);
    CHECK_INT(BB_FULL, push(f, &f->low, 3));
    CHECK_INT(CAPACITY, bb_depth(f->q));
    CHECK_TAKES(1, f->worker);
    bb_result result = bb_offer(f->q, &route, EVENT(4), 0, BB_OUTSIDE, BB_EVICT_OLDEST, NULL, out,
                                HALF, &evicted, &first, &caller);
    CHECK_INT(BB_EVICTED, result);
    CHECK_INT(HALF - 1, evicted);
    CHECK_INT(1, NUMBER(out[0].event));
    CHECK_INT(1, NUMBER(out[HALF - 2].event));
    CHECK_INT(0, NUMBER(out[HALF - 1].event));
    CHECK_INT(CAPACITY, bb_depth(f->q));
    free(out);
    free(half);
    fixture_free(f);
}

void oversize_tests(void) {
    RUN(test_an_empty_queue_accepts_an_event_of_any_size);
    RUN(test_a_queue_that_is_not_empty_refuses_such_an_event);
    RUN(test_every_way_in_is_open_to_such_an_event);
    RUN(test_a_waiter_with_such_an_event_is_admitted_when_the_queue_is_empty);
    RUN(test_all_are_evicted_for_such_an_event);
    RUN(test_it_is_refused_if_something_more_urgent_is_queued);
    RUN(test_if_the_evicted_do_not_fit_into_the_array_nothing_changes);
    RUN(test_the_wait_has_ended_after_that);
    RUN(test_an_event_of_the_usual_size_replaces_one_for_one);
    RUN(test_slots_evicted_beyond_its_size_go_to_waiters);
    RUN(test_a_caller_runs_such_an_event_whole);
    RUN(test_without_memory_for_its_slots_nothing_changes);
    RUN(test_the_largest_queue_works);
}

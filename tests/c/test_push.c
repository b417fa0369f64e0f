/* test_push.c: pushing, and the order in which deliveries are taken. */
#include "fixture.h"

static void test_push_is_accepted_while_there_are_free_slots(void) {
    fixture *f = fixture_new(3);
    fill(f, &f->medium, 1, 3);
    CHECK_INT(3, bb_depth(f->q));
    CHECK_INT(3, bb_published(f->q));
    CHECK_INT(0, bb_ended(f->q));
    CHECK_BOOKS(f, .published = 3, .queued = 3);
    fixture_free(f);
}

static void test_a_delivery_comes_out_as_it_was_put_in(void) {
    fixture *f = fixture_new(4);
    bb_route two = several(f, 2, 2);
    bb_delivery out;
    CHECK_INT(BB_ACCEPTED, bb_push(f->q, &two, EVENT(7), 5, BB_OUTSIDE));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(1, bb_take(f->worker, &out));
        CHECK_INT(7, NUMBER(out.event));
        CHECK(out.recipient == two.recipients[i]);
        CHECK_INT(5, out.depth);
    }
    fixture_free(f);
}

static void test_a_full_queue_refuses_and_counts_nothing(void) {
    fixture *f = fixture_new(2);
    fill(f, &f->medium, 1, 2);
    CHECK_INT(BB_FULL, push(f, &f->medium, 3));
    CHECK_INT(BB_FULL, push(f, &f->high, 4));
    CHECK_BOOKS(f, .published = 2, .queued = 2);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(BB_ACCEPTED, push(f, &f->medium, 5));
    fixture_free(f);
}

static void test_a_closed_queue_refuses_and_counts_nothing(void) {
    fixture *f = fixture_new(2);
    const bb_route *route = &f->low;
    void *event = EVENT(2);
    fill(f, &f->low, 1, 1);
    for (int32_t drain = 1; drain >= 0; drain--) {
        bb_close(f->q, drain, -1);
        CHECK_INT(BB_CLOSED, push(f, &f->low, 2));
        CHECK_INT(BB_CLOSED, push_as(f, &f->low, 2, BB_HANDLER)); /* of another queue */
        CHECK_INT(BB_CLOSED, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
    }
    CHECK_INT(BB_CLOSED, push_as(f, &f->low, 2, BB_INSIDE));
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    fixture_free(f);
}

static void test_handlers_of_the_queue_may_push_while_it_drains(void) {
    fixture *f = fixture_new(3);
    const bb_route *route = &f->low;
    void *event = EVENT(3);
    fill(f, &f->low, 1, 1);
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, 2, BB_INSIDE));
    CHECK_INT(1, bb_push_many(f->q, &route, &event, 1, 0, BB_INSIDE));
    CHECK_BOOKS(f, .published = 3, .queued = 3);
    fixture_free(f);
}

static void test_an_event_without_recipients_is_unrouted(void) {
    fixture *f = fixture_new(1);
    bb_route unrouted = several(f, 1, 0);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_ACCEPTED, push(f, &unrouted, 2)); /* also in a full queue */
    CHECK_INT(1, stats_of(f).unrouted);
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_CLOSED, push(f, &unrouted, 2));
    CHECK_INT(1, stats_of(f).unrouted);
    fixture_free(f);
}

static void test_all_deliveries_of_an_event_are_accepted_or_none(void) {
    fixture *f = fixture_new(5);
    bb_route three = several(f, 2, 3);
    CHECK_INT(BB_ACCEPTED, push(f, &three, 1));
    CHECK_INT(3, bb_depth(f->q));
    CHECK_INT(BB_FULL, push(f, &three, 2));
    CHECK_INT(3, bb_depth(f->q));
    CHECK_TAKES(1, f->worker);
    CHECK_INT(BB_ACCEPTED, push(f, &three, 2)); /* now 2 and 3 fit exactly */
    CHECK_INT(5, bb_depth(f->q));
    for (int i = 0; i < 2; i++) CHECK_TAKES(1, f->worker);
    for (int i = 0; i < 3; i++) CHECK_TAKES(2, f->worker);
    CHECK_BOOKS(f, .published = 6, .processed = 5, .running = 1);
    fixture_free(f);
}

static void test_first_in_first_out_within_a_level(void) {
    fixture *f = fixture_new(100);
    bb_route two = several(f, 2, 2);
    for (int i = 1; i <= 30; i++) {
        CHECK_INT(BB_ACCEPTED, push(f, &f->medium, i));
        CHECK_INT(BB_ACCEPTED, push(f, &two, 100 + i));
    }
    for (int i = 1; i <= 30; i++) {
        CHECK_TAKES(i, f->worker);
        CHECK_TAKES(100 + i, f->worker);
        CHECK_TAKES(100 + i, f->worker);
    }
    fixture_free(f);
}

static void test_order_survives_any_number_of_turns(void) {
    fixture *f = fixture_new(3);
    fill(f, &f->medium, 1, 2);
    for (int i = 1; i <= 10000; i++) {
        CHECK_INT(BB_ACCEPTED, push(f, &f->medium, i + 2));
        CHECK_TAKES(i, f->worker);
    }
    CHECK_INT(2, bb_depth(f->q));
    CHECK_INT(10002, bb_published(f->q));
    CHECK_INT(9999, bb_ended(f->q));
    fixture_free(f);
}

static void test_more_urgent_levels_are_taken_first(void) {
    fixture *f = fixture_new(9);
    fill(f, &f->low, 1, 2);
    fill(f, &f->high, 21, 2);
    fill(f, &f->medium, 11, 2);
    CHECK_TAKES(21, f->worker);
    CHECK_TAKES(22, f->worker);
    CHECK_TAKES(11, f->worker);
    CHECK_INT(BB_ACCEPTED, push(f, &f->high, 23)); /* overtakes what is queued */
    CHECK_TAKES(23, f->worker);
    CHECK_TAKES(12, f->worker);
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(2, f->worker);
    fixture_free(f);
}

static void test_all_eight_levels_are_in_order(void) {
    fixture *f = fixture_with((bb_settings){.capacity = 16, .levels = BB_LEVELS});
    for (int l = 1; l <= BB_LEVELS; l++) {
        bb_route route = several(f, l, 1);
        fill(f, &route, 10 * l, 2);
    }
    for (int l = BB_LEVELS; l >= 1; l--) {
        CHECK_TAKES(10 * l, f->worker);
        CHECK_TAKES(10 * l + 1, f->worker);
    }
    fixture_free(f);
}

static void test_push_many_accepts_in_order(void) {
    fixture *f = fixture_new(10);
    const bb_route *routes[] = {&f->medium, &f->low, &f->medium, &f->high};
    void *events[] = {EVENT(1), EVENT(2), EVENT(3), EVENT(4)};
    CHECK_INT(4, bb_push_many(f->q, routes, events, 4, 0, BB_OUTSIDE));
    for (int i = 0; i < 4; i++) CHECK_TAKES(((int64_t[]){4, 1, 3, 2})[i], f->worker);
    CHECK_INT(0, bb_push_many(f->q, routes, events, 0, 0, BB_OUTSIDE));
    CHECK_INT(0, bb_push_many(f->q, routes, events, -1, 0, BB_OUTSIDE));
    fixture_free(f);
}

static void test_push_many_stops_at_the_first_that_does_not_fit(void) {
    fixture *f = fixture_new(4);
    bb_route three = several(f, 2, 3);
    const bb_route *routes[] = {&f->medium, &f->medium, &three, &f->medium};
    void *events[] = {EVENT(1), EVENT(2), EVENT(3), EVENT(4)};
    /* The fourth would fit, but must not overtake. */
    CHECK_INT(2, bb_push_many(f->q, routes, events, 4, 0, BB_OUTSIDE));
    CHECK_INT(2, bb_depth(f->q));
    CHECK_INT(0, bb_push_many(f->q, &routes[2], &events[2], 2, 0, BB_OUTSIDE));
    CHECK_BOOKS(f, .published = 2, .queued = 2);
    fixture_free(f);
}

static void test_push_many_counts_runs_of_a_route_as_single_pushes(void) {
    fixture *f = fixture_new(8);
    bb_route three = several(f, 2, 3), unrouted = several(f, 1, 0);
    const bb_route *routes[] = {&three,   &three,   &unrouted, &unrouted, &unrouted,
                                &f->high, &f->high, &f->high,  &f->high};
    void *events[9];
    for (int i = 0; i < 9; i++) events[i] = EVENT(i + 1);
    CHECK_INT(7, bb_push_many(f->q, routes, events, 9, 0, BB_OUTSIDE));
    CHECK_BOOKS(f, .published = 8, .queued = 8);
    bb_stats stats = stats_of(f);
    CHECK_INT(3, stats.unrouted);
    CHECK_INT(6, stats.level[1].published);
    CHECK_INT(2, stats.level[2].published);
    CHECK_INT(2, three.recipients[0]->tally.published);
    CHECK_INT(2, three.recipients[2]->tally.published);
    CHECK_INT(2, f->high.recipients[0]->tally.published);
    fixture_free(f);
}

void push_tests(void) {
    RUN(test_push_is_accepted_while_there_are_free_slots);
    RUN(test_a_delivery_comes_out_as_it_was_put_in);
    RUN(test_a_full_queue_refuses_and_counts_nothing);
    RUN(test_a_closed_queue_refuses_and_counts_nothing);
    RUN(test_handlers_of_the_queue_may_push_while_it_drains);
    RUN(test_an_event_without_recipients_is_unrouted);
    RUN(test_all_deliveries_of_an_event_are_accepted_or_none);
    RUN(test_first_in_first_out_within_a_level);
    RUN(test_order_survives_any_number_of_turns);
    RUN(test_more_urgent_levels_are_taken_first);
    RUN(test_all_eight_levels_are_in_order);
    RUN(test_push_many_accepts_in_order);
    RUN(test_push_many_stops_at_the_first_that_does_not_fit);
    RUN(test_push_many_counts_runs_of_a_route_as_single_pushes);
}

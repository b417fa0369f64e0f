/* test_parked.c: what is parked is dropped as what is in slots: evicted, refused, discarded. */
#include "grouped.h"

/* The events that the last offer evicted. */
static void check_evicted(fixture *f, int n, const int64_t *events) {
    CHECK_INT(n, f->evicted);
    for (int i = 0; i < n; i++) CHECK_INT(events[i], number_of(f->out[i].event));
    CHECK_LISTS(f);
}
#define CHECK_EVICTED(f, ...) \
    check_evicted((f), (int)(sizeof (int64_t[]){__VA_ARGS__} / sizeof(int64_t)), \
                  (int64_t[]){__VA_ARGS__})

static void test_the_oldest_are_evicted_whether_parked_or_not(void) {
    fixture *f = fixture_new(5);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 2, 0, 1);
    fill(f, &f->low, 2, 1);
    post(g, 1, 0, 3); /* of the lane of 1, but of another level */
    post(g, 1, NO_KEY, 4);
    post(g, 3, 1, 5); /* above the level of what comes */
    for (int64_t event = 6; event <= 9; event++) {
        CHECK_INT(BB_EVICTED, offer_grouped(g, 2, 2, event, BB_EVICT_OLDEST));
        CHECK_EVICTED(f, event - 5);
    }
    CHECK_INT(BB_EVICTED, offer(f, &f->medium, 10, BB_EVICT_OLDEST));
    CHECK_EVICTED(f, 6);
    CHECK_BOOKS(f, .published = 10, .dropped = 5, .queued = 5);
    for (int i = 0; i < 5; i++) CHECK_TRIES(((int64_t[]){5, 7, 8, 9, 10})[i], f->worker);
    fixture_free(f);
}

static void test_the_lowest_level_is_evicted_whether_parked_or_not(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 2, 0, 1);
    post(g, 1, 0, 2);
    fill(f, &f->low, 3, 1);
    post(g, 2, NO_KEY, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(BB_EVICTED, offer_grouped(g, 3, 1, 5 + i, BB_EVICT_LOWEST));
        CHECK_EVICTED(f, ((int64_t[]){2, 3, 1, 4})[i]);
    }
    CHECK_INT(BB_REFUSED, offer_grouped(g, 3, 1, 9, BB_EVICT_LOWEST));
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 9, .dropped = 5, .queued = 4);
    fixture_free(f);
}

static void test_a_lane_goes_on_without_what_is_evicted_from_it(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 3, 0, 1);
    post(g, 1, 0, 2);
    post(g, 2, 0, 3);
    post(g, 1, 0, 4);
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 5, BB_EVICT_OLDEST)); /* in the middle */
    CHECK_EVICTED(f, 2);
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 6, BB_EVICT_OLDEST)); /* the last */
    CHECK_EVICTED(f, 4);
    CHECK_INT(BB_EVICTED, offer(f, &f->high, 7, BB_EVICT_OLDEST)); /* the first */
    CHECK_EVICTED(f, 1);
    drop_ticket(f, 1);
    drop_ticket(f, 2);
    drop_ticket(f, 4);
    for (int i = 0; i < 4; i++) CHECK_TRIES(((int64_t[]){7, 3, 5, 6})[i], f->worker);
    fixture_free(f);
}

static void test_what_is_behind_a_running_delivery_can_be_evicted(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, 0, 1, 2);
    CHECK_TRIES(1, f->worker);
    post(g, 1, 0, 3);
    CHECK_INT(BB_EVICTED, offer_grouped(g, 1, 0, 4, BB_EVICT_OLDEST));
    CHECK_EVICTED(f, 2);
    CHECK_TRIES(3, f->worker);
    CHECK_TRIES(4, f->worker);
    CHECK_BOOKS(f, .published = 4, .processed = 2, .dropped = 1, .running = 1);
    fixture_free(f);
}

static void test_a_delayed_delivery_can_be_evicted(void) {
    for (int keyed = 0; keyed < 2; keyed++) {
        fixture *f = fixture_new(2);
        grouped *g = grouped_new(f, 0, 0);
        int32_t key = keyed ? 0 : NO_KEY;
        post(g, 1, key, 1);
        CHECK_TRIES(1, f->worker);
        retry(f, f->worker, 1);
        bb_finish(f->worker, 0);
        post(g, 1, key, 2);
        CHECK_BOOKS(f, .published = 2, .queued = 2, .retried = 1);
        CHECK_INT(BB_EVICTED, offer_grouped(g, 1, key, 3, BB_EVICT_OLDEST));
        CHECK_EVICTED(f, 1);
        due(f, 1); /* the timer is late */
        CHECK_LISTS(f);
        CHECK_TRIES(2, f->worker); /* held up no longer */
        CHECK_TRIES(3, f->worker);
        CHECK_BOOKS(f, .published = 3, .processed = 1, .dropped = 1, .running = 1, .retried = 1);
        fixture_free(f);
    }
}

static void test_refusing_an_event_leaves_its_lane_alone(void) {
    fixture *f = fixture_new(1);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, 0, 1);
    CHECK_INT(BB_REFUSED, offer_grouped(g, 1, 0, 2, BB_REFUSE));
    drop_ticket(f, 2);
    CHECK_LISTS(f);
    CHECK_TRIES(1, f->worker);
    CHECK_TRIES(0, f->worker);
    CHECK_BOOKS(f, .published = 2, .processed = 1, .dropped = 1);
    fixture_free(f);
}

static void test_discarding_takes_all_that_is_parked(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 1, 0);
    post(g, 1, 0, 1);
    CHECK_TRIES(1, f->worker);
    retry(f, f->worker, 1);
    bb_finish(f->worker, 0);
    post(g, 1, 1, 2);
    CHECK_TRIES(2, f->worker); /* and stays running */
    post_some(g, 1, 0, 3, 2);
    post(g, 2, NO_KEY, 5);
    fill(f, &f->low, 6, 1);
    post(g, 1, 1, 7);
    bb_close(f->q, 0, 0);
    int64_t order[] = {5, 1, 3, 4, 6, 7};
    for (int i = 0; i < 6; i++) {
        CHECK_INT(1, bb_discard(f->q, f->out, 1));
        CHECK_INT(order[i], number_of(f->out[0].event));
        CHECK_LISTS(f);
    }
    CHECK_INT(0, bb_discard(f->q, f->out, 1));
    due(f, 1);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 7, .processed = 1, .dropped = 6, .retried = 1);
    fixture_free(f);
}

/* Its deliveries are queued no longer: the caller runs them. */
static void test_a_caller_runs_a_grouped_event_past_its_lane(void) {
    fixture *f = fixture_new(1);
    grouped *g = grouped_new(f, 1, 0);
    post(g, 1, 0, 1);
    CHECK_INT(BB_RUN, offer_grouped(g, 1, 0, 2, BB_CALLER_RUNS));
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 2, .queued = 1, .running = 1);
    CHECK_TRIES(1, f->worker);
    bb_caller_done(f->caller, 0);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 2, .processed = 2);
    fixture_free(f);
}

static void test_an_oversize_event_is_parked_in_an_empty_queue(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 0, 0);
    enum { WIDE = 5 };
    bb_parked parked[WIDE] = {{0}};
    bb_recipient *to[WIDE];
    for (int i = 0; i < WIDE; i++) {
        to[i] = g->route[0].recipients[0];
        parked[i].lane = &g->lane[i % 2];
    }
    bb_route route = {.level = 1, .count = WIDE, .recipients = to};
    ticketed t = {.ticket = {.count = WIDE, .parked = parked}, .number = 1};
    CHECK_INT(BB_ACCEPTED, bb_push(f->q, &route, bb_with_ticket(&t.ticket), 0, BB_OUTSIDE));
    CHECK_INT(BB_FULL, post(g, 1, 0, 2));
    CHECK_LISTS(f);
    for (int i = 0; i < WIDE; i++) CHECK_TRIES(1, f->worker);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = WIDE, .processed = WIDE);
    fixture_free(f);
}

static void test_the_oldest_wait_is_that_of_a_parked_delivery(void) {
    fixture *f = fixture_timed(8, 0);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, 0, 1, 2);
    staged_clock_advance(100);
    fill(f, &f->high, 3, 1);
    staged_clock_advance(10);
    CHECK_INT(110, stats_of(f).oldest);
    CHECK_TRIES(3, f->worker);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(110, stats_of(f).oldest);
    CHECK_TRIES(2, f->worker);
    CHECK_INT(0, stats_of(f).oldest);
    fixture_free(f);
}

void parked_tests(void) {
    RUN(test_the_oldest_are_evicted_whether_parked_or_not);
    RUN(test_the_lowest_level_is_evicted_whether_parked_or_not);
    RUN(test_a_lane_goes_on_without_what_is_evicted_from_it);
    RUN(test_what_is_behind_a_running_delivery_can_be_evicted);
    RUN(test_a_delayed_delivery_can_be_evicted);
    RUN(test_refusing_an_event_leaves_its_lane_alone);
    RUN(test_discarding_takes_all_that_is_parked);
    RUN(test_a_caller_runs_a_grouped_event_past_its_lane);
    RUN(test_an_oversize_event_is_parked_in_an_empty_queue);
    RUN(test_the_oldest_wait_is_that_of_a_parked_delivery);
}

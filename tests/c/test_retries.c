/* test_retries.c: failed deliveries that come back after a delay. */
#include "grouped.h"

/* Take an event, which must be `event`, and let it fail: it is to come back. */
static void fail_first(fixture *f, int64_t event) {
    CHECK_TRIES(event, f->worker);
    retry(f, f->worker, event);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
}

static void test_a_retried_delivery_goes_from_running_to_queued(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_BOOKS(f, .published = 1, .running = 1);
    retry(f, f->worker, 1);
    CHECK_BOOKS(f, .published = 1, .running = 1);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 1, .queued = 1, .retried = 1);
    CHECK_INT(1, parked_of(f, 1)->attempt);
    CHECK_TRIES(0, f->worker); /* not before its time */
    due(f, 1);
    CHECK_BOOKS(f, .published = 1, .queued = 1, .retried = 1);
    fail_first(f, 1);
    CHECK_INT(2, parked_of(f, 1)->attempt);
    CHECK_BOOKS(f, .published = 1, .queued = 1, .retried = 2);
    due(f, 1);
    CHECK_TRIES(1, f->worker);
    bb_failed(f->worker);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 1, .processed = 1, .failed = 1, .retried = 2);
    fixture_free(f);
}

static void test_a_key_waits_for_its_delivery_that_is_to_be_retried(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, 0, 1, 2);
    post(g, 1, 1, 3);
    post(g, 3, 0, 4);
    fail_first(f, 1);
    CHECK_TRIES(3, f->worker);
    CHECK_TRIES(0, f->worker);
    post(g, 3, 0, 5);
    CHECK_TRIES(0, f->worker);
    due(f, 1);
    CHECK_LISTS(f);
    for (int i = 0; i < 4; i++) CHECK_TRIES(((int64_t[]){1, 2, 4, 5})[i], f->worker);
    fixture_free(f);
}

static void test_without_a_key_others_pass_a_delivery_that_is_to_be_retried(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, NO_KEY, 1, 3);
    fail_first(f, 1);
    CHECK_TRIES(2, f->worker);
    due(f, 1);
    CHECK_LISTS(f);
    CHECK_TRIES(1, f->worker); /* it is older than 3 */
    CHECK_TRIES(3, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 2, .running = 1, .retried = 1);
    fixture_free(f);
}

/* Behind those that were due before, and in front of all that have not begun yet. */
static void test_without_a_key_retries_come_in_the_order_of_their_times(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, NO_KEY, 1, 5);
    for (int64_t event = 1; event <= 4; event++) fail_first(f, event);
    due(f, 2);
    due(f, 1);
    due(f, 4);
    CHECK_TRIES(2, f->worker);
    due(f, 3);
    CHECK_LISTS(f);
    for (int i = 0; i < 4; i++) CHECK_TRIES(((int64_t[]){1, 4, 3, 5})[i], f->worker);
    post(g, 1, NO_KEY, 6);
    post(g, 1, NO_KEY, 7);
    fail_first(f, 6);
    due(f, 6); /* the front of a lane without other retries */
    CHECK_TRIES(6, f->worker);
    CHECK_TRIES(7, f->worker);
    fixture_free(f);
}

static void test_a_retry_in_the_middle_of_others_can_be_evicted(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, NO_KEY, 1, 4);
    for (int64_t event = 1; event <= 3; event++) fail_first(f, event);
    due(f, 2);
    due(f, 1); /* the last that is due, and the oldest */
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 9, BB_EVICT_OLDEST));
    CHECK_INT(1, number_of(f->out[0].event));
    drop_ticket(f, 1);
    due(f, 3);
    for (int i = 0; i < 4; i++) CHECK_TRIES(((int64_t[]){2, 3, 4, 9})[i], f->worker);
    fixture_free(f);
}

static void test_a_retried_delivery_keeps_level_and_depth(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    bb_delivery taken;
    ticketed t = {.parked = {.lane = &g->lane[0]}, .number = 1};
    t.ticket = (bb_ticket){.count = 1, .parked = &t.parked};
    CHECK_INT(BB_ACCEPTED, bb_push(f->q, &g->route[1], bb_with_ticket(&t.ticket), 3, BB_OUTSIDE));
    CHECK_INT(BB_TOOK, bb_try_take(f->worker, &taken));
    bb_retry(f->worker, taken.parked);
    bb_finish(f->worker, 0);
    fill(f, &f->low, 2, 1);
    fill(f, &f->high, 3, 1);
    bb_due(f->q, &t.parked);
    CHECK_TRIES(3, f->worker);
    CHECK_INT(BB_TOOK, bb_try_take(f->worker, &taken));
    CHECK_INT(1, number_of(taken.event));
    CHECK_INT(3, taken.depth);
    CHECK(taken.parked == &t.parked && taken.recipient == g->route[1].recipients[0]);
    CHECK_TRIES(2, f->worker);
    fixture_free(f);
}

static void test_a_batch_is_retried_in_its_order(void) {
    for (int keyed = 0; keyed < 2; keyed++) {
        fixture *f = fixture_new(8);
        grouped *g = grouped_new(f, 0, 4);
        post_some(g, 1, keyed ? 0 : NO_KEY, 1, 4);
        CHECK_TRIES(1, f->worker);
        CHECK_INT(2, take_more(f->worker, 2, 0));
        for (int64_t event = 1; event <= 3; event++) retry(f, f->worker, event);
        bb_finish(f->worker, 0);
        CHECK_LISTS(f);
        CHECK_BOOKS(f, .published = 4, .queued = 4, .retried = 3);
        for (int64_t event = 1; event <= 3; event++) due(f, keyed ? 4 - event : event);
        CHECK_LISTS(f);
        for (int64_t event = 1; event <= 4; event++) CHECK_TRIES(event, f->worker);
        fixture_free(f);
    }
}

static void test_of_a_batch_each_waits_for_its_own_time(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 4);
    post_some(g, 1, 0, 1, 4);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 2, 0));
    for (int64_t event = 1; event <= 3; event++) retry(f, f->worker, event);
    bb_finish(f->worker, 0);
    due(f, 3); /* not the next */
    CHECK_LISTS(f);
    CHECK_TRIES(0, f->worker);
    due(f, 1);
    CHECK_LISTS(f);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(0, take_more(f->worker, 3, 0));
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_TRIES(0, f->worker);
    due(f, 2);
    CHECK_TRIES(2, f->worker);
    CHECK_INT(2, take_more(f->worker, 3, 0));
    CHECK_BOOKS(f, .published = 4, .processed = 1, .running = 3, .retried = 3);
    fixture_free(f);
}

static void test_of_a_batch_some_are_retried_and_others_have_failed(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 4);
    post_some(g, 1, 0, 1, 3);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 3, 0));
    retry(f, f->worker, 2);
    bb_failed(f->worker);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 3, .processed = 2, .failed = 2, .queued = 1, .retried = 1);
    drop_ticket(f, 1);
    drop_ticket(f, 3);
    due(f, 2);
    CHECK_TRIES(2, f->worker);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 3, .processed = 3, .failed = 2, .retried = 1);
    fixture_free(f);
}

static void test_a_time_that_comes_too_late_does_nothing(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, 0, 1);
    due(f, 1); /* nothing is delayed */
    CHECK_LISTS(f);
    CHECK_TRIES(1, f->worker);
    due(f, 1); /* nor is what runs */
    CHECK_LISTS(f);
    bb_finish(f->worker, 0);
    due(f, 1); /* nor what has ended */
    CHECK_LISTS(f);
    post(g, 1, 0, 2);
    fail_first(f, 2);
    bb_close(f->q, 0, 0);
    CHECK_INT(1, bb_discard(f->q, f->out, MANY));
    due(f, 2); /* nor what was discarded */
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 2, .processed = 1, .dropped = 1, .retried = 1);
    fixture_free(f);
}

static void test_a_drain_waits_for_a_retry(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 0, 0);
    sleeper worker, idle;
    post(g, 1, 0, 1);
    fail_first(f, 1);
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    staged_sleeps(STAGED_ENDLESS);
    start_take(&worker, f->worker);
    start_wait_idle(&idle, f, FOREVER);
    await_workers_asleep(f, 1);
    await_asleep(f, 1);
    due(f, 1); /* wakes the worker */
    CHECK_INT(1, finish_sleeper(&worker));
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    CHECK_TRIES(0, f->worker);
    CHECK_INT(1, finish_sleeper(&idle));
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_BOOKS(f, .published = 1, .processed = 1, .retried = 1);
    fixture_free(f);
}

/* The handler outlasts the drain: what it gives back is discarded with the rest. */
static void test_what_is_retried_in_a_shut_queue_can_be_discarded(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 1, 0);
    post_some(g, 1, 0, 1, 2);
    CHECK_TRIES(1, f->worker);
    bb_close(f->q, 0, 0);
    CHECK_INT(1, bb_discard(f->q, f->out, MANY));
    retry(f, f->worker, 1);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 2, .queued = 1, .dropped = 1, .retried = 1);
    CHECK_INT(1, bb_discard(f->q, f->out, MANY));
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 2, .dropped = 2, .retried = 1);
    fixture_free(f);
}

static void test_a_delivery_that_has_begun_once_does_not_expire(void) {
    fixture *f = fixture_timed(4, 0);
    grouped *g = grouped_new(f, 0, 0);
    post_expiring(g, 1, 0, 1, NOW + 10);
    post_expiring(g, 1, 0, 2, NOW + 10);
    fail_first(f, 1);
    staged_clock_advance(10);
    CHECK_INT(1, bb_purge(f->q, f->out, MANY));
    CHECK_INT(2, number_of(f->out[0].event));
    CHECK_LISTS(f);
    due(f, 1);
    CHECK_INT(0, bb_purge(f->q, f->out, MANY));
    CHECK_TRIES(1, f->worker);
    CHECK_BOOKS(f, .published = 2, .dropped = 1, .running = 1, .retried = 1);
    fixture_free(f);
}

/* It needs no slot, but what replaces it does: the slab must grow. */
static void test_a_retry_beyond_the_capacity_can_be_evicted_for_a_plain_event(void) {
    fixture *f = fixture_new(1);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, 0, 1);
    CHECK_TRIES(1, f->worker);
    fill(f, &f->low, 2, 1);
    retry(f, f->worker, 1);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 2, .queued = 2, .retried = 1);
    CHECK_INT(BB_FULL, push(f, &f->low, 3));
    staged_memory_fail_after(0);
    CHECK_INT(BB_NO_MEMORY, offer(f, &f->low, 3, BB_EVICT_OLDEST));
    CHECK_BOOKS(f, .published = 2, .queued = 2, .retried = 1);
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 3, BB_EVICT_OLDEST));
    CHECK_INT(1, f->evicted);
    CHECK_INT(1, number_of(f->out[0].event));
    CHECK_LISTS(f);
    CHECK_TRIES(2, f->worker);
    CHECK_TRIES(3, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .running = 1, .dropped = 1, .retried = 1);
    fixture_free(f);
}

/* It was taken in time for the first call, and is still as urgent for the next. */
static void test_retries_enter_a_batch_again(void) {
    fixture *f = fixture_timed(8, 0);
    grouped *g = grouped_new(f, 0, 4);
    for (int64_t event = 1; event <= 2; event++) post_expiring(g, 1, 0, event, NOW + 10);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(1, take_more(f->worker, 3, 0));
    for (int64_t event = 1; event <= 2; event++) retry(f, f->worker, event);
    bb_finish(f->worker, 0);
    for (int64_t event = 1; event <= 2; event++) due(f, event);
    staged_clock_advance(10);
    CHECK_LISTS(f);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(1, take_more(f->worker, 3, 0));
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 2, .processed = 2, .retried = 2);
    fixture_free(f);
}

void retries_tests(void) {
    RUN(test_a_retried_delivery_goes_from_running_to_queued);
    RUN(test_a_key_waits_for_its_delivery_that_is_to_be_retried);
    RUN(test_without_a_key_others_pass_a_delivery_that_is_to_be_retried);
    RUN(test_without_a_key_retries_come_in_the_order_of_their_times);
    RUN(test_a_retry_in_the_middle_of_others_can_be_evicted);
    RUN(test_a_retried_delivery_keeps_level_and_depth);
    RUN(test_a_batch_is_retried_in_its_order);
    RUN(test_of_a_batch_each_waits_for_its_own_time);
    RUN(test_of_a_batch_some_are_retried_and_others_have_failed);
    RUN(test_a_time_that_comes_too_late_does_nothing);
    RUN(test_a_drain_waits_for_a_retry);
    RUN(test_what_is_retried_in_a_shut_queue_can_be_discarded);
    RUN(test_a_delivery_that_has_begun_once_does_not_expire);
    RUN(test_a_retry_beyond_the_capacity_can_be_evicted_for_a_plain_event);
    RUN(test_retries_enter_a_batch_again);
}

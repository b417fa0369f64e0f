/* test_lanes.c: deliveries of one key run one at a time and in order; all others go on. */
#include "grouped.h"

static void test_deliveries_of_one_key_run_one_at_a_time(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    post_some(g, 1, 0, 1, 3);
    CHECK_TRIES(1, f->worker);
    CHECK_TRIES(0, other);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 3, .queued = 2, .running = 1);
    bb_finish(f->worker, 0);
    CHECK_TRIES(2, other);
    CHECK_TRIES(0, f->worker);
    bb_finish(other, 0);
    CHECK_TRIES(3, f->worker);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 3, .processed = 3);
    fixture_free(f);
}

static void test_a_key_keeps_its_order_across_levels(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    CHECK_INT(BB_ACCEPTED, post(g, 1, 0, 1));
    CHECK_INT(BB_ACCEPTED, post(g, 3, 0, 2));
    CHECK_INT(BB_ACCEPTED, post(g, 2, 0, 3));
    for (int64_t event = 1; event <= 3; event++) {
        CHECK_TRIES(event, f->worker);
        CHECK_LISTS(f);
    }
    CHECK_BOOKS(f, .published = 3, .processed = 2, .running = 1);
    fixture_free(f);
}

/* A key is as urgent as its next delivery. */
static void test_a_lane_moves_to_the_level_of_its_next_delivery(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, 0, 1);
    post(g, 3, 0, 2);
    post(g, 1, 0, 3);
    fill(f, &f->medium, 11, 2);
    for (int i = 0; i < 5; i++) {
        CHECK_TRIES(((int64_t[]){11, 12, 1, 2, 3})[i], f->worker);
        CHECK_LISTS(f);
    }
    post(g, 3, 0, 4);
    post(g, 1, 0, 5);
    fill(f, &f->medium, 13, 1);
    for (int i = 0; i < 3; i++) CHECK_TRIES(((int64_t[]){4, 13, 5})[i], f->worker);
    fixture_free(f);
}

static void test_a_busy_key_holds_up_neither_other_keys_nor_other_subscriptions(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 0), *h = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    post_some(g, 2, 0, 1, 2);
    post(g, 1, 1, 3);
    post(h, 1, 0, 4);
    fill(f, &f->low, 5, 1);
    CHECK_TRIES(1, f->worker);
    for (int64_t event = 3; event <= 5; event++) {
        CHECK_TRIES(event, other);
        CHECK_LISTS(f);
    }
    CHECK_TRIES(0, other);
    CHECK_TRIES(2, f->worker);
    CHECK_BOOKS(f, .published = 5, .processed = 4, .running = 1);
    fixture_free(f);
}

static void test_without_a_key_deliveries_run_at_the_same_time(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    post_some(g, 1, NO_KEY, 1, 2);
    post(g, 2, NO_KEY, 3);
    CHECK_TRIES(3, f->worker);
    CHECK_TRIES(1, other);
    CHECK_LISTS(f);
    CHECK_TRIES(2, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .running = 2);
    fixture_free(f);
}

/* ---- the order of lanes ---------------------------------------------------------------------- */

static void test_slots_and_lanes_of_a_level_are_taken_in_one_order(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 0), *h = grouped_new(f, 0, 0);
    for (int64_t event = 1; event <= 12; event++) {
        if (event % 4 == 0) fill(f, &f->low, event, 1);
        if (event % 4 == 1) CHECK_INT(BB_ACCEPTED, post(g, 1, event % 3, event));
        if (event % 4 == 2) CHECK_INT(BB_ACCEPTED, post(h, 1, NO_KEY, event));
        if (event % 4 == 3) CHECK_INT(BB_ACCEPTED, post(h, 1, 7, event));
    }
    for (int64_t event = 1; event <= 12; event++) {
        CHECK_TRIES(event, f->worker);
        CHECK_LISTS(f);
    }
    fixture_free(f);
}

static void test_a_lane_returns_to_the_place_of_its_next_delivery(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    post_some(g, 1, 0, 1, 2);
    post(g, 1, 1, 3);
    post(g, 1, 2, 4);
    fill(f, &f->low, 5, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_TRIES(3, other);
    CHECK_TRIES(2, f->worker); /* before 4 and 5, which were there in the meantime */
    CHECK_LISTS(f);
    CHECK_TRIES(4, f->worker);
    CHECK_TRIES(5, f->worker);
    fixture_free(f);
}

/* The place of a lane is looked for among a limited number of others. */
static void test_many_lanes_are_all_served_and_each_in_order(void) {
    fixture *f = fixture_new(4 * KEYS);
    grouped *g = grouped_new(f, 0, 0);
    int64_t next[KEYS] = {0};
    for (int32_t key = 0; key < KEYS; key++) post_some(g, 1, key, 1 + 3 * key, 3);
    for (int i = 0; i < 3 * KEYS; i++) {
        int64_t event = try_take(f->worker) - 1, key = event / 3;
        CHECK(event >= 0 && key < KEYS);
        CHECK_INT(next[key]++, event % 3);
    }
    CHECK_TRIES(0, f->worker);
    CHECK_BOOKS(f, .published = 3 * KEYS, .processed = 3 * KEYS);
    fixture_free(f);
}

static void test_a_starving_lane_is_taken_first(void) {
    fixture *f = fixture_timed(8, 100);
    grouped *g = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    post_some(g, 1, 0, 1, 2);
    staged_clock_advance(101);
    fill(f, &f->high, 3, 3);
    CHECK_TRIES(1, f->worker);
    CHECK_TRIES(3, other); /* 2 has waited as long, but may not be taken */
    CHECK_TRIES(2, f->worker);
    CHECK_TRIES(4, other);
    fixture_free(f);
}

/* ---- the queue's own side -------------------------------------------------------------------- */

static void test_a_lane_can_be_emptied_and_filled_again(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 0, 0);
    for (int64_t event = 1; event <= 6; event += 2) {
        post_some(g, 1 + (int32_t)event % 3, 0, event, 2);
        CHECK_INT(BB_FULL, post(g, 1, 1, 100 + event));
        CHECK_TRIES(event, f->worker);
        CHECK_TRIES(event + 1, f->worker);
        bb_finish(f->worker, 0);
        CHECK_LISTS(f);
        drop_ticket(f, event); /* nothing refers to what has ended */
        drop_ticket(f, event + 1);
    }
    CHECK_BOOKS(f, .published = 6, .processed = 6);
    fixture_free(f);
}

static void test_parked_deliveries_need_no_memory_of_the_queue(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 4);
    staged_memory_asked();
    staged_memory_fail_after(0);
    post_some(g, 1, NO_KEY, 1, 3);
    post(g, 2, 0, 4);
    CHECK_TRIES(4, f->worker);
    retry(f, f->worker, 4);
    bb_finish(f->worker, 0);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 3, 0));
    bb_finish(f->worker, 0);
    due(f, 4);
    CHECK_TRIES(4, f->worker);
    CHECK_INT(0, staged_memory_asked());
    fixture_free(f);
}

static void test_one_event_is_delivered_from_slots_and_lanes(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    bb_parked parked[3] = {{.lane = NULL}, {.lane = &g->lane[0]}, {.lane = NULL}};
    bb_recipient *to[] = {f->pointers[0], g->route[0].recipients[0], f->pointers[1]};
    bb_route route = {.level = 2, .count = 3, .recipients = to};
    ticketed t = {.ticket = {.count = 3, .parked = parked, .expires = NEVER}, .number = 7};
    bb_delivery taken;
    CHECK_INT(BB_ACCEPTED, bb_push(f->q, &route, bb_with_ticket(&t.ticket), 5, BB_OUTSIDE));
    CHECK_LISTS(f);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(BB_TOOK, bb_try_take(f->worker, &taken));
        CHECK_INT(7, number_of(taken.event));
        CHECK(taken.recipient == to[i] && taken.depth == 5);
        CHECK(taken.parked == (i == 1 ? &parked[1] : NULL));
        CHECK_LISTS(f);
    }
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 3, .processed = 3);
    fixture_free(f);
}

static void test_a_waiting_publisher_is_admitted_into_a_lane(void) {
    fixture *f = fixture_new(1);
    grouped *g = grouped_new(f, 0, 0);
    fill(f, &f->low, 1, 1);
    bb_waiter *waiter = join_grouped(g, 1, 0, 2, BB_OUTSIDE);
    CHECK_INT(BB_WAITING, last_join);
    CHECK_TRIES(1, f->worker);
    CHECK_LISTS(f);
    CHECK_TRIES(2, f->worker);
    CHECK_INT(1, bb_waiter_leave(waiter));
    CHECK_BOOKS(f, .published = 2, .processed = 1, .running = 1);
    fixture_free(f);
}

static void test_the_end_of_a_call_wakes_a_worker_for_the_next_of_its_key(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    sleeper s;
    post_some(g, 1, 0, 1, 2);
    CHECK_TRIES(1, f->worker);
    start_take(&s, other);
    await_workers_asleep(f, 1);
    bb_finish(f->worker, 0);
    CHECK_INT(2, finish_sleeper(&s));
    fixture_free(f);
}

void lanes_tests(void) {
    RUN(test_deliveries_of_one_key_run_one_at_a_time);
    RUN(test_a_key_keeps_its_order_across_levels);
    RUN(test_a_lane_moves_to_the_level_of_its_next_delivery);
    RUN(test_a_busy_key_holds_up_neither_other_keys_nor_other_subscriptions);
    RUN(test_without_a_key_deliveries_run_at_the_same_time);
    RUN(test_slots_and_lanes_of_a_level_are_taken_in_one_order);
    RUN(test_a_lane_returns_to_the_place_of_its_next_delivery);
    RUN(test_many_lanes_are_all_served_and_each_in_order);
    RUN(test_a_starving_lane_is_taken_first);
    RUN(test_a_lane_can_be_emptied_and_filled_again);
    RUN(test_parked_deliveries_need_no_memory_of_the_queue);
    RUN(test_one_event_is_delivered_from_slots_and_lanes);
    RUN(test_a_waiting_publisher_is_admitted_into_a_lane);
    RUN(test_the_end_of_a_call_wakes_a_worker_for_the_next_of_its_key);
}

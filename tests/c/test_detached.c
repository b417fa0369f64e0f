/* test_detached.c: deliveries that run without a worker. */
#include "grouped.h"

static void end(bb_worker *detached) {
    bb_finish(detached, 0);
    bb_detached_free(detached);
}

static void test_a_detached_delivery_runs_on_and_its_worker_takes_the_next(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post_some(g, 1, NO_KEY, 1, 3);
    CHECK_TRIES(1, f->worker);
    bb_worker *first = bb_detach(f->worker);
    CHECK_TRIES(2, f->worker);
    bb_worker *second = bb_detach(f->worker);
    CHECK_BOOKS(f, .published = 3, .queued = 1, .running = 2);
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    end(first);
    CHECK_BOOKS(f, .published = 3, .queued = 1, .running = 1, .processed = 1);
    CHECK_TRIES(3, f->worker);
    bb_failed(second);
    end(second);
    CHECK_TRIES(0, f->worker);
    CHECK_BOOKS(f, .published = 3, .processed = 3, .failed = 1);
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    CHECK_LISTS(f);
    fixture_free(f);
}

static void test_it_occupies_its_lane_and_its_group_until_it_ends(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 2, 0);
    post(g, 1, 0, 1);
    post(g, 1, 0, 2);
    post(g, 1, 1, 3);
    post(g, 1, 2, 4);
    CHECK_TRIES(1, f->worker);
    bb_worker *first = bb_detach(f->worker);
    CHECK_TRIES(3, f->worker);
    bb_worker *third = bb_detach(f->worker);
    CHECK_TRIES(0, f->worker);
    CHECK_LISTS(f);
    end(third);
    CHECK_TRIES(4, f->worker);
    CHECK_TRIES(0, f->worker); /* of the key that runs */
    end(first);
    CHECK_TRIES(2, f->worker);
    CHECK_LISTS(f);
    fixture_free(f);
}

static void test_its_end_wakes_a_worker_for_what_it_held_up(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 0);
    post_some(g, 1, NO_KEY, 1, 2);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    sleeper s;
    start_take(&s, f->worker);
    await_workers_asleep(f, 1);
    end(detached);
    CHECK_INT(2, finish_sleeper(&s));
    fixture_free(f);
}

static void test_one_that_failed_can_be_retried(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 0);
    post(g, 1, 0, 1);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    retry(f, detached, 1);
    end(detached);
    CHECK_BOOKS(f, .published = 1, .queued = 1, .retried = 1);
    CHECK_TRIES(0, f->worker);
    due(f, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_LISTS(f);
    fixture_free(f);
}

static void test_one_that_is_dropped_is_not_idle_until_that_is_reported(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 0);
    post_some(g, 1, NO_KEY, 1, 2);
    CHECK_TRIES(1, f->worker);
    uint64_t barrier = bb_barrier(f->q);
    bb_worker *detached = bb_detach(f->worker);
    CHECK_INT(1, bb_detached_drop(detached));
    CHECK_BOOKS(f, .published = 2, .queued = 1, .dropped = 1);
    CHECK_INT(1, (int64_t)stats_of(f).dropped_by[BB_WHY_SHUTDOWN][0]);
    CHECK_TRIES(2, f->worker);
    bb_finish(f->worker, 0);
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    CHECK_INT(0, bb_wait_barrier(f->q, barrier, 0));
    bb_completed(detached);
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    CHECK_INT(1, bb_wait_barrier(f->q, barrier, 0));
    bb_detached_free(detached);
    CHECK_LISTS(f);
    fixture_free(f);
}

static void test_a_drain_ends_with_the_last_one(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    end(detached);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    fixture_free(f);
}

static void test_a_barrier_waits_for_it(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    uint64_t barrier = bb_barrier(f->q);
    CHECK_INT(0, bb_wait_barrier(f->q, barrier, 0));
    bb_finish(detached, 1); /* it calls a completion hook now */
    CHECK_INT(0, bb_wait_barrier(f->q, barrier, 0));
    bb_completed(detached);
    CHECK_INT(1, bb_wait_barrier(f->q, barrier, 0));
    bb_detached_free(detached);
    fixture_free(f);
}

static void test_it_is_shown_as_running_without_a_thread(void) {
    fixture *f = fixture_timed(8, 0);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    bb_open_delivery open[2];
    CHECK_INT(1, bb_running(f->q, open, 2, NULL));
    CHECK_INT(1, number_of(open[0].event));
    CHECK_INT(0, (int64_t)open[0].thread);
    end(detached);
    CHECK_INT(0, bb_running(f->q, open, 2, NULL));
    fixture_free(f);
}

static void test_it_has_cost_no_workers_time(void) {
    fixture *f = fixture_timed(8, 0);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    staged_clock_advance(50 * MS);
    end(detached);
    bb_stats stats = stats_of(f);
    CHECK_INT(1, (int64_t)stats.timer.deliveries);
    CHECK_INT(0, (int64_t)stats.timer.wall);
    CHECK(stats.processing_average > 0);
    fixture_free(f);
}

static void test_a_handler_may_wait_for_slots_while_one_runs(void) {
    fixture *f =
        fixture_with((bb_settings){.capacity = 1, .levels = LEVELS, .standstill = FOREVER});
    grouped *g = grouped_new(f, 1, 0);
    bb_worker *other = add_worker(f);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    bb_worker *detached = bb_detach(f->worker);
    post(g, 1, NO_KEY, 2); /* behind the limit, so that `other` is of no use before it ends */
    CHECK_TRIES(0, other);
    bb_worker_waits(f->worker, 1);
    sleeper s;
    start_take(&s, other);
    await_workers_asleep(f, 1);
    bb_waiter *waiter = join_as(f, &f->low, 3, BB_HANDLER, false);
    CHECK(waiter != NULL);
    end(detached);
    CHECK_INT(2, finish_sleeper(&s));
    CHECK_INT(1, bb_waiter_leave(waiter));
    bb_worker_waits(f->worker, 0);
    fixture_free(f);
}

static void test_without_memory_it_stays_with_its_worker(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 0);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    staged_memory_fail_after(0);
    CHECK(bb_detach(f->worker) == NULL);
    CHECK_BOOKS(f, .published = 1, .running = 1);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 1, .processed = 1);
    fixture_free(f);
}

void detached_tests(void) {
    RUN(test_a_detached_delivery_runs_on_and_its_worker_takes_the_next);
    RUN(test_it_occupies_its_lane_and_its_group_until_it_ends);
    RUN(test_its_end_wakes_a_worker_for_what_it_held_up);
    RUN(test_one_that_failed_can_be_retried);
    RUN(test_one_that_is_dropped_is_not_idle_until_that_is_reported);
    RUN(test_a_drain_ends_with_the_last_one);
    RUN(test_a_barrier_waits_for_it);
    RUN(test_it_is_shown_as_running_without_a_thread);
    RUN(test_it_has_cost_no_workers_time);
    RUN(test_a_handler_may_wait_for_slots_while_one_runs);
    RUN(test_without_memory_it_stays_with_its_worker);
}

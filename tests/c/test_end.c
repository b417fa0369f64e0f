/* test_end.c: closing, draining, discarding, and waiting until nothing is left. */
#include "fixture.h"

static void test_draining_empties_the_queue_and_then_shuts_it(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 2);
    CHECK_INT(BB_OPEN, bb_get_state(f->q));
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(2, f->worker);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q)); /* the last one still runs */
    CHECK_TAKES(0, f->worker);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_BOOKS(f, .published = 2, .processed = 2);
    fixture_free(f);
}

static void test_draining_an_idle_queue_shuts_it(void) {
    fixture *f = fixture_new(4);
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_TAKES(0, f->worker);
    fixture_free(f);
}

static void test_without_draining_the_queue_shuts_immediately(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 2);
    CHECK_TAKES(1, f->worker);
    bb_close(f->q, 0, -1);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_TAKES(0, f->worker);
    CHECK_BOOKS(f, .published = 2, .processed = 1, .queued = 1);
    fixture_free(f);
}

static void test_the_state_never_moves_back(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 1);
    for (int i = 0; i < 2; i++) {
        bb_close(f->q, 1, -1);
        CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    }
    for (int drain = 0; drain <= 1; drain++) {
        bb_close(f->q, drain, -1);
        CHECK_INT(BB_SHUT, bb_get_state(f->q));
    }
    fixture_free(f);
}

static void test_a_drain_ends_at_its_deadline(void) {
    fixture *f = fixture_new(4);
    staged_clock_set(NOW);
    fill(f, &f->low, 1, 3);
    bb_close(f->q, 1, 1000);
    staged_clock_advance(999);
    CHECK_TAKES(1, f->worker);
    staged_clock_advance(1);
    CHECK_TAKES(0, f->worker);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_BOOKS(f, .published = 3, .processed = 1, .queued = 2);
    fixture_free(f);
}

static void test_a_drain_with_an_extreme_deadline(void) {
    const struct {
        int64_t deadline, taken;
    } drains[] = {{INT64_MAX, 1}, {INT64_MIN, 1} /* negative: no limit */, {0, 0}};
    for (int i = 0; i < 3; i++) {
        fixture *f = fixture_new(4);
        fill(f, &f->low, 1, 1);
        bb_close(f->q, 1, drains[i].deadline);
        CHECK_TAKES(drains[i].taken, f->worker);
        fixture_free(f);
    }
}

/* One handler is stuck; idle workers must leave at the deadline. */
static void test_workers_asleep_in_a_drain_end_at_its_deadline(void) {
    fixture *f = fixture_new(4);
    bb_worker *stuck = add_worker(f);
    sleeper s;
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, stuck);
    start_take(&s, f->worker);
    await_workers_asleep(f, 1);
    bb_close(f->q, 1, 20 * (int64_t)MS);
    CHECK_INT(0, finish_sleeper(&s));
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_BOOKS(f, .published = 1, .running = 1);
    fixture_free(f);
}

static void test_the_last_delivery_of_a_drain_ends_all_waits(void) {
    fixture *f = fixture_new(4);
    bb_worker *busy = add_worker(f);
    sleeper worker, idle, shut;
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, busy);
    bb_close(f->q, 1, -1);
    staged_sleeps(STAGED_ENDLESS);
    start_take(&worker, f->worker);
    start_wait_idle(&idle, f, FOREVER);
    start_wait_shut(&shut, f, FOREVER);
    await_workers_asleep(f, 1);
    await_asleep(f, 2);
    CHECK_TAKES(0, busy);
    CHECK_INT(0, finish_sleeper(&worker));
    CHECK_INT(1, finish_sleeper(&idle));
    CHECK_INT(1, finish_sleeper(&shut));
    fixture_free(f);
}

static void test_work_added_in_a_drain_wakes_a_sleeping_worker(void) {
    fixture *f = fixture_new(4);
    bb_worker *busy = add_worker(f);
    sleeper s;
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, busy);
    bb_close(f->q, 1, -1);
    start_take(&s, f->worker);
    await_workers_asleep(f, 1);
    CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, 2, BB_INSIDE));
    CHECK_INT(2, finish_sleeper(&s));
    fixture_free(f);
}

/* ---- discarding ---------------------------------------------------------------------------- */

static void test_discard_takes_nothing_from_a_queue_that_is_not_shut(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 2);
    CHECK_INT(0, bb_discard(f->q, f->out, 4));
    bb_close(f->q, 1, -1);
    CHECK_INT(0, bb_discard(f->q, f->out, 4));
    CHECK_INT(2, bb_depth(f->q));
    fixture_free(f);
}

static void test_discard_empties_a_shut_queue_in_portions(void) {
    fixture *f = fixture_new(8);
    bb_route two = several(f, 2, 2);
    const int64_t expected[] = {21, 11, 11, 1, 2};
    fill(f, &f->low, 1, 2);
    fill(f, &f->high, 21, 1);
    CHECK_INT(BB_ACCEPTED, bb_push(f->q, &two, EVENT(11), 3, BB_OUTSIDE));
    bb_close(f->q, 0, 0);
    CHECK_INT(0, bb_discard(f->q, f->out, 0));
    CHECK_INT(0, bb_discard(f->q, f->out, -1));
    CHECK_INT(2, bb_discard(f->q, f->out, 2));
    CHECK_INT(3, bb_discard(f->q, f->out + 2, MANY));
    for (int i = 0; i < 5; i++) CHECK_INT(expected[i], NUMBER(f->out[i].event));
    CHECK(f->out[2].recipient == two.recipients[1]);
    CHECK_INT(3, f->out[2].depth);
    CHECK_INT(0, bb_discard(f->q, f->out, 3));
    CHECK_BOOKS(f, .published = 5, .dropped = 5);
    for (int l = 0; l < LEVELS; l++)
        CHECK_INT(l < 2 ? 2 : 1, stats_of(f).dropped_by[BB_WHY_SHUTDOWN][l]);
    fixture_free(f);
}

/* ---- waiting for the end --------------------------------------------------------------------- */

static void test_a_wait_that_is_over_already_returns_immediately(void) {
    fixture *f = fixture_new(4);
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    CHECK_INT(1, bb_wait_idle(f->q, FOREVER));
    CHECK_INT(0, bb_wait_shut(f->q, 0));
    CHECK_INT(0, bb_wait_shut(f->q, -1));
    fill(f, &f->low, 1, 1);
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    CHECK_INT(0, bb_wait_idle(f->q, INT64_MIN));
    bb_close(f->q, 1, -1);
    CHECK_INT(0, bb_wait_shut(f->q, 0)); /* draining is not shut */
    bb_close(f->q, 0, -1);
    CHECK_INT(1, bb_wait_shut(f->q, 0));
    CHECK_INT(1, bb_wait_shut(f->q, FOREVER));
    fixture_free(f);
}

static void test_waiting_ends_at_its_timeout(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 1);
    uint64_t before = bb_clock();
    CHECK_INT(0, bb_wait_idle(f->q, 20 * (int64_t)MS));
    CHECK(bb_clock() - before >= 20 * MS);
    before = bb_clock();
    CHECK_INT(0, bb_wait_shut(f->q, 20 * (int64_t)MS));
    CHECK(bb_clock() - before >= 20 * MS);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(0, bb_wait_idle(f->q, 0)); /* running is not idle */
    finish(f);
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    fixture_free(f);
}

static void test_the_last_delivery_wakes_all_threads_in_wait_idle(void) {
    fixture *f = fixture_new(4);
    sleeper s[2];
    fill(f, &f->low, 1, 2);
    staged_sleeps(STAGED_ENDLESS);
    for (int i = 0; i < 2; i++) start_wait_idle(&s[i], f, FOREVER);
    await_asleep(f, 2);
    take_some(f, 2);
    finish(f);
    for (int i = 0; i < 2; i++) CHECK_INT(1, finish_sleeper(&s[i]));
    fixture_free(f);
}

static void test_a_caller_that_is_done_wakes_threads_in_wait_idle(void) {
    for (int gives_up = 0; gives_up <= 1; gives_up++) {
        fixture *f = fixture_new(1);
        sleeper s;
        fill(f, &f->low, 1, 1);
        CHECK_INT(BB_RUN, offer(f, &f->high, 2, BB_CALLER_RUNS));
        take_some(f, 1);
        finish(f);
        staged_sleeps(STAGED_ENDLESS);
        start_wait_idle(&s, f, FOREVER);
        await_asleep(f, 1);
        if (gives_up) bb_caller_abort(f->caller);
        else bb_caller_done(f->caller, 0);
        CHECK_INT(1, finish_sleeper(&s));
        fixture_free(f);
    }
}

static void test_discarding_the_rest_wakes_threads_in_wait_idle(void) {
    fixture *f = fixture_new(4);
    sleeper s;
    fill(f, &f->low, 1, 3);
    bb_close(f->q, 0, 0);
    staged_sleeps(STAGED_ENDLESS);
    start_wait_idle(&s, f, FOREVER);
    await_asleep(f, 1);
    CHECK_INT(3, bb_discard(f->q, f->out, 4));
    CHECK_INT(1, finish_sleeper(&s));
    fixture_free(f);
}

void end_tests(void) {
    RUN(test_draining_empties_the_queue_and_then_shuts_it);
    RUN(test_draining_an_idle_queue_shuts_it);
    RUN(test_without_draining_the_queue_shuts_immediately);
    RUN(test_the_state_never_moves_back);
    RUN(test_a_drain_ends_at_its_deadline);
    RUN(test_a_drain_with_an_extreme_deadline);
    RUN(test_workers_asleep_in_a_drain_end_at_its_deadline);
    RUN(test_the_last_delivery_of_a_drain_ends_all_waits);
    RUN(test_work_added_in_a_drain_wakes_a_sleeping_worker);
    RUN(test_discard_takes_nothing_from_a_queue_that_is_not_shut);
    RUN(test_discard_empties_a_shut_queue_in_portions);
    RUN(test_a_wait_that_is_over_already_returns_immediately);
    RUN(test_waiting_ends_at_its_timeout);
    RUN(test_the_last_delivery_wakes_all_threads_in_wait_idle);
    RUN(test_a_caller_that_is_done_wakes_threads_in_wait_idle);
    RUN(test_discarding_the_rest_wakes_threads_in_wait_idle);
}

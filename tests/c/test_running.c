/* test_running.c: what bb_running returns about running deliveries. */
#include "fixture.h"

static int32_t running(fixture *f, bb_open_delivery *out) {
    return bb_running(f->q, out, MANY, NULL);
}

static void test_nothing_runs_before_it_is_taken(void) {
    fixture *f = fixture_new(4);
    bb_open_delivery out[MANY];
    CHECK_INT(0, running(f, out));
    fill(f, &f->low, 1, 2);
    CHECK_INT(0, running(f, out));
    fixture_free(f);
}

static void test_each_workers_delivery_is_shown_with_its_time_and_number(void) {
    fixture *f = fixture_timed(4, 0);
    bb_open_delivery out[MANY];
    CHECK_INT(1, bb_resize(f->q, 2));
    bb_worker *second = bb_worker_enter(f->q, 4711);
    fill(f, &f->low, 1, 1);
    fill(f, &f->medium, 2, 2);
    CHECK_TAKES(2, f->worker);
    staged_clock_advance(100);
    CHECK_TAKES(3, second);
    staged_clock_advance(10);
    CHECK_INT(2, running(f, out));
    CHECK_INT(2, NUMBER(out[0].event));
    CHECK(out[0].recipient == f->medium.recipients[0]);
    CHECK(out[0].thread == bb_thread_id());
    CHECK_INT(110, out[0].ns);
    CHECK_INT(1, out[0].number);
    CHECK_INT(3, NUMBER(out[1].event));
    CHECK_INT(4711, out[1].thread);
    CHECK_INT(10, out[1].ns);
    CHECK_TAKES(1, second);
    CHECK_INT(2, running(f, out));
    CHECK_INT(1, NUMBER(out[1].event));
    CHECK(out[1].recipient == f->low.recipients[0]);
    CHECK_INT(2, out[1].number); /* another one of the same thread */
    CHECK_INT(0, out[1].ns);
    fixture_free(f);
}

static void test_the_level_of_what_runs_is_known_to_its_thread(void) {
    fixture *f = fixture_new(4);
    CHECK_INT(0, bb_call_level(f->worker, 0));
    fill(f, &f->high, 1, 1);
    take_some(f, 1);
    CHECK_INT(3, bb_call_level(f->worker, 0));
    CHECK_INT(0, bb_call_level(f->worker, 1)); /* no batch */
    fill(f, &f->low, 2, 4);
    CHECK_INT(BB_RUN, offer(f, &f->medium, 6, BB_CALLER_RUNS));
    CHECK_INT(2, bb_caller_level(f->caller));
    bb_caller_done(f->caller, 0);
    fixture_free(f);
}

static void test_what_was_let_go_of_or_finished_is_not_shown(void) {
    fixture *f = fixture_new(4);
    bb_open_delivery out[MANY];
    fill(f, &f->low, 1, 2);
    take_some(f, 1);
    bb_let_go(f->worker);
    CHECK_INT(0, running(f, out));
    CHECK_BOOKS(f, .published = 2, .queued = 1, .running = 1); /* it counts until the next take */
    take_some(f, 1);
    CHECK_INT(1, running(f, out));
    sleeper s;
    start_take(&s, f->worker);
    await_workers_asleep(f, 1);
    CHECK_INT(0, running(f, out));
    bb_close(f->q, 0, 0);
    CHECK_INT(0, finish_sleeper(&s));
    fixture_free(f);
}

static void test_the_present_delivery_of_a_caller_is_shown(void) {
    fixture *f = fixture_timed(1, 0);
    bb_open_delivery out[MANY];
    bb_route two = several(f, 1, 2);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_RUN, offer(f, &two, 2, BB_CALLER_RUNS));
    staged_clock_advance(100);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(1, running(f, out));
        CHECK_INT(2, NUMBER(out[0].event));
        CHECK(out[0].recipient == two.recipients[i]);
        CHECK(out[0].thread == bb_thread_id());
        CHECK_INT(i == 0 ? 100 : 0, out[0].ns);
        CHECK_INT(1 + i, out[0].number);
        bb_caller_done(f->caller, 0);
    }
    CHECK_INT(0, running(f, out));
    fixture_free(f);
}

static void test_no_more_are_shown_than_fit_into_the_array(void) {
    fixture *f = fixture_new(1);
    bb_open_delivery out[3] = {[2] = {.event = EVENT(77)}};
    bb_worker *second = add_worker(f);
    fill(f, &f->low, 1, 1);
    CHECK_TAKES(1, f->worker);
    fill(f, &f->low, 2, 1);
    CHECK_TAKES(2, second);
    fill(f, &f->low, 3, 1);
    for (int i = 4; i < 6; i++) CHECK_INT(BB_RUN, offer(f, &f->low, i, BB_CALLER_RUNS));
    CHECK_INT(0, bb_running(f->q, out, 0, NULL));
    CHECK_INT(1, bb_running(f->q, out, 1, NULL));
    CHECK_INT(2, bb_running(f->q, out, 2, NULL));
    CHECK_INT(77, NUMBER(out[2].event));
    CHECK_INT(3, bb_running(f->q, out, 3, NULL));
    CHECK(out[2].event != EVENT(77));
    fixture_free(f);
}

static void test_without_monitoring_running_deliveries_have_no_time(void) {
    staged_clock_set(NOW);
    for (int64_t starvation = 0; starvation <= 1000; starvation += 1000) {
        fixture *f = fixture_with((bb_settings){.capacity = 1, .starvation = starvation});
        bb_open_delivery out[MANY];
        staged_clock_set(NOW);
        fill(f, &f->low, 1, 1);
        take_some(f, 1);
        fill(f, &f->low, 2, 1);
        CHECK_INT(BB_RUN, offer(f, &f->low, 3, BB_CALLER_RUNS));
        staged_clock_advance(100);
        CHECK_INT(2, running(f, out));
        CHECK_INT(0, out[0].ns + out[1].ns);
        fixture_free(f);
    }
}

void running_tests(void) {
    RUN(test_nothing_runs_before_it_is_taken);
    RUN(test_each_workers_delivery_is_shown_with_its_time_and_number);
    RUN(test_the_level_of_what_runs_is_known_to_its_thread);
    RUN(test_what_was_let_go_of_or_finished_is_not_shown);
    RUN(test_the_present_delivery_of_a_caller_is_shown);
    RUN(test_no_more_are_shown_than_fit_into_the_array);
    RUN(test_without_monitoring_running_deliveries_have_no_time);
}

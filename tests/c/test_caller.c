/* test_caller.c: events whose handlers the publisher runs itself. */
#include "fixture.h"

/* A full queue of one slot: the caller runs the next offer. */
static fixture *full_queue(void) {
    fixture *f = fixture_new(1);
    fill(f, &f->low, 1, 1);
    return f;
}

static bb_caller *run(fixture *f, const bb_route *route, int64_t event) {
    CHECK_INT(BB_RUN, offer(f, route, event, BB_CALLER_RUNS));
    CHECK(f->caller != NULL);
    return f->caller;
}

static void test_a_caller_runs_an_event_that_does_not_fit(void) {
    fixture *f = full_queue();
    bb_route three = several(f, 3, 3);
    bb_caller *caller = run(f, &three, 2);
    CHECK_INT(0, f->first); /* nothing was lost */
    CHECK_BOOKS(f, .published = 4, .queued = 1, .running = 3);
    bb_caller_done(caller, 0);
    CHECK_BOOKS(f, .published = 4, .processed = 1, .queued = 1, .running = 2);
    bb_caller_done(caller, 1);
    CHECK_INT(1, f->recipient[LEVELS + 1].tally.failed);
    bb_caller_done(caller, 0);
    CHECK_BOOKS(f, .published = 4, .processed = 3, .failed = 1, .queued = 1);
    fixture_free(f);
}

static void test_callers_do_not_mix_up_their_events(void) {
    fixture *f = full_queue();
    bb_route two = several(f, 3, 2);
    bb_caller *first = run(f, &two, 2), *second = run(f, &two, 3), *third = run(f, &two, 4);
    CHECK(first != second && second != third);
    bb_caller_done(second, 0);
    bb_caller_done(second, 0); /* from the middle of the list */
    bb_caller_done(first, 1);
    CHECK_BOOKS(f, .published = 7, .processed = 3, .failed = 1, .queued = 1, .running = 3);
    bb_caller_done(third, 0);
    bb_caller_done(third, 0);
    bb_caller_done(first, 0);
    CHECK_BOOKS(f, .published = 7, .processed = 6, .failed = 1, .queued = 1);
    fixture_free(f);
}

static void test_deliveries_that_a_caller_aborts_are_refused(void) {
    fixture *f = full_queue();
    bb_route three = several(f, 3, 3);
    bb_caller *caller = run(f, &three, 2);
    bb_caller_done(caller, 0);
    bb_caller_abort(caller);
    CHECK_BOOKS(f, .published = 4, .processed = 1, .dropped = 2, .queued = 1);
    CHECK_INT(2, stats_of(f).dropped_by[BB_WHY_REFUSED][2]);
    CHECK_INT(0, f->recipient[LEVELS].tally.dropped);
    CHECK_INT(1, f->recipient[LEVELS + 2].tally.dropped);
    fixture_free(f);
}

static void test_a_running_caller_keeps_the_queue_busy(void) {
    fixture *f = full_queue();
    bb_caller *first = run(f, &f->high, 2), *second = run(f, &f->high, 3);
    take_some(f, 1);
    finish(f);
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    bb_caller_done(first, 0);
    CHECK_INT(BB_DRAINING, bb_get_state(f->q));
    bb_caller_abort(second);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    fixture_free(f);
}

static void test_a_caller_goes_on_in_a_queue_that_is_shut(void) {
    fixture *f = full_queue();
    bb_route two = several(f, 3, 2);
    bb_caller *caller = run(f, &two, 2);
    bb_close(f->q, 0, 0);
    bb_caller_done(caller, 0);
    bb_caller_done(caller, 0);
    CHECK_BOOKS(f, .published = 3, .processed = 2, .queued = 1);
    fixture_free(f);
}

static void test_a_caller_for_which_there_is_no_memory_changes_nothing(void) {
    fixture *f = full_queue();
    staged_memory_fail_after(0);
    CHECK_INT(BB_NO_MEMORY, offer(f, &f->low, 2, BB_CALLER_RUNS));
    CHECK(f->caller == NULL);
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    fixture_free(f);
}

static void test_a_queue_can_be_freed_with_callers(void) {
    fixture *f = full_queue();
    for (int i = 2; i < 5; i++) run(f, &f->low, i);
    fixture_free(f); /* for leak checkers */
}

void caller_tests(void) {
    RUN(test_a_caller_runs_an_event_that_does_not_fit);
    RUN(test_callers_do_not_mix_up_their_events);
    RUN(test_deliveries_that_a_caller_aborts_are_refused);
    RUN(test_a_running_caller_keeps_the_queue_busy);
    RUN(test_a_caller_goes_on_in_a_queue_that_is_shut);
    RUN(test_a_caller_for_which_there_is_no_memory_changes_nothing);
    RUN(test_a_queue_can_be_freed_with_callers);
}

/* test_stepped.c: a queue whose clock is set, in which no call sleeps. */
#include "grouped.h"

static fixture *fixture_set(bb_settings settings) {
    settings.clock = NOW;
    settings.monitoring = 1;
    fixture *f = fixture_with(settings);
    staged_clock_set(5 * (uint64_t)NOW); /* which is not the queue's time */
    return f;
}

static void test_the_time_is_what_was_set(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 8});
    CHECK_INT(NOW, bb_now(f->q));
    fill(f, &f->low, 1, 1);
    bb_set_clock(f->q, NOW + 10 * MS);
    CHECK_INT(10 * MS, stats_of(f).oldest);
    CHECK_TAKES(1, f->worker);
    bb_set_clock(f->q, NOW + 15 * MS);
    finish(f);
    bb_histograms h;
    bb_stats stats;
    bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, NULL, 0, &h);
    CHECK_INT(10 * MS, h.queue_wait.max);
    CHECK_INT(5 * MS, h.processing.max);
    CHECK_INT(15 * MS, stats.age);
    fixture_free(f);
}

static void test_a_queue_without_a_time_of_its_own_has_that_of_the_system(void) {
    fixture *f = fixture_new(8);
    staged_clock_set(NOW + 7);
    CHECK_INT(NOW + 7, bb_now(f->q));
    fixture_free(f);
}

static void test_deliveries_expire_by_the_time_that_was_set(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 8});
    push_expiring(f, &f->low, 1, NOW + 10);
    push_expiring(f, &f->low, 2, NOW + 10);
    bb_set_clock(f->q, NOW + 9);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(0, bb_purge(f->q, f->out, 8));
    bb_set_clock(f->q, NOW + 10);
    CHECK_INT(1, bb_purge(f->q, f->out, 8));
    fixture_free(f);
}

static void test_a_wait_ends_when_the_time_that_was_set_has_come(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 1, .standstill = 100 * MS});
    fill(f, &f->low, 1, 1);
    bb_waiter *limited = join_as(f, &f->low, 2, BB_OUTSIDE, true);
    bb_waiter *unlimited = join_as(f, &f->low, 3, BB_OUTSIDE, false);
    CHECK_INT(BB_WAITING, bb_waiter_wait(limited, 0));
    CHECK_INT(BB_WAITING, bb_waiter_wait(unlimited, 0));
    bb_set_clock(f->q, NOW + 100 * MS);
    CHECK_INT(BB_WAITING, bb_waiter_wait(limited, 0));
    CHECK_INT(BB_FULL, bb_waiter_wait(unlimited, 0)); /* by the standstill rule */
    CHECK_INT(0, bb_waiter_leave(unlimited));
    CHECK_INT(100 * MS, bb_waiter_quiet(limited));
    CHECK_TRIES(1, f->worker);
    CHECK_INT(BB_ACCEPTED, bb_waiter_wait(limited, 0));
    CHECK_INT(1, bb_waiter_leave(limited));
    fixture_free(f);
}

static void test_a_drain_ends_at_its_deadline_by_the_time_that_was_set(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 8});
    fill(f, &f->low, 1, 2);
    bb_close(f->q, 1, 10);
    CHECK_TRIES(1, f->worker);
    bb_set_clock(f->q, NOW + 10);
    bb_delivery out;
    CHECK_INT(BB_LEAVE, bb_try_take(f->worker, &out));
    f->worker = NULL;
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    CHECK_INT(1, bb_discard(f->q, f->out, 8));
    CHECK_INT(1, bb_wait_idle(f->q, 0));
    fixture_free(f);
}

/* ---- batches ------------------------------------------------------------------------------- */

static void test_a_batch_is_asked_for_until_it_is_full(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 16});
    grouped *g = grouped_new(f, 0, 3);
    bb_delivery more[2];
    bb_worker *other = add_worker(f);
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(BB_NOTHING, bb_try_take_more(f->worker, more, 2, NOW + 10));
    post(g, 1, NO_KEY, 2);
    CHECK_TRIES(0, other); /* it is for the batch */
    CHECK_INT(BB_NOTHING, bb_try_take_more(f->worker, more, 2, NOW + 10));
    CHECK_BOOKS(f, .published = 2, .running = 2);
    post_some(g, 1, NO_KEY, 3, 2);
    CHECK_INT(2, bb_try_take_more(f->worker, more, 2, NOW + 10));
    CHECK_INT(2, number_of(more[0].event));
    CHECK_INT(3, number_of(more[1].event));
    CHECK_TRIES(4, other); /* and this one is not */
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 4, .processed = 3, .running = 1);
    fixture_free(f);
}

static void test_a_batch_is_not_waited_for_when_its_time_has_come(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 16});
    grouped *g = grouped_new(f, 0, 3);
    bb_delivery more[2];
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(BB_NOTHING, bb_try_take_more(f->worker, more, 2, NOW + 10));
    bb_set_clock(f->q, NOW + 10);
    post(g, 1, NO_KEY, 2);
    CHECK_INT(1, bb_try_take_more(f->worker, more, 2, NOW + 10));
    bb_finish(f->worker, 0);
    post(g, 1, NO_KEY, 3);
    CHECK_TRIES(3, f->worker);
    CHECK_INT(0, bb_try_take_more(f->worker, more, 2, NOW)); /* nor if it need not wait */
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 3, .processed = 2, .running = 1);
    bb_finish(f->worker, 0);
    fixture_free(f);
}

static void test_a_batch_is_not_waited_for_when_the_queue_closes(void) {
    fixture *f = fixture_set((bb_settings){.capacity = 16});
    grouped *g = grouped_new(f, 0, 3);
    bb_delivery more[2];
    post(g, 1, NO_KEY, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(BB_NOTHING, bb_try_take_more(f->worker, more, 2, NOW + 10));
    bb_close(f->q, 1, -1);
    CHECK_INT(0, bb_try_take_more(f->worker, more, 2, NOW + 10));
    bb_finish(f->worker, 0);
    fixture_free(f);
}

void stepped_tests(void) {
    RUN(test_the_time_is_what_was_set);
    RUN(test_a_queue_without_a_time_of_its_own_has_that_of_the_system);
    RUN(test_deliveries_expire_by_the_time_that_was_set);
    RUN(test_a_wait_ends_when_the_time_that_was_set_has_come);
    RUN(test_a_drain_ends_at_its_deadline_by_the_time_that_was_set);
    RUN(test_a_batch_is_asked_for_until_it_is_full);
    RUN(test_a_batch_is_not_waited_for_when_its_time_has_come);
    RUN(test_a_batch_is_not_waited_for_when_the_queue_closes);
}

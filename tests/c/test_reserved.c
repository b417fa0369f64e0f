/* test_reserved.c: workers that take only the highest level. */
#include "grouped.h"

/* `reserved` of `workers` are reserved; worker[0] is the fixture's. */
static fixture *with_reserved(int32_t reserved, int32_t workers, bb_worker **worker) {
    fixture *f = fixture_with((bb_settings){.capacity = 8, .reserved = reserved});
    worker[0] = f->worker;
    for (int32_t i = 1; i < workers; i++) worker[i] = add_worker(f);
    return f;
}

static void test_a_reserved_worker_takes_only_the_highest_level(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    grouped *g = grouped_new(f, 0, 0);
    fill(f, &f->low, 1, 1);
    fill(f, &f->medium, 2, 1);
    post(g, 2, 0, 3);
    CHECK_TRIES(0, worker[0]);
    fill(f, &f->high, 4, 1);
    post(g, 3, 1, 5);
    CHECK_TRIES(4, worker[0]);
    CHECK_TRIES(5, worker[1]);
    CHECK_TRIES(0, worker[0]);
    for (int i = 0; i < 3; i++) CHECK_TRIES(((int64_t[]){2, 3, 1})[i], worker[1]);
    CHECK_BOOKS(f, .published = 5, .processed = 4, .running = 1);
    fixture_free(f);
}

static void test_a_reserved_worker_finishes_although_it_may_take_no_other(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    fill(f, &f->high, 1, 1);
    fill(f, &f->low, 2, 1);
    CHECK_TRIES(1, worker[0]);
    CHECK_TRIES(0, worker[0]);
    CHECK_BOOKS(f, .published = 2, .processed = 1, .queued = 1);
    fixture_free(f);
}

static void test_a_starving_level_is_nothing_for_a_reserved_worker(void) {
    staged_clock_set(NOW);
    fixture *f = fixture_with((bb_settings){.capacity = 8, .reserved = 1, .starvation = 100});
    bb_worker *other = add_worker(f);
    fill(f, &f->low, 1, 1);
    staged_clock_advance(101);
    fill(f, &f->high, 2, 2);
    CHECK_TRIES(2, f->worker);
    CHECK_TRIES(1, other);
    CHECK_TRIES(3, f->worker);
    fixture_free(f);
}

static void test_a_reserved_worker_is_woken_when_all_others_are_busy(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    sleeper s;
    fill(f, &f->low, 1, 2);
    CHECK_TRIES(1, worker[1]);
    start_take(&s, worker[0]);
    await_reserved_asleep(f, 1);
    fill(f, &f->low, 3, 1);
    CHECK(!f->q->waking && !f->q->waking_reserved);
    fill(f, &f->high, 4, 1);
    CHECK_INT(4, finish_sleeper(&s));
    CHECK(!f->q->waking_reserved);
    fixture_free(f);
}

/* The other worker takes one of them, and wakes the reserved one for the next. */
static void test_idle_workers_share_the_highest_level(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    sleeper s[2];
    const bb_route *routes[] = {&f->high, &f->high};
    void *events[] = {EVENT(1), EVENT(2)};
    for (int i = 0; i < 2; i++) start_take(&s[i], worker[i]);
    await_workers_asleep(f, 1);
    await_reserved_asleep(f, 1);
    CHECK_INT(2, bb_push_many(f->q, routes, events, 2, 0, BB_OUTSIDE));
    CHECK_INT(3, finish_sleeper(&s[0]) + finish_sleeper(&s[1]));
    fixture_free(f);
}

/* Its call has ended, and the next of the key is below its level. */
static void test_a_reserved_worker_wakes_another_for_what_it_may_not_take(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    grouped *g = grouped_new(f, 0, 0);
    sleeper s;
    post(g, 3, 0, 1);
    post(g, 1, 0, 2);
    CHECK_TRIES(1, worker[0]);
    start_take(&s, worker[1]);
    await_workers_asleep(f, 1);
    CHECK_TRIES(0, worker[0]);
    CHECK_INT(2, finish_sleeper(&s));
    fixture_free(f);
}

static void test_closing_wakes_reserved_workers(void) {
    for (int drain = 0; drain < 2; drain++) {
        bb_worker *worker[2];
        fixture *f = with_reserved(1, 2, worker);
        sleeper s;
        start_take(&s, worker[0]);
        await_reserved_asleep(f, 1);
        bb_close(f->q, drain, -1);
        CHECK_INT(0, finish_sleeper(&s));
        CHECK_TRIES(0, worker[1]);
        fixture_free(f);
    }
}

static void test_reserved_workers_end_at_the_deadline_of_a_drain(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    sleeper s;
    fill(f, &f->low, 1, 2);
    CHECK_TRIES(1, worker[1]); /* stuck */
    start_take(&s, worker[0]);
    await_reserved_asleep(f, 1);
    bb_close(f->q, 1, 20 * (int64_t)MS);
    CHECK_INT(0, finish_sleeper(&s));
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    fixture_free(f);
}

/* ---- all workers wait ------------------------------------------------------------------------ */

/* The reserved worker frees no slot of what is below its level. */
static void test_a_handler_does_not_wait_for_a_reserved_worker(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    sleeper s;
    fill(f, &f->low, 1, 8);
    CHECK_TRIES(1, worker[1]);
    fill(f, &f->low, 9, 1);
    start_take(&s, worker[0]);
    await_reserved_asleep(f, 1);
    bb_worker_waits(worker[1], 1);
    CHECK(join_as(f, &f->low, 10, BB_INSIDE, true) == NULL);
    CHECK_INT(BB_FULL, last_join);
    bb_waiter *waiter = join_as(f, &f->low, 10, BB_OUTSIDE, true); /* for as long as it likes */
    CHECK_INT(BB_WAITING, last_join);
    CHECK_INT(0, bb_waiter_leave(waiter));
    bb_worker_waits(worker[1], 0);
    bb_close(f->q, 0, 0);
    CHECK_INT(0, finish_sleeper(&s));
    fixture_free(f);
}

static void test_a_reserved_worker_that_falls_asleep_ends_the_waits_of_handlers(void) {
    bb_worker *worker[2];
    fixture *f = with_reserved(1, 2, worker);
    sleeper s, reserved;
    fill(f, &f->low, 1, 7);
    fill(f, &f->high, 8, 1);
    CHECK_TRIES(8, worker[0]);
    CHECK_TRIES(1, worker[1]);
    fill(f, &f->low, 9, 2);
    staged_sleeps(STAGED_ENDLESS);
    bb_worker_waits(worker[1], 1);
    bb_waiter *waiter = join_as(f, &f->low, 11, BB_INSIDE, true); /* worker 0 is busy */
    CHECK_INT(BB_WAITING, last_join);
    start_wait(&s, waiter);
    await_asleep(f, 1);
    start_take(&reserved, worker[0]);
    CHECK_INT(BB_FULL, finish_sleeper(&s));
    CHECK_INT(0, bb_waiter_leave(waiter));
    bb_close(f->q, 0, 0);
    CHECK_INT(0, finish_sleeper(&reserved));
    fixture_free(f);
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* Those that are to leave may be in handlers for long: a reserved one does not leave in their
 * place. */
static void test_a_reserved_worker_stays_when_the_pool_shrinks(void) {
    bb_worker *worker[3];
    fixture *f = with_reserved(1, 3, worker);
    fill(f, &f->low, 1, 2);
    CHECK_TRIES(1, worker[1]);
    CHECK_TRIES(2, worker[2]);
    CHECK_INT(0, bb_resize(f->q, 2));
    CHECK_TRIES(0, worker[0]);
    fill(f, &f->high, 3, 1);
    CHECK_TRIES(3, worker[0]);
    CHECK_TAKES(0, worker[1]); /* leaves */
    CHECK_INT(2, f->q->present);
    fill(f, &f->low, 4, 1);
    CHECK_TRIES(0, worker[0]);
    CHECK_TRIES(4, worker[2]);
    fixture_free(f);
}

static void test_a_reserved_worker_sleeps_on_when_the_pool_shrinks(void) {
    bb_worker *worker[3];
    fixture *f = with_reserved(1, 3, worker);
    sleeper s;
    start_take(&s, worker[0]);
    await_reserved_asleep(f, 1);
    CHECK_INT(0, bb_resize(f->q, 2));
    await_reserved_asleep(f, 1);
    CHECK_TAKES(0, worker[1]); /* leaves */
    fill(f, &f->low, 1, 1);
    CHECK_TRIES(1, worker[2]);
    fill(f, &f->high, 2, 1);
    CHECK_INT(2, finish_sleeper(&s));
    fixture_free(f);
}

static void test_a_sleeping_pool_with_reserved_workers_can_be_resized(void) {
    bb_worker *worker[3];
    fixture *f = with_reserved(1, 3, worker);
    sleeper s[3], added;
    for (int i = 0; i < 3; i++) start_take(&s[i], worker[i]);
    await_reserved_asleep(f, 1);
    await_workers_asleep(f, 2);
    CHECK_INT(0, bb_resize(f->q, 2)); /* one of the two leaves, which one is open */
    await_present(f, 2);
    await_workers_asleep(f, 1);
    await_reserved_asleep(f, 1);
    CHECK_INT(1, bb_resize(f->q, 3));
    start_take(&added, bb_worker_enter(f->q, 7));
    await_workers_asleep(f, 2);
    fill(f, &f->low, 1, 2); /* both are woken, one by the other or by the publisher */
    int64_t sum = finish_sleeper(&added) + finish_sleeper(&s[1]) + finish_sleeper(&s[2]);
    CHECK_INT(1 + 2, sum);
    fill(f, &f->high, 4, 1);
    CHECK_INT(4, finish_sleeper(&s[0]));
    fixture_free(f);
}

void reserved_tests(void) {
    RUN(test_a_reserved_worker_takes_only_the_highest_level);
    RUN(test_a_reserved_worker_finishes_although_it_may_take_no_other);
    RUN(test_a_starving_level_is_nothing_for_a_reserved_worker);
    RUN(test_a_reserved_worker_is_woken_when_all_others_are_busy);
    RUN(test_idle_workers_share_the_highest_level);
    RUN(test_a_reserved_worker_wakes_another_for_what_it_may_not_take);
    RUN(test_closing_wakes_reserved_workers);
    RUN(test_reserved_workers_end_at_the_deadline_of_a_drain);
    RUN(test_a_handler_does_not_wait_for_a_reserved_worker);
    RUN(test_a_reserved_worker_that_falls_asleep_ends_the_waits_of_handlers);
    RUN(test_a_reserved_worker_stays_when_the_pool_shrinks);
    RUN(test_a_reserved_worker_sleeps_on_when_the_pool_shrinks);
    RUN(test_a_sleeping_pool_with_reserved_workers_can_be_resized);
}

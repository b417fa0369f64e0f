/* test_standstill.c: waits without a limit of their own end once no worker takes any more. */
#include "fixture.h"

#include <stdlib.h>

#define STANDSTILL (1000 * MS)
#define SLICE (STANDSTILL / 4 + 1) /* for which a waiter sleeps before it checks again */
#define RESTARTS 8                 /* max restarts of a wait */
#define CAPACITY 64

static fixture *current; /* for hooks */
static bb_route whole;   /* fits into an empty queue only: a take does not admit it, but counts */
static int checks;

/* A full queue at a stopped clock. */
static fixture *full_queue(void) {
    staged_clock_set(NOW);
    fixture *f = fixture_with((bb_settings){.capacity = CAPACITY, .standstill = STANDSTILL});
    fill(f, &f->low, 1, CAPACITY);
    whole = several(f, 1, CAPACITY);
    current = f;
    checks = 0;
    return f;
}

static bb_waiter *wait_without_limit(fixture *f) {
    bb_waiter *waiter = join_as(f, &whole, 100, BB_OUTSIDE, false);
    CHECK_INT(BB_WAITING, last_join);
    return waiter;
}

static void count_checks(void) { checks++; }

/* Wait to the end with a clock that jumps and overshoots by `oversleep`; returns the sleeps. */
static int sleeps_until_full(bb_waiter *waiter, uint64_t oversleep) {
    checks = 0;
    staged_sleeps(STAGED_JUMP);
    staged_oversleep(oversleep);
    if (staged_in_sleep == NULL) staged_in_sleep = count_checks;
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, NEVER));
    return checks;
}

static uint64_t starved_for; /* sleeps, during which the worker waits for a core */

static void starve(void) {
    checks++;
    static uint64_t delay;
    if ((uint64_t)checks <= starved_for) staged_run_delay_set(delay += SLICE);
}

static void test_a_worker_that_gets_no_core_is_no_standstill(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    starved_for = 12;
    staged_in_sleep = starve;
    int sleeps = sleeps_until_full(waiter, 0);
    CHECK(sleeps > 12 && sleeps <= 12 + 2 * 5);
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

/* It checks like a handler that computes without end. */
static void test_a_worker_that_never_gets_a_core_is_a_standstill_in_the_end(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    starved_for = UINT64_MAX;
    staged_in_sleep = starve;
    int sleeps = sleeps_until_full(waiter, 0);
    CHECK(sleeps >= 50 * 4 && sleeps <= 51 * 5);
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

/* ---- when it ends -------------------------------------------------------------------------- */

static void test_a_wait_ends_once_nothing_was_taken_for_the_standstill(void) {
    fixture *f = full_queue();
    staged_clock_advance(100 * STANDSTILL); /* before it began */
    bb_waiter *waiter = wait_without_limit(f);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    staged_clock_advance(STANDSTILL - 1);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    CHECK_INT(STANDSTILL - 1, bb_waiter_quiet(waiter));
    staged_clock_advance(1);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, NEVER));
    CHECK_INT(0, bb_waiter_leave(waiter));
    CHECK_BOOKS(f, .published = CAPACITY, .queued = CAPACITY);
    fixture_free(f);
}

static void test_a_handlers_wait_ends_like_any_other(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = join_as(f, &whole, 100, BB_HANDLER, false);
    staged_clock_advance(STANDSTILL);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_a_wait_during_which_workers_take_never_ends(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    for (int i = 0; i < CAPACITY - 1; i++) {
        staged_clock_advance(STANDSTILL - 1);
        CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
        take_some(f, 1);
        CHECK_INT(0, bb_waiter_quiet(waiter));
    }
    staged_clock_advance(STANDSTILL);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_an_admitted_event_is_accepted_though_its_wait_had_ended(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = join_as(f, &f->low, 100, BB_OUTSIDE, false);
    staged_clock_advance(STANDSTILL);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    take_some(f, 1);
    CHECK_INT(BB_ACCEPTED, offer_as(f, &f->low, 100, BB_REFUSE, BB_OUTSIDE, waiter));
    CHECK_BOOKS(f, .published = CAPACITY + 1, .queued = CAPACITY, .running = 1);
    fixture_free(f);
}

static void test_all_waits_end_together(void) {
    enum { WAITING = 4 };
    fixture *f = full_queue();
    sleeper s[WAITING];
    bb_waiter *waiter[WAITING], *first = wait_without_limit(f);
    staged_sleeps(STAGED_ENDLESS);
    staged_clock_advance(STANDSTILL / 2);
    for (int i = 0; i < WAITING; i++) {
        const bb_route *route = i % 2 ? &f->high : &f->low;
        waiter[i] = join_as(f, route, 101 + i, i < 2 ? BB_OUTSIDE : BB_HANDLER, false);
        start_wait(&s[i], waiter[i]);
    }
    await_asleep(f, WAITING);
    staged_clock_advance(STANDSTILL / 2);
    CHECK_INT(BB_FULL, bb_waiter_wait(first, 0));
    CHECK_INT(0, bb_waiter_leave(first));
    for (int i = 0; i < WAITING; i++) {
        CHECK_INT(BB_FULL, finish_sleeper(&s[i]));
        CHECK_INT(0, bb_waiter_leave(waiter[i]));
    }
    fixture_free(f);
}

static void test_limited_waits_go_on(void) {
    fixture *f = full_queue();
    bb_waiter *limited = join(f, &whole, 101);
    staged_clock_advance(100 * STANDSTILL);
    CHECK_INT(BB_WAITING, bb_waiter_wait(limited, 0)); /* nor does it end the waits of the others */
    bb_waiter *waiter = wait_without_limit(f);
    staged_clock_advance(STANDSTILL);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(BB_WAITING, bb_waiter_wait(limited, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    CHECK_INT(0, bb_waiter_leave(limited));
    fixture_free(f);
}

static void test_until_a_worker_takes_again_no_publisher_begins_to_wait(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    staged_clock_advance(STANDSTILL);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    for (bb_origin origin = BB_OUTSIDE; origin <= BB_HANDLER; origin++) {
        CHECK(join_as(f, &f->high, 101, origin, false) == NULL);
        CHECK_INT(BB_FULL, last_join);
    }
    bb_waiter *limited = join(f, &f->low, 102);
    CHECK_INT(BB_WAITING, last_join);
    CHECK_INT(0, bb_waiter_leave(limited));
    take_some(f, 1);
    bb_waiter *again = wait_without_limit(f);
    CHECK_INT(BB_WAITING, bb_waiter_wait(again, 0));
    CHECK_INT(0, bb_waiter_leave(again));
    fixture_free(f);
}

static void test_a_congested_queue_accepts_an_event_that_fits(void) {
    fixture *f = fixture_with((bb_settings){.capacity = 2, .reserve = 1, .standstill = 1});
    fill(f, &f->low, 1, 2);
    bb_waiter *waiter = join_as(f, &f->low, 3, BB_OUTSIDE, false);
    staged_clock_set(bb_clock() + STANDSTILL);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    CHECK(join_as(f, &f->low, 4, BB_HANDLER, false) == NULL);
    CHECK_INT(BB_ACCEPTED, last_join);
    fixture_free(f);
}

/* ---- when no worker is to blame -------------------------------------------------------------- */

static void test_a_waiter_checks_four_times_per_standstill(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    CHECK_INT(4, sleeps_until_full(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_a_crowd_of_waiters_checks_less_often(void) {
    const struct {
        int n, sleeps;
    } crowds[] = {{500, 4}, {1000, 2}, {3000, 1}};
    for (int c = 0; c < 3; c++) {
        fixture *f = full_queue();
        int n = crowds[c].n;
        bb_waiter **waiter = calloc((size_t)n, sizeof *waiter);
        for (int i = 0; i < n; i++) waiter[i] = wait_without_limit(f);
        CHECK_INT(crowds[c].sleeps, sleeps_until_full(waiter[0], 0));
        for (int i = 0; i < n; i++) CHECK_INT(0, bb_waiter_leave(waiter[i]));
        free(waiter);
        fixture_free(f);
    }
}

static void test_a_late_wake_restarts_the_wait_a_few_times(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    CHECK_INT(RESTARTS + 1, sleeps_until_full(waiter, 10 * STANDSTILL));
    CHECK_INT(0, bb_waiter_leave(waiter));
    take_some(f, 1); /* no congestion any more, and the next to join has all its restarts */
    waiter = wait_without_limit(f);
    CHECK_INT(RESTARTS + 1, sleeps_until_full(waiter, 10 * STANDSTILL));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_a_wake_that_is_a_little_late_counts(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    CHECK_INT(3, sleeps_until_full(waiter, SLICE / 2 + 2 * MS)); /* of 1.5 slices each */
    CHECK_INT(0, bb_waiter_leave(waiter));
    take_some(f, 1);
    waiter = wait_without_limit(f);
    CHECK_INT(RESTARTS + 3, sleeps_until_full(waiter, SLICE / 2 + 2 * MS + 1));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void take_in_the_fifth_sleep(void) {
    if (++checks == 5) take_some(current, 1);
}

static void test_a_take_resets_the_restarts(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    staged_in_sleep = take_in_the_fifth_sleep;
    CHECK_INT(5 + RESTARTS + 1, sleeps_until_full(waiter, 10 * STANDSTILL));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

/* As between the signal to a worker and its first check. */
static void test_while_a_worker_is_on_its_way_there_is_no_standstill(void) {
    for (int reserved = 0; reserved < 2; reserved++) {
        fixture *f = full_queue();
        bb_waiter *waiter = wait_without_limit(f);
        bool *waking = reserved ? &f->q->waking_reserved : &f->q->waking;
        *waking = true;
        for (int i = 0; i < 3 * RESTARTS; i++) {
            staged_clock_advance(STANDSTILL);
            CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
        }
        *waking = false; /* it has gone to sleep again, and now the time counts */
        staged_clock_advance(STANDSTILL - 1);
        CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
        staged_clock_advance(1);
        CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
        CHECK_INT(0, bb_waiter_leave(waiter));
        fixture_free(f);
    }
}

static void test_a_worker_that_starts_is_waited_for_a_few_times(void) {
    fixture *f = full_queue();
    bb_waiter *waiter = wait_without_limit(f);
    CHECK_INT(1, bb_resize(f->q, 2));
    for (int i = 0; i < RESTARTS; i++) {
        staged_clock_advance(STANDSTILL);
        CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    }
    staged_clock_advance(STANDSTILL - 1);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    staged_clock_advance(1);
    CHECK_INT(BB_FULL, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    bb_worker_failed(f->q);
    fixture_free(f);
}

static void test_a_pause_counts_once_for_all_waiters(void) {
    enum { CROWD = 20 };
    fixture *f = full_queue();
    bb_waiter *waiter[CROWD];
    for (int i = 0; i < CROWD; i++) waiter[i] = wait_without_limit(f);
    CHECK_INT(1, bb_resize(f->q, 2)); /* a worker that starts excuses as a pause does */
    for (int pause = 0; pause < RESTARTS; pause++) {
        staged_clock_advance(STANDSTILL);
        for (int i = 0; i < CROWD; i++) CHECK_INT(BB_WAITING, bb_waiter_wait(waiter[i], 0));
    }
    staged_clock_advance(STANDSTILL);
    for (int i = 0; i < CROWD; i++) CHECK_INT(BB_FULL, bb_waiter_wait(waiter[i], 0));
    for (int i = 0; i < CROWD; i++) CHECK_INT(0, bb_waiter_leave(waiter[i]));
    bb_worker_failed(f->q);
    fixture_free(f);
}

static void test_a_limited_wait_checks_once_per_second(void) {
    fixture *f = full_queue();
    f->q->standstill = MS; /* whatever the rule is for others */
    bb_waiter *waiter = join(f, &whole, 101);
    staged_in_sleep = count_checks;
    staged_sleeps(STAGED_JUMP);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, NOW + 10500ull * MS));
    CHECK_INT(11, checks);
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

void standstill_tests(void) {
    RUN(test_a_worker_that_gets_no_core_is_no_standstill);
    RUN(test_a_worker_that_never_gets_a_core_is_a_standstill_in_the_end);
    RUN(test_a_wait_ends_once_nothing_was_taken_for_the_standstill);
    RUN(test_a_handlers_wait_ends_like_any_other);
    RUN(test_a_wait_during_which_workers_take_never_ends);
    RUN(test_an_admitted_event_is_accepted_though_its_wait_had_ended);
    RUN(test_all_waits_end_together);
    RUN(test_limited_waits_go_on);
    RUN(test_until_a_worker_takes_again_no_publisher_begins_to_wait);
    RUN(test_a_congested_queue_accepts_an_event_that_fits);
    RUN(test_a_waiter_checks_four_times_per_standstill);
    RUN(test_a_crowd_of_waiters_checks_less_often);
    RUN(test_a_late_wake_restarts_the_wait_a_few_times);
    RUN(test_a_wake_that_is_a_little_late_counts);
    RUN(test_a_take_resets_the_restarts);
    RUN(test_a_pause_counts_once_for_all_waiters);
    RUN(test_while_a_worker_is_on_its_way_there_is_no_standstill);
    RUN(test_a_worker_that_starts_is_waited_for_a_few_times);
    RUN(test_a_limited_wait_checks_once_per_second);
}

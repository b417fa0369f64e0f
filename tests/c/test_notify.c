/* test_notify.c: when admitted publishers are notified, and how workers are woken. */
#include "fixture.h"

#define CAPACITY 16
#define NOTIFY_BATCH (CAPACITY / 4 + 1)
#define PACE 300000u
#define MOST 8

static bb_waiter *waiter[MOST];

static int32_t notified(fixture *f) { return f->q->notified.count; }

/* A full queue with `n_waiting` waiters, at a clock that is stopped. */
static fixture *crowded(int32_t monitoring, int32_t n_waiting) {
    staged_clock_set(NOW);
    fixture *f = monitoring ? fixture_timed(CAPACITY, 0) : fixture_new(CAPACITY);
    fill(f, &f->high, 1, CAPACITY);
    for (int32_t i = 0; i < n_waiting; i++) waiter[i] = join(f, &f->low, 101 + i);
    take_some(f, 1); /* none was notified for long, so the first is immediately */
    CHECK_INT(1, notified(f));
    return f;
}

/* End all waits, whatever their state. */
static void disperse(fixture *f, int32_t n_waiting) {
    for (int32_t i = 0; i < n_waiting; i++) bb_waiter_leave(waiter[i]);
    fixture_free(f);
}

static void test_publishers_are_notified_together(void) {
    for (int32_t monitoring = 0; monitoring <= 1; monitoring++) {
        fixture *f = crowded(monitoring, 8);
        for (int i = 1; i < NOTIFY_BATCH; i++) {
            take_some(f, 1);
            CHECK_INT(1, notified(f));
        }
        take_some(f, 1);
        CHECK_INT(1 + NOTIFY_BATCH, notified(f));
        CHECK_INT(2, stats_of(f).waiting);
        disperse(f, 8);
    }
}

/* However often workers take: the wait of a publisher does not grow with the queue. */
static void test_publishers_are_notified_after_a_while_at_the_latest(void) {
    for (int32_t monitoring = 0; monitoring <= 1; monitoring++) {
        fixture *f = crowded(monitoring, 8);
        for (int i = 1; i < NOTIFY_BATCH; i++) {
            staged_clock_advance(PACE / NOTIFY_BATCH);
            take_some(f, 1);
            CHECK_INT(1, notified(f));
        }
        staged_clock_advance(PACE - PACE / NOTIFY_BATCH * (NOTIFY_BATCH - 1));
        take_some(f, 1);
        CHECK_INT(1 + NOTIFY_BATCH, notified(f));
        disperse(f, 8);
    }
}

static void test_publishers_are_notified_immediately_if_workers_seldom_take(void) {
    for (int32_t monitoring = 0; monitoring <= 1; monitoring++) {
        fixture *f = crowded(monitoring, 8);
        staged_clock_advance(PACE - 1);
        take_some(f, 1);
        CHECK_INT(1, notified(f));
        staged_clock_advance(1);
        take_some(f, 1);
        CHECK_INT(3, notified(f));
        staged_clock_advance(PACE);
        take_some(f, 1);
        CHECK_INT(4, notified(f));
        disperse(f, 8);
    }
}

static void test_publishers_are_notified_when_a_quarter_is_free(void) {
    fixture *f = crowded(1, 3);
    take_some(f, 2);
    CHECK_INT(1, notified(f)); /* all are admitted now, the queue is full */
    take_some(f, NOTIFY_BATCH - 1);
    CHECK_INT(1, notified(f));
    take_some(f, 1);
    CHECK_INT(3, notified(f));
    disperse(f, 3);
}

static void test_after_an_oversize_event_a_quarter_of_the_capacity_must_be_free(void) {
    fixture *f = fixture_timed(4, 0);
    bb_route eight = several(f, 1, 8);
    fill(f, &f->high, 1, 4);
    f->q->last_notified = NOW;
    waiter[0] = join(f, &eight, 101);
    take_some(f, 4);
    CHECK_INT(8, bb_depth(f->q));
    CHECK_INT(0, notified(f));
    take_some(f, 5);
    CHECK_INT(0, notified(f));
    take_some(f, 1); /* now a quarter of the capacity is free */
    CHECK_INT(1, notified(f));
    disperse(f, 1);
}

static void test_a_publisher_that_returns_notifies_the_next(void) {
    fixture *f = crowded(1, 4);
    take_some(f, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(1, notified(f));
        CHECK_INT(3 - i, f->q->unnotified.count);
        CHECK(waiter[i]->notified && !waiter[i + 1]->notified);
        if (i % 2) CHECK_INT(1, bb_waiter_leave(waiter[i]));
        else CHECK_INT(BB_ACCEPTED, offer_as(f, &f->low, 0, BB_REFUSE, BB_OUTSIDE, waiter[i]));
        CHECK(waiter[i + 1]->notified);
    }
    CHECK_INT(1, bb_waiter_leave(waiter[3]));
    CHECK_INT(0, notified(f) + f->q->unnotified.count);
    fixture_free(f);
}

static void test_a_publisher_that_returns_by_itself_needs_no_notification(void) {
    fixture *f = crowded(1, 3);
    take_some(f, 2);
    CHECK_INT(2, f->q->unnotified.count);
    CHECK_INT(1, bb_waiter_leave(waiter[1]));
    CHECK_INT(1, f->q->unnotified.count); /* the notified one will notify it */
    CHECK_INT(1, notified(f));
    CHECK_INT(1, bb_waiter_leave(waiter[0]));
    CHECK_INT(0, f->q->unnotified.count);
    CHECK_INT(1, bb_waiter_leave(waiter[2]));
    fixture_free(f);
}

static void test_an_admitted_publisher_returns_after_its_slice_though_not_notified(void) {
    fixture *f = crowded(1, 2);
    take_some(f, 1);
    CHECK(waiter[1]->admitted && !waiter[1]->notified);
    staged_sleeps(STAGED_JUMP);
    CHECK_INT(BB_ACCEPTED, bb_waiter_wait(waiter[1], NEVER));
    disperse(f, 2);
}

/* Admitted, not notified, and asleep when the queue closes: it is woken, and its event is accepted.
 */
static void test_close_wakes_admitted_publishers_that_were_not_notified(void) {
    fixture *f = crowded(1, 2);
    sleeper s;
    staged_sleeps(STAGED_ENDLESS);
    start_wait(&s, waiter[1]);
    await_asleep(f, 1);
    take_some(f, 1);
    CHECK_INT(1, f->q->unnotified.count);
    bb_close(f->q, 0, 0);
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    CHECK_INT(0, f->q->unnotified.count);
    disperse(f, 2);
}

static void test_every_sleeping_publisher_is_notified(void) {
    enum { WAITING = 6 };
    fixture *f = fixture_new(CAPACITY);
    sleeper s[WAITING];
    staged_sleeps(STAGED_ENDLESS);
    fill(f, &f->low, 1, CAPACITY);
    for (int i = 0; i < WAITING; i++) {
        waiter[i] = join(f, &f->low, 101 + i);
        start_wait(&s[i], waiter[i]);
    }
    await_asleep(f, WAITING);
    take_some(f, CAPACITY + WAITING);
    for (int i = 0; i < WAITING; i++) CHECK_INT(BB_ACCEPTED, finish_sleeper(&s[i]));
    disperse(f, WAITING);
}

/* ---- workers ----------------------------------------------------------------------------- */

static void test_every_way_in_wakes_a_sleeping_worker(void) {
    for (int way = 0; way < 4; way++) {
        fixture *f = fixture_new(4);
        const bb_route *route = &f->low;
        void *event = EVENT(7);
        sleeper s;
        start_take(&s, f->worker);
        await_workers_asleep(f, 1);
        if (way == 0) CHECK_INT(BB_ACCEPTED, push(f, &f->low, 7));
        if (way == 1) CHECK_INT(BB_ACCEPTED, offer(f, &f->low, 7, BB_REFUSE));
        if (way == 2) CHECK_INT(1, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
        if (way == 3) CHECK(join(f, &f->low, 7) == NULL && last_join == BB_ACCEPTED);
        CHECK_INT(7, finish_sleeper(&s));
        fixture_free(f);
    }
}

static void test_the_woken_worker_wakes_the_next(void) {
    enum { WORKERS = 4 };
    fixture *f = fixture_new(8);
    sleeper s[WORKERS];
    bb_route four = several(f, 1, WORKERS);
    int64_t sum = 0;
    for (int i = 0; i < WORKERS; i++) start_take(&s[i], i == 0 ? f->worker : add_worker(f));
    await_workers_asleep(f, WORKERS);
    CHECK_INT(BB_ACCEPTED, push(f, &four, 7)); /* one signal, four workers needed */
    for (int i = 0; i < WORKERS; i++) sum += finish_sleeper(&s[i]);
    CHECK_INT(4 * 7, sum);
    CHECK_BOOKS(f, .published = 4, .running = 4);
    fixture_free(f);
}

static void test_close_wakes_all_sleeping_workers(void) {
    enum { WORKERS = 4 };
    for (int32_t drain = 0; drain <= 1; drain++) {
        fixture *f = fixture_new(8);
        sleeper s[WORKERS];
        for (int i = 0; i < WORKERS; i++) start_take(&s[i], i == 0 ? f->worker : add_worker(f));
        await_workers_asleep(f, WORKERS);
        bb_close(f->q, drain, -1);
        for (int i = 0; i < WORKERS; i++) CHECK_INT(0, finish_sleeper(&s[i]));
        fixture_free(f);
    }
}

/* ---- waiters without a thread ---------------------------------------------------------------- */

static bb_waiter *join_unattended(fixture *f, const bb_route *route, int64_t event) {
    bb_waiter *joined = NULL;
    CHECK_INT(BB_WAITING,
              bb_waiter_join(f->q, route, EVENT(event), 0, BB_OUTSIDE, BB_UNATTENDED, &joined));
    return joined;
}

static void test_a_waiter_without_a_thread_takes_its_turn_and_is_not_notified(void) {
    fixture *f = fixture_new(1);
    fill(f, &f->low, 1, 1);
    bb_waiter *before = join(f, &f->low, 2), *own = join_unattended(f, &f->low, 3);
    bb_waiter *after = join(f, &f->low, 4);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(BB_WAITING, bb_waiter_state(own));
    CHECK_TAKES(2, f->worker);
    CHECK_INT(BB_ACCEPTED, bb_waiter_state(own));
    CHECK_INT(0, bb_waiter_withdraw(own));
    CHECK_TAKES(3, f->worker);
    CHECK_INT(2, f->q->notified.count + f->q->unnotified.count);
    CHECK_TAKES(4, f->worker);
    bb_waiter *waiters[] = {own, before, after};
    for (int i = 0; i < 3; i++) CHECK_INT(1, bb_waiter_leave(waiters[i]));
    fixture_free(f);
}

static void test_a_waiter_that_was_withdrawn_lets_the_next_have_its_turn(void) {
    fixture *f = fixture_new(2);
    fill(f, &f->low, 1, 1);
    bb_route two = several(f, 1, 2); /* more than there are free slots */
    bb_waiter *wide = join_unattended(f, &two, 2);
    bb_waiter *next = join_unattended(f, &f->low, 5);
    CHECK_INT(BB_WAITING, bb_waiter_state(next));
    CHECK_INT(1, bb_waiter_withdraw(wide));
    CHECK_INT(1, bb_waiter_withdraw(wide));
    CHECK_INT(BB_CLOSED, bb_waiter_state(wide));
    CHECK_INT(BB_ACCEPTED, bb_waiter_state(next));
    CHECK_INT(0, bb_waiter_leave(wide));
    CHECK_INT(1, bb_waiter_leave(next));
    CHECK_BOOKS(f, .published = 2, .queued = 2);
    fixture_free(f);
}

static void test_a_closed_queue_rejects_a_waiter_without_a_thread(void) {
    fixture *f = fixture_new(1);
    fill(f, &f->low, 1, 1);
    bb_waiter *own = join_unattended(f, &f->low, 2);
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_CLOSED, bb_waiter_state(own));
    CHECK_INT(1, bb_waiter_withdraw(own));
    CHECK_INT(0, bb_waiter_leave(own));
    fixture_free(f);
}

void notify_tests(void) {
    RUN(test_publishers_are_notified_together);
    RUN(test_publishers_are_notified_after_a_while_at_the_latest);
    RUN(test_publishers_are_notified_immediately_if_workers_seldom_take);
    RUN(test_publishers_are_notified_when_a_quarter_is_free);
    RUN(test_after_an_oversize_event_a_quarter_of_the_capacity_must_be_free);
    RUN(test_a_publisher_that_returns_notifies_the_next);
    RUN(test_a_publisher_that_returns_by_itself_needs_no_notification);
    RUN(test_an_admitted_publisher_returns_after_its_slice_though_not_notified);
    RUN(test_close_wakes_admitted_publishers_that_were_not_notified);
    RUN(test_every_sleeping_publisher_is_notified);
    RUN(test_every_way_in_wakes_a_sleeping_worker);
    RUN(test_the_woken_worker_wakes_the_next);
    RUN(test_close_wakes_all_sleeping_workers);
    RUN(test_a_waiter_without_a_thread_takes_its_turn_and_is_not_notified);
    RUN(test_a_waiter_that_was_withdrawn_lets_the_next_have_its_turn);
    RUN(test_a_closed_queue_rejects_a_waiter_without_a_thread);
}

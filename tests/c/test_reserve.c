/* test_reserve.c: publishing handlers: their reserve, their waits, and when they may not wait. */
#include "fixture.h"

#define CAPACITY 2
#define RESERVE 3

static fixture *reserved(void) {
    return fixture_with((bb_settings){.capacity = CAPACITY, .reserve = RESERVE});
}

/* All slots are taken, and `n` of the reserve; the events are numbered from 1. */
static fixture *filled(int32_t n) {
    fixture *f = reserved();
    fill(f, &f->low, 1, CAPACITY);
    for (int i = 1; i <= n; i++)
        CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, CAPACITY + i, BB_HANDLER));
    return f;
}

static void test_handlers_publish_beyond_the_capacity_up_to_the_reserve(void) {
    const bb_origin origins[] = {BB_HANDLER, BB_INSIDE};
    for (int o = 0; o < 2; o++) {
        fixture *f = reserved();
        for (int i = 1; i <= CAPACITY + RESERVE; i++) {
            CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, i, origins[o]));
            CHECK_INT(i > CAPACITY ? i - CAPACITY : 0, stats_of(f).reserve_used);
        }
        CHECK_INT(BB_FULL, push_as(f, &f->low, 9, origins[o]));
        CHECK_INT(BB_REFUSED, offer_as(f, &f->low, 9, BB_REFUSE, origins[o], NULL));
        CHECK_INT(CAPACITY + RESERVE, bb_depth(f->q));
        fixture_free(f);
    }
}

static void test_every_way_in_knows_the_reserve(void) {
    for (int way = 0; way < 3; way++) {
        fixture *f = filled(0);
        const bb_route *routes[] = {&f->low, &f->low, &f->low, &f->low};
        void *events[] = {EVENT(3), EVENT(4), EVENT(5), EVENT(6)};
        if (way == 0)
            CHECK(join_as(f, &f->low, 3, BB_HANDLER, false) == NULL && last_join == BB_ACCEPTED);
        if (way == 1) CHECK_INT(BB_ACCEPTED, offer_as(f, &f->low, 3, BB_REFUSE, BB_HANDLER, NULL));
        if (way == 2) CHECK_INT(RESERVE, bb_push_many(f->q, routes, events, 4, 0, BB_HANDLER));
        CHECK_INT(way == 2 ? RESERVE : 1, stats_of(f).reserve_used);
        fixture_free(f);
    }
}

static void test_publishers_from_outside_are_accepted_below_the_capacity_again(void) {
    fixture *f = filled(RESERVE);
    bb_waiter *waiter = join(f, &f->low, 20);
    for (int i = 0; i < RESERVE; i++) {
        take_some(f, 1);
        CHECK_INT(BB_FULL, push(f, &f->low, 10));
        CHECK_INT(1, stats_of(f).waiting);
    }
    take_some(f, 1);
    CHECK_INT(0, stats_of(f).waiting);
    CHECK_INT(CAPACITY, bb_depth(f->q));
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_evicting_for_an_event_from_outside_leaves_the_reserve_alone(void) {
    fixture *f = filled(RESERVE);
    CHECK_INT(BB_EVICTED, offer(f, &f->high, 10, BB_EVICT_OLDEST));
    CHECK_INT(1, f->evicted); /* one for one; it does not pay for what handlers published */
    CHECK_INT(CAPACITY + RESERVE, bb_depth(f->q));
    CHECK_INT(BB_EVICTED, offer_as(f, &f->high, 11, BB_EVICT_LOWEST, BB_HANDLER, NULL));
    CHECK_INT(1, f->evicted);
    CHECK_INT(CAPACITY + RESERVE, bb_depth(f->q));
    fixture_free(f);
}

static void test_handlers_are_admitted_before_publishers_from_outside(void) {
    fixture *f = filled(RESERVE);
    bb_waiter *outside = join(f, &f->high, 30);
    bb_waiter *low = join_as(f, &f->low, 10, BB_HANDLER, true);
    bb_waiter *medium = join_as(f, &f->medium, 20, BB_INSIDE, true);
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(20, f->worker); /* by level among themselves */
    CHECK_INT(1, stats_of(f).waiting);
    CHECK_INT(1, bb_waiter_leave(low));
    CHECK_INT(1, bb_waiter_leave(medium));
    CHECK_INT(0, bb_waiter_leave(outside));
    fixture_free(f);
}

static void test_no_publisher_from_outside_passes_a_waiting_handler(void) {
    fixture *f = filled(0);
    bb_route six = several(f, 1, CAPACITY + RESERVE);
    bb_waiter *handler = join_as(f, &six, 10, BB_HANDLER, true);
    take_some(f, 1);
    CHECK_INT(BB_FULL, push(f, &f->high, 30)); /* the free slot is the handler's */
    CHECK_INT(BB_ACCEPTED, push_as(f, &f->high, 31, BB_HANDLER)); /* more urgent */
    CHECK_INT(BB_FULL, push_as(f, &f->low, 11, BB_HANDLER));
    CHECK_INT(0, bb_waiter_leave(handler));
    CHECK_INT(BB_FULL, push(f, &f->high, 30));
    CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, 11, BB_HANDLER));
    fixture_free(f);
}

static void test_a_full_reserve_makes_a_handler_wait_while_a_worker_takes(void) {
    fixture *f = filled(RESERVE);
    sleeper s;
    bb_worker *publishing = add_worker(f), *moving = f->worker;
    CHECK_TAKES(1, publishing);
    CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, 6, BB_INSIDE));
    staged_sleeps(STAGED_ENDLESS);
    bb_worker_waits(publishing, 1);
    bb_waiter *waiter = join_as(f, &f->low, 7, BB_INSIDE, false);
    start_wait(&s, waiter);
    await_asleep(f, 1);
    CHECK_TAKES(2, moving);
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    bb_worker_waits(publishing, 0);
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

/* ---- all workers wait ------------------------------------------------------------------------ */

static void test_a_handler_does_not_wait_if_all_workers_wait(void) {
    fixture *f = filled(RESERVE);
    bb_worker *second = add_worker(f);
    bb_worker_waits(f->worker, 1);
    bb_waiter *waiter = join_as(f, &f->low, 10, BB_INSIDE, false);
    CHECK_INT(BB_WAITING, last_join); /* the other one may take */
    bb_worker_waits(second, 1);
    for (int limited = 0; limited <= 1; limited++) {
        CHECK(join_as(f, &f->low, 11, BB_INSIDE, limited) == NULL);
        CHECK_INT(BB_FULL, last_join);
    }
    bb_waiter *outside = join_as(f, &f->low, 12, BB_OUTSIDE, false);
    CHECK_INT(BB_WAITING, last_join); /* outside, another thread may take */
    bb_worker_waits(second, 0);
    bb_waiter *again = join_as(f, &f->low, 13, BB_INSIDE, false);
    CHECK_INT(BB_WAITING, last_join);
    bb_waiter *all[] = {waiter, outside, again};
    for (int i = 0; i < 3; i++) CHECK_INT(0, bb_waiter_leave(all[i]));
    fixture_free(f);
}

/* Ways in which the last worker of a queue waits, or only waiting ones are left. */
typedef enum { WAITS, LEAVES, FAILS_TO_START, IS_NOT_NEEDED, HOW_MANY } how;

static void let_all_wait(fixture *f, bb_worker *second, how way) {
    switch (way) {
    case WAITS: bb_worker_waits(second, 1); break;
    case LEAVES:
        bb_resize(f->q, 1);
        CHECK_TAKES(0, second);
        break;
    case FAILS_TO_START: bb_worker_failed(f->q); break;
    default:
        bb_resize(f->q, 1);
        CHECK(bb_worker_enter(f->q, 1) == NULL);
        break;
    }
}

static void test_handlers_that_wait_are_woken_once_all_workers_wait(void) {
    for (how way = WAITS; way < HOW_MANY; way++) {
        fixture *f = filled(RESERVE);
        sleeper handler, outside;
        bb_worker *second = way <= LEAVES ? add_worker(f) : NULL;
        if (second == NULL) CHECK_INT(1, bb_resize(f->q, 2)); /* one is about to start */
        staged_sleeps(STAGED_ENDLESS);
        bb_worker_waits(f->worker, 1);
        bb_waiter *inside = join_as(f, &f->low, 10, BB_INSIDE, true);
        bb_waiter *other = join_as(f, &f->low, 11, BB_OUTSIDE, true);
        start_wait(&handler, inside);
        start_wait(&outside, other);
        await_asleep(f, 2);
        let_all_wait(f, second, way);
        CHECK_INT(BB_FULL, finish_sleeper(&handler));
        CHECK_INT(0, bb_waiter_leave(inside));
        await_asleep(f, 1); /* this one waits on */
        bb_close(f->q, 0, 0);
        CHECK_INT(BB_CLOSED, finish_sleeper(&outside));
        CHECK_INT(0, bb_waiter_leave(other));
        fixture_free(f);
    }
}

static void test_a_worker_that_is_about_to_start_may_take(void) {
    fixture *f = filled(RESERVE);
    CHECK_INT(1, bb_resize(f->q, 2));
    bb_worker_waits(f->worker, 1);
    bb_waiter *waiter = join_as(f, &f->low, 10, BB_INSIDE, false);
    CHECK_INT(BB_WAITING, last_join);
    bb_worker *second = bb_worker_enter(f->q, 1);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    CHECK_TAKES(1, second);
    CHECK_INT(BB_ACCEPTED, bb_waiter_wait(waiter, 0));
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_a_queue_without_workers_lets_handlers_wait(void) {
    fixture *f = fixture_with((bb_settings){.capacity = 1});
    bb_queue *own = f->q;
    f->q = bb_queue_new(&(bb_settings){.capacity = 1, .levels = 1, .standstill = 1});
    fill(f, &f->low, 1, 1);
    bb_waiter *waiter = join_as(f, &f->low, 2, BB_HANDLER, true);
    CHECK_INT(BB_WAITING, last_join);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    CHECK_INT(0, bb_waiter_leave(waiter));
    bb_queue_free(f->q);
    f->q = own;
    fixture_free(f);
}

void reserve_tests(void) {
    RUN(test_handlers_publish_beyond_the_capacity_up_to_the_reserve);
    RUN(test_every_way_in_knows_the_reserve);
    RUN(test_publishers_from_outside_are_accepted_below_the_capacity_again);
    RUN(test_evicting_for_an_event_from_outside_leaves_the_reserve_alone);
    RUN(test_handlers_are_admitted_before_publishers_from_outside);
    RUN(test_no_publisher_from_outside_passes_a_waiting_handler);
    RUN(test_a_full_reserve_makes_a_handler_wait_while_a_worker_takes);
    RUN(test_a_handler_does_not_wait_if_all_workers_wait);
    RUN(test_handlers_that_wait_are_woken_once_all_workers_wait);
    RUN(test_a_worker_that_is_about_to_start_may_take);
    RUN(test_a_queue_without_workers_lets_handlers_wait);
}

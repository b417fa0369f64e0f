/* test_waiting.c: publishers that wait for free slots, and the order in which they are admitted. */
#include "fixture.h"

static int32_t waiting(fixture *f) { return stats_of(f).waiting; }

/* A full queue; its events are numbers from 1. */
static fixture *full_queue(int32_t capacity) {
    fixture *f = fixture_new(capacity);
    fill(f, &f->low, 1, capacity);
    return f;
}

static void test_joining_accepts_immediately_while_there_are_free_slots(void) {
    fixture *f = fixture_new(1);
    CHECK(join(f, &f->low, 1) == NULL);
    CHECK_INT(BB_ACCEPTED, last_join);
    CHECK_INT(1, bb_depth(f->q));
    fixture_free(f);
}

static void test_a_wait_ends_when_it_is_time(void) {
    fixture *f = full_queue(1);
    bb_waiter *waiter = join(f, &f->low, 2);
    uint64_t before = bb_clock();
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, before + 20 * MS));
    CHECK(bb_clock() - before >= 20 * MS);
    CHECK_INT(1, waiting(f));
    CHECK_INT(0, bb_waiter_leave(waiter));
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    fixture_free(f);
}

static void test_a_wait_until_the_past_does_not_sleep(void) {
    fixture *f = full_queue(1);
    bb_waiter *waiter = join(f, &f->low, 2);
    staged_sleeps(STAGED_ENDLESS);
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, 0));
    CHECK_INT(BB_WAITING, bb_waiter_wait(waiter, bb_clock()));
    CHECK_INT(0, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_within_a_level_waiters_are_admitted_in_order(void) {
    enum { WAITING = 5 };
    fixture *f = full_queue(1);
    bb_waiter *waiter[WAITING];
    for (int i = 0; i < WAITING; i++) waiter[i] = join(f, &f->low, 10 + i);
    CHECK_INT(WAITING, waiting(f));
    CHECK_TAKES(1, f->worker);
    for (int i = 0; i < WAITING; i++) CHECK_TAKES(10 + i, f->worker);
    for (int i = 0; i < WAITING; i++) CHECK_INT(1, bb_waiter_leave(waiter[i]));
    CHECK_BOOKS(f, .published = 6, .processed = 5, .running = 1);
    fixture_free(f);
}

static void test_an_urgent_publisher_is_admitted_first(void) {
    fixture *f = full_queue(1);
    bb_waiter *low = join(f, &f->low, 10), *high = join(f, &f->high, 30);
    bb_waiter *medium = join(f, &f->medium, 20), *second = join(f, &f->high, 31);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(3, waiting(f));
    for (int i = 0; i < 4; i++) CHECK_TAKES(((int64_t[]){30, 31, 20, 10})[i], f->worker);
    bb_waiter *all[] = {low, medium, high, second};
    for (int i = 0; i < 4; i++) CHECK_INT(1, bb_waiter_leave(all[i]));
    fixture_free(f);
}

static void test_all_eight_levels_are_served_in_order(void) {
    fixture *f = fixture_with((bb_settings){.capacity = 1, .levels = BB_LEVELS});
    bb_route route[BB_LEVELS];
    bb_waiter *waiter[BB_LEVELS];
    fill(f, &f->low, 1, 1);
    for (int l = 0; l < BB_LEVELS; l++) {
        route[l] = several(f, l + 1, 1);
        waiter[l] = join(f, &route[l], 10 + l);
    }
    CHECK_TAKES(1, f->worker);
    for (int l = BB_LEVELS - 1; l >= 0; l--) CHECK_TAKES(10 + l, f->worker);
    for (int l = 0; l < BB_LEVELS; l++) CHECK_INT(1, bb_waiter_leave(waiter[l]));
    fixture_free(f);
}

static void test_a_worker_admits_a_waiter_that_does_not_sleep(void) {
    fixture *f = full_queue(1);
    bb_waiter *waiter = join(f, &f->low, 2);
    CHECK_TAKES(1, f->worker);
    CHECK_BOOKS(f, .published = 2, .queued = 1, .running = 1);
    CHECK_TAKES(2, f->worker); /* handled before its publisher came back */
    CHECK_INT(BB_ACCEPTED, bb_waiter_wait(waiter, 0));
    CHECK_INT(1, bb_waiter_leave(waiter));
    CHECK_BOOKS(f, .published = 2, .processed = 1, .running = 1);
    fixture_free(f);
}

static void test_a_sleeping_publisher_is_admitted_and_woken(void) {
    fixture *f = full_queue(1);
    sleeper s;
    staged_sleeps(STAGED_ENDLESS);
    bb_waiter *waiter = join(f, &f->low, 2);
    start_wait(&s, waiter);
    await_asleep(f, 1);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_a_wait_in_slices_keeps_its_order(void) {
    fixture *f = full_queue(1);
    bb_waiter *first = join(f, &f->low, 2), *second = join(f, &f->low, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(BB_WAITING, bb_waiter_wait(second, bb_clock() + 1000));
        CHECK_INT(BB_WAITING, bb_waiter_wait(first, bb_clock() + 1000));
    }
    CHECK_INT(2, waiting(f));
    for (int i = 0; i < 3; i++) CHECK_TAKES(1 + i, f->worker);
    CHECK_INT(1, bb_waiter_leave(first));
    CHECK_INT(1, bb_waiter_leave(second));
    fixture_free(f);
}

static void test_no_push_passes_a_waiter_that_is_to_be_admitted_before(void) {
    fixture *f = full_queue(2);
    bb_route two = several(f, 2, 2);
    const bb_route *route = &f->medium;
    void *event = EVENT(4);
    bb_waiter *waiter = join(f, &two, 3);
    CHECK_TAKES(1, f->worker); /* one slot is free, the first waiter needs two */
    CHECK_INT(BB_FULL, push(f, &f->medium, 4));
    CHECK_INT(BB_FULL, push(f, &f->low, 4));
    CHECK_INT(0, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
    bb_waiter *other = join(f, &f->medium, 4);
    CHECK_INT(BB_WAITING, last_join);
    CHECK_TAKES(2, f->worker);
    CHECK_TAKES(3, f->worker);
    CHECK_INT(1, bb_waiter_leave(waiter));
    CHECK_INT(1, bb_waiter_leave(other));
    fixture_free(f);
}

/* Otherwise it would be the first waiter, with free slots, and wait for a worker to admit it. */
static void test_a_more_urgent_publisher_passes_a_waiter_that_does_not_fit(void) {
    for (int way = 0; way < 3; way++) {
        fixture *f = full_queue(2);
        bb_route two = several(f, 2, 2);
        const bb_route *route = &f->high;
        void *event = EVENT(4);
        bb_waiter *waiter = join(f, &two, 3);
        CHECK_TAKES(1, f->worker);
        if (way == 0) CHECK_INT(BB_ACCEPTED, push(f, &f->high, 4));
        if (way == 1) CHECK_INT(1, bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE));
        if (way == 2) CHECK(join(f, &f->high, 4) == NULL && last_join == BB_ACCEPTED);
        CHECK_TAKES(4, f->worker);
        CHECK_INT(0, bb_waiter_leave(waiter));
        fixture_free(f);
    }
}

static void test_a_freed_slot_may_admit_several_and_several_slots_one(void) {
    fixture *f = full_queue(3);
    bb_route three = several(f, 3, 3);
    bb_waiter *large = join(f, &three, 4);
    bb_waiter *small[] = {join(f, &f->medium, 5), join(f, &f->medium, 6)};
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(2, f->worker);
    CHECK_INT(3, waiting(f));
    CHECK_TAKES(3, f->worker);
    CHECK_INT(2, waiting(f));
    for (int i = 0; i < 3; i++) CHECK_TAKES(4, f->worker);
    CHECK_INT(0, waiting(f));
    CHECK_BOOKS(f, .published = 8, .processed = 5, .queued = 2, .running = 1);
    CHECK_INT(1, bb_waiter_leave(large));
    for (int i = 0; i < 2; i++) CHECK_INT(1, bb_waiter_leave(small[i]));
    fixture_free(f);
}

static void test_a_waiter_that_leaves_is_not_admitted(void) {
    for (int leaver = 0; leaver < 3; leaver++) {
        fixture *f = full_queue(1);
        bb_waiter *waiter[3];
        for (int i = 0; i < 3; i++) waiter[i] = join(f, &f->low, 2 + i);
        CHECK_INT(0, bb_waiter_leave(waiter[leaver]));
        CHECK_INT(2, waiting(f));
        take_some(f, 3);
        CHECK_BOOKS(f, .published = 3, .processed = 2, .running = 1);
        for (int i = 0; i < 3; i++)
            if (i != leaver) CHECK_INT(1, bb_waiter_leave(waiter[i]));
        fixture_free(f);
    }
}

static void test_the_first_waiter_that_leaves_admits_all_that_fit(void) {
    fixture *f = fixture_new(3);
    bb_route three = several(f, 2, 3);
    bb_waiter *small[3];
    fill(f, &f->low, 1, 1);
    bb_waiter *large = join(f, &three, 2); /* two slots are free, but it needs three */
    for (int i = 0; i < 3; i++) small[i] = join(f, &f->low, 3 + i);
    CHECK_INT(1, bb_depth(f->q));
    CHECK_INT(0, bb_waiter_leave(large));
    CHECK_INT(3, bb_depth(f->q));
    CHECK_INT(1, waiting(f));
    for (int i = 0; i < 3; i++) CHECK_INT(i < 2, bb_waiter_leave(small[i]));
    fixture_free(f);
}

static void test_a_wait_that_finds_no_memory_changes_nothing(void) {
    fixture *f = full_queue(1);
    staged_memory_fail_after(0);
    CHECK(join(f, &f->low, 2) == NULL);
    CHECK_INT(BB_NO_MEMORY, last_join);
    CHECK_INT(0, waiting(f));
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    fixture_free(f);
}

void waiting_tests(void) {
    RUN(test_joining_accepts_immediately_while_there_are_free_slots);
    RUN(test_a_wait_ends_when_it_is_time);
    RUN(test_a_wait_until_the_past_does_not_sleep);
    RUN(test_within_a_level_waiters_are_admitted_in_order);
    RUN(test_an_urgent_publisher_is_admitted_first);
    RUN(test_all_eight_levels_are_served_in_order);
    RUN(test_a_worker_admits_a_waiter_that_does_not_sleep);
    RUN(test_a_sleeping_publisher_is_admitted_and_woken);
    RUN(test_a_wait_in_slices_keeps_its_order);
    RUN(test_no_push_passes_a_waiter_that_is_to_be_admitted_before);
    RUN(test_a_more_urgent_publisher_passes_a_waiter_that_does_not_fit);
    RUN(test_a_freed_slot_may_admit_several_and_several_slots_one);
    RUN(test_a_waiter_that_leaves_is_not_admitted);
    RUN(test_the_first_waiter_that_leaves_admits_all_that_fit);
    RUN(test_a_wait_that_finds_no_memory_changes_nothing);
}

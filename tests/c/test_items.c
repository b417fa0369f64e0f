/* test_items.c: queues without workers, from which threads get items themselves. */
#include "fixture.h"

#include <sched.h>

static fixture *items_fixture(int32_t capacity) {
    return fixture_with((bb_settings){.capacity = capacity, .grows = 1});
}

static int32_t put_many(fixture *f, const bb_route *route, int64_t first, int32_t n) {
    void *items[MANY];
    for (int32_t i = 0; i < n; i++) items[i] = EVENT(first + i);
    return bb_put(f->q, route, items, n);
}

static int32_t put(fixture *f, const bb_route *route, int64_t item) {
    return put_many(f, route, item, 1);
}

/* The next item's number; 0: there is none, or a negative result. */
static int64_t get(fixture *f) {
    void *item;
    int32_t n = bb_get(f->q, &item, 1, 0);
    return n == 1 ? NUMBER(item) : n;
}

static void test_items_leave_by_level_and_age_and_have_ended(void) {
    fixture *f = items_fixture(8);
    CHECK_INT(2, put_many(f, &f->low, 1, 2));
    CHECK_INT(1, put(f, &f->high, 10));
    CHECK_INT(2, put_many(f, &f->medium, 20, 2));
    CHECK_BOOKS(f, .published = 5, .queued = 5);
    int64_t order[] = {10, 20, 21, 1, 2};
    for (int i = 0; i < 5; i++) CHECK_INT(order[i], get(f));
    CHECK_INT(0, get(f));
    CHECK_BOOKS(f, .published = 5, .processed = 5);
    fixture_free(f);
}

static void test_as_many_are_put_as_there_are_free_slots(void) {
    fixture *f = items_fixture(3);
    CHECK_INT(3, put_many(f, &f->low, 1, 5));
    CHECK_INT(0, put(f, &f->high, 9));
    void *out[MANY];
    CHECK_INT(3, bb_get(f->q, out, MANY, 0));
    for (int i = 0; i < 3; i++) CHECK_INT(i + 1, NUMBER(out[i]));
    CHECK_INT(3, put_many(f, &f->low, 4, 3));
    fixture_free(f);
}

static void test_slots_are_allocated_as_they_are_needed(void) {
    staged_memory_asked();
    fixture *f = items_fixture(1 << 24);
    size_t at_first = staged_memory_asked();
    CHECK(at_first < 300000);
    for (int i = 0; i < 200; i++) CHECK_INT(MANY, put_many(f, &f->low, 1 + i * MANY, MANY));
    CHECK(staged_memory_asked() < 4 * 200 * MANY * sizeof(slot));
    for (int i = 0; i < 200 * MANY; i++) CHECK_INT(i + 1, get(f));
    fixture_free(f);
}

static void test_without_memory_an_item_is_unknown_to_the_queue(void) {
    fixture *f = items_fixture(1000);
    CHECK_INT(1, put(f, &f->low, 1));
    staged_memory_fail_after(0);
    CHECK_INT(BB_NO_MEMORY, put(f, &f->low, 2));
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    CHECK_INT(1, put(f, &f->low, 3));
    CHECK_INT(1, get(f));
    CHECK_INT(3, get(f));
    fixture_free(f);
}

static void test_a_waiter_comes_before_what_is_put_later(void) {
    fixture *f = items_fixture(1);
    CHECK_INT(1, put(f, &f->low, 1));
    bb_waiter *waiter = join(f, &f->low, 2);
    CHECK_INT(1, get(f));
    CHECK_INT(0, put(f, &f->high, 3));
    CHECK_INT(1, bb_waiter_leave(waiter));
    CHECK_INT(2, get(f));
    fixture_free(f);
}

/* It sleeps without a limit: only being notified ends that. */
static void test_each_publisher_whose_item_was_admitted_is_notified(void) {
    enum { WAITING = 4 };
    fixture *f = items_fixture(40);
    sleeper s[WAITING];
    bb_waiter *waiter[WAITING];
    staged_sleeps(STAGED_ENDLESS);
    CHECK_INT(40, put_many(f, &f->low, 1, 40));
    for (int i = 0; i < WAITING; i++) start_wait(&s[i], waiter[i] = join(f, &f->low, 50 + i));
    await_asleep(f, WAITING);
    for (int i = 0; i < WAITING; i++) {
        CHECK_INT(i + 1, get(f));
        CHECK_INT(BB_ACCEPTED, finish_sleeper(&s[i])); /* the first of them */
        CHECK_INT(1, bb_waiter_leave(waiter[i]));
    }
    fixture_free(f);
}

typedef struct {
    pthread_t thread;
    fixture *f;
    int64_t got;
} getter;

static void *in_get(void *argument) {
    getter *g = argument;
    void *item;
    int32_t n, woken = 0;
    while ((n = bb_get(g->f->q, &item, 1, woken)) == 0) woken = bb_wait_item(g->f->q, NEVER);
    g->got = n == 1 ? NUMBER(item) : n;
    return NULL;
}

static void start_getters(fixture *f, getter *g, int32_t n) {
    staged_sleeps(STAGED_ENDLESS);
    for (int32_t i = 0; i < n; i++) {
        g[i] = (getter){.f = f};
        CHECK_INT(0, pthread_create(&g[i].thread, NULL, in_get, &g[i]));
    }
    await_workers_asleep(f, n);
}

static void test_no_thread_sleeps_beside_an_item(void) {
    enum { GETTERS = 4 };
    for (int turn = 0; turn < 50; turn++) {
        fixture *f = items_fixture(8);
        getter g[GETTERS];
        int64_t sum = 0;
        start_getters(f, g, GETTERS);
        if (turn % 2) CHECK_INT(GETTERS, put_many(f, &f->low, 1, GETTERS));
        else
            for (int i = 0; i < GETTERS; i++) CHECK_INT(1, put(f, &f->low, 1 + i));
        for (int i = 0; i < GETTERS; i++) {
            pthread_join(g[i].thread, NULL);
            sum += g[i].got;
        }
        CHECK_INT(1 + 2 + 3 + 4, sum);
        fixture_free(f);
    }
}

static void await_no_wake_up(fixture *f) {
    for (bool waking = true; waking;) {
        bb_mutex_lock(&f->q->mutex);
        waking = f->q->waking;
        bb_mutex_unlock(&f->q->mutex);
        if (waking) sched_yield();
    }
}

/* In most turns this thread takes the item, and the one that was woken finds nothing. */
static void test_a_wake_up_for_what_another_thread_took_is_not_lost(void) {
    for (int turn = 0; turn < 100; turn++) {
        fixture *f = items_fixture(8);
        getter g;
        start_getters(f, &g, 1);
        CHECK_INT(1, put(f, &f->low, 1));
        int64_t first = get(f);
        if (first == 1) {
            await_no_wake_up(f); /* it sleeps again */
            CHECK_INT(1, put(f, &f->low, 2));
        }
        pthread_join(g.thread, NULL);
        CHECK_INT(first == 1 ? 2 : 1, g.got);
        fixture_free(f);
    }
}

static void test_a_wait_for_an_item_ends_when_it_is_time(void) {
    fixture *f = items_fixture(1);
    staged_sleeps(STAGED_ENDLESS);
    CHECK_INT(0, bb_wait_item(f->q, 0));
    CHECK_INT(0, bb_wait_item(f->q, bb_clock()));
    CHECK_INT(1, put(f, &f->low, 1));
    CHECK_INT(1, bb_wait_item(f->q, 0));
    fixture_free(f);
}

static void test_a_closed_queue_gives_what_it_has_and_then_wakes_all(void) {
    fixture *f = items_fixture(8);
    getter g[3];
    start_getters(f, g, 3);
    bb_close(f->q, 1, -1);
    for (int i = 0; i < 3; i++) {
        pthread_join(g[i].thread, NULL);
        CHECK_INT(BB_CLOSED, g[i].got);
    }
    fixture_free(f);
    f = items_fixture(8);
    CHECK_INT(1, put(f, &f->low, 1));
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_CLOSED, put(f, &f->low, 2));
    CHECK_INT(1, get(f));
    CHECK_INT(BB_CLOSED, get(f));
    fixture_free(f);
}

static void test_a_shut_queue_gives_back_its_items_as_dropped(void) {
    fixture *f = items_fixture(8);
    void *out[2];
    CHECK_INT(3, put_many(f, &f->low, 1, 3));
    CHECK_INT(0, bb_take_back(f->q, out, 2)); /* it is open */
    bb_close(f->q, 0, 0);
    CHECK_INT(BB_CLOSED, get(f));
    CHECK_INT(2, bb_take_back(f->q, out, 2));
    CHECK_INT(1, NUMBER(out[0]));
    CHECK_INT(1, bb_take_back(f->q, out, 2));
    CHECK_BOOKS(f, .published = 3, .dropped = 3);
    fixture_free(f);
}

static void test_tasks_are_unfinished_until_each_is_done_or_discarded(void) {
    fixture *f = items_fixture(8);
    CHECK_INT(0, bb_task_done(f->q));
    CHECK_INT(3, put_many(f, &f->low, 1, 3));
    CHECK_INT(3, bb_unfinished(f->q));
    CHECK_INT(1, get(f));
    CHECK_INT(3, bb_unfinished(f->q));
    CHECK_INT(1, bb_task_done(f->q));
    CHECK_INT(2, bb_unfinished(f->q));
    CHECK_INT(0, bb_wait_tasks(f->q, 0));
    void *out[MANY];
    bb_close(f->q, 0, 0);
    CHECK_INT(2, bb_take_back(f->q, out, MANY));
    CHECK_INT(0, bb_unfinished(f->q));
    CHECK_INT(0, bb_task_done(f->q));
    CHECK_INT(1, bb_wait_tasks(f->q, FOREVER));
    fixture_free(f);
}

static void *in_wait_tasks(void *argument) {
    getter *g = argument;
    g->got = bb_wait_tasks(g->f->q, FOREVER);
    return NULL;
}

static void test_the_last_task_wakes_the_threads_that_wait_for_it(void) {
    for (int discards = 0; discards < 2; discards++) {
        fixture *f = items_fixture(8);
        getter g = {.f = f};
        void *out[MANY];
        staged_sleeps(STAGED_ENDLESS);
        CHECK_INT(2, put_many(f, &f->low, 1, 2));
        CHECK_INT(0, pthread_create(&g.thread, NULL, in_wait_tasks, &g));
        await_asleep(f, 1);
        CHECK_INT(1, bb_task_done(f->q));
        if (discards) {
            CHECK_INT(1, get(f));
            bb_close(f->q, 0, 0);
            CHECK_INT(1, bb_take_back(f->q, out, MANY));
        } else {
            CHECK_INT(1, bb_task_done(f->q));
        }
        pthread_join(g.thread, NULL);
        CHECK_INT(1, g.got);
        fixture_free(f);
    }
}

static void test_a_larger_capacity_admits_waiters_and_a_smaller_one_keeps_items(void) {
    fixture *f = items_fixture(2);
    CHECK_INT(2, put_many(f, &f->low, 1, 2));
    bb_waiter *first = join(f, &f->low, 3), *second = join(f, &f->low, 4);
    bb_waiter *third = join(f, &f->low, 5);
    CHECK_INT(BB_ACCEPTED, bb_set_capacity(f->q, 4));
    CHECK_INT(4, bb_depth(f->q));
    CHECK_INT(1, bb_waiter_leave(first));
    CHECK_INT(1, bb_waiter_leave(second));
    CHECK_INT(0, bb_waiter_leave(third));
    CHECK_INT(BB_ACCEPTED, bb_set_capacity(f->q, 1));
    for (int i = 1; i <= 3; i++) CHECK_INT(i, get(f));
    CHECK_INT(0, put(f, &f->low, 6));
    CHECK_INT(4, get(f));
    CHECK_INT(1, put(f, &f->low, 6));
    fixture_free(f);
}

static int32_t note_item(void *item, void *argument) {
    int64_t **next = argument;
    *(*next)++ = NUMBER(item);
    return NUMBER(item) == 2;
}

static void test_a_visit_sees_the_items_in_order_until_it_has_enough(void) {
    fixture *f = items_fixture(8);
    int64_t seen[4] = {0}, *next = seen;
    CHECK_INT(3, put_many(f, &f->low, 1, 3));
    CHECK_INT(1, put(f, &f->high, 10));
    CHECK_INT(1, bb_visit(f->q, note_item, &next));
    CHECK_INT(10, seen[0]);
    CHECK_INT(1, seen[1]);
    CHECK_INT(2, seen[2]);
    CHECK_INT(0, seen[3]);
    fixture_free(f);
}

void items_tests(void) {
    RUN(test_items_leave_by_level_and_age_and_have_ended);
    RUN(test_as_many_are_put_as_there_are_free_slots);
    RUN(test_slots_are_allocated_as_they_are_needed);
    RUN(test_without_memory_an_item_is_unknown_to_the_queue);
    RUN(test_a_waiter_comes_before_what_is_put_later);
    RUN(test_each_publisher_whose_item_was_admitted_is_notified);
    RUN(test_no_thread_sleeps_beside_an_item);
    RUN(test_a_wake_up_for_what_another_thread_took_is_not_lost);
    RUN(test_a_wait_for_an_item_ends_when_it_is_time);
    RUN(test_a_closed_queue_gives_what_it_has_and_then_wakes_all);
    RUN(test_a_shut_queue_gives_back_its_items_as_dropped);
    RUN(test_tasks_are_unfinished_until_each_is_done_or_discarded);
    RUN(test_the_last_task_wakes_the_threads_that_wait_for_it);
    RUN(test_a_larger_capacity_admits_waiters_and_a_smaller_one_keeps_items);
    RUN(test_a_visit_sees_the_items_in_order_until_it_has_enough);
}

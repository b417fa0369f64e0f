/* test_limits.c: no more calls of a subscription at once than it allows, and no worker waits for
 * that. */
#include "grouped.h"

static void test_no_more_calls_run_than_the_limit_allows(void) {
    for (int keyed = 0; keyed < 2; keyed++) {
        fixture *f = fixture_new(8);
        grouped *g = grouped_new(f, 2, 0);
        bb_worker *worker[] = {f->worker, add_worker(f), add_worker(f)};
        for (int32_t i = 0; i < 5; i++) post(g, 1, keyed ? i : NO_KEY, 1 + i);
        CHECK_TRIES(1, worker[0]);
        CHECK_TRIES(2, worker[1]);
        CHECK_TRIES(0, worker[2]);
        CHECK_LISTS(f);
        bb_finish(worker[1], 0);
        CHECK_LISTS(f);
        CHECK_TRIES(3, worker[2]);
        CHECK_TRIES(0, worker[1]);
        for (int64_t event = 4; event <= 5; event++) {
            CHECK_TRIES(event, worker[0]);
            CHECK_LISTS(f);
        }
        CHECK_BOOKS(f, .published = 5, .processed = 3, .running = 2);
        fixture_free(f);
    }
}

static void test_a_group_at_its_limit_holds_up_nothing_else(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 0), *h = grouped_new(f, 1, 0);
    bb_worker *other = add_worker(f);
    post(g, 1, 0, 1);
    post(g, 1, 1, 2);
    post(g, 1, NO_KEY, 3);
    post(h, 1, 0, 4);
    fill(f, &f->low, 5, 1);
    post(g, 3, 2, 6);
    CHECK_TRIES(6, f->worker);
    CHECK_TRIES(4, other);
    CHECK_LISTS(f);
    CHECK_TRIES(5, other);
    CHECK_TRIES(0, other);
    CHECK_LISTS(f);
    for (int64_t event = 1; event <= 3; event++) CHECK_TRIES(event, f->worker);
    CHECK_BOOKS(f, .published = 6, .processed = 5, .running = 1);
    fixture_free(f);
}

static void test_the_most_urgent_lane_of_a_group_is_next(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 0);
    post(g, 2, 0, 1);
    CHECK_TRIES(1, f->worker);
    post(g, 1, 1, 2);
    post(g, 3, 2, 3);
    post(g, 2, 3, 4);
    post(g, 2, NO_KEY, 5);
    post(g, 3, 0, 6); /* of the key that runs */
    for (int i = 0; i < 5; i++) {
        CHECK_TRIES(((int64_t[]){3, 6, 4, 5, 2})[i], f->worker);
        CHECK_LISTS(f);
    }
    fixture_free(f);
}

static void test_key_and_limit_hold_together(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 2, 0);
    bb_worker *worker[] = {f->worker, add_worker(f), add_worker(f)};
    post_some(g, 1, 0, 1, 3);
    post_some(g, 1, 1, 4, 2);
    post_some(g, 1, 2, 6, 1);
    CHECK_TRIES(1, worker[0]);
    CHECK_TRIES(4, worker[1]);
    CHECK_TRIES(0, worker[2]); /* the limit */
    bb_finish(worker[1], 0);
    CHECK_LISTS(f);
    CHECK_TRIES(5, worker[1]); /* older than 6, and 2 is behind its key */
    bb_finish(worker[1], 0);
    CHECK_TRIES(6, worker[2]);
    CHECK_TRIES(0, worker[1]); /* the limit, and the key */
    bb_finish(worker[2], 0);
    CHECK_TRIES(0, worker[1]); /* the key */
    CHECK_TRIES(2, worker[0]);
    CHECK_TRIES(3, worker[0]);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 6, .processed = 5, .running = 1);
    fixture_free(f);
}

static void test_a_call_that_ends_wakes_a_worker_for_a_blocked_lane(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 1, 0);
    bb_worker *other = add_worker(f);
    sleeper s;
    post(g, 1, 0, 1);
    post(g, 1, 1, 2);
    CHECK_TRIES(1, f->worker);
    start_take(&s, other);
    await_workers_asleep(f, 1);
    bb_finish(f->worker, 0);
    CHECK_INT(2, finish_sleeper(&s));
    fixture_free(f);
}

/* To wake a thread costs more than to handle an event. */
static void test_no_worker_is_woken_for_what_the_limit_forbids(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 0);
    post(g, 1, 0, 1);
    CHECK_TRIES(1, f->worker);
    f->q->idle_workers = 1; /* as if one slept */
    post_some(g, 1, 0, 2, 2);
    post(g, 1, 1, 4);
    post(g, 1, NO_KEY, 5);
    CHECK(!f->q->waking);
    CHECK_TRIES(2, f->worker); /* in between, two lanes were ready */
    CHECK(!f->q->waking);
    fill(f, &f->low, 6, 1);
    CHECK(f->q->waking);
    f->q->idle_workers = 0;
    CHECK_LISTS(f);
    fixture_free(f);
}

/* A delayed delivery is no call. */
static void test_a_delivery_that_waits_for_a_retry_does_not_count_for_the_limit(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 1, 0);
    post(g, 1, 0, 1);
    post(g, 1, 1, 2);
    CHECK_TRIES(1, f->worker);
    retry(f, f->worker, 1);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_TRIES(2, f->worker);
    due(f, 1);
    CHECK_LISTS(f);
    bb_finish(f->worker, 0);
    CHECK_TRIES(1, f->worker);
    fixture_free(f);
}

/* When a call ends, one blocked lane gets the turn. If its delivery is then dropped, or goes into
 * the batch of a call that runs already, the turn goes to the next lane. */
enum { EXPIRES, PURGED, EVICTED, IN_A_BATCH, WAYS };

static void test_a_lane_that_loses_its_only_delivery_gives_its_turn_to_the_next(void) {
    for (int way = 0; way < WAYS; way++) {
        fixture *f = fixture_new(3);
        grouped *g = grouped_new(f, way == IN_A_BATCH ? 2 : 1, 4);
        bb_worker *other = add_worker(f);
        staged_clock_set(NOW);
        bool keyed = way != IN_A_BATCH;
        post(g, 3, keyed ? 0 : NO_KEY, 1);
        CHECK_TRIES(1, f->worker);
        if (!keyed) post(g, 3, NO_KEY, 9), CHECK_TRIES(9, other);
        post_expiring(g, 2, keyed ? 1 : NO_KEY, 2, NOW + 10);
        post(g, 1, keyed ? 2 : NO_KEY, 3);
        bb_finish(f->worker, 0); /* 2 has the turn */
        CHECK_LISTS(f);
        if (way == EXPIRES || way == PURGED) staged_clock_advance(10);
        if (way == EXPIRES) CHECK_TRIES(-2, f->worker);
        if (way == PURGED) CHECK_INT(1, bb_purge(f->q, f->out, 1));
        if (way == EVICTED) {
            fill(f, &f->low, 4, 1);
            CHECK_INT(BB_EVICTED, offer(f, &f->medium, 5, BB_EVICT_OLDEST));
            CHECK_TRIES(5, f->worker);
        }
        if (way == IN_A_BATCH) CHECK_INT(1, take_more(other, 1, 0));
        CHECK_LISTS(f);
        CHECK_TRIES(3, f->worker);
        fixture_free(f);
    }
}

/* The call that all of them wait for is the one that wants to publish. */
static void test_a_handler_does_not_wait_for_what_is_behind_its_own_limit(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 1, 0);
    bb_worker *other = add_worker(f);
    sleeper s, idle;
    post(g, 1, 0, 1);
    CHECK_TRIES(1, f->worker);
    post_some(g, 1, 1, 2, 2);
    bb_worker_waits(f->worker, 1);
    staged_sleeps(STAGED_ENDLESS);
    bb_waiter *waiter = join_as(f, &f->low, 4, BB_INSIDE, true); /* the other may yet take */
    CHECK_INT(BB_WAITING, last_join);
    start_wait(&s, waiter);
    await_asleep(f, 1);
    start_take(&idle, other);
    CHECK_INT(BB_FULL, finish_sleeper(&s));
    CHECK_INT(0, bb_waiter_leave(waiter));
    CHECK(join_as(f, &f->low, 4, BB_INSIDE, true) == NULL);
    bb_worker_waits(f->worker, 0);
    bb_finish(f->worker, 0);
    CHECK_INT(2, finish_sleeper(&idle));
    fixture_free(f);
}

static void test_a_handler_waits_for_what_is_delayed(void) {
    fixture *f = fixture_new(1);
    grouped *g = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    sleeper s, idle;
    post(g, 1, 0, 1);
    CHECK_TRIES(1, other);
    fill(f, &f->low, 2, 1);
    CHECK_TRIES(2, f->worker);
    retry(f, other, 1);
    bb_finish(other, 0);
    start_take(&idle, other);
    await_workers_asleep(f, 1);
    bb_worker_waits(f->worker, 1);
    staged_sleeps(STAGED_ENDLESS);
    bb_waiter *waiter = join_as(f, &f->low, 3, BB_INSIDE, true);
    CHECK_INT(BB_WAITING, last_join);
    start_wait(&s, waiter);
    await_asleep(f, 1);
    due(f, 1);
    CHECK_INT(1, finish_sleeper(&idle));
    CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

/* Its time has come, but it is behind the limit. */
static void test_a_handler_waits_no_longer_for_a_retry_behind_its_own_limit(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 1, 0);
    bb_worker *other = add_worker(f);
    sleeper s, idle;
    post(g, 1, 0, 1);
    post(g, 1, 1, 2);
    CHECK_TRIES(1, f->worker);
    retry(f, f->worker, 1);
    bb_finish(f->worker, 0);
    CHECK_TRIES(2, f->worker);
    post(g, 1, 2, 3);
    start_take(&idle, other);
    await_workers_asleep(f, 1);
    bb_worker_waits(f->worker, 1);
    staged_sleeps(STAGED_ENDLESS);
    bb_waiter *waiter = join_as(f, &f->low, 4, BB_INSIDE, true);
    CHECK_INT(BB_WAITING, last_join);
    start_wait(&s, waiter);
    await_asleep(f, 1);
    due(f, 1);
    CHECK_INT(BB_FULL, finish_sleeper(&s));
    CHECK_INT(0, bb_waiter_leave(waiter));
    bb_worker_waits(f->worker, 0);
    bb_finish(f->worker, 0);
    CHECK_INT(1, finish_sleeper(&idle));
    fixture_free(f);
}

void limits_tests(void) {
    RUN(test_no_more_calls_run_than_the_limit_allows);
    RUN(test_a_group_at_its_limit_holds_up_nothing_else);
    RUN(test_the_most_urgent_lane_of_a_group_is_next);
    RUN(test_key_and_limit_hold_together);
    RUN(test_a_call_that_ends_wakes_a_worker_for_a_blocked_lane);
    RUN(test_no_worker_is_woken_for_what_the_limit_forbids);
    RUN(test_a_lane_that_loses_its_only_delivery_gives_its_turn_to_the_next);
    RUN(test_a_delivery_that_waits_for_a_retry_does_not_count_for_the_limit);
    RUN(test_a_handler_does_not_wait_for_what_is_behind_its_own_limit);
    RUN(test_a_handler_waits_for_what_is_delayed);
    RUN(test_a_handler_waits_no_longer_for_a_retry_behind_its_own_limit);
}

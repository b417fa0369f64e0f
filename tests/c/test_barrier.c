/* test_barrier.c: waiting until all that was accepted before has ended. */
#include "grouped.h"

static int32_t is_over(fixture *f, uint64_t barrier) { return bb_wait_barrier(f->q, barrier, 0); }

static void test_a_barrier_waits_for_what_was_accepted_before_it(void) {
    fixture *f = fixture_new(8);
    bb_worker *other = add_worker(f);
    CHECK_INT(1, is_over(f, bb_barrier(f->q)));
    fill(f, &f->low, 1, 2);
    uint64_t barrier = bb_barrier(f->q);
    fill(f, &f->high, 3, 2); /* taken first, and not waited for */
    CHECK_INT(0, is_over(f, barrier));
    CHECK_TRIES(3, f->worker);
    CHECK_TRIES(4, f->worker);
    CHECK_TRIES(1, other);
    CHECK_INT(0, is_over(f, barrier));
    CHECK_TRIES(2, other);
    fill(f, &f->high, 5, 1);
    CHECK_INT(0, is_over(f, barrier)); /* 2 still runs */
    bb_finish(other, 0);
    CHECK_INT(1, is_over(f, barrier));
    CHECK_INT(0, bb_wait_idle(f->q, 0));
    fixture_free(f);
}

static void test_a_barrier_waits_for_what_is_parked_delayed_or_in_a_batch(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 1, 4);
    post_some(g, 1, 0, 1, 3);
    post(g, 1, 1, 4);
    uint64_t barrier = bb_barrier(f->q);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 3, 0));
    retry(f, f->worker, 2);
    bb_finish(f->worker, 0);
    CHECK_TRIES(4, f->worker);
    post(g, 1, 0, 5);
    bb_finish(f->worker, 0);
    CHECK_INT(0, is_over(f, barrier)); /* 2 is delayed */
    due(f, 2);
    CHECK_INT(0, is_over(f, barrier));
    CHECK_TRIES(2, f->worker);
    CHECK_INT(1, take_more(f->worker, 3, 0));
    CHECK_INT(0, is_over(f, barrier));
    uint64_t second = bb_barrier(f->q);
    retry(f, f->worker, 5);
    bb_finish(f->worker, 0);
    CHECK_INT(1, is_over(f, barrier));
    CHECK_INT(0, is_over(f, second));
    due(f, 5);
    CHECK_TRIES(5, f->worker);
    CHECK_INT(0, is_over(f, second));
    bb_finish(f->worker, 0);
    CHECK_INT(1, is_over(f, second));
    fixture_free(f);
}

/* Of a batch, the first that was taken need not be the oldest. */
static void test_a_barrier_waits_for_an_old_delivery_in_a_newer_ones_batch(void) {
    fixture *f = fixture_new(8);
    grouped *g = grouped_new(f, 0, 4);
    post(g, 1, NO_KEY, 1);
    uint64_t barrier = bb_barrier(f->q);
    post(g, 3, NO_KEY, 2);
    CHECK_TRIES(2, f->worker);
    CHECK_INT(1, take_more(f->worker, 3, 0));
    CHECK_INT(0, is_over(f, barrier));
    bb_finish(f->worker, 0);
    CHECK_INT(1, is_over(f, barrier));
    fixture_free(f);
}

static void test_a_barrier_waits_for_a_publisher_that_runs_its_own_event(void) {
    fixture *f = fixture_new(1);
    bb_route two = several(f, 1, 2);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_RUN, offer(f, &two, 2, BB_CALLER_RUNS));
    bb_caller *caller = f->caller;
    uint64_t barrier = bb_barrier(f->q);
    CHECK_TRIES(1, f->worker);
    CHECK_TRIES(0, f->worker);
    bb_caller_done(caller, 0);
    CHECK_INT(0, is_over(f, barrier));
    bb_caller_done(caller, 0);
    CHECK_INT(1, is_over(f, barrier));
    fixture_free(f);
}

static void test_a_barrier_ignores_publishers_that_wait(void) {
    fixture *f = fixture_new(1);
    fill(f, &f->low, 1, 1);
    bb_waiter *waiter = join(f, &f->low, 2);
    uint64_t barrier = bb_barrier(f->q);
    CHECK_TRIES(1, f->worker); /* admits it */
    bb_finish(f->worker, 0);
    CHECK_INT(1, is_over(f, barrier));
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

static void test_waiting_for_a_barrier_ends_at_its_timeout(void) {
    fixture *f = fixture_new(1);
    fill(f, &f->low, 1, 1);
    staged_clock_set(NOW);
    staged_sleeps(STAGED_JUMP);
    CHECK_INT(0, bb_wait_barrier(f->q, bb_barrier(f->q), MS));
    fixture_free(f);
}

static void test_a_barrier_that_was_given_up_delays_no_later_one(void) {
    for (int earlier = 0; earlier < 2; earlier++) {
        fixture *f = fixture_new(4);
        sleeper s;
        fill(f, &f->low, 1, 1);
        uint64_t first = bb_barrier(f->q);
        fill(f, &f->low, 2, 1);
        uint64_t second = bb_barrier(f->q);
        staged_clock_set(NOW);
        staged_sleeps(STAGED_JUMP);
        CHECK_INT(0, bb_wait_barrier(f->q, earlier ? first : second, MS));
        staged_sleeps(STAGED_ENDLESS);
        start_wait_barrier(&s, f, earlier ? second : first);
        await_asleep(f, 1);
        take_some(f, earlier ? 2 : 1);
        bb_finish(f->worker, 0);
        CHECK_INT(1, finish_sleeper(&s));
        fixture_free(f);
    }
}

/* ---- completion hooks ------------------------------------------------------------------------ */

static void test_a_worker_that_calls_completion_hooks_is_waited_for(void) {
    for (int drains = 0; drains < 2; drains++) {
        fixture *f = fixture_new(4);
        grouped *g = grouped_new(f, 0, 4);
        sleeper idle, over;
        post(g, 1, NO_KEY, 1);
        uint64_t barrier = bb_barrier(f->q);
        post(g, 3, NO_KEY, 2);
        CHECK_TRIES(2, f->worker);
        CHECK_INT(1, take_more(f->worker, 3, 0));
        if (drains) bb_close(f->q, 1, -1);
        bb_finish(f->worker, 1);
        CHECK_BOOKS(f, .published = 2, .processed = 2);
        staged_sleeps(STAGED_ENDLESS);
        start_wait_idle(&idle, f, FOREVER);
        start_wait_barrier(&over, f, barrier);
        await_asleep(f, 2);
        CHECK_INT(drains ? BB_DRAINING : BB_OPEN, bb_get_state(f->q));
        if (drains) CHECK_INT(BB_ACCEPTED, push_as(f, &f->low, 3, BB_INSIDE)); /* by the hook */
        bb_completed(f->worker);
        CHECK_INT(1, finish_sleeper(&over));
        if (drains) CHECK_TRIES(3, f->worker), CHECK_TRIES(0, f->worker);
        CHECK_INT(1, finish_sleeper(&idle));
        CHECK_INT(drains ? BB_SHUT : BB_OPEN, bb_get_state(f->q));
        fixture_free(f);
    }
}

/* ---- waking ---------------------------------------------------------------------------------- */

/* Each way in which the last delivery before a barrier may end. */
enum { FINISHED, EVICTED, EXPIRED, PURGED, ENDED_BY_CALLER, ABORTED_BY_CALLER, WAYS };

static void end_it(fixture *f, int way) {
    switch (way) {
    case FINISHED:
        CHECK_TRIES(1, f->worker);
        bb_finish(f->worker, 0);
        break;
    case EVICTED: CHECK_INT(BB_EVICTED, offer(f, &f->high, 3, BB_EVICT_OLDEST)); break;
    case EXPIRED:
        CHECK_TRIES(-1, f->worker);
        CHECK_INT(0, is_over(f, 1));
        CHECK_TRIES(2, f->worker); /* the drop was reported in between */
        break;
    case PURGED: CHECK_INT(1, bb_purge(f->q, f->out, MANY)); break;
    case ENDED_BY_CALLER: bb_caller_done(f->caller, 0); break;
    default: bb_caller_abort(f->caller); break;
    }
}

static void test_the_end_of_the_last_delivery_wakes_the_waiting_thread(void) {
    for (int way = 0; way < WAYS; way++) {
        fixture *f = fixture_new(2);
        sleeper s;
        staged_clock_set(NOW);
        bool expires = way == EXPIRED || way == PURGED;
        bool by_caller = way == ENDED_BY_CALLER || way == ABORTED_BY_CALLER;
        bb_route two = several(f, 1, 2);
        if (by_caller) {
            fill(f, &f->low, 5, 1);
            CHECK_INT(BB_RUN, offer(f, &two, 1, BB_CALLER_RUNS));
            bb_caller_done(f->caller, 0);
            CHECK_TRIES(5, f->worker);
            bb_finish(f->worker, 0);
        } else {
            push_expiring(f, &f->high, 1, expires ? NOW + 10 : 0);
        }
        staged_sleeps(STAGED_ENDLESS);
        start_wait_barrier(&s, f, bb_barrier(f->q));
        await_asleep(f, 1);
        staged_clock_advance(10);
        fill(f, &f->low, 2, 1); /* the queue is not idle */
        end_it(f, way);
        CHECK_INT(1, finish_sleeper(&s));
        CHECK_INT(0, bb_wait_idle(f->q, 0));
        fixture_free(f);
    }
}

static void test_several_threads_are_woken_each_at_its_own_barrier(void) {
    enum { THREADS = 4 };
    int order[THREADS] = {2, 0, 3, 1}; /* in which they begin to wait */
    fixture *f = fixture_new(8);
    sleeper s[THREADS];
    uint64_t barrier[THREADS];
    staged_sleeps(STAGED_ENDLESS);
    for (int i = 0; i < THREADS; i++) {
        fill(f, &f->low, 1 + i, 1);
        barrier[i] = bb_barrier(f->q);
    }
    for (int i = 0; i < THREADS; i++) {
        start_wait_barrier(&s[order[i]], f, barrier[order[i]]);
        await_asleep(f, i + 1);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_TRIES(1 + i, f->worker);
        bb_finish(f->worker, 0);
        CHECK_INT(1, finish_sleeper(&s[i]));
        CHECK_INT(i + 1 == THREADS, is_over(f, barrier[THREADS - 1]));
        if (i + 1 < THREADS) await_barrier(f, barrier[i + 1]); /* the others still wait */
    }
    fixture_free(f);
}

static void test_discarding_a_shut_queue_ends_a_barrier(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 0);
    sleeper s;
    post(g, 1, 0, 1);
    CHECK_TRIES(1, f->worker);
    retry(f, f->worker, 1);
    bb_finish(f->worker, 0);
    fill(f, &f->low, 2, 2);
    staged_sleeps(STAGED_ENDLESS);
    start_wait_barrier(&s, f, bb_barrier(f->q));
    await_asleep(f, 1);
    bb_close(f->q, 0, 0);
    CHECK_INT(3, bb_discard(f->q, f->out, MANY));
    CHECK_INT(1, finish_sleeper(&s));
    fixture_free(f);
}

void barrier_tests(void) {
    RUN(test_a_barrier_waits_for_what_was_accepted_before_it);
    RUN(test_a_barrier_waits_for_what_is_parked_delayed_or_in_a_batch);
    RUN(test_a_barrier_waits_for_an_old_delivery_in_a_newer_ones_batch);
    RUN(test_a_barrier_waits_for_a_publisher_that_runs_its_own_event);
    RUN(test_a_barrier_ignores_publishers_that_wait);
    RUN(test_waiting_for_a_barrier_ends_at_its_timeout);
    RUN(test_a_barrier_that_was_given_up_delays_no_later_one);
    RUN(test_a_worker_that_calls_completion_hooks_is_waited_for);
    RUN(test_the_end_of_the_last_delivery_wakes_the_waiting_thread);
    RUN(test_several_threads_are_woken_each_at_its_own_barrier);
    RUN(test_discarding_a_shut_queue_ends_a_barrier);
}

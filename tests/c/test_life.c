/* test_life.c: queues that come and go, and memory that runs out. */
#include "fixture.h"

static void test_queues_know_nothing_of_each_other(void) {
    fixture *f = fixture_new(2), *g = fixture_new(2);
    fill(f, &f->low, 1, 2);
    CHECK_INT(BB_FULL, push(f, &f->low, 3));
    fill(g, &g->low, 11, 1);
    bb_close(f->q, 0, 0);
    CHECK_TAKES(11, g->worker);
    CHECK_INT(BB_OPEN, bb_get_state(g->q));
    CHECK_BOOKS(f, .published = 2, .queued = 2);
    CHECK_BOOKS(g, .published = 1, .running = 1);
    fixture_free(g);
    fixture_free(f);
}

static void test_a_queue_that_still_holds_something_can_be_freed(void) {
    fixture *f = fixture_new(4);
    add_worker(f);
    fill(f, &f->low, 1, 4);
    take_some(f, 1);
    fixture_free(f); /* for leak checkers */
}

static void test_a_recipient_can_be_used_again_after_it_was_zeroed(void) {
    fixture *f = fixture_new(4), *g = fixture_new(4);
    fill(f, &f->low, 1, 1);
    CHECK_INT(1, f->recipient[0].tally.published);
    f->recipient[0] = (bb_recipient){0};
    bb_route route = {.level = 1, .count = 1, .recipients = &f->pointers[0]};
    fill(g, &route, 1, 2);
    CHECK_INT(2, f->recipient[0].tally.published);
    fixture_free(g);
    fixture_free(f);
}

static void test_a_small_queue_is_small(void) {
    staged_memory_asked();
    fixture *f = fixture_timed(20, 0);
    CHECK(staged_memory_asked() < 160 * 1024);
    fixture_free(f);
}

static void test_a_queue_that_finds_no_memory_is_null(void) {
    const bb_settings settings = {.capacity = 4, .levels = LEVELS, .monitoring = 1};
    int32_t failures = 0;
    bb_queue *q = NULL;
    for (; q == NULL && failures < 10; failures++) {
        staged_memory_fail_after(failures);
        q = bb_queue_new(&settings);
    }
    staged_memory_fail_after(-1);
    CHECK_INT(5, failures); /* the queue, its slots, types and workers; then none was asked for */
    bb_queue_free(q);
}

static void test_a_worker_that_finds_no_memory_is_asked_for_again(void) {
    fixture *f = fixture_new(4);
    CHECK_INT(1, bb_resize(f->q, 2));
    staged_memory_fail_after(0);
    CHECK(bb_worker_enter(f->q, 1) == NULL);
    staged_memory_fail_after(-1);
    CHECK_INT(1, stats_of(f).workers);
    CHECK_INT(1, bb_resize(f->q, 2));
    CHECK(bb_worker_enter(f->q, 1) != NULL);
    CHECK_INT(2, stats_of(f).workers);
    fixture_free(f);
}

static void test_nothing_else_asks_for_memory(void) {
    fixture *f = fixture_timed(4, 1000);
    staged_memory_asked();
    fill(f, &f->low, 1, 4);
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 5, BB_EVICT_OLDEST));
    take_some(f, 4);
    stats_of(f);
    bb_close(f->q, 1, -1);
    CHECK_INT(0, staged_memory_asked());
    fixture_free(f);
}

void life_tests(void) {
    RUN(test_queues_know_nothing_of_each_other);
    RUN(test_a_queue_that_still_holds_something_can_be_freed);
    RUN(test_a_recipient_can_be_used_again_after_it_was_zeroed);
    RUN(test_a_small_queue_is_small);
    RUN(test_a_queue_that_finds_no_memory_is_null);
    RUN(test_a_worker_that_finds_no_memory_is_asked_for_again);
    RUN(test_nothing_else_asks_for_memory);
}

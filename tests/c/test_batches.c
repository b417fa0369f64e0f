/* test_batches.c: several deliveries in one call. */
#include "grouped.h"

/* Take more, and compare with the given events. */
static void check_more(fixture *f, int32_t asked, int32_t n, const int64_t *events) {
    CHECK_INT(n, take_more(f->worker, asked, 0));
    for (int32_t i = 0; i < n; i++) CHECK_INT(events[i], batch[i]);
    CHECK_LISTS(f);
}
#define CHECK_MORE(f, asked, ...) \
    check_more((f), (asked), (int32_t)(sizeof (int64_t[]){__VA_ARGS__} / sizeof(int64_t)), \
               (int64_t[]){__VA_ARGS__})

static void test_a_batch_has_the_deliveries_of_one_key_in_order(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 8);
    post(g, 1, 0, 1);
    post(g, 1, 1, 2);
    post(g, 3, 0, 3);
    post(g, 2, 0, 4);
    post(g, 1, NO_KEY, 5);
    CHECK_TRIES(1, f->worker);
    CHECK_MORE(f, 7, 3, 4);
    CHECK_BOOKS(f, .published = 5, .queued = 2, .running = 3);
    CHECK_TRIES(2, f->worker);
    CHECK_INT(0, take_more(f->worker, 7, 0));
    CHECK_TRIES(5, f->worker);
    CHECK_BOOKS(f, .published = 5, .processed = 4, .running = 1);
    fixture_free(f);
}

static void test_a_batch_without_a_key_goes_by_level_and_then_by_order(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 8);
    post_some(g, 1, NO_KEY, 1, 2);
    post_some(g, 2, NO_KEY, 3, 2);
    post(g, 3, NO_KEY, 5);
    post(g, 3, NO_KEY, 6);
    CHECK_TRIES(5, f->worker);
    CHECK_MORE(f, 7, 6, 3, 4, 1, 2);
    const int32_t levels[] = {3, 3, 2, 2, 1, 1, 0};
    for (int32_t i = 0; i < 7; i++) CHECK_INT(levels[i], bb_call_level(f->worker, i));
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 6, .processed = 6);
    fixture_free(f);
}

static void test_a_batch_has_no_more_than_it_may(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 3);
    post_some(g, 1, NO_KEY, 1, 7);
    CHECK_TRIES(1, f->worker);
    CHECK_MORE(f, 2, 2, 3);
    CHECK_TRIES(4, f->worker);
    CHECK_MORE(f, 2, 5, 6);
    CHECK_TRIES(7, f->worker);
    CHECK_INT(0, take_more(f->worker, 2, 0));
    CHECK_BOOKS(f, .published = 7, .processed = 6, .running = 1);
    fixture_free(f);
}

static void test_a_plain_delivery_is_no_batch(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 2);
    CHECK_INT(0, take_more(f->worker, 3, 0)); /* nothing is open */
    CHECK_TRIES(1, f->worker);
    CHECK_INT(0, take_more(f->worker, 3, MS));
    fixture_free(f);
}

static void test_a_failed_batch_has_failed_on_each(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 8);
    post_some(g, 1, NO_KEY, 1, 3);
    CHECK_TRIES(1, f->worker);
    CHECK_MORE(f, 7, 2, 3);
    bb_failed(f->worker);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 3, .processed = 3, .failed = 3);
    post(g, 1, NO_KEY, 4);
    CHECK_TRIES(4, f->worker);
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 4, .processed = 4, .failed = 3);
    fixture_free(f);
}

static void test_a_batch_is_one_call_for_the_limit(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 2, 2);
    bb_worker *worker[] = {f->worker, add_worker(f), add_worker(f)};
    post_some(g, 1, NO_KEY, 1, 5);
    for (int i = 0; i < 2; i++) {
        CHECK_TRIES(1 + 2 * i, worker[i]);
        CHECK_INT(1, take_more(worker[i], 1, 0));
    }
    CHECK_TRIES(0, worker[2]);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 5, .queued = 1, .running = 4);
    bb_finish(worker[0], 0);
    CHECK_TRIES(5, worker[2]);
    fixture_free(f);
}

static void test_the_time_of_a_batch_is_shared_by_its_deliveries(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 0, 8);
    bb_arrivals arrivals;
    bb_timer timer;
    bb_histograms histograms;
    bb_stats stats;
    post_some(g, 1, NO_KEY, 1, 2);
    staged_clock_advance(30);
    post_some(g, 1, NO_KEY, 3, 2);
    staged_clock_advance(10);
    CHECK_TRIES(1, f->worker);
    CHECK_MORE(f, 7, 2, 3, 4);
    staged_clock_advance(400);
    bb_finish(f->worker, 0);
    CHECK_INT(0, bb_load(f->q, &arrivals, g->route[0].recipients, &timer, 1));
    CHECK_INT(4, timer.deliveries);
    CHECK_INT(400, timer.wall);
    CHECK_INT(0, bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, NULL, 0, &histograms));
    CHECK_INT(4, histograms.processing.count);
    CHECK_INT(400, histograms.processing.sum);
    CHECK_INT(4, histograms.queue_wait.count);
    CHECK_INT(40 + 40 + 10 + 10, histograms.queue_wait.sum);
    fixture_free(f);
}

static void test_a_draining_queue_gives_what_it_has_to_a_batch(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 8);
    post_some(g, 1, NO_KEY, 1, 3);
    CHECK_TRIES(1, f->worker);
    bb_close(f->q, 1, -1);
    staged_sleeps(STAGED_ENDLESS);
    CHECK_INT(2, take_more(f->worker, 7, FOREVER));
    CHECK_TRIES(0, f->worker);
    CHECK_INT(BB_SHUT, bb_get_state(f->q));
    fixture_free(f);
}

static void test_a_shut_queue_gives_nothing_more_to_a_batch(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 8);
    post_some(g, 1, NO_KEY, 1, 3);
    CHECK_TRIES(1, f->worker);
    bb_close(f->q, 0, 0);
    CHECK_INT(0, take_more(f->worker, 7, 0));
    CHECK_INT(2, bb_discard(f->q, f->out, MANY));
    bb_finish(f->worker, 0);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .dropped = 2);
    fixture_free(f);
}

static void test_a_batch_leaves_what_has_expired(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 0, 8);
    post_expiring(g, 1, NO_KEY, 1, NOW + 50);
    post_expiring(g, 1, NO_KEY, 2, NOW + 50);
    post_expiring(g, 1, NO_KEY, 3, NOW + 10);
    post_expiring(g, 1, NO_KEY, 4, NOW + 50);
    staged_clock_advance(10);
    staged_sleeps(STAGED_ENDLESS);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(1, take_more(f->worker, 7, FOREVER)); /* it does not wait either */
    CHECK_INT(2, batch[0]);
    CHECK_LISTS(f);
    CHECK_TRIES(-3, f->worker);
    CHECK_TRIES(4, f->worker);
    bb_finish(f->worker, 0);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 4, .processed = 3, .dropped = 1);
    fixture_free(f);
}

static void test_a_batch_gives_its_slots_to_waiting_publishers(void) {
    fixture *f = fixture_new(3);
    grouped *g = grouped_new(f, 0, 8);
    bb_waiter *waiter[4];
    post_some(g, 1, NO_KEY, 1, 3);
    for (int i = 0; i < 4; i++) waiter[i] = join(f, &f->low, 11 + i);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(3, stats_of(f).waiting);
    CHECK_MORE(f, 7, 2, 3);
    CHECK_INT(1, stats_of(f).waiting);
    for (int i = 0; i < 4; i++) CHECK_INT(i < 3, bb_waiter_leave(waiter[i]));
    CHECK_BOOKS(f, .published = 6, .queued = 3, .running = 3);
    fixture_free(f);
}

static void test_all_deliveries_of_a_batch_are_shown_as_running(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 8);
    post_some(g, 1, NO_KEY, 1, 4);
    CHECK_TRIES(1, f->worker);
    CHECK_MORE(f, 2, 2, 3);
    bb_open_delivery open[MANY];
    CHECK_INT(3, bb_running(f->q, open, MANY, NULL));
    for (int32_t i = 0; i < 3; i++) {
        CHECK_INT(i + 1, number_of(open[i].event));
        CHECK_INT(i, open[i].index);
        CHECK(open[i].number == open[0].number && open[i].thread == open[0].thread);
    }
    CHECK_INT(2, bb_running(f->q, open, 2, NULL));
    bb_let_go(f->worker);
    CHECK_INT(0, bb_running(f->q, open, MANY, NULL));
    fixture_free(f);
}

/* The first loss after the queue was half empty is reported as such. */
static void test_a_batch_can_empty_the_queue_by_half(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 8);
    post_some(g, 1, NO_KEY, 1, 4);
    CHECK_INT(BB_REFUSED, offer(f, &f->low, 5, BB_REFUSE));
    CHECK_INT(1, f->first);
    CHECK_TRIES(1, f->worker);
    fill(f, &f->low, 6, 1);
    CHECK_INT(BB_REFUSED, offer(f, &f->low, 7, BB_REFUSE));
    CHECK_INT(0, f->first);
    CHECK_INT(3, take_more(f->worker, 3, 0));
    fill(f, &f->low, 8, 3);
    CHECK_INT(BB_REFUSED, offer(f, &f->low, 11, BB_REFUSE));
    CHECK_INT(1, f->first);
    fixture_free(f);
}

void batches_tests(void) {
    RUN(test_a_batch_has_the_deliveries_of_one_key_in_order);
    RUN(test_a_batch_without_a_key_goes_by_level_and_then_by_order);
    RUN(test_a_batch_has_no_more_than_it_may);
    RUN(test_a_plain_delivery_is_no_batch);
    RUN(test_a_failed_batch_has_failed_on_each);
    RUN(test_a_batch_is_one_call_for_the_limit);
    RUN(test_the_time_of_a_batch_is_shared_by_its_deliveries);
    RUN(test_a_draining_queue_gives_what_it_has_to_a_batch);
    RUN(test_a_shut_queue_gives_nothing_more_to_a_batch);
    RUN(test_a_batch_leaves_what_has_expired);
    RUN(test_a_batch_gives_its_slots_to_waiting_publishers);
    RUN(test_a_batch_can_empty_the_queue_by_half);
    RUN(test_all_deliveries_of_a_batch_are_shown_as_running);
}

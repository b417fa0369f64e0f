/* test_filling.c: a worker that waits for its batch to fill. */
#include "grouped.h"

static grouped *filled; /* by in_sleep, */
static int64_t next_event;
static int32_t sleeps_to_post; /* that many times */

static void in_sleep(void) {
    if (sleeps_to_post-- > 0) CHECK_INT(BB_ACCEPTED, post(filled, 1, NO_KEY, next_event++));
}

/* Sleeps last until their deadline; in the first `n`, an event arrives: 2, 3, ... */
static void arrive_while_asleep(grouped *g, int32_t n) {
    filled = g;
    next_event = 2;
    sleeps_to_post = n;
    staged_sleeps(STAGED_JUMP);
    staged_in_sleep = in_sleep;
}

static void test_a_batch_is_filled_for_as_long_as_it_may_wait(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 0, 8);
    post(g, 1, NO_KEY, 1);
    arrive_while_asleep(g, 1);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(1, take_more(f->worker, 7, MS));
    CHECK_INT(2, batch[0]);
    CHECK_INT(NOW + MS, staged_clock());
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 2, .running = 2);
    fixture_free(f);
}

static void test_a_full_batch_waits_no_longer(void) {
    fixture *f = fixture_new(16);
    grouped *g = grouped_new(f, 0, 3);
    post_some(g, 1, NO_KEY, 1, 3);
    staged_sleeps(STAGED_ENDLESS);
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 2, FOREVER));
    fixture_free(f);
}

typedef struct {
    fixture *f;
    int32_t n;
    int64_t found;
} filler;

static void *in_take_more(void *argument) {
    filler *self = argument;
    self->found = take_more(self->f->worker, self->n, FOREVER);
    return NULL;
}

/* The worker of the fixture, which has a delivery open, fills its batch in a thread of its own. */
static pthread_t start_filling(filler *with) {
    pthread_t thread;
    staged_sleeps(STAGED_ENDLESS);
    CHECK_INT(0, pthread_create(&thread, NULL, in_take_more, with));
    await_asleep(with->f, 1);
    return thread;
}

static void test_a_worker_that_fills_a_batch_wakes_when_it_is_full(void) {
    for (int keyed = 0; keyed < 2; keyed++) {
        fixture *f = fixture_new(16);
        grouped *g = grouped_new(f, 0, 8);
        filler with = {.f = f, .n = 2};
        int32_t key = keyed ? 0 : NO_KEY;
        post(g, 1, key, 1);
        CHECK_TRIES(1, f->worker);
        pthread_t thread = start_filling(&with);
        post(g, 1, 1, 9); /* of another key */
        post_some(g, 1, key, 2, 2);
        CHECK_INT(0, pthread_join(thread, NULL));
        CHECK_INT(2, with.found);
        CHECK_LISTS(f);
        CHECK_BOOKS(f, .published = 4, .queued = 1, .running = 3);
        fixture_free(f);
    }
}

static void test_closing_the_queue_ends_the_filling_of_a_batch(void) {
    for (int drain = 0; drain < 2; drain++) {
        fixture *f = fixture_new(16);
        grouped *g = grouped_new(f, 0, 8);
        filler with = {.f = f, .n = 7};
        post_some(g, 1, NO_KEY, 1, 2);
        CHECK_TRIES(1, f->worker);
        pthread_t thread = start_filling(&with);
        bb_close(f->q, drain, -1);
        CHECK_INT(0, pthread_join(thread, NULL));
        CHECK_INT(1, with.found);
        CHECK_TRIES(0, f->worker);
        CHECK_INT(BB_SHUT, bb_get_state(f->q));
        CHECK_BOOKS(f, .published = 2, .processed = 2);
        fixture_free(f);
    }
}

static void test_a_batch_goes_on_with_the_event_of_a_waiting_publisher(void) {
    fixture *f = fixture_new(1);
    grouped *g = grouped_new(f, 0, 8);
    bb_waiter *waiter[3];
    post(g, 1, NO_KEY, 1);
    for (int i = 0; i < 3; i++) waiter[i] = join_grouped(g, 1, NO_KEY, 2 + i, BB_OUTSIDE);
    CHECK_TRIES(1, f->worker); /* admits 2, which leaves no slot for 3 */
    staged_sleeps(STAGED_ENDLESS);
    CHECK_INT(3, take_more(f->worker, 3, FOREVER));
    for (int i = 0; i < 3; i++) CHECK_INT(2 + i, batch[i]);
    for (int i = 0; i < 3; i++) CHECK_INT(1, bb_waiter_leave(waiter[i]));
    CHECK_BOOKS(f, .published = 4, .running = 4);
    fixture_free(f);
}

/* What a worker admits before it sleeps may be for another. */
static void test_a_worker_that_fills_a_batch_wakes_another_for_what_it_admits(void) {
    fixture *f = fixture_new(2);
    grouped *g = grouped_new(f, 0, 8);
    bb_route two = several(f, 1, 2);
    filler with = {.f = f, .n = 7};
    sleeper s;
    post_some(g, 1, 0, 1, 2);
    bb_waiter *waiter = join(f, &two, 9);
    bb_worker *other = add_worker(f);
    CHECK_TRIES(1, f->worker);
    start_take(&s, other);
    await_workers_asleep(f, 1);
    pthread_t thread = start_filling(&with); /* takes 2, and admits 9 */
    CHECK_INT(9, finish_sleeper(&s));
    bb_close(f->q, 1, -1);
    CHECK_INT(0, pthread_join(thread, NULL));
    CHECK_INT(1, with.found);
    CHECK_INT(1, bb_waiter_leave(waiter));
    fixture_free(f);
}

static bb_worker *rival;

static void arrive_before_a_rival(void) {
    in_sleep();
    CHECK_TRIES(0, rival);
}

/* Otherwise each event would go to an idle worker, in a batch of its own. */
static void test_what_arrives_while_a_batch_fills_is_for_that_batch(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 0, 3);
    rival = add_worker(f);
    post(g, 1, NO_KEY, 1);
    arrive_while_asleep(g, 2);
    staged_in_sleep = arrive_before_a_rival;
    CHECK_TRIES(1, f->worker);
    CHECK_INT(1, take_more(f->worker, 2, MS));
    CHECK_INT(2, batch[0]);
    CHECK_LISTS(f);
    post(g, 2, NO_KEY, 8);
    CHECK_TRIES(8, rival); /* no batch fills any more */
    CHECK_LISTS(f);
    fixture_free(f);
}

static void fill_in_sleep(void) {
    while (sleeps_to_post > 0) in_sleep();
}

static void test_what_a_batch_has_left_is_for_others(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 0, 3);
    rival = add_worker(f);
    post(g, 1, NO_KEY, 1);
    arrive_while_asleep(g, 4); /* all at once: 2 to 5 */
    staged_in_sleep = fill_in_sleep;
    CHECK_TRIES(1, f->worker);
    CHECK_INT(2, take_more(f->worker, 2, MS));
    CHECK_LISTS(f);
    CHECK_TRIES(4, rival);
    CHECK_TRIES(5, f->worker);
    fixture_free(f);
}

static void test_a_retry_whose_time_has_come_wakes_a_worker_that_fills_a_batch(void) {
    fixture *f = fixture_new(4);
    grouped *g = grouped_new(f, 0, 8);
    filler with = {.f = f, .n = 1};
    post_some(g, 1, NO_KEY, 1, 2);
    CHECK_TRIES(1, f->worker);
    retry(f, f->worker, 1);
    CHECK_TRIES(2, f->worker);
    pthread_t thread = start_filling(&with);
    due(f, 1);
    CHECK_INT(0, pthread_join(thread, NULL));
    CHECK_INT(1, with.found);
    CHECK_LISTS(f);
    fixture_free(f);
}

void filling_tests(void) {
    RUN(test_a_batch_is_filled_for_as_long_as_it_may_wait);
    RUN(test_a_full_batch_waits_no_longer);
    RUN(test_a_worker_that_fills_a_batch_wakes_when_it_is_full);
    RUN(test_closing_the_queue_ends_the_filling_of_a_batch);
    RUN(test_a_batch_goes_on_with_the_event_of_a_waiting_publisher);
    RUN(test_a_worker_that_fills_a_batch_wakes_another_for_what_it_admits);
    RUN(test_what_arrives_while_a_batch_fills_is_for_that_batch);
    RUN(test_what_a_batch_has_left_is_for_others);
    RUN(test_a_retry_whose_time_has_come_wakes_a_worker_that_fills_a_batch);
}

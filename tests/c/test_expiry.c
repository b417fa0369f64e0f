/* test_expiry.c: deliveries that have not begun in time are dropped. */
#include "grouped.h"

static uint64_t expired_of(fixture *f) {
    bb_stats stats = stats_of(f);
    uint64_t n = 0;
    for (int l = 0; l < LEVELS; l++) n += stats.dropped_by[BB_WHY_EXPIRED][l];
    return n;
}

static void test_a_delivery_expires_when_its_time_has_come(void) {
    fixture *f = fixture_timed(8, 0);
    push_expiring(f, &f->low, 1, NOW + 10);
    push_expiring(f, &f->low, 2, NOW + 10);
    staged_clock_advance(9);
    CHECK_TRIES(1, f->worker);
    staged_clock_advance(1);
    CHECK_LISTS(f);
    CHECK_TRIES(-2, f->worker); /* 1 was finished all the same */
    CHECK_INT(1, expired_of(f));
    CHECK_LISTS(f);
    CHECK_TRIES(0, f->worker);
    CHECK_BOOKS(f, .published = 2, .processed = 1, .dropped = 1);
    fixture_free(f);
}

static void test_expiry_needs_no_monitoring(void) {
    fixture *f = fixture_new(8);
    staged_clock_set(NOW);
    push_expiring(f, &f->low, 1, NOW + 10);
    push_expiring(f, &f->low, 2, NOW + 11);
    staged_clock_advance(10);
    CHECK_TRIES(-1, f->worker);
    CHECK_TRIES(2, f->worker);
    fixture_free(f);
}

static void test_what_expires_in_a_lane_lets_the_next_pass(void) {
    fixture *f = fixture_timed(8, 0);
    grouped *g = grouped_new(f, 0, 0);
    post_expiring(g, 1, 0, 1, NOW + 10);
    post(g, 1, 0, 2);
    post_expiring(g, 2, 0, 3, NOW + 10);
    staged_clock_advance(10);
    CHECK_TRIES(-1, f->worker);
    CHECK_LISTS(f);
    CHECK_TRIES(2, f->worker);
    CHECK_TRIES(-3, f->worker);
    CHECK_LISTS(f);
    CHECK_BOOKS(f, .published = 3, .processed = 1, .dropped = 2);
    fixture_free(f);
}

/* ---- purging ------------------------------------------------------------------------------- */

static void check_purged(fixture *f, int32_t size, int32_t n, const int64_t *events) {
    CHECK_INT(n, bb_purge(f->q, f->out, size));
    for (int32_t i = 0; i < n; i++) CHECK_INT(events[i], number_of(f->out[i].event));
    CHECK_LISTS(f);
}
#define CHECK_PURGES(f, size, ...) \
    check_purged((f), (size), (int32_t)(sizeof (int64_t[]){__VA_ARGS__} / sizeof(int64_t)), \
                 (int64_t[]){__VA_ARGS__})

static void test_purging_finds_what_has_expired_wherever_it_is(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 1, 0), *h = grouped_new(f, 0, 0);
    bb_worker *other = add_worker(f);
    post_expiring(g, 1, 0, 1, NOW + 10);
    CHECK_TRIES(1, f->worker);
    post_expiring(g, 1, 0, 2, NOW + 10); /* behind its key */
    post_expiring(h, 1, 0, 20, NOW + 10);
    CHECK_TRIES(20, other);              /* runs as 1 does: it has begun in time */
    post_expiring(g, 1, 1, 3, NOW + 10); /* behind the limit */
    post_expiring(g, 1, 1, 4, NOW + 20);
    fill(f, &f->medium, 5, 1);
    push_expiring(f, &f->medium, 6, NOW + 10); /* in the middle of the slots */
    push_expiring(f, &f->medium, 7, NOW + 20);
    push_expiring(f, &f->medium, 8, NOW + 10); /* at their end */
    push_expiring(f, &f->high, 9, NOW + 10);   /* all of the slots */
    CHECK_INT(0, bb_purge(f->q, f->out, MANY));
    staged_clock_advance(10);
    CHECK_PURGES(f, MANY, 2, 3, 6, 8, 9);
    CHECK_INT(0, bb_purge(f->q, f->out, MANY));
    CHECK_BOOKS(f, .published = 10, .queued = 3, .running = 2, .dropped = 5);
    bb_finish(other, 0);
    staged_clock_advance(10);
    CHECK_PURGES(f, MANY, 4, 7);
    fill(f, &f->medium, 10, 1);
    CHECK_TRIES(5, f->worker);
    CHECK_TRIES(10, f->worker);
    CHECK_TRIES(0, f->worker);
    CHECK_INT(7, expired_of(f));
    CHECK_BOOKS(f, .published = 11, .processed = 4, .dropped = 7);
    fixture_free(f);
}

static void test_purging_goes_on_where_the_array_was_too_small(void) {
    fixture *f = fixture_timed(16, 0);
    grouped *g = grouped_new(f, 0, 0);
    for (int64_t event = 1; event <= 3; event++) push_expiring(f, &f->low, event, NOW + 10);
    for (int64_t event = 4; event <= 6; event++) post_expiring(g, 1, 0, event, NOW + 10);
    push_expiring(f, &f->high, 7, NOW + 10);
    push_expiring(f, &f->high, 8, NOW + 11);
    staged_clock_advance(10);
    CHECK_PURGES(f, 2, 1, 2);
    CHECK_PURGES(f, 2, 3, 4);
    CHECK_PURGES(f, 2, 5, 6);
    CHECK_PURGES(f, 2, 7);
    CHECK_INT(0, bb_purge(f->q, f->out, 2));
    CHECK_TRIES(8, f->worker);
    for (int64_t event = 9; event <= 11; event++) post_expiring(g, 1, 0, event, NOW + 10);
    CHECK_PURGES(f, 2, 9, 10);
    CHECK_PURGES(f, 2, 11);
    fixture_free(f);
}

static void test_an_earlier_expiry_counts_although_it_came_later(void) {
    fixture *f = fixture_timed(16, 0);
    push_expiring(f, &f->low, 1, NOW + 100);
    push_expiring(f, &f->low, 2, NOW + 10);
    staged_clock_advance(10);
    CHECK_PURGES(f, MANY, 2);
    push_expiring(f, &f->low, 3, NOW + 20);
    staged_clock_advance(90);
    CHECK_PURGES(f, MANY, 1, 3);
    push_expiring(f, &f->low, 4, NOW + 110);
    CHECK_INT(0, bb_purge(f->q, f->out, MANY));
    CHECK_TRIES(4, f->worker);
    CHECK_LISTS(f);
    fixture_free(f);
}

/* However a delivery leaves: what may expire is counted, and can be no less than nothing. */
static void test_what_can_expire_is_counted_down_by_all_that_leaves(void) {
    fixture *f = fixture_timed(6, 0);
    grouped *g = grouped_new(f, 0, 2);
    for (int64_t event = 1; event <= 3; event++) push_expiring(f, &f->low, event, NOW + 50);
    for (int64_t event = 4; event <= 6; event++) post_expiring(g, 1, 0, event, NOW + 50);
    CHECK_INT(6, f->q->expiring);
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 7, BB_EVICT_OLDEST));
    CHECK_INT(BB_REFUSED, offer(f, &f->low, 8, BB_REFUSE));
    CHECK_INT(5, f->q->expiring);
    CHECK_TRIES(2, f->worker);
    CHECK_TRIES(3, f->worker);
    CHECK_TRIES(4, f->worker);
    CHECK_INT(1, take_more(f->worker, 1, 0));
    CHECK_INT(1, f->q->expiring);
    CHECK_LISTS(f);
    retry(f, f->worker, 4);
    bb_finish(f->worker, 0);
    CHECK_INT(1, f->q->expiring);
    bb_close(f->q, 0, 0);
    CHECK_INT(3, bb_discard(f->q, f->out, MANY));
    CHECK_INT(0, f->q->expiring);
    CHECK_INT(0, bb_purge(f->q, f->out, MANY));
    CHECK_BOOKS(f, .published = 8, .processed = 3, .dropped = 5, .retried = 1);
    fixture_free(f);
}

/* ---- who waits ------------------------------------------------------------------------------- */

static void test_an_expired_delivery_makes_room_for_a_waiting_publisher(void) {
    for (int purges = 0; purges < 2; purges++) {
        fixture *f = fixture_new(1);
        sleeper s;
        staged_clock_set(NOW);
        push_expiring(f, &f->low, 1, NOW + 10);
        bb_waiter *waiter = join(f, &f->low, 2);
        staged_sleeps(STAGED_ENDLESS);
        start_wait(&s, waiter);
        await_asleep(f, 1);
        staged_clock_advance(10);
        if (purges) CHECK_INT(1, bb_purge(f->q, f->out, MANY));
        else CHECK_TRIES(-1, f->worker);
        CHECK_TRIES(2, f->worker);
        CHECK_INT(BB_ACCEPTED, finish_sleeper(&s));
        CHECK_INT(1, bb_waiter_leave(waiter));
        CHECK_BOOKS(f, .published = 2, .dropped = 1, .running = 1);
        fixture_free(f);
    }
}

static void test_the_last_delivery_can_expire_and_end_all_waits(void) {
    for (int purges = 0; purges < 2; purges++) {
        for (int drains = 0; drains < 2; drains++) {
            fixture *f = fixture_new(1);
            sleeper s;
            staged_clock_set(NOW);
            push_expiring(f, &f->low, 1, NOW + 10);
            staged_sleeps(STAGED_ENDLESS);
            start_wait_idle(&s, f, FOREVER);
            await_asleep(f, 1);
            staged_clock_advance(10);
            if (drains) bb_close(f->q, 1, -1);
            if (purges) CHECK_INT(1, bb_purge(f->q, f->out, MANY));
            else CHECK_TRIES(-1, f->worker);
            if (!purges) { /* its worker still reports it */
                CHECK_INT(0, bb_wait_idle(f->q, 0));
                CHECK_TRIES(0, f->worker);
            }
            CHECK_INT(1, finish_sleeper(&s));
            CHECK_INT(drains ? BB_SHUT : BB_OPEN, bb_get_state(f->q));
            CHECK_BOOKS(f, .published = 1, .dropped = 1);
            fixture_free(f);
        }
    }
}

void expiry_tests(void) {
    RUN(test_a_delivery_expires_when_its_time_has_come);
    RUN(test_expiry_needs_no_monitoring);
    RUN(test_what_expires_in_a_lane_lets_the_next_pass);
    RUN(test_purging_finds_what_has_expired_wherever_it_is);
    RUN(test_purging_goes_on_where_the_array_was_too_small);
    RUN(test_an_earlier_expiry_counts_although_it_came_later);
    RUN(test_what_can_expire_is_counted_down_by_all_that_leaves);
    RUN(test_an_expired_delivery_makes_room_for_a_waiting_publisher);
    RUN(test_the_last_delivery_can_expire_and_end_all_waits);
}

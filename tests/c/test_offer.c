/* test_offer.c: who gives way when there is no room, exactly. */
#include "fixture.h"

#include <stdlib.h>

#define UNTOUCHED (-7)

/* Offer, and check the result and who was evicted; `evicted` ends with a 0. */
static void check_offer(int64_t handle, int32_t mode, int32_t result, const int64_t *evicted) {
    int64_t out[8] = {UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED,
                      UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED};
    CHECK_INT(result, plain_result(bb_offer(handle, mode, out)));
    int i = 0;
    for (; evicted[i] != 0; i++) CHECK_INT(evicted[i], out[i]);
    CHECK_INT(0, out[i]);
    CHECK_INT(UNTOUCHED, out[i + 1]);
}

static const int64_t nobody[] = {0};

static void test_offer_accepts_while_there_is_room(void) {
    const int32_t modes[] = {BB_TRY,    BB_EVICT_OLDEST, BB_EVICT_LOWEST,
                             BB_REFUSE, BB_CALLER_RUNS,  BB_OVERDRAW};
    fixture f = fixture_new(6);
    for (int i = 0; i < 6; i++) check_offer(f.low + i, modes[i], BB_ACCEPTED, nobody);
    check_offer(f.low + 6, BB_TRY, BB_FULL, nobody);
    CHECK_BOOKS(f.ring, .published = 6, .queued = 6);
    fixture_free(&f);
}

static void test_offer_to_a_closed_ring_counts_nothing(void) {
    fixture f = fixture_new(1);
    fill(f.low, 1);
    bb_close(f.ring, 1, -1);
    for (int32_t mode = BB_TRY; mode <= BB_OVERDRAW; mode++)
        check_offer(f.low + 1, mode, BB_CLOSED, nobody);
    CHECK_BOOKS(f.ring, .published = 1, .queued = 1);
    fixture_free(&f);
}

static void test_handlers_may_offer_while_draining_but_not_when_shut(void) {
    fixture f = fixture_new(2);
    fill(f.low, 1);
    bb_close(f.ring, 1, -1);
    check_offer(f.low + 1, BB_REFUSE + BB_INSIDE, BB_ACCEPTED, nobody);
    check_offer(f.low + 2, BB_EVICT_OLDEST + BB_INSIDE, BB_EVICTED, (int64_t[]){f.low, 0});
    bb_close(f.ring, 0, 0);
    check_offer(f.low + 3, BB_OVERDRAW + BB_INSIDE, BB_CLOSED, nobody);
    CHECK_BOOKS(f.ring, .published = 3, .dropped = 1, .queued = 2);
    fixture_free(&f);
}

static void test_refuse_counts_the_event_as_published_and_dropped(void) {
    fixture f = fixture_new(1);
    int64_t two = bb_route(f.ring, 0, 3, 2);
    fill(f.low, 1);
    check_offer(two, BB_REFUSE, BB_REFUSED, nobody);
    CHECK_BOOKS(f.ring, .published = 3, .dropped = 2, .queued = 1);
    bb_stats stats;
    bb_snapshot(f.ring, &stats, NULL, 0, NULL, 0);
    CHECK_INT(2, stats.dropped_by[BB_WHY_REFUSED][2]);
    fixture_free(&f);
}

static void test_evict_oldest_takes_the_oldest_of_its_level_and_below(void) {
    fixture f = fixture_new(4);
    fill(f.low, 1);
    fill(f.medium, 1);
    fill(f.high, 1);
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + 1));
    /* By acceptance over the levels, and never the high one. */
    check_offer(f.medium + 1, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.low, 0});
    check_offer(f.medium + 2, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.medium, 0});
    check_offer(f.medium + 3, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.low + 1, 0});
    check_offer(f.medium + 4, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.medium + 1, 0});
    check_offer(f.low + 2, BB_EVICT_OLDEST, BB_REFUSED, nobody);
    check_offer(f.high + 1, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.high, 0});
    CHECK_TAKES(f.high + 1, f.worker);
    for (int i = 2; i <= 4; i++) CHECK_TAKES(f.medium + i, f.worker);
    CHECK_BOOKS(f.ring, .published = 10, .processed = 3, .dropped = 6, .running = 1);
    fixture_free(&f);
}

static void test_evict_lowest_takes_the_lowest_level_first(void) {
    fixture f = fixture_new(4);
    fill(f.medium, 2);
    fill(f.low, 1);
    fill(f.high, 1);
    check_offer(f.high + 1, BB_EVICT_LOWEST, BB_EVICTED, (int64_t[]){f.low, 0});
    check_offer(f.high + 2, BB_EVICT_LOWEST, BB_EVICTED, (int64_t[]){f.medium, 0});
    check_offer(f.medium + 2, BB_EVICT_LOWEST, BB_REFUSED, nobody); /* equals do not give way */
    check_offer(f.low + 1, BB_EVICT_LOWEST, BB_REFUSED, nobody);
    check_offer(f.high + 3, BB_EVICT_LOWEST, BB_EVICTED, (int64_t[]){f.medium + 1, 0});
    check_offer(f.high + 4, BB_EVICT_LOWEST, BB_REFUSED, nobody);
    for (int i = 0; i < 4; i++) CHECK_TAKES(f.high + i, f.worker);
    CHECK_BOOKS(f.ring, .published = 10, .processed = 3, .dropped = 6, .running = 1);
    fixture_free(&f);
}

static void test_an_event_evicts_exactly_what_it_lacks(void) {
    fixture f = fixture_new(5);
    int64_t three = bb_route(f.ring, 0, 3, 3);
    fill(f.medium, 2);
    fill(f.low, 2); /* one place is free, two are lacking */
    check_offer(three, BB_EVICT_LOWEST, BB_EVICTED, (int64_t[]){f.low, f.low + 1, 0});
    check_offer(three + 3, BB_EVICT_OLDEST, BB_EVICTED,
                (int64_t[]){f.medium, f.medium + 1, three, 0});
    CHECK_INT(5, bb_depth(f.ring));
    for (int i = 1; i < 6; i++) CHECK_TAKES(three + i, f.worker);
    fixture_free(&f);
}

static void test_nothing_is_evicted_where_too_few_would_give_way(void) {
    fixture f = fixture_new(4);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    fill(f.low, 2);
    fill(f.high, 2);
    check_offer(three, BB_EVICT_OLDEST, BB_REFUSED, nobody);
    check_offer(three, BB_EVICT_LOWEST, BB_REFUSED, nobody);
    CHECK_BOOKS(f.ring, .published = 10, .dropped = 6, .queued = 4);
    CHECK_TAKES(f.high, f.worker);
    CHECK_TAKES(f.high + 1, f.worker);
    CHECK_TAKES(f.low, f.worker);
    CHECK_TAKES(f.low + 1, f.worker);
    fixture_free(&f);
}

static void test_what_was_evicted_before_gives_way_no_more(void) {
    fixture f = fixture_new(4);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    fill(f.low, 4);
    for (int i = 0; i < 3; i++)
        check_offer(f.high + i, BB_EVICT_LOWEST, BB_EVICTED, (int64_t[]){f.low + i, 0});
    check_offer(three, BB_EVICT_LOWEST, BB_REFUSED, nobody); /* one low one is left */
    check_offer(f.high + 3, BB_EVICT_LOWEST, BB_EVICTED, (int64_t[]){f.low + 3, 0});
    fixture_free(&f);
}

static void test_an_event_gives_way_delivery_by_delivery(void) {
    fixture f = fixture_new(3);
    int64_t three = bb_route(f.ring, 0, 2, 3);
    CHECK_INT(BB_ACCEPTED, bb_push(three));
    CHECK_TAKES(three, f.worker);
    fill(f.low, 1);
    check_offer(f.medium, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){three + 1, 0});
    CHECK_TAKES(three + 2, f.worker);
    CHECK_TAKES(f.medium, f.worker);
    CHECK_TAKES(f.low, f.worker);
    fixture_free(&f);
}

static void test_an_event_larger_than_the_ring_evicts_nobody(void) {
    fixture f = fixture_new(3);
    int64_t four = bb_route(f.ring, 0, 3, 4), huge = bb_route(f.ring, 0, 3, INT32_MAX);
    fill(f.low, 3);
    check_offer(four, BB_EVICT_OLDEST, BB_REFUSED, nobody);
    check_offer(four + 4, BB_EVICT_LOWEST, BB_REFUSED, nobody);
    CHECK_INT(3, bb_depth(f.ring));
    check_offer(f.low + 3, BB_OVERDRAW, BB_ACCEPTED, nobody);
    check_offer(huge, BB_EVICT_OLDEST, BB_REFUSED, nobody);
    check_offer(huge, BB_OVERDRAW, BB_REFUSED, nobody);
    CHECK_INT(4, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_overdraw_is_bounded(void) {
    fixture f = fixture_new(2);
    int64_t two = bb_route(f.ring, 0, 2, 2);
    fill(f.low, 2);
    for (int i = 2; i < BB_OVERDRAFT + 1; i++)
        check_offer(f.low + i, BB_OVERDRAW, BB_ACCEPTED, nobody);
    check_offer(two, BB_OVERDRAW, BB_REFUSED, nobody); /* one place is left */
    check_offer(f.low + BB_OVERDRAFT + 1, BB_OVERDRAW, BB_ACCEPTED, nobody);
    check_offer(f.low + BB_OVERDRAFT + 2, BB_OVERDRAW, BB_REFUSED, nobody);
    CHECK_INT(BB_OVERDRAFT + 2, bb_depth(f.ring));
    CHECK_INT(BB_FULL, bb_push(f.low + BB_OVERDRAFT + 3));
    for (int i = 0; i < BB_OVERDRAFT + 2; i++) CHECK_TAKES(f.low + i, f.worker);
    CHECK_INT(0, bb_depth(f.ring));
    fixture_free(&f);
}

static void test_an_overdrawn_ring_replaces_one_for_one(void) {
    fixture f = fixture_new(2);
    int64_t two = bb_route(f.ring, 0, 1, 2);
    fill(f.low, 2);
    for (int i = 2; i < 6; i++) check_offer(f.low + i, BB_OVERDRAW, BB_ACCEPTED, nobody);
    /* `out` has room for the event's count and a 0; paying off the overdraft would overrun it. */
    check_offer(f.low + 6, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.low, 0});
    check_offer(two, BB_EVICT_OLDEST, BB_EVICTED, (int64_t[]){f.low + 1, f.low + 2, 0});
    CHECK_INT(6, bb_depth(f.ring));
    CHECK_INT(BB_FULL, bb_push(f.low + 7));
    fixture_free(&f);
}

/* Against the obvious reference, with a few thousand random steps. */
static void test_eviction_agrees_with_a_plain_list(void) {
    enum { CAPACITY = 7, STEPS = 5000 };
    fixture f = fixture_new(CAPACITY);
    int64_t next[LEVELS] = {f.low, f.medium, f.high}, list[CAPACITY];
    int32_t length = 0, level_of[CAPACITY];
    srand(1);
    for (int step = 0; step < STEPS; step++) {
        int32_t level = rand() % LEVELS, mode = rand() % 2 ? BB_EVICT_OLDEST : BB_EVICT_LOWEST;
        int32_t victim = -1, bar = mode == BB_EVICT_OLDEST ? level : level - 1;
        for (int32_t i = 0; i < length && length == CAPACITY; i++)
            if (level_of[i] <= bar &&
                (victim < 0 || (mode == BB_EVICT_LOWEST && level_of[i] < level_of[victim])))
                victim = i;
        int64_t out[2], expected = victim >= 0 ? list[victim] : 0;
        int32_t result = plain_result(bb_offer(next[level], mode, out));
        CHECK_INT(expected, out[0]);
        CHECK_INT(length < CAPACITY ? BB_ACCEPTED : victim < 0 ? BB_REFUSED : BB_EVICTED, result);
        for (; victim >= 0 && victim + 1 < length; victim++) {
            list[victim] = list[victim + 1];
            level_of[victim] = level_of[victim + 1];
        }
        if (expected != 0) length--;
        if (result != BB_REFUSED) {
            list[length] = next[level];
            level_of[length++] = level;
        }
        next[level]++;
    }
    fixture_free(&f);
}

static void test_the_first_loss_of_a_streak_is_told_apart(void) {
    fixture f = fixture_new(4);
    int64_t out[2];
    fill(f.low, 4);
    CHECK_INT(BB_REFUSED + BB_FIRST, bb_offer(f.low + 4, BB_REFUSE, out));
    CHECK_INT(BB_REFUSED, bb_offer(f.low + 5, BB_REFUSE, out));
    CHECK_INT(BB_EVICTED, bb_offer(f.high, BB_EVICT_OLDEST, out));
    bb_take(f.worker); /* three left: more than half */
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + 6));
    CHECK_INT(BB_REFUSED, bb_offer(f.low + 7, BB_REFUSE, out));
    bb_take(f.worker);
    bb_take(f.worker); /* half */
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + 8));
    CHECK_INT(BB_ACCEPTED, bb_push(f.low + 9));
    CHECK_INT(BB_EVICTED + BB_FIRST, bb_offer(f.high + 1, BB_EVICT_LOWEST, out));
    fixture_free(&f);
}

void offer_tests(void) {
    RUN(test_offer_accepts_while_there_is_room);
    RUN(test_offer_to_a_closed_ring_counts_nothing);
    RUN(test_handlers_may_offer_while_draining_but_not_when_shut);
    RUN(test_refuse_counts_the_event_as_published_and_dropped);
    RUN(test_evict_oldest_takes_the_oldest_of_its_level_and_below);
    RUN(test_evict_lowest_takes_the_lowest_level_first);
    RUN(test_an_event_evicts_exactly_what_it_lacks);
    RUN(test_nothing_is_evicted_where_too_few_would_give_way);
    RUN(test_what_was_evicted_before_gives_way_no_more);
    RUN(test_an_event_gives_way_delivery_by_delivery);
    RUN(test_an_event_larger_than_the_ring_evicts_nobody);
    RUN(test_overdraw_is_bounded);
    RUN(test_an_overdrawn_ring_replaces_one_for_one);
    RUN(test_eviction_agrees_with_a_plain_list);
    RUN(test_the_first_loss_of_a_streak_is_told_apart);
}

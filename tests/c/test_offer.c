/* test_offer.c: exactly which deliveries are evicted from a full queue. */
#include "fixture.h"

#include <stdlib.h>

/* Offer, and check the result and the evicted deliveries. */
static void check_offer(fixture *f, const bb_route *route, int64_t event, bb_mode mode,
                        bb_result result, int32_t n, const int64_t *evicted) {
    for (int i = 0; i < MANY + 2; i++) f->out[i].event = NULL;
    CHECK_INT(result, offer(f, route, event, mode));
    CHECK_INT(n, f->evicted);
    for (int i = 0; i < n; i++) CHECK_INT(evicted[i], NUMBER(f->out[i].event));
    CHECK(f->out[n].event == NULL);
    CHECK((f->caller != NULL) == (result == BB_RUN));
}

#define NOBODY 0, NULL
#define ONE(event) \
    1, (int64_t[]) { event }

static const bb_mode modes[] = {BB_EVICT_OLDEST, BB_EVICT_LOWEST, BB_REFUSE, BB_CALLER_RUNS};

static void test_an_offer_is_accepted_while_there_are_free_slots(void) {
    fixture *f = fixture_new(4);
    for (int i = 0; i < 4; i++) check_offer(f, &f->low, 1 + i, modes[i], BB_ACCEPTED, NOBODY);
    CHECK_INT(0, f->first);
    CHECK_BOOKS(f, .published = 4, .queued = 4);
    fixture_free(f);
}

static void test_an_offer_to_a_closed_queue_counts_nothing(void) {
    fixture *f = fixture_new(1);
    fill(f, &f->low, 1, 1);
    bb_close(f->q, 1, -1);
    for (int i = 0; i < 4; i++) check_offer(f, &f->low, 2, modes[i], BB_CLOSED, NOBODY);
    CHECK_BOOKS(f, .published = 1, .queued = 1);
    fixture_free(f);
}

static void test_handlers_may_offer_while_draining_but_not_when_shut(void) {
    fixture *f = fixture_new(2);
    fill(f, &f->low, 1, 1);
    bb_close(f->q, 1, -1);
    CHECK_INT(BB_ACCEPTED, offer_as(f, &f->low, 2, BB_REFUSE, BB_INSIDE, NULL));
    CHECK_INT(BB_CLOSED, offer_as(f, &f->low, 3, BB_EVICT_OLDEST, BB_HANDLER, NULL));
    CHECK_INT(BB_EVICTED, offer_as(f, &f->low, 3, BB_EVICT_OLDEST, BB_INSIDE, NULL));
    CHECK_INT(1, NUMBER(f->out[0].event));
    bb_close(f->q, 0, 0);
    CHECK_INT(BB_CLOSED, offer_as(f, &f->low, 4, BB_EVICT_OLDEST, BB_INSIDE, NULL));
    CHECK_BOOKS(f, .published = 3, .dropped = 1, .queued = 2);
    fixture_free(f);
}

static void test_refuse_counts_the_event_as_published_and_dropped(void) {
    fixture *f = fixture_new(1);
    bb_route two = several(f, 3, 2);
    fill(f, &f->low, 1, 1);
    check_offer(f, &two, 2, BB_REFUSE, BB_REFUSED, NOBODY);
    CHECK_BOOKS(f, .published = 3, .dropped = 2, .queued = 1);
    CHECK_INT(2, stats_of(f).dropped_by[BB_WHY_REFUSED][2]);
    fixture_free(f);
}

static void test_evict_oldest_takes_the_oldest_of_its_level_and_below(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 1);
    fill(f, &f->medium, 11, 1);
    fill(f, &f->high, 21, 1);
    fill(f, &f->low, 2, 1);
    /* In order of acceptance over the levels, and never the high one. */
    check_offer(f, &f->medium, 12, BB_EVICT_OLDEST, BB_EVICTED, ONE(1));
    check_offer(f, &f->medium, 13, BB_EVICT_OLDEST, BB_EVICTED, ONE(11));
    check_offer(f, &f->medium, 14, BB_EVICT_OLDEST, BB_EVICTED, ONE(2));
    check_offer(f, &f->medium, 15, BB_EVICT_OLDEST, BB_EVICTED, ONE(12));
    check_offer(f, &f->low, 3, BB_EVICT_OLDEST, BB_REFUSED, NOBODY);
    check_offer(f, &f->high, 22, BB_EVICT_OLDEST, BB_EVICTED, ONE(21));
    CHECK_TAKES(22, f->worker);
    for (int i = 13; i <= 15; i++) CHECK_TAKES(i, f->worker);
    CHECK_BOOKS(f, .published = 10, .processed = 3, .dropped = 6, .running = 1);
    fixture_free(f);
}

static void test_evict_lowest_takes_the_lowest_level_first(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->medium, 11, 2);
    fill(f, &f->low, 1, 1);
    fill(f, &f->high, 21, 1);
    check_offer(f, &f->high, 22, BB_EVICT_LOWEST, BB_EVICTED, ONE(1));
    check_offer(f, &f->high, 23, BB_EVICT_LOWEST, BB_EVICTED, ONE(11));
    check_offer(f, &f->medium, 13, BB_EVICT_LOWEST, BB_REFUSED, NOBODY); /* not equals */
    check_offer(f, &f->low, 2, BB_EVICT_LOWEST, BB_REFUSED, NOBODY);
    check_offer(f, &f->high, 24, BB_EVICT_LOWEST, BB_EVICTED, ONE(12));
    check_offer(f, &f->high, 25, BB_EVICT_LOWEST, BB_REFUSED, NOBODY);
    for (int i = 21; i <= 24; i++) CHECK_TAKES(i, f->worker);
    CHECK_BOOKS(f, .published = 10, .processed = 3, .dropped = 6, .running = 1);
    fixture_free(f);
}

static void test_an_event_evicts_exactly_as_many_as_it_needs(void) {
    fixture *f = fixture_new(5);
    bb_route three = several(f, 3, 3);
    fill(f, &f->medium, 11, 2);
    fill(f, &f->low, 1, 2); /* one slot is free, two are missing */
    check_offer(f, &three, 21, BB_EVICT_LOWEST, BB_EVICTED, 2, (int64_t[]){1, 2});
    check_offer(f, &three, 22, BB_EVICT_OLDEST, BB_EVICTED, 3, (int64_t[]){11, 12, 21});
    CHECK(f->out[2].recipient == three.recipients[0]);
    CHECK_INT(5, bb_depth(f->q));
    for (int i = 0; i < 5; i++) CHECK_TAKES(i < 2 ? 21 : 22, f->worker);
    fixture_free(f);
}

static void test_nothing_is_evicted_if_too_few_can_be(void) {
    fixture *f = fixture_new(4);
    bb_route three = several(f, 2, 3);
    fill(f, &f->low, 1, 2);
    fill(f, &f->high, 21, 2);
    check_offer(f, &three, 11, BB_EVICT_OLDEST, BB_REFUSED, NOBODY);
    check_offer(f, &three, 12, BB_EVICT_LOWEST, BB_REFUSED, NOBODY);
    CHECK_BOOKS(f, .published = 10, .dropped = 6, .queued = 4);
    for (int i = 0; i < 4; i++) CHECK_TAKES(((int64_t[]){21, 22, 1, 2})[i], f->worker);
    fixture_free(f);
}

static void test_an_evicted_delivery_is_not_evicted_again(void) {
    fixture *f = fixture_new(4);
    bb_route three = several(f, 2, 3);
    fill(f, &f->low, 1, 4);
    for (int i = 0; i < 3; i++)
        check_offer(f, &f->high, 21 + i, BB_EVICT_LOWEST, BB_EVICTED, ONE(1 + i));
    check_offer(f, &three, 11, BB_EVICT_LOWEST, BB_REFUSED, NOBODY); /* one low one is left */
    check_offer(f, &f->high, 24, BB_EVICT_LOWEST, BB_EVICTED, ONE(4));
    fixture_free(f);
}

static void test_an_event_is_evicted_delivery_by_delivery(void) {
    fixture *f = fixture_new(3);
    bb_route three = several(f, 2, 3);
    fill(f, &three, 11, 1);
    CHECK_TAKES(11, f->worker);
    fill(f, &f->low, 1, 1);
    check_offer(f, &f->medium, 12, BB_EVICT_OLDEST, BB_EVICTED, ONE(11));
    CHECK(f->out[0].recipient == three.recipients[1]);
    CHECK_TAKES(11, f->worker);
    CHECK_TAKES(12, f->worker);
    CHECK_TAKES(1, f->worker);
    fixture_free(f);
}

static void test_the_depth_goes_with_an_evicted_delivery(void) {
    fixture *f = fixture_new(1);
    CHECK_INT(BB_ACCEPTED, bb_push(f->q, &f->low, EVENT(1), 7, BB_OUTSIDE));
    check_offer(f, &f->low, 2, BB_EVICT_OLDEST, BB_EVICTED, ONE(1));
    CHECK_INT(7, f->out[0].depth);
    CHECK(f->out[0].recipient == f->low.recipients[0]);
    fixture_free(f);
}

/* Compared with the obvious reference, in a few thousand random steps. */
static void test_eviction_agrees_with_a_plain_list(void) {
    enum { CAPACITY = 7, STEPS = 5000 };
    fixture *f = fixture_new(CAPACITY);
    const bb_route *route[LEVELS] = {&f->low, &f->medium, &f->high};
    int64_t list[CAPACITY];
    int32_t length = 0, level_of[CAPACITY];
    srand(1);
    for (int step = 1; step <= STEPS; step++) {
        int32_t level = rand() % LEVELS;
        bb_mode mode = rand() % 2 ? BB_EVICT_OLDEST : BB_EVICT_LOWEST;
        int32_t victim = -1, bar = mode == BB_EVICT_OLDEST ? level : level - 1;
        for (int32_t i = 0; i < length && length == CAPACITY; i++)
            if (level_of[i] <= bar &&
                (victim < 0 || (mode == BB_EVICT_LOWEST && level_of[i] < level_of[victim])))
                victim = i;
        int64_t expected = victim >= 0 ? list[victim] : 0;
        bb_result result = offer(f, route[level], step, mode);
        CHECK_INT(expected != 0, f->evicted);
        if (f->evicted == 1) CHECK_INT(expected, NUMBER(f->out[0].event));
        CHECK_INT(length < CAPACITY ? BB_ACCEPTED : victim < 0 ? BB_REFUSED : BB_EVICTED, result);
        for (; victim >= 0 && victim + 1 < length; victim++) {
            list[victim] = list[victim + 1];
            level_of[victim] = level_of[victim + 1];
        }
        if (expected != 0) length--;
        if (result != BB_REFUSED) {
            list[length] = step;
            level_of[length++] = level;
        }
    }
    fixture_free(f);
}

static void test_the_first_loss_of_a_streak_is_marked(void) {
    fixture *f = fixture_new(4);
    fill(f, &f->low, 1, 4);
    check_offer(f, &f->low, 5, BB_REFUSE, BB_REFUSED, NOBODY);
    CHECK_INT(1, f->first);
    check_offer(f, &f->low, 5, BB_REFUSE, BB_REFUSED, NOBODY);
    CHECK_INT(0, f->first);
    check_offer(f, &f->high, 21, BB_EVICT_OLDEST, BB_EVICTED, ONE(1));
    CHECK_INT(0, f->first);
    take_some(f, 1); /* three left: more than half */
    fill(f, &f->low, 6, 1);
    check_offer(f, &f->low, 7, BB_REFUSE, BB_REFUSED, NOBODY);
    CHECK_INT(0, f->first);
    take_some(f, 2); /* half */
    fill(f, &f->low, 8, 2);
    check_offer(f, &f->high, 22, BB_EVICT_LOWEST, BB_EVICTED, ONE(4));
    CHECK_INT(1, f->first);
    fixture_free(f);
}

static void test_what_was_never_offered_can_be_counted_as_dropped(void) {
    fixture *f = fixture_new(4);
    bb_route two = several(f, 2, 2);
    fill(f, &f->low, 1, 1);
    CHECK_INT(BB_REFUSED, bb_refuse(f->q, &two, EVENT(2), BB_WHY_REFUSED));
    bb_close(f->q, 0, -1);
    CHECK_INT(BB_REFUSED, bb_refuse(f->q, &two, EVENT(3), BB_WHY_SHUTDOWN));
    CHECK_BOOKS(f, .published = 5, .dropped = 4, .queued = 1);
    CHECK_INT(2, (int64_t)f->q->dropped_by[BB_WHY_REFUSED][1]);
    CHECK_INT(2, (int64_t)f->q->dropped_by[BB_WHY_SHUTDOWN][1]);
    fixture_free(f);
}

void offer_tests(void) {
    RUN(test_an_offer_is_accepted_while_there_are_free_slots);
    RUN(test_an_offer_to_a_closed_queue_counts_nothing);
    RUN(test_handlers_may_offer_while_draining_but_not_when_shut);
    RUN(test_refuse_counts_the_event_as_published_and_dropped);
    RUN(test_evict_oldest_takes_the_oldest_of_its_level_and_below);
    RUN(test_evict_lowest_takes_the_lowest_level_first);
    RUN(test_an_event_evicts_exactly_as_many_as_it_needs);
    RUN(test_nothing_is_evicted_if_too_few_can_be);
    RUN(test_an_evicted_delivery_is_not_evicted_again);
    RUN(test_an_event_is_evicted_delivery_by_delivery);
    RUN(test_the_depth_goes_with_an_evicted_delivery);
    RUN(test_eviction_agrees_with_a_plain_list);
    RUN(test_the_first_loss_of_a_streak_is_marked);
    RUN(test_what_was_never_offered_can_be_counted_as_dropped);
}

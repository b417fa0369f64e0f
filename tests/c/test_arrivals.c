/* test_arrivals.c: how deliveries arrive, counted in windows. */
#include "fixture.h"

static bb_arrivals arrivals_of(fixture *f) {
    bb_arrivals arrivals;
    CHECK_INT(0, bb_load(f->q, &arrivals, NULL, NULL, 0));
    return arrivals;
}

static void test_arrivals_are_counted_from_the_first_to_the_last(void) {
    fixture *f = fixture_timed(64, 0);
    bb_route two = several(f, 1, 2);
    bb_arrivals a = arrivals_of(f);
    CHECK_INT(0, a.deliveries + a.first + a.last + a.windows[0].windows);
    staged_clock_advance(5 * MS);
    fill(f, &f->low, 1, 1);
    staged_clock_advance(3 * MS);
    fill(f, &two, 2, 1);
    a = arrivals_of(f);
    CHECK_INT(3, a.deliveries);
    CHECK_INT(5 * MS, a.first);
    CHECK_INT(8 * MS, a.last);
    CHECK_INT(0, a.windows[0].windows); /* none is over */
    fixture_free(f);
}

static void test_empty_windows_count(void) {
    fixture *f = fixture_timed(64, 0);
    fill(f, &f->low, 1, 3);
    staged_clock_advance(10 * MS - 1);
    fill(f, &f->low, 4, 1); /* just within the first */
    staged_clock_advance(35 * MS + 1);
    fill(f, &f->low, 5, 1);
    bb_arrivals a = arrivals_of(f);
    CHECK_INT(4, a.windows[0].windows);
    CHECK_INT(4, a.windows[0].counted);
    CHECK_INT(16, a.windows[0].counted_squared);
    CHECK_INT(0, a.windows[1].windows);
    staged_clock_advance(5 * MS); /* windows keep step: the next begins at 50, not at 55 */
    fill(f, &f->low, 6, 1);
    a = arrivals_of(f);
    CHECK_INT(5, a.windows[0].windows);
    CHECK_INT(17, a.windows[0].counted_squared);
    fixture_free(f);
}

/* Variance over mean of what a window counts. */
static double dispersion(bb_windows w) {
    double n = (double)w.windows, mean = w.counted / n;
    return (w.counted_squared / n - mean * mean) / mean;
}

/* `batch` at a time, with `gap_ms` between, for two seconds and the arrival that ends them. */
static bb_arrivals arrivals_in_batches(int32_t batch, uint32_t gap_ms) {
    fixture *f = fixture_timed(4096, 0);
    int32_t n = 0;
    for (uint32_t ms = 0; ms <= 2000; ms += gap_ms, n += batch) {
        fill(f, &f->low, 1 + n, batch);
        staged_clock_advance(gap_ms * MS);
    }
    bb_arrivals a = arrivals_of(f);
    CHECK_INT(n, a.deliveries);
    for (int s = 0; s < SCALES; s++) CHECK_INT(n - batch, a.windows[s].counted);
    CHECK_INT(200, a.windows[0].windows);
    CHECK_INT(20, a.windows[1].windows);
    CHECK_INT(2, a.windows[2].windows);
    CHECK_INT(2000 * MS, a.cpu_read);
    fixture_free(f);
    return a;
}

static void test_steady_arrivals_do_not_vary(void) {
    bb_arrivals a = arrivals_in_batches(1, 5);
    for (int s = 0; s < SCALES; s++) CHECK(dispersion(a.windows[s]) == 0);
}

static void test_batches_vary_in_windows_shorter_than_their_gap(void) {
    bb_arrivals a = arrivals_in_batches(20, 50); /* 20, 0, 0, 0, 0, 20, ...: 64 over 4 */
    CHECK(dispersion(a.windows[0]) > 15.99 && dispersion(a.windows[0]) < 16.01);
    CHECK(dispersion(a.windows[1]) == 0);
    CHECK(dispersion(a.windows[2]) == 0);
}

static void test_every_way_into_the_queue_is_an_arrival(void) {
    fixture *f = fixture_timed(3, 0);
    const bb_route *routes[] = {&f->low, &f->low};
    void *events[] = {EVENT(0), EVENT(1)};
    CHECK_INT(2, bb_push_many(f->q, routes, events, 2, 0, BB_OUTSIDE));
    CHECK_INT(BB_ACCEPTED, offer(f, &f->low, 2, BB_REFUSE));
    CHECK_INT(BB_FULL, push(f, &f->low, 3));
    CHECK_INT(BB_REFUSED, offer(f, &f->low, 3, BB_REFUSE));
    CHECK_INT(3, arrivals_of(f).deliveries);
    CHECK_INT(BB_EVICTED, offer(f, &f->low, 4, BB_EVICT_OLDEST));
    CHECK_INT(4, arrivals_of(f).deliveries);
    bb_waiter *waiter = join(f, &f->low, 5);
    CHECK_INT(4, arrivals_of(f).deliveries);
    CHECK_TAKES(1, f->worker);
    CHECK_INT(5, arrivals_of(f).deliveries);
    CHECK_INT(1, bb_waiter_leave(waiter));
    take_some(f, 3);
    CHECK(join(f, &f->low, 6) == NULL && last_join == BB_ACCEPTED);
    CHECK_INT(6, arrivals_of(f).deliveries);
    fixture_free(f);
}

void arrivals_tests(void) {
    RUN(test_arrivals_are_counted_from_the_first_to_the_last);
    RUN(test_empty_windows_count);
    RUN(test_steady_arrivals_do_not_vary);
    RUN(test_batches_vary_in_windows_shorter_than_their_gap);
    RUN(test_every_way_into_the_queue_is_an_arrival);
}
